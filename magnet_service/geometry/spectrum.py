"""Log singular values of the Jacobians of a tile: by a double-precision Gram matrix, or without squaring."""

from __future__ import annotations

from math import log, sqrt

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magnet_service.geometry.kernels.eigenvalues import log_singular_values_of_grams

__all__ = ["gram", "gram_log_singular_values", "log_singular_values", "trusted"]

GRAM_ERROR = 2.5e-7
"""Nats that squaring the condition number may cost one log singular value before the row is done without it."""

SQUARE_RANGE = (1e-60, 1e60)
"""Squared largest singular values between which neither float32 nor a double-precision Gram over- or underflows."""

OUTPUT_BLOCK = 1024
"""Outputs cast to float64 at a time: larger casts fall out of the cache and cost more than the product."""


def gram(tangents: Float[Tensor, "rows columns output"]) -> Float[Tensor, "rows least least"]:
    """J^T J, or J J^T where there are fewer outputs than columns, of each row in float64.

    Arguments:
        tangents: the transposed Jacobian of each row.

    Returns:
        The Gram matrix of the shorter side, `least` = min(columns, output).

    Raises:
        Nothing: rows that hold infinities or NaN give such entries.

    Accuracy: float64 rounding, whatever the dtype of the tangents.
    Cost: 2 columns^2 output operations a row.
    """
    shorter = tangents if tangents.shape[1] <= tangents.shape[2] else tangents.mT
    first, *others = (block.double() for block in torch.split(shorter, OUTPUT_BLOCK, dim=2))
    product: Tensor = first @ first.mT
    for block in others:
        product = torch.baddbmm(product, block, block.mT)
    return product


def gram_log_singular_values(
    grams: Float[Tensor, "rows side side"], count: int | None = None
) -> Float[Tensor, "rows least"]:
    """Half the logs of a Gram matrix' eigenvalues, descending: log sigma_i = 1/2 log lambda_i.

    Arguments:
        grams: Gram matrices in float64; one that is not finite is answered with NaN and leaves the others alone.
        count: how many of the largest are wanted; all where None.

    Returns:
        Log singular values in nats; no finite number where rounding made an eigenvalue negative.

    Raises:
        Nothing.

    Accuracy: an absolute error of about eps lambda_1 in each lambda_i: see `trusted`.
    """
    if grams.device.type == "cpu":
        return log_singular_values_of_grams(grams)[:, :count]
    # Sums of squares: where anything in the Jacobian is not finite, the trace is not.
    finite = grams.diagonal(dim1=1, dim2=2).sum(1).isfinite()[:, None]
    # The solver fails the whole batch for one NaN, so such rows are solved as zeros and overwritten.
    eigenvalues = torch.linalg.eigvalsh(torch.where(finite[:, :, None], grams, 0.0)).flip(1)[:, :count]
    return torch.where(finite, eigenvalues.log() / 2, torch.nan)


def trusted(
    logs: Float[Tensor, "rows least"], shape: tuple[int, int], dtype: torch.dtype, values_finite: Bool[Tensor, " rows"]
) -> Bool[Tensor, " rows"]:
    """Whether a row's log singular values from a Gram matrix may stand; decided from that row alone.

    They may where every sigma_i / sigma_1 is above max(D, d) eps, eps of the arithmetic of the Jacobian, and above the
    ratio at which squaring the condition number costs GRAM_ERROR nats, and where nothing over- or underflowed.

    Arguments:
        logs: log singular values, descending.
        shape: outputs and columns of the Jacobian.
        dtype: arithmetic of the Jacobian.
        values_finite: whether the row's outputs are finite.

    Returns:
        True where they stand.

    Raises:
        Nothing.

    Accuracy: the Gram's part of the error of a trusted log sigma_i is below GRAM_ERROR for rounding errors that add
        like a random walk, 1/2 (least + sqrt(greatest)) eps cond^2 with eps of float64.
    """
    least, greatest = min(shape), max(shape)
    rounding = (least + sqrt(greatest)) * torch.finfo(torch.float64).eps / 2
    smallest_ratio = max(greatest * torch.finfo(dtype).eps, sqrt(rounding / GRAM_ERROR))
    low, high = (log(bound) / 2 for bound in SQUARE_RANGE)
    in_range = (logs[:, 0] > low) & (logs[:, 0] < high)
    # Comparisons with NaN are false: a row that is not a number is never trusted.
    return in_range & (logs[:, -1] - logs[:, 0] > log(smallest_ratio)) & values_finite


def log_singular_values(
    tangents: Float[Tensor, "rows columns output"], outputs: int | None = None
) -> tuple[Float[Tensor, "rows least"], Int[Tensor, " rows"], Bool[Tensor, " rows"]]:
    """Log singular values and rank of each Jacobian by QR and a singular value decomposition in float64.

    rank = #{sigma_i > max(D, d) eps sigma_1}, eps of float64; each matrix is first scaled by a power of two.

    Arguments:
        tangents: the transposed Jacobian of each row, float64, or a matrix with its singular values.
        outputs: D of the Jacobian; that of the matrix where None.

    Returns:
        Log singular values in nats, descending, -inf beyond the rank; the rank; whether the matrix is finite. A matrix
        that is not finite has rank 0 and leaves the other rows alone.

    Raises:
        Nothing.

    Accuracy: an absolute error of a few eps sigma_1 in each sigma_i.
    Cost: about 4 columns^2 output operations a row, at the speed of LAPACK.
    """
    largest = tangents.abs().amax(dim=(1, 2))
    finite = largest.isfinite()
    exponent = torch.frexp(torch.where(finite, largest, 0.0)).exponent
    # Two factors, since 2^-exponent itself overflows for a matrix of subnormal numbers.
    half = exponent // 2
    one = torch.ones_like(largest)
    scaled = torch.where(finite[:, None, None], tangents, 0.0)
    scaled *= torch.ldexp(one, -half)[:, None, None]
    scaled *= torch.ldexp(one, half - exponent)[:, None, None]
    tall = scaled.mT if scaled.shape[1] <= scaled.shape[2] else scaled
    sigma = torch.linalg.svdvals(torch.linalg.qr(tall, mode="r").R)
    greatest = max(tangents.shape[1], tangents.shape[2] if outputs is None else outputs)
    counted = sigma > greatest * torch.finfo(torch.float64).eps * sigma[:, :1]
    logs = torch.where(counted, sigma.log() + exponent.double()[:, None] * log(2.0), -torch.inf)
    return logs, counted.sum(1), finite
