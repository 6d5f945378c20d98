"""Frobenius norms of Jacobians, from their singular values or from the columns of a bank."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

from magnet_service.sampling import BankRows

__all__ = ["kept_rows", "log_norms_of_rows", "log_norms_of_values"]


def log_norms_of_values(log_singular_values: Float[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " rows"]:
    """log ||J||_F = 1/2 log sum_i sigma_i^2.

    Arguments:
        log_singular_values: log sigma_i in nats, -inf for those that are zero.

    Returns:
        Nats; -inf for a Jacobian of rank 0.

    Raises:
        Nothing.

    Accuracy: rounding of float64; all singular values have to be among those given.
    """
    halves: Float64[np.ndarray, " rows"] = np.logaddexp.reduce(2.0 * log_singular_values.astype(np.float64), axis=1)
    return halves / 2.0


def log_norms_of_rows(rows: BankRows) -> Float64[np.ndarray, " rows"]:
    """log ||J||_F of a bank's rows, sigma_k being v_k / v_{k-1}.

    Arguments:
        rows: of a bank that holds all singular values.

    Returns:
        Nats; -inf for rank 0.

    Raises:
        Nothing.

    Accuracy: the bank keeps log v_k in float32, so each log sigma_k is off by about 1e-7 |log v_k|.
    """
    total: Float64[np.ndarray, " rows"] = np.full(len(rows), -np.inf)
    before = np.zeros(len(rows))
    for k in range(1, rows.columns + 1):
        logs = rows.log_volume(k).astype(np.float64)
        # Beyond the rank both are -inf, and sigma is zero.
        step = np.subtract(logs, before, out=np.full(len(rows), -np.inf), where=np.isfinite(logs))
        total = np.logaddexp(total, 2.0 * step)
        before = logs
    return total / 2.0


def kept_rows(
    log_norms: Float64[np.ndarray, " rows"], usable: np.ndarray[tuple[int], np.dtype[np.bool_]], share: float
) -> Int64[np.ndarray, " kept"]:
    """Rows of the smallest Jacobian norms: the truncation of Tanielian et al., arXiv 2006.04596, on a bank.

    Arguments:
        log_norms: of the rows, nats.
        usable: which rows may be kept at all.
        share: of the usable rows to keep, in (0, 1].

    Returns:
        Their indices, ascending norms; one at least where any is usable.

    Raises:
        Nothing.

    Accuracy: the threshold is the quantile of these rows, an estimate of the law's.
    """
    candidates = np.flatnonzero(usable)
    order = candidates[np.argsort(log_norms[candidates], kind="stable")]
    kept: Int64[np.ndarray, " kept"] = order[: max(1, round(share * len(order)))].astype(np.int64)
    return kept
