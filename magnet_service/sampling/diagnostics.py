"""What importance weights are worth: effective sample size, largest weight, Pareto k-hat, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float64, Int64

from magnet_service.sampling.blocks import BlockSums, sums_by_block
from magnet_service.sampling.log_weights import LogWeights

__all__ = [
    "DEGENERATE_ESS",
    "DEGENERATE_WEIGHT",
    "ENDLESS_NEED",
    "KHAT_LIMIT",
    "LEAST_NEED",
    "Diagnostics",
    "Result",
    "diagnose",
    "effective_sample_size",
    "figures_of",
    "independent",
    "judge",
    "needed_ess",
    "pareto_khat",
]

LEAST_NEED = 100
ENDLESS_NEED = 1000
KHAT_LIMIT = 0.7
DEGENERATE_WEIGHT = 0.2
DEGENERATE_ESS = 10.0


class Result(StrEnum):
    """The verdict on one answer."""

    OK = "OK"
    LOW_ESS = "LOW_ESS"
    DEGENERATE = "DEGENERATE"


@dataclass(frozen=True)
class Diagnostics:
    """Figures of one set of weights.

    Attributes:
        ess: (sum w)^2 / sum w^2, in rows; for draws made directly from the base, their own number.
        largest_weight: largest normalised weight, 0 to 1.
        distinct: different bank rows among the answer's rows, where it is known which, else those of positive weight.
        khat: shape of the generalised Pareto law fitted to the tail; None with fewer than 5 distinct tail weights.
        khat_tail: weights in that tail.
        rows: rows weighted; 0 for draws made directly.
        low_rank_share: share of the base law's rows left out for a rank below k, 0 to 1.
        non_finite: rows left out since the generator's output there is not finite.
        weakest_class: of a draw over all classes, the one of the least ESS; None for other draws.
        weakest_ess: that ESS.
    """

    ess: float
    largest_weight: float
    distinct: int
    khat: float | None
    khat_tail: int
    rows: int
    low_rank_share: float = 0.0
    non_finite: int = 0
    weakest_class: int | None = None
    weakest_ess: float | None = None


def effective_sample_size(log_weights: Float64[np.ndarray, " rows"]) -> float:
    """Effective sample size (sum w)^2 / sum w^2.

    Arguments:
        log_weights: nats, unnormalised, -inf for a weight of zero.

    Returns:
        Between 1 and the number of rows; 0 when no row has weight.

    Raises:
        Nothing.

    Accuracy:
        As `sums_by_block`.
    """
    return sums_by_block(LogWeights.given(log_weights), tail=False).ess


def pareto_khat(log_weights: Float64[np.ndarray, " rows"]) -> tuple[float | None, int]:
    """Pareto k-hat of log weights (nats, unnormalised, -inf for a weight of zero): as `pareto.khat_of`."""
    return sums_by_block(LogWeights.given(log_weights)).khat


def diagnose(
    log_weights: Float64[np.ndarray, " rows"],
    *,
    indices: Int64[np.ndarray, " answer"] | None = None,
    low_rank_share: float = 0.0,
    non_finite: int = 0,
) -> Diagnostics:
    """All figures of one set of weights.

    Arguments:
        log_weights: nats, unnormalised, -inf for rows left out.
        indices: rows that the answer draws, for the distinct count.
        low_rank_share, non_finite: reported as given.

    Returns:
        The figures.

    Raises:
        Nothing.

    Accuracy:
        As `sums_by_block` and `pareto.khat_of`.

    Example:
        >>> figures = diagnose(np.zeros(50))
        >>> figures.ess, figures.largest_weight, figures.khat
        (50.0, 0.02, None)
    """
    return figures_of(
        sums_by_block(LogWeights.given(log_weights)),
        indices=indices,
        low_rank_share=low_rank_share,
        non_finite=non_finite,
    )


def figures_of(
    sums: BlockSums,
    *,
    indices: Int64[np.ndarray, " answer"] | None = None,
    low_rank_share: float = 0.0,
    non_finite: int = 0,
) -> Diagnostics:
    """All figures of weights summed already, their largest kept; else as `diagnose`."""
    khat, tail = sums.khat
    return Diagnostics(
        ess=sums.ess,
        largest_weight=sums.largest_weight,
        distinct=sums.positive if indices is None else int(np.unique(indices).size),
        khat=khat,
        khat_tail=tail,
        rows=sums.size,
        low_rank_share=low_rank_share,
        non_finite=non_finite,
    )


def independent(count: int) -> Diagnostics:
    """Figures of `count` rows drawn directly from the base: all of one weight, each as good as any.

    Arguments:
        count: rows of the answer.

    Returns:
        ESS equal to the count.

    Raises:
        Nothing.

    Accuracy:
        Exact.
    """
    share = 1.0 / count if count else 0.0
    return Diagnostics(ess=float(count), largest_weight=share, distinct=count, khat=None, khat_tail=0, rows=0)


def needed_ess(offset: int, count: int, *, endless: bool = False, least: float = 0.0) -> int:
    """The ESS below which an answer is marked LOW_ESS: max(offset + count, 100), and 1000 for an endless stream.

    Example:
        >>> needed_ess(0, 10), needed_ess(0, 10, endless=True), needed_ess(0, 10, least=512.5)
        (100, 1000, 513)
    """
    return max(ENDLESS_NEED if endless else max(offset + count, LEAST_NEED), math.ceil(least))


def judge(diagnostics: Diagnostics, needed: int) -> Result:
    """The verdict on weights of which `needed` effective rows are asked.

    Arguments:
        diagnostics: figures of the weights.
        needed: from `needed_ess`.

    Returns:
        DEGENERATE when the largest weight is above 0.2 or the ESS below 10; LOW_ESS when the ESS is below `needed` or
        k-hat above 0.7; else OK.

    Raises:
        Nothing.

    Accuracy:
        Exact comparisons; an absent k-hat objects to nothing.
    """
    if diagnostics.largest_weight > DEGENERATE_WEIGHT or diagnostics.ess < DEGENERATE_ESS:
        return Result.DEGENERATE
    if diagnostics.ess < needed or (diagnostics.khat is not None and diagnostics.khat > KHAT_LIMIT):
        return Result.LOW_ESS
    return Result.OK
