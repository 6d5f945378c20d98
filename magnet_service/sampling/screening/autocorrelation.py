"""How many states of a chain stand for one independent draw."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

__all__ = ["autocorrelation_time"]

_NEGLIGIBLE = 0.05


def autocorrelation_time(series: Float64[np.ndarray, "steps chains"], lag: int = 1) -> float:
    """Integrated autocorrelation time of several chains of one law, one state in `lag` taken.

        tau = 1 + 2 sum_j r(j lag),   up to the first r below 0.05

    The mean that is taken off is that of all chains, so that chains which never meet have a long time.

    Arguments:
        series: a number for each state.
        lag: steps between the states that count.

    Returns:
        States for one independent draw, at least 1; the number of steps taken where all states are equal.

    Raises:
        Nothing.

    Accuracy:
        A few percent where the chains are a hundred times longer than the result; a long time is estimated too short
        where they are not.

    References:
        Geyer, "Practical Markov chain Monte Carlo", 1992; Vehtari et al. 2021 (arXiv 1903.08008), for several chains.

    Example:
        >>> round(autocorrelation_time(np.random.default_rng(0).normal(size=(500, 8))))
        1
    """
    steps = len(series)
    centred = series - series.mean()
    variance = float(np.square(centred).mean())
    if variance <= 0.0 or not np.isfinite(variance):
        return max(1.0, steps / lag)
    total = 1.0
    for distance in range(lag, steps, lag):
        correlation = float((centred[:-distance] * centred[distance:]).mean()) / variance
        if correlation < _NEGLIGIBLE:
            break
        total += 2.0 * correlation
    return total
