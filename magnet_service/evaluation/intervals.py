"""How sure one can be of figures of draws that repeat latents: a bootstrap and a jackknife over distinct ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from magnet_service.errors import InvalidInput

__all__ = ["Interval", "bootstrap_weights", "distinct_rows", "jackknife", "percentiles"]

_LEVELS = (2.5, 97.5)
_NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval.

    Attributes:
        value: the estimate.
        low, high: the interval's ends.
    """

    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Standard error that an interval of this width belongs to, were it normal."""
        return (self.high - self.low) / (2.0 * _NORMAL)


def distinct_rows(latents: Float[np.ndarray, "rows latent"]) -> Int[np.ndarray, " rows"]:
    """Which distinct latent each draw repeats.

    Arguments:
        latents: of the draws.

    Returns:
        Numbers from 0; two draws have one number exactly where their latents are equal.

    Raises:
        Nothing.

    Accuracy: exact, bit by bit.
    """
    _, inverse = np.unique(latents, axis=0, return_inverse=True)
    numbers: Int[np.ndarray, " rows"] = inverse.reshape(-1)
    return numbers


def bootstrap_weights(
    distinct: Int[np.ndarray, " rows"], samples: int, seed: int
) -> Float64[np.ndarray, "samples rows"]:
    """Weights of draws under bootstrap samples of the distinct latents among them.

    A draw from a bank repeats rows: n draws by weights w are c_i copies of row i, and the copies are not independent.
    What is resampled are therefore the distinct latents, each with all of its copies. For f averaged over the draws,
    the variance of that bootstrap is sum_i c_i^2 (f_i - mean)^2 / n^2, whose expectation is nearly

        1/n sum_i w_i (f_i - mean)^2  +  sum_i w_i^2 (f_i - mean)^2

    the variance of n independent draws from the weighted bank, and that of the bank itself, whose ESS is
    1 / sum_i w_i^2. A bootstrap of the draws alone would have the first part only. Of draws that repeat nothing it is
    the ordinary bootstrap.

    Arguments:
        distinct: from `distinct_rows`.
        samples: of the bootstrap.
        seed: 0 or more.

    Returns:
        How often each draw counts in each sample.

    Raises:
        Nothing.

    Accuracy: intervals by percentiles; too narrow where fewer than some dozens of latents are distinct.

    References:
        Davison, Hinkley, Bootstrap Methods and their Application (1997), section 3.8 (clusters).
    """
    count = int(distinct.max()) + 1
    rng = np.random.default_rng([seed, 0])
    times = rng.multinomial(count, np.full(count, 1.0 / count), size=samples)
    weights: Float64[np.ndarray, "samples rows"] = times[:, distinct].astype(np.float64)
    return weights


def percentiles(value: float, samples: Float[np.ndarray, " samples"]) -> Interval:
    """The 2.5 and 97.5 percentiles of bootstrap samples about an estimate; samples that are NaN do not count."""
    low, high = np.nanpercentile(samples, _LEVELS)
    return Interval(float(value), float(low), float(high))


def jackknife(
    statistic: Callable[[Bool[np.ndarray, " rows"]], dict[str, float]],
    distinct: Int[np.ndarray, " rows"],
    groups: int,
    seed: int,
) -> dict[str, Interval]:
    """Intervals of figures that a bootstrap would spoil, since it repeats rows: nearest neighbours see distance 0.

    The distinct latents are dealt into groups at random; the figure is computed without each group in turn.

        se^2 = (G - 1) / G sum_g (t_g - mean t)^2,   interval = t -+ 1.96 se

    Arguments:
        statistic: figures, by name, of the draws that a mask keeps.
        distinct: from `distinct_rows`.
        groups: G, at least 2.
        seed: 0 or more.

    Returns:
        Each figure of all draws, with its interval; ends that are NaN where fewer than two groups gave a figure, as of
        draws that repeat a single latent. Of fewer latents than groups each is a group.

    Raises:
        InvalidInput: fewer than two groups; field `groups`.

    Accuracy: an estimate from G values, itself off by about 1 / sqrt(2 G) of its width; the reference is taken as
        fixed, so that its own noise, common to all draws compared with it, is not in the interval.

    References:
        Shao, Wu, Ann. Statist. 17 (1989) (the delete-d jackknife).
    """
    count = int(distinct.max()) + 1
    if groups < 2:
        raise InvalidInput(f"groups is {groups}: write 2 or more", field="groups")
    groups = min(groups, count)
    order = np.random.default_rng([seed, 1]).permutation(count)
    group_of = (order % groups)[distinct]
    whole = statistic(np.ones(len(distinct), dtype=bool))
    parts = [statistic(group_of != group) for group in range(groups)] if groups > 1 else []
    found = {}
    for name, value in whole.items():
        known = np.array([part[name] for part in parts])
        known = known[np.isfinite(known)]
        error = float(np.sqrt((len(known) - 1) * np.var(known))) if len(known) > 1 else math.nan
        found[name] = Interval(value, value - _NORMAL * error, value + _NORMAL * error)
    return found
