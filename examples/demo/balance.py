"""The choice of `balanced`: the (rho, k) on a grid whose weighted class shares are nearest to uniform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.demo.shares import Evidence, effective_sample_size, normalised

__all__ = ["RHOS", "Recipe", "choose"]

RHOS = (*(step / 20 for step in range(1, 21)), 1.2, 1.5, 2.0)
# The half on which the choice is made must keep as many effective rows as the presets demand of a whole bank.
LEAST_ESS = 200.0
# Junk that the classifier is unsure of is no success: 0.9 of as trained, and a little for the noise of the estimate.
LEAST_TOP_PROBABILITY = 0.905


@dataclass(frozen=True)
class Recipe:
    """A pair on the grid, with its total variation to uniform on the rows that chose it."""

    rho: float
    top_k: int
    tv: float
    ess: float


def choose(evidence: Evidence, classes: int) -> Recipe:
    """The pair of the grid with the smallest total variation of class shares to uniform.

    Only pairs with ESS of at least 200 rows and at least 0.905 of the unweighted mean top probability take part.

    Arguments:
        evidence: the rows to choose on, never those on which the choice is judged.
        classes: number of classes.

    Returns:
        The best pair; rho 0 if none takes part.

    Accuracy: the minimum of noisy estimates, hence optimistic: judge it on other rows.
    """
    as_trained = evidence.labels.top_probability.mean()
    best = Recipe(0.0, 0, _tv(evidence, evidence.log_weights(0.0, 0), classes), float(len(evidence.log_volumes)))
    for top_k in range(1, evidence.log_volumes.shape[1] + 1):
        for rho in RHOS:
            log_weights = evidence.log_weights(rho, top_k)
            if not np.isfinite(log_weights).any():
                continue
            ess = effective_sample_size(log_weights)
            top = float(normalised(log_weights) @ evidence.labels.top_probability)
            tv = _tv(evidence, log_weights, classes)
            if ess >= LEAST_ESS and top >= LEAST_TOP_PROBABILITY * as_trained and tv < best.tv:
                best = Recipe(rho, top_k, tv, ess)
    return best


def _tv(evidence: Evidence, log_weights: np.ndarray[tuple[int], np.dtype[np.float64]], classes: int) -> float:
    shares = np.bincount(evidence.labels.classes, weights=normalised(log_weights), minlength=classes)
    return float(np.abs(shares - 1 / classes).sum() / 2)
