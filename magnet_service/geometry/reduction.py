"""From tangents to log singular values: Gram matrices in the arithmetic that a row's condition number allows."""

from __future__ import annotations

from math import log, sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from magnet_service.generator import Precision
from magnet_service.generator.operations.kernels import product
from magnet_service.geometry.spectrum import gram, gram_log_singular_values, trusted

__all__ = ["SINGLE_CONDITION", "in_directions", "log_determinant", "log_spectrum", "standing"]

SINGLE_CONDITION = 30.0
"""Condition number of J up to which a float32 Gram matrix is taken as it is: its part of the error is below 1e-5."""

WIDE_GRAM = 1 << 21
"""Products in a Gram matrix from which one product a row is faster than a batched one."""

ROUGH_CONDITION = 300.0
"""The same for bfloat16, whose tangents are far less exact than the 1e-3 nats that this costs."""

POWER_STEPS = 2
"""Steps of power and inverse iteration by which `log_determinant` estimates a condition number."""


def log_spectrum(
    tangents: Float[Tensor, "rows columns width"],
    finite: Bool[Tensor, " rows"],
    outputs: int,
    precision: Precision,
    basis: Float[Tensor, "rows less columns"] | None = None,
) -> tuple[Float[Tensor, "rows least"], Bool[Tensor, " rows"]]:
    """Log singular values of each Jacobian, and whether they may stand; decided from each row alone.

    float32 Gram matrices where cond <= 30. Above, Y = L^-1 J^T with G = L L^T of the first Gram matrix, whose own Gram
    matrix in float32 is nearly the identity, and J^T J = L (Y Y^T) L^T in float64: the error is linear in the condition
    number and no longer quadratic (CholeskyQR2, Yamamoto et al. 2015, with the second triangular factor left out).
    Where the Cholesky decomposition fails, a float64 Gram matrix.

    Arguments:
        tangents: transposed Jacobians, or matrices with their singular values.
        finite: whether a row's outputs are finite.
        outputs: D of the Jacobian.
        precision: arithmetic of values and tangents, whose rounding decides which rows stand.
        basis: orthonormal directions to restrict the Jacobian to, float64; None for all columns.

    Returns:
        Log singular values in nats, descending, `least` = min(columns, width); whether they stand.

    Raises:
        Nothing: rows that are not finite do not stand.

    Accuracy: relative error of sigma_i of about 10 eps cond, eps of the dtype of the tangents.
    Cost: 2 columns^2 width operations a row, twice more above cond = 30, and an eigenvalue problem.
    """
    columns = tangents.shape[1] if basis is None else basis.shape[1]
    shape = (outputs, columns)
    if tangents.dtype == torch.float64:
        logs = gram_log_singular_values(_restricted(gram(tangents), basis), min(columns, tangents.shape[2]))
        return logs, standing(logs, shape, precision, finite)
    if min(columns, tangents.shape[2]) == 0 or tangents.shape[2] < columns:
        logs = gram_log_singular_values(gram(in_directions(tangents, basis)), min(columns, tangents.shape[2]))
        return logs, standing(logs, shape, precision, finite)
    grams = _restricted(_single_gram(tangents), basis)
    logs = gram_log_singular_values(grams, columns)
    limit = ROUGH_CONDITION if precision is Precision.BFLOAT16 else SINGLE_CONDITION
    easy = logs[:, 0] - logs[:, -1] <= log(limit)
    stands = easy & standing(logs, shape, precision, finite)
    if tangents.device.type == "cpu":
        for row in (~stands & finite).nonzero().flatten().tolist():
            one = slice(row, row + 1)
            rest = None if basis is None else basis[one]
            refined = _refined(tangents[one], grams[row], rest)
            if refined is None:
                refined = gram(in_directions(tangents[one], rest))
            logs[one] = gram_log_singular_values(refined, columns)
            stands[one] = standing(logs[one], shape, precision, finite[one])
        return logs, stands
    # Without asking the device which rows need it: all of them are refined.
    logs = torch.where(easy[:, None], logs, gram_log_singular_values(gram(in_directions(tangents, basis)), columns))
    return logs, standing(logs, shape, precision, finite)


