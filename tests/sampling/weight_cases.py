"""Log weights of every awkward kind, and their figures by plain float64 sums over all rows at once."""

from __future__ import annotations

import math

import numpy as np

from magnet_service.sampling.kernels.weighing import BLOCK_ROWS


def cases() -> dict[str, np.ndarray]:
    source = np.random.default_rng(11)
    plain = 3.0 * source.normal(size=3 * BLOCK_ROWS + 4321)
    holes = np.where(source.random(plain.size) < 0.4, -np.inf, plain)
    empty = plain.copy()
    empty[: BLOCK_ROWS + 5] = -np.inf
    empty[2 * BLOCK_ROWS : 3 * BLOCK_ROWS] = -np.inf
    extreme = plain.copy()
    extreme[BLOCK_ROWS : 2 * BLOCK_ROWS] -= 1e5
    extreme[2 * BLOCK_ROWS :] += 1e5
    alone = np.full(2 * BLOCK_ROWS, -np.inf)
    alone[BLOCK_ROWS] = -4000.0
    heavy = -1.4 * np.log(source.random(plain.size))
    return {
        "plain": plain,
        "holes": holes,
        "empty blocks": empty,
        "extreme": extreme,
        "alone": alone,
        "heavy": heavy,
        "tied": np.round(plain),
        "equal": np.full(BLOCK_ROWS + 1, 2.5),
        "ascending": np.sort(plain),
        "whole block": plain[:BLOCK_ROWS],
        "one more": plain[: BLOCK_ROWS + 1],
        "few": plain[:7],
        "one": plain[:1],
        "far below": np.array([-1e5, -1e5 - 740.0, -1e5 - 2000.0, -np.inf, -1e5 - 1.0, -1e5 - 0.5]),
    }


def plain_figures(logs: np.ndarray) -> tuple[float, float, float]:
    """ESS, largest share, and log of the mean weight."""
    weights = np.exp(logs - logs.max())
    total = math.fsum(weights)
    return total**2 / math.fsum(weights**2), 1.0 / total, logs.max() + math.log(total / logs.size)


def flat_sums(logs: np.ndarray) -> np.ndarray:
    """Running sums of all weights as the definition has them: within blocks, those before a block added up first."""
    before, parts = 0.0, []
    for start in range(0, logs.size, BLOCK_ROWS):
        block = logs[start : start + BLOCK_ROWS]
        top = block.max()
        scale = np.exp(top - logs.max())
        weights = np.exp(block - top) if top > -np.inf else np.zeros(block.size)
        parts.append(before + scale * np.cumsum(weights))
        before = parts[-1][-1]
    return np.concatenate(parts)
