"""Shares of classes, and how far they are from equal ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int

__all__ = ["class_shares", "kl_to_uniform", "total_variation"]


def class_shares(
    classes: Int[np.ndarray, " rows"], count: int, weights: Float[np.ndarray, " rows"] | None = None
) -> Float64[np.ndarray, " classes"]:
    """Share of each class.

    Arguments:
        classes: index of each row's class, 0 to count - 1.
        count: number of classes.
        weights: of the rows, with a sum above zero; all alike where None.

    Returns:
        Shares with a sum of 1.

    Raises:
        Nothing.

    Accuracy: rounding of float64.
    """
    sums: Float64[np.ndarray, " classes"] = np.bincount(classes, weights=weights, minlength=count).astype(np.float64)
    shares: Float64[np.ndarray, " classes"] = sums / sums.sum()
    return shares


def total_variation(shares: Float[np.ndarray, "*sets classes"]) -> Float64[np.ndarray, "*sets"]:
    """Total variation distance to equal shares, 1/2 sum_c |p_c - 1/C|.

    Arguments:
        shares: of C classes, along the last axis.

    Returns:
        0 for equal shares to 1 - 1/C for a single class.

    Raises:
        Nothing.

    Accuracy: rounding of float64. Of shares counted from few rows it is too large on average, never too small.

    Example:
        >>> float(total_variation(np.array([0.5, 0.3, 0.1, 0.1])))
        0.3
    """
    distance: Float64[np.ndarray, "*sets"] = np.abs(shares - 1.0 / shares.shape[-1]).sum(axis=-1) / 2.0
    return distance


def kl_to_uniform(shares: Float[np.ndarray, "*sets classes"]) -> Float64[np.ndarray, "*sets"]:
    """Kullback-Leibler divergence of shares from equal ones, sum_c p_c log(C p_c).

    Arguments:
        shares: of C classes, along the last axis.

    Returns:
        Nats: 0 for equal shares to log C for a single class; a class without a share adds nothing.

    Raises:
        Nothing.

    Accuracy: rounding of float64. Of shares counted from few rows it is too large on average.
    """
    scaled = np.where(shares > 0.0, shares * shares.shape[-1], 1.0)
    divergence: Float64[np.ndarray, "*sets"] = (shares * np.log(scaled)).sum(axis=-1)
    return divergence
