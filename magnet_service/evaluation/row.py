"""One row of an evaluation: the figures of the draws at one point of the grid, each with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from magnet_service.evaluation.classifier import Judged
from magnet_service.evaluation.frechet import Moments, frechet_distance, moments
from magnet_service.evaluation.intervals import Interval, bootstrap_weights, jackknife, percentiles
from magnet_service.evaluation.neighbours import Neighbourhoods, compare
from magnet_service.evaluation.request import Setting
from magnet_service.evaluation.shares import class_shares, kl_to_uniform, total_variation
from magnet_service.sampling import Method, Result

__all__ = ["Reference", "Row", "row_of"]

BOOTSTRAP = 1_000
GROUPS = 10


@dataclass(frozen=True, eq=False)
class Reference:
    """What draws are compared with.

    Attributes:
        features: for nearest neighbours; as many rows of the draws are taken.
        moments: of all reference images.
    """

    features: Float[np.ndarray, "some width"]
    moments: Moments


@dataclass(frozen=True)
class Row:
    """Figures of the draws at one point; intervals are 95 %.

    Attributes:
        setting: the point.
        ess: effective draws, or effective rows of the bank.
        khat: Pareto k-hat; None where there is none.
        distinct: different latents among the draws; for real images their number.
        result: OK, LOW_ESS or DEGENERATE.
        shares: of each class.
        tv: total variation of the shares to equal ones.
        kl: their Kullback-Leibler divergence from equal ones, nats.
        precision, recall, density, coverage: as `Neighbourhoods`.
        frechet: Frechet distance in the classifier's features.
        top_probability: mean of the classifier's top probability.
        log_norm: mean of log ||J||_F, nats; None for real images.
        method: how the draws came about; None for real images and for rows of the bank that a truncation kept.
    """

    setting: Setting
    ess: float
    khat: float | None
    distinct: int
    result: Result
    shares: tuple[Interval, ...]
    tv: Interval
    kl: Interval
    precision: Interval
    recall: Interval
    density: Interval
    coverage: Interval
    frechet: Interval
    top_probability: Interval
    log_norm: Interval | None
    method: Method | None = None


def row_of(
    setting: Setting,
    judged: Judged,
    distinct: Int[np.ndarray, " rows"],
    reference: Reference,
    *,
    classes: int,
    neighbours: int,
    seed: int,
    ess: float,
    khat: float | None = None,
    result: Result = Result.OK,
    log_norms: Float[np.ndarray, " rows"] | None = None,
    method: Method | None = None,
) -> Row:
    """Computes the figures of some draws.

    Arguments:
        setting: the point of the grid.
        judged: what the classifier says of the images.
        distinct: which draws repeat one latent, from `distinct_rows`.
        reference: what they are compared with.
        classes: number of classes.
        neighbours: k of the nearest neighbours.
        seed: of bootstrap and jackknife.
        ess, khat, result: of the draws.
        log_norms: log ||J||_F at each draw; None for real images.
        method: as the row has it.

    Returns:
        The row.

    Raises:
        InvalidInput: no neighbours, or a reference too small for them.
        Refused: the extra `evaluate` is not installed.

    Accuracy: estimates. Shares, tv, kl, top probability and norm have bootstrap percentiles over distinct latents;
        precision, recall, density, coverage and the Frechet distance a jackknife over ten groups of them. tv, kl and
        the Frechet distance of few draws are too large on average.

    Cost: eleven times that of `compare`.
    """
    weights = bootstrap_weights(distinct, BOOTSTRAP, seed)
    one_hot = np.zeros((len(distinct), classes))
    one_hot[np.arange(len(distinct)), judged.classes] = 1.0
    totals = weights.sum(axis=1)
    shares = class_shares(judged.classes, classes)
    sampled = weights @ one_hot / totals[:, None]

    def mean(values: Float64[np.ndarray, " rows"]) -> Interval:
        return percentiles(float(values.mean()), weights @ values / totals)

    near = min(len(reference.features), len(distinct))

    def against(mask: Bool[np.ndarray, " rows"]) -> dict[str, float]:
        some = judged.features[:near][mask[:near]]
        # Draws that repeat a few latents leave next to nothing where one of them is left out: then nothing is known.
        unknown = Neighbourhoods(math.nan, math.nan, math.nan, math.nan)
        found = compare(reference.features[:near], some, neighbours) if len(some) >= neighbours + 2 else unknown
        distance = math.nan
        if mask.sum() > 1:
            distance = frechet_distance(moments(judged.features[mask]), reference.moments)
        return {**vars(found), "frechet": distance}

    # Jacobians of rank 0 have no logarithm; they count for nothing in the mean.
    norm = None
    if log_norms is not None:
        finite = np.isfinite(log_norms)
        if finite.any():
            known = np.where(finite, log_norms, 0.0).astype(np.float64)
            norm = percentiles(
                float(known.sum() / finite.sum()), weights @ known / (weights @ finite.astype(np.float64))
            )
    return Row(
        setting=setting,
        ess=ess,
        khat=khat,
        distinct=int(distinct.max()) + 1,
        result=result,
        shares=tuple(percentiles(float(shares[c]), sampled[:, c]) for c in range(classes)),
        tv=percentiles(float(total_variation(shares)), total_variation(sampled)),
        kl=percentiles(float(kl_to_uniform(shares)), kl_to_uniform(sampled)),
        top_probability=mean(judged.top_probability),
        log_norm=norm,
        method=method,
        **jackknife(against, distinct, GROUPS, seed),
    )
