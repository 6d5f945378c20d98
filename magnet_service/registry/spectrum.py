"""Rank and spread of a generator's volumes over latents of its prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from magnet_service.geometry import Engine, prefix_sums, volumes
from magnet_service.registry.generators import HeldGenerator

__all__ = ["RankStatistics", "rank_statistics"]

_SEED = 0


@dataclass(frozen=True)
class RankStatistics:
    """Figures over some latents of the prior, on OUTPUT.

    Attributes:
        latents: how many were measured.
        rank_min, rank_median, rank_max: of the ranks found.
        log_volume_sd: standard deviation of log v_k for k = 1.. in nats, of latents with rank >= k; NaN below two.
        log_singular_value_mean: mean of log sigma_i for i = 1.. in nats, of latents with rank >= i; NaN for none.
    """

    latents: int
    rank_min: int
    rank_median: int
    rank_max: int
    log_volume_sd: tuple[float, ...]
    log_singular_value_mean: tuple[float, ...]


def rank_statistics(
    held: HeldGenerator, engine: Engine, count: int, should_stop: Callable[[], bool] | None = None
) -> RankStatistics:
    """Measures the first latents of the prior under seed 0.

    Arguments:
        held: the generator.
        engine: how to compute.
        count: latents, at least 1.
        should_stop: asked before every tile.

    Returns:
        The figures.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: estimates from `count` latents; each volume as exact as `volumes`.
    """
    latents = torch.tensor(held.prior.rows(_SEED, 0, count))
    found = volumes(
        held.generator, latents, engine=engine, tangent_space=held.prior.tangent_space, should_stop=should_stop
    )
    rank = found.rank.numpy()
    logs, sums = found.log_singular_values.numpy(), prefix_sums(found).numpy()
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
    )
