"""Pareto k-hat: how heavy the tail of importance weights is."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

__all__ = ["khat_of", "tail_length"]

_FEWEST_TAIL = 5
# Weights below this share of the largest are zero to the fit: their inverses would overflow.
_SMALLEST = 1e-280


def tail_length(size: int) -> int:
    """Weights of `size` that the tail may have: ceil(min(S / 5, 3 sqrt(S))), one less than all at most."""
    return min(math.ceil(min(0.2 * size, 3.0 * math.sqrt(size))), size - 1)


def khat_of(largest: Float64[np.ndarray, " tail"]) -> tuple[float | None, int]:
    """Shape k-hat of a generalised Pareto law fitted to the largest weights.

    The tail is the M = ceil(min(S / 5, 3 sqrt(S))) largest of S weights, as exceedances over the next largest; the
    shape is the posterior mean of Zhang and Stephens, shrunk to 1/2 with the weight of ten observations.

    Arguments:
        largest: the next largest weight and the tail, `tail_length` weights, ascending, divided by the largest of them.

    Returns:
        k-hat, or None with fewer than 5 distinct tail weights; and the number of weights in the tail.

    Raises:
        Nothing.

    Accuracy:
        An estimate: its standard deviation is near (1 + k) / sqrt(M).

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry, JMLR 25 (2024), arXiv 1507.02646; Zhang, Stephens, Technometrics 51
        (2009).
    """
    if largest.size < 2:
        return None, 0
    tail = largest[1:][largest[1:] > largest[0]] - largest[0]
    tail = tail[tail > _SMALLEST]
    if np.unique(tail).size < _FEWEST_TAIL:
        return None, int(tail.size)
    return _shape(tail), int(tail.size)


def _shape(tail: Float64[np.ndarray, " tail"]) -> float:
    # Zhang and Stephens 2009, theta = -k / sigma: a grid weighted by the profile likelihood, then shrinkage.
    size = tail.size
    grid = 30 + int(math.sqrt(size))
    quartile = tail[int(size / 4.0 + 0.5) - 1]
    steps = np.arange(1, grid + 1)
    theta = 1.0 / tail[-1] + (1.0 - np.sqrt(grid / (steps - 0.5))) / (3.0 * quartile)
    theta = theta[theta != 0.0]
    shapes = np.array([np.log1p(-t * tail).mean() for t in theta])
    profile = size * (np.log(-theta / shapes) - shapes - 1.0)
    posterior = np.exp(profile - profile.max())
    mean = float((theta * posterior).sum() / posterior.sum())
    return float((size * np.log1p(-mean * tail).mean() + 10.0 * 0.5) / (size + 10.0))
