"""From tangents to log singular values: Gram matrices in the arithmetic that a row's condition number allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log, sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from magnet_service.generator import Precision
from magnet_service.generator.operations.kernels import product
from magnet_service.geometry.kernels.determinants import half_log_determinants
from magnet_service.geometry.kernels.refinement import refined_grams
from magnet_service.geometry.spectrum import gram, gram_log_singular_values, trusted

__all__ = [
    "SINGLE_CONDITION",
    "Piece",
    "estimated",
    "in_directions",
    "log_determinant",
    "log_spectrum",
    "piece_of",
    "restricted",
    "standing",
]

SINGLE_CONDITION = 30.0
"""Condition number of J up to which a float32 Gram matrix is taken as it is: its part of the error is below 1e-5."""

WIDE_GRAM = 1 << 21
"""Products in a Gram matrix from which one product a row is faster than a batched one."""

ROUGH_CONDITION = 300.0
"""The same for bfloat16, whose tangents are far less exact than the 1e-3 nats that this costs."""

WIDE_ROWS = 96
"""Columns of the Jacobian from which one of the two equal quarters of a Gram matrix is copied and not computed."""

POWER_STEPS = 2
"""Steps of power and inverse iteration by which `log_determinant` estimates a condition number."""


@dataclass(frozen=True)
class Piece:
    """Rows of which the Jacobians are known.

    Attributes:
        tangents: transposed Jacobians, or matrices with their singular values.
        finite: whether a row's outputs are finite.
        basis: orthonormal directions to restrict the Jacobian to, float64; None for all columns.
        grams: Gram matrices of the restricted Jacobians, from products in the dtype of the tangents, float64.
        lines: [rows, outputs, stride], the same tangents with their columns together, as compiled kernels make them;
            None for others.
    """

    tangents: Float[Tensor, "rows columns width"]
    finite: Bool[Tensor, " rows"]
    basis: Float[Tensor, "rows less columns"] | None
    grams: Float[Tensor, "rows side side"]
    lines: Float[Tensor, "rows outputs stride"] | None = None


def piece_of(tangents: Tensor, finite: Tensor, basis: Tensor | None = None) -> Piece:
    """The Gram matrices of some rows, while their tangents are in cache.

    Arguments:
        tangents: [rows, columns, width], transposed Jacobians, or matrices with their singular values.
        finite: [rows], whether a row's outputs are finite.
        basis: [rows, less, columns], as in `Piece`.

    Returns:
        The piece.

    Raises:
        Nothing.

    Accuracy: of the Gram matrices, rounding of the dtype of the tangents; float64 where there are fewer outputs than
        columns.
    Cost: 2 columns^2 width operations a row.
    """
    if tangents.shape[2] < tangents.shape[1]:
        grams = gram(in_directions(tangents, basis))
    elif tangents.dtype == torch.float64:
        grams = restricted(gram(tangents), basis)
    else:
        grams = restricted(_single_gram(tangents), basis)
    return Piece(tangents, finite, basis, grams)


def log_spectrum(
    pieces: Sequence[Piece], outputs: int, precision: Precision
) -> tuple[Float[Tensor, "rows least"], Bool[Tensor, " rows"]]:
    """Log singular values of each Jacobian, and whether they may stand; decided from each row alone.

    float32 Gram matrices where cond <= 30. Above, Y = L^-1 J^T with G = L L^T of the first Gram matrix, whose own Gram
    matrix in float32 is nearly the identity, and J^T J = L (Y Y^T) L^T in float64: the error is linear in the condition
    number and no longer quadratic (CholeskyQR2, Yamamoto et al. 2015, with the second triangular factor left out).
    Where the Cholesky decomposition fails, a float64 Gram matrix.

    Arguments:
        pieces: rows after rows.
        outputs: D of the Jacobian.
        precision: arithmetic of values and tangents, whose rounding decides which rows stand.

    Returns:
        Log singular values in nats, descending, `least` = min(columns, width); whether they stand.

    Raises:
        Nothing: rows that are not finite do not stand.

    Accuracy: relative error of sigma_i of about 10 eps cond, eps of the dtype of the tangents.
    Cost: an eigenvalue problem a row, and above cond = 30 another one and two more products as large as the first.
    """
    first = pieces[0]
    columns = first.tangents.shape[1] if first.basis is None else first.basis.shape[1]
    least, shape = min(columns, first.tangents.shape[2]), (outputs, columns)
    finite = joined([piece.finite for piece in pieces])
    logs = gram_log_singular_values(joined([piece.grams for piece in pieces]), least)
    if first.tangents.dtype == torch.float64 or first.tangents.shape[2] < columns:
        return logs, standing(logs, shape, precision, finite)
    limit = ROUGH_CONDITION if precision is Precision.BFLOAT16 else SINGLE_CONDITION
    stands = (logs[:, 0] - logs[:, -1] <= log(limit)) & standing(logs, shape, precision, finite)
    again: list[int] = []
    refined: list[Tensor] = []
    for row, alone in rows_alone(pieces, ~stands & finite):
        found = _refined(alone)
        again.append(row)
        refined.append(gram(in_directions(alone.tangents, alone.basis)) if found is None else found)
    if again:
        better = gram_log_singular_values(torch.cat(refined), columns)
        logs[again] = better
        stands[again] = standing(better, shape, precision, finite[again])
    return logs, stands


def rows_alone(pieces: Sequence[Piece], wanted: Bool[Tensor, " rows"]) -> Iterator[tuple[int, Piece]]:
    """Some rows of several pieces, each as a piece of its own with its place among all rows."""
    if not bool(wanted.any()):
        return
    starts = accumulate((len(piece.finite) for piece in pieces), initial=0)
    for start, piece in zip(starts, pieces, strict=False):
        for row in wanted[start : start + len(piece.finite)].nonzero().flatten().tolist():
            one = slice(row, row + 1)
            basis = None if piece.basis is None else piece.basis[one]
            lines = None if piece.lines is None else piece.lines[one]
            yield start + row, Piece(piece.tangents[one], piece.finite[one], basis, piece.grams[one], lines)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Tensors of several pieces, rows after rows."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


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
    pieces: Sequence[Piece], outputs: int, precision: Precision
) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
    """The full log-volume 1/2 log det(J^T J) by Cholesky decomposition, and whether it may stand.

    Rows whose estimated condition number is above 30 go the way of `log_spectrum`.

    Arguments:
        pieces: rows after rows.
        outputs: D of the Jacobian.
        precision: arithmetic of values and tangents.

    Returns:
        Nats; whether they stand.

    Raises:
        Nothing.

    Accuracy: d eps cond nats, eps of the dtype of the tangents.
    Cost: columns^3 / 3 operations a row.
    """
    if pieces[0].tangents.shape[2] < pieces[0].tangents.shape[1]:  # fewer outputs than columns: no volume
        finite = joined([piece.finite for piece in pieces])
        return torch.full((len(finite),), -torch.inf, dtype=torch.float64), torch.zeros_like(finite)
    finite = joined([piece.finite for piece in pieces])
    logs, stands = estimated(joined([piece.grams for piece in pieces]), finite)
    for row, alone in rows_alone(pieces, ~stands & finite):
        spectrum, stood = log_spectrum([alone], outputs, precision)
        logs[row], stands[row] = spectrum.sum(), stood[0]
    return logs, stands


def estimated(
    grams: Float[Tensor, "rows side side"], finite: Bool[Tensor, " rows"]
) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
    """Half the log determinants of Gram matrices, and whether their condition number is estimated small enough.

    Arguments:
        grams: in float64.
        finite: whether a row's outputs are finite.

    Returns:
        Nats; whether the root of the estimated condition number is at most 30.

    Raises:
        Nothing.

    Accuracy: two steps of power and inverse iteration find the condition number of J within a factor of about 2.
    """
    if grams.device.type == "cpu":
        nats, squared, positive = half_log_determinants(grams)
        return nats, finite & positive & (squared <= SINGLE_CONDITION**2)
    lower, status = torch.linalg.cholesky_ex(grams)
    pivots = lower.diagonal(dim1=1, dim2=2)
    low = high = torch.ones_like(pivots)[:, :, None]
    for _ in range(POWER_STEPS):
        low = torch.cholesky_solve(low / torch.linalg.vector_norm(low, dim=1, keepdim=True), lower)
        high = grams @ (high / torch.linalg.vector_norm(high, dim=1, keepdim=True))
    norms = torch.linalg.vector_norm(low, dim=1) * torch.linalg.vector_norm(high, dim=1)
    return pivots.log().sum(1), finite & (status == 0) & (norms[:, 0] <= SINGLE_CONDITION**2)


def _single_gram(tangents: Tensor) -> Tensor:
    """J^T J of each row by float32 products, in float64."""
    _, columns, width = tangents.shape
    if tangents.device.type == "cpu" and columns * columns * width >= WIDE_GRAM:
        return torch.stack([_symmetric(row) for row in tangents]).double()
    return torch.bmm(tangents, tangents.mT).double()


def _symmetric(row: Tensor) -> Tensor:
    """X X^T, of wide matrices three quarters of it."""
    half = len(row) // 2
    if len(row) < WIDE_ROWS:
        return product(row, row)
    lower = product(row[half:], row)
    made = row.new_empty(len(row), len(row))
    made[half:] = lower
    made[:half, half:] = lower[:, :half].t()
    made[:half, :half] = product(row[:half], row[:half])
    return made


def restricted(grams: Tensor, basis: Tensor | None) -> Tensor:
    """B G B^T."""
    return grams if basis is None else basis @ grams @ basis.mT


def in_directions(tangents: Tensor, basis: Tensor | None) -> Tensor:
    """B J^T."""
    return tangents if basis is None else torch.bmm(basis.to(tangents.dtype), tangents)


def _refined(row: Piece) -> Tensor | None:
    """L (Y Y^T) L^T of one row, Y = L^-1 B J^T; None without Cholesky factor, or where Y is far from orthonormal."""
    if row.lines is not None:
        made, near = torch.empty_like(row.grams), torch.zeros(1, dtype=torch.bool)
        bases = row.grams[:0] if row.basis is None else row.basis.contiguous()
        first, chosen = row.grams.contiguous().numpy(), torch.zeros(1, dtype=torch.int64).numpy()
        distance = 1 / sqrt(SINGLE_CONDITION)
        refined_grams(row.lines.numpy(), chosen, first, bases.numpy(), distance, made.numpy(), near.numpy())
        return made if bool(near) else None
    lower, status = torch.linalg.cholesky_ex(row.grams[0])
    if int(status) != 0:
        return None
    identity = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
    inverse = torch.linalg.solve_triangular(lower, identity, upper=False)
    if row.basis is not None:
        inverse = inverse @ row.basis[0]
    flat = product(inverse.to(row.tangents.dtype), row.tangents[0].t())
    second = product(flat, flat).double()
    if not bool((second - identity).abs().max() < 1 / sqrt(SINGLE_CONDITION)):
        return None
    found: Tensor = lower @ second @ lower.mT
    return found[None]
