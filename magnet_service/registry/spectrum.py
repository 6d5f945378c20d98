"""Rank and spread of a generator's volumes over latents of its prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from magnet_service.geometry import Engine, prefix_sums, volumes
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import bound

__all__ = ["RankStatistics", "rank_statistics"]

_SEED = 0
_LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class RankStatistics:
    """Figures over some latents of the prior, on OUTPUT.

    Attributes:
        latents: how many were measured.
        rank_min, rank_median, rank_max: of the ranks found.
        log_volume_sd: standard deviation of log v_k for k = 1.. in nats, of latents with rank >= k; NaN below two.
        log_singular_value_mean: mean of log sigma_i for i = 1.. in nats, of latents with rank >= i; NaN for none.
        rank_counts: latents of each rank seen, lowest rank first.
        quantile_levels: levels of the quantiles below.
        log_sigma_first: quantiles of log sigma_1 in nats.
        log_sigma_last: quantiles of log sigma_m in nats, m the Jacobian's columns; -inf where rank < m.
        log_condition: quantiles of log(sigma_1 / sigma_m) in nats; inf where rank < m.
    """

    latents: int
    rank_min: int
    rank_median: int
    rank_max: int
    log_volume_sd: tuple[float, ...]
    log_singular_value_mean: tuple[float, ...]
    rank_counts: Mapping[int, int]
    quantile_levels: tuple[float, ...]
    log_sigma_first: tuple[float, ...]
    log_sigma_last: tuple[float, ...]
    log_condition: tuple[float, ...]


def rank_statistics(
    held: HeldGenerator, engine: Engine, count: int, should_stop: Callable[[], bool] | None = None
) -> RankStatistics:
    """Measures the first latents of the prior under seed 0; of a conditional generator, latent i under class i mod C.

    Arguments:
        held: the generator; its conditions are none or classes.
        engine: how to compute.
        count: latents, at least 1.
        should_stop: asked before every tile.

    Returns:
        The figures.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: quantiles are values that occurred; estimates from `count` latents; each volume as exact as `volumes`.
    """
    given = held.card.conditions
    classes = 1 if given is None else given.classes
    rank = np.zeros(count, np.int64)
    logs, sums = (np.full((count, held.prior.columns), -np.inf) for _ in range(2))
    for index in range(min(classes, count)):
        generator = held.generator if given is None else held.generator.conditioned(index)
        latents = bound(held.prior, generator, engine).rows(_SEED, 0, count)[index::classes]
        found = volumes(
            generator,
            torch.tensor(latents),
            engine=engine,
            tangent_space=held.prior.tangent_space,
            should_stop=should_stop,
        )
        rank[index::classes] = found.rank.numpy()
        logs[index::classes], sums[index::classes] = found.log_singular_values.numpy(), prefix_sums(found).numpy()
    full = logs[:, -1] > -np.inf
    usable = [rank > column for column in range(logs.shape[1])]
    return RankStatistics(
        latents=count,
        rank_min=int(rank.min()),
        rank_median=int(np.median(rank)),
        rank_max=int(rank.max()),
        log_volume_sd=tuple(
            float(np.std(sums[rows, column], ddof=1)) if rows.sum() > 1 else float("nan")
            for column, rows in enumerate(usable)
        ),
        log_singular_value_mean=tuple(
            float(np.mean(logs[rows, column])) if rows.any() else float("nan") for column, rows in enumerate(usable)
        ),
        rank_counts={int(value): int(times) for value, times in zip(*np.unique(rank, return_counts=True), strict=True)},
        quantile_levels=_LEVELS,
        log_sigma_first=_quantiles(logs[:, 0]),
        log_sigma_last=_quantiles(logs[:, -1]),
        log_condition=_quantiles(np.subtract(logs[:, 0], logs[:, -1], out=np.full(count, np.inf), where=full)),
    )


def _quantiles(values: Float64[np.ndarray, " latents"]) -> tuple[float, ...]:
    # Values that occurred, never between two: an infinity has no middle.
    return tuple(float(value) for value in np.quantile(values, _LEVELS, method="inverted_cdf"))