def standing(
    logs: Float[Tensor, "rows least"], shape: tuple[int, int], precision: Precision, finite: Bool[Tensor, " rows"]
) -> Bool[Tensor, " rows"]:
    """Whether a row's log singular values may stand: `trusted`, and above the rounding of its tangents.

    Tangents rounded to bfloat16 carry errors that look like a random matrix, with singular values up to about half of
    eps |J|_F / sqrt(d): a row with some sigma_i below twice that says nothing about its rank.

    Arguments:
        logs: log singular values, descending.
        shape: outputs and columns of the Jacobian.
        precision: arithmetic of values and tangents.
        finite: whether the row's outputs are finite.

    Returns:
        True where they stand.

    Raises:
        Nothing.

    Accuracy: an estimate for bfloat16.
    """
    stands = trusted(logs, shape, precision.dtype, finite)
    if precision is Precision.BFLOAT16:
        mean = (torch.logsumexp(2 * logs, 1) - log(logs.shape[1])) / 2
        stands &= logs[:, -1] > mean + log(torch.finfo(torch.bfloat16).eps)
    return stands


def log_determinant(
    tangents: Float[Tensor, "rows columns width"], finite: Bool[Tensor, " rows"]
) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
    """The full log-volume 1/2 log det(J^T J) by Cholesky decomposition, and whether it may stand.

    It stands where the estimated condition number is at most 30; other rows need `log_spectrum`.

    Arguments:
        tangents: transposed Jacobians, or matrices with their singular values.
        finite: whether a row's outputs are finite.

    Returns:
        Nats; whether they stand.

    Raises:
        Nothing.

    Accuracy: d eps cond nats, eps of the dtype of the tangents.
    Cost: 2 columns^2 width operations a row and columns^3 / 3.
    """
    if tangents.shape[2] < tangents.shape[1]:
        blank = tangents.new_zeros(len(tangents), dtype=torch.float64)
        return blank, torch.zeros_like(finite)
    grams = gram(tangents) if tangents.dtype == torch.float64 else _single_gram(tangents)
    lower, status = torch.linalg.cholesky_ex(grams)
    pivots = lower.diagonal(dim1=1, dim2=2)
    low = high = torch.ones_like(pivots)[:, :, None]
    for _ in range(POWER_STEPS):
        low = torch.cholesky_solve(low / torch.linalg.vector_norm(low, dim=1, keepdim=True), lower)
        high = grams @ (high / torch.linalg.vector_norm(high, dim=1, keepdim=True))
    squared = torch.linalg.vector_norm(low, dim=1) * torch.linalg.vector_norm(high, dim=1)
    stands = finite & (status == 0) & (squared[:, 0] <= SINGLE_CONDITION**2)
    return pivots.log().sum(1), stands


def _single_gram(tangents: Tensor) -> Tensor:
    """J^T J of each row by float32 products, in float64."""
    _, columns, width = tangents.shape
    if tangents.device.type == "cpu" and columns * columns * width >= WIDE_GRAM:
        return torch.stack([product(row, row) for row in tangents]).double()
    return torch.bmm(tangents, tangents.mT).double()


def _restricted(grams: Tensor, basis: Tensor | None) -> Tensor:
    """B G B^T."""
    return grams if basis is None else basis @ grams @ basis.mT


def in_directions(tangents: Tensor, basis: Tensor | None) -> Tensor:
    """B J^T."""
    return tangents if basis is None else torch.bmm(basis.to(tangents.dtype), tangents)


def _refined(tangents: Tensor, grams: Tensor, basis: Tensor | None) -> Tensor | None:
    """L (Y Y^T) L^T of one row, Y = L^-1 B J^T; None without Cholesky factor, or where Y is far from orthonormal."""
    lower, status = torch.linalg.cholesky_ex(grams)
    if int(status) != 0:
        return None
    identity = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
    inverse = torch.linalg.solve_triangular(lower, identity, upper=False)
    if basis is not None:
        inverse = inverse @ basis[0]
    flat = product(inverse.to(tangents.dtype), tangents[0].t())
    second = product(flat, flat).double()
    if not bool((second - identity).abs().max() < 1 / sqrt(SINGLE_CONDITION)):
        return None
    found: Tensor = lower @ second @ lower.mT
    return found[None]
