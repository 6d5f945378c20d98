"""How many states of a chain stand for one independent draw."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

__all__ = ["autocorrelation_time", "weighted_time"]

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


def weighted_time(
    log_weights: Float64[np.ndarray, "rounds chains"], watched: Float64[np.ndarray, "rounds chains numbers"]
) -> float:
    """Autocorrelation time of weighted states: by what the ESS of their weights is to be divided.

    The longest time of w and of w (f - E f) for every number f that is watched, E under the weights: where weights
    vary on their own from state to state, states that lie near one another are worth more than those numbers alone
    would say. Weights that are all equal say nothing of time.

    Arguments:
        log_weights: of each state, nats, unnormalised.
        watched: numbers f of each state.

    Returns:
        States for one independent draw, at least 1.

    Raises:
        Nothing.

    Accuracy:
        As `autocorrelation_time`.
    """
    top = log_weights.max()
    if not np.isfinite(top):
        return 1.0
    weights = np.exp(log_weights - top)
    means = (weights[..., None] * watched).sum((0, 1)) / weights.sum()
    terms = weights[..., None] * (watched - means)
    series = [*np.moveaxis(terms, 2, 0), *([weights] if np.ptp(weights) > 0.0 else [])]
    return max(autocorrelation_time(one) for one in series)
