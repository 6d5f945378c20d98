"""Resampling by weights in log space: answer row i is a function of the seed, of i and of the weights alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from magnet_service.errors import InvalidInput, Refused
from magnet_service.sampling.banks.rows import by_blocks
from magnet_service.sampling.blocks import BlockSums, in_parts, sums_by_block
from magnet_service.sampling.counter import Stream, uniforms
from magnet_service.sampling.kernels.exponential import exponentials
from magnet_service.sampling.kernels.weighing import locate
from magnet_service.sampling.log_weights import LogWeights

__all__ = [
    "cumulate",
    "invert",
    "invert_at",
    "rows_at",
    "successive_order",
    "weighing",
    "with_replacement",
    "without_replacement",
]

_LEVELS_OF_A_THREAD = 64
"""Each of which may fall into a block of its own, and cost 20 microseconds."""


def cumulate(log_weights: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """Running sums of the weights, the largest weight counted as one.

    They run within blocks of 10,240 rows: those before a block are added up first, so that `rows_at`, which makes none
    but those of the blocks that it needs, finds the same rows.

    Arguments:
        log_weights: nats, unnormalised, -inf for rows never to be drawn.

    Returns:
        Non-decreasing sums, for `invert`.

    Raises:
        Refused: no row has weight; reason NO_WEIGHT.

    Accuracy:
        As `sums_by_block`.
    """
    logs = LogWeights.given(log_weights)
    sums = weighing(sums_by_block(logs, tail=False))
    made: Float64[np.ndarray, " rows"] = np.empty(logs.size)
    for block, (start, stop) in enumerate(by_blocks(0, logs.size)):
        exponentials(logs.span(start, stop), float(sums.tops[block]), made[start:stop])
        made[start:stop] = sums.starts[block] + sums.scales[block] * np.cumsum(made[start:stop])
    return made


def weighing(sums: BlockSums) -> BlockSums:
    """The sums themselves where some row has weight; else Refused, with reason NO_WEIGHT."""
    if not sums.any:
        raise Refused(
            "no row of the bank has weight under this law: choose a smaller top_k or another base or domain",
            reason="NO_WEIGHT",
        )
    return sums


def rows_at(
    logs: LogWeights, sums: BlockSums, uniform: Float64[np.ndarray, " answer"], threads: int | None = None
) -> Int64[np.ndarray, " answer"]:
    """One inverse-CDF draw for each uniform number in (0, 1): first the block, then the row in it.

    Arguments:
        logs: the log weights.
        sums: of them.
        uniform: the numbers.
        threads: at work at once; as torch has where None. No row depends on them.

    Returns:
        Row indices, the same as `invert_at` finds in all running sums.

    Raises:
        Refused: no row has weight; reason NO_WEIGHT.

    Accuracy:
        Probabilities are right to within 2^-53 and the rounding of the sums.

    Cost:
        About 2 ns for each row of a block that a level falls into, memory for the answer.
    """
    ends = weighing(sums).ends
    levels = uniform * sums.total
    order = np.argsort(levels)
    levels = levels[order]
    blocks = np.searchsorted(ends, levels, side="right")
    found: Int64[np.ndarray, " answer"] = np.empty(levels.size, dtype=np.int64)

    def part(first: int, last: int) -> None:
        some = slice(first, last)
        known = (sums.tops, sums.scales, sums.starts, blocks[some], levels[some], found[some])
        locate(*logs.terms, logs.size, *known)

    in_parts(part, levels.size, levels.size // _LEVELS_OF_A_THREAD, threads)
    indices: Int64[np.ndarray, " answer"] = np.empty(levels.size, dtype=np.int64)
    indices[order] = found
    return indices


def invert(cumulated: Float64[np.ndarray, " rows"], seed: int, offset: int, count: int) -> Int64[np.ndarray, " answer"]:
    """One inverse-CDF draw for each of the answer's rows offset to offset + count - 1.

    Arguments:
        cumulated: from `cumulate`.
        seed: 0 to 2^64 - 1.
        offset: first answer row.
        count: answer rows.

    Returns:
        Row indices. Those of weight zero never occur: the first sum above u times the total is the row's own.

    Raises:
        InvalidInput: seed or offset out of range.

    Accuracy:
        Probabilities are right to within 2^-53 and the rounding of the sums.
    """
    return invert_at(cumulated, uniforms(seed, Stream.RESAMPLE, offset, count, 1)[:, 0])


def invert_at(
    cumulated: Float64[np.ndarray, " rows"], uniform: Float64[np.ndarray, " answer"]
) -> Int64[np.ndarray, " answer"]:
    """One inverse-CDF draw for each uniform number in (0, 1); as `invert`, which takes them by seed and row."""
    levels = uniform * cumulated[-1]
    # Levels in order walk through the sums once instead of jumping through memory: four times faster for a million.
    order = np.argsort(levels)
    indices: Int64[np.ndarray, " answer"] = np.empty(levels.size, dtype=np.int64)
    indices[order] = np.searchsorted(cumulated, levels[order], side="right")
    return indices


def with_replacement(
    log_weights: Float64[np.ndarray, " rows"], seed: int, offset: int, count: int
) -> Int64[np.ndarray, " answer"]:
    """Independent draws of rows with probabilities proportional to their weights.

    Arguments:
        log_weights: nats, unnormalised, -inf for rows never to be drawn.
        seed: 0 to 2^64 - 1.
        offset: first answer row.
        count: answer rows.

    Returns:
        Row indices; a longer or later page starts where a shorter one ended.

    Raises:
        Refused: no row has weight; reason NO_WEIGHT.
        InvalidInput: seed or offset out of range.

    Accuracy:
        As `cumulate` and `invert`.

    Cost:
        One exponential a row, one binary search an answer row.

    Example:
        >>> weights = np.log(np.array([1.0, 2.0, 3.0]))
        >>> longer = with_replacement(weights, seed=1, offset=0, count=9)
        >>> bool((with_replacement(weights, seed=1, offset=4, count=5) == longer[4:]).all())
        True
    """
    return invert(cumulate(log_weights), seed, offset, count)


def successive_order(
    log_weights: Float64[np.ndarray, " rows"], seed: int, first: int = 0
) -> Int64[np.ndarray, " answer"]:
    """All rows of positive weight in the order in which successive sampling draws them.

        order = argsort of -(log w_i + g_i),   g_i = -log(-log u_i),   u_i by (seed, first + row i)

    Arguments:
        log_weights: nats, unnormalised, -inf for rows never to be drawn.
        seed: 0 to 2^64 - 1.
        first: number of the first row's uniform number; other banks of one draw take others.

    Returns:
        Row indices, each once.

    Raises:
        Refused: no row has weight; reason NO_WEIGHT.
        InvalidInput: seed out of range.

    Accuracy:
        Gumbel numbers from 52 bits.

    References:
        Yellott, J. Math. Psychology 15 (1977); Efraimidis, Spirakis, Inf. Proc. Letters 97 (2006).
    """
    possible = np.flatnonzero(log_weights > -np.inf)
    if possible.size == 0:
        weighing(sums_by_block(LogWeights.given(log_weights), tail=False))
    uniform = uniforms(seed, Stream.GUMBEL, first, log_weights.size, 1)[possible, 0]
    keys = log_weights[possible] - np.log(-np.log(uniform))
    return possible[np.argsort(-keys, kind="stable")].astype(np.int64)


def without_replacement(
    log_weights: Float64[np.ndarray, " rows"], seed: int, offset: int, count: int
) -> Int64[np.ndarray, " answer"]:
    """Draws of rows without replacement: each proportional to weight among those not drawn yet (successive sampling).

    Arguments:
        log_weights: nats, unnormalised, -inf for rows never to be drawn.
        seed: 0 to 2^64 - 1.
        offset: first answer row.
        count: answer rows.

    Returns:
        Row indices, no two equal over all pages; prefix-stable.

    Raises:
        InvalidInput: more rows asked than have weight; field `count`.
        Refused: no row has weight; reason NO_WEIGHT.

    Accuracy:
        The law of successive sampling, which is near the weights' own only while few rows are drawn.
    """
    order = successive_order(log_weights, seed)
    if offset + count > order.size:
        raise InvalidInput(f"{offset + count} rows without replacement: only {order.size} have weight", field="count")
    return order[offset : offset + count]
