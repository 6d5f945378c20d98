"""Class shares under importance weights, how far they are from uniform, and how sure one can be of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.demo.classifier import Labels

__all__ = ["Evidence", "Figures", "Interval", "effective_sample_size", "figures", "normalised"]

BOOTSTRAP = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap 95 % percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """Labelled rows of one bank.

    Attributes:
        log_volumes: [rows, d] log v_1 to log v_d in nats.
        labels: what the classifier says of each row's image.
    """

    log_volumes: NDArray[np.float64]
    labels: Labels

    def part(self, rows: slice) -> Evidence:
        """Some of the rows."""
        return Evidence(self.log_volumes[rows], Labels(self.labels.classes[rows], self.labels.top_probability[rows]))

    def log_weights(self, rho: float, top_k: int) -> NDArray[np.float64]:
        """rho log v_k, [rows]; 0 for rho = 0, -inf where rank < k. The bank's law is the base: nothing to correct."""
        return np.zeros(len(self.log_volumes)) if rho == 0 else self._at(rho, top_k)

    def _at(self, rho: float, top_k: int) -> NDArray[np.float64]:
        log_volume = self.log_volumes[:, top_k - 1]
        return np.where(np.isfinite(log_volume), rho * log_volume, -np.inf)


@dataclass(frozen=True)
class Figures:
    """What a recipe does to the classes.

    Attributes:
        class_shares: [classes] weighted share of each class.
        class_intervals: their bootstrap intervals.
        tv: total variation distance of the shares to uniform, 0 to 1.
        rare_share: share of the rarest classes together.
        top_probability: weighted mean of the classifier's top probability.
    """

    class_shares: tuple[float, ...]
    class_intervals: tuple[Interval, ...]
    tv: Interval
    rare_share: Interval
    top_probability: Interval


def normalised(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that sum to 1, [rows]."""
    weights: NDArray[np.float64] = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return weights


def effective_sample_size(log_weights: NDArray[np.float64]) -> float:
    """(sum w)^2 / sum w^2, in rows."""
    return float(1 / np.square(normalised(log_weights)).sum())


def figures(
    evidence: Evidence, log_weights: NDArray[np.float64], rare: tuple[int, ...], classes: int, *, seed: int = 0
) -> Figures:
    """Importance-weighted class figures with bootstrap intervals over the rows.

    share_c = sum_i w_i [class_i = c] / sum_i w_i,  tv = 1/2 sum_c |share_c - 1/C|

    Arguments:
        evidence: labelled rows.
        log_weights: [rows] nats, unnormalised.
        rare: indices of the rarest classes.
        classes: number of classes C.
        seed: of the bootstrap.

    Returns:
        The figures, each with the 2.5 % and 97.5 % percentiles over 1,000 bootstrap samples of the rows.

    Accuracy: estimates; at small ESS the share estimates are noisy, which biases tv upwards, never downwards.
    """
    weights = normalised(log_weights)
    one_hot = np.zeros((len(weights), classes + 1))
    one_hot[np.arange(len(weights)), evidence.labels.classes] = 1
    one_hot[:, classes] = evidence.labels.top_probability
    moments = weights[:, None] * one_hot
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(weights), np.full(len(weights), 1 / len(weights)), size=BOOTSTRAP)
    boot = (counts @ moments) / (counts @ weights)[:, None]
    point = moments.sum(axis=0)

    def interval(value: float, samples: NDArray[np.float64]) -> Interval:
        low, high = np.percentile(samples, [2.5, 97.5])
        return Interval(float(value), float(low), float(high))

    def tv(shares: NDArray[np.float64]) -> NDArray[np.float64]:
        distance: NDArray[np.float64] = np.abs(shares - 1 / classes).sum(axis=-1) / 2
        return distance

    shares, boot_shares = point[:classes], boot[:, :classes]
    return Figures(
        class_shares=tuple(map(float, shares)),
        class_intervals=tuple(interval(float(shares[c]), boot_shares[:, c]) for c in range(classes)),
        tv=interval(float(tv(shares)), tv(boot_shares)),
        rare_share=interval(float(shares[list(rare)].sum()), boot_shares[:, list(rare)].sum(axis=1)),
        top_probability=interval(float(point[classes]), boot[:, classes]),
    )
