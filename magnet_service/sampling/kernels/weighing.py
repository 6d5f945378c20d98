"""Weights of a bank's rows, block by block: their sums, the largest of them, and the rows at given levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.sampling.kernels.exponential import exponentials

__all__ = ["BLOCK_ROWS", "Numbers", "Ranks", "Status", "Volumes", "add_by_rank", "fill", "locate", "weigh"]

BLOCK_ROWS = 10_240
"""Rows of a block. A constant, and no number of a shard: how a bank is stored changes no draw."""

Numbers = NDArray[np.float64]
Volumes = NDArray[np.float32]
Ranks = NDArray[np.int16]
Status = NDArray[np.int8]
Places = NDArray[np.int64]


@compiled
def fill(
    volumes: Volumes, rank: Ranks, status: Status, correction: Numbers, rho: float, k: int, start: int, made: Numbers
) -> float:
    """Log weights of consecutive rows; the largest is given back.

    Arguments:
        volumes: log v_k of all rows; empty at rho = 0.
        rank: of all rows; empty at rho = 0.
        status: of all rows, not 0 for those left out; empty where it is part of the correction.
        correction: log q - log q_bank of all rows; empty where it is 0.
        rho: exponent of v_k.
        k: rows of a lower rank are left out where volumes are given.
        start: the first row.
        made: as many as rows are wanted; a log that is not a number is written as infinity.
    """
    size = made.shape[0]
    if correction.shape[0] > 0:
        made[:] = correction[start : start + size]
    else:
        made[:] = 0.0
    if status.shape[0] > 0:
        state = status[start : start + size]
        for at in range(size):
            made[at] = made[at] if state[at] == 0 else -np.inf
    if volumes.shape[0] > 0:
        logs, ranks = volumes[start : start + size], rank[start : start + size]
        for at in range(size):
            weight = made[at] + rho * np.float64(logs[at])
            made[at] = weight if ranks[at] >= k and made[at] > -np.inf else -np.inf
    top = -np.inf
    for at in range(size):
        weight = made[at] if made[at] == made[at] else np.inf
        made[at] = weight
        top = max(top, weight)
    return top


@compiled
def weigh(
    volumes: Volumes,
    rank: Ranks,
    status: Status,
    correction: Numbers,
    rho: float,
    k: int,
    rows: int,
    first: int,
    last: int,
    tops: Numbers,
    sums: Numbers,
    squares: Numbers,
    positive: Places,
    tail: Numbers,
) -> None:
    """Figures of blocks first to last - 1, in one pass over their rows.

    Arguments:
        volumes, rank, status, correction, rho, k: as `fill`.
        rows: of all blocks.
        first, last: the blocks.
        tops: of every block the largest log weight.
        sums: sum of e^(log weight - top), added in the order of the rows.
        squares: sum of its square.
        positive: rows whose weight is not zero.
        tail: a heap with the smallest first, begun with -inf: the largest log weights of these blocks; may be empty.
    """
    room, weights = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)
    for block in range(first, last):
        start = block * BLOCK_ROWS
        size = min(BLOCK_ROWS, rows - start)
        logs, some = room[:size], weights[:size]
        top = fill(volumes, rank, status, correction, rho, k, start, logs)
        total, square, count = 0.0, 0.0, 0
        if -np.inf < top < np.inf:
            exponentials(logs, top, some)
            for at in range(size):
                weight = some[at]
                total += weight
                square += weight * weight
                count += logs[at] > -np.inf
            if tail.shape[0] > 0 and top > tail[0]:
                for at in range(size):
                    if logs[at] > tail[0]:
                        sift(tail, logs[at])
        tops[block], sums[block], squares[block], positive[block] = top, total, square, count


@compiled
def sift(heap: Numbers, number: float) -> None:
    """Put a number in the place of the smallest."""
    size, at = heap.shape[0], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= number:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = number


@compiled
def locate(
    volumes: Volumes,
    rank: Ranks,
    status: Status,
    correction: Numbers,
    rho: float,
    k: int,
    rows: int,
    tops: Numbers,
    scales: Numbers,
    starts: Numbers,
    blocks: Places,
    levels: Numbers,
    found: Places,
) -> None:
    """The first row whose running sum is above each level.

    Arguments:
        volumes, rank, status, correction, rho, k, rows, tops: as `weigh`.
        scales: what each block's weights are multiplied by.
        starts: running sum before each block.
        blocks: of each level the block whose running sum is the first above it.
        levels: in ascending order.
        found: the rows.
    """
    room, weights = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)
    level = 0
    while level < levels.shape[0]:
        block = blocks[level]
        start = block * BLOCK_ROWS
        size = min(BLOCK_ROWS, rows - start)
        fill(volumes, rank, status, correction, rho, k, start, room[:size])
        exponentials(room[:size], tops[block], weights[:size])
        before, scale, row, running = starts[block], scales[block], 0, weights[0]
        while level < levels.shape[0] and blocks[level] == block:
            while before + scale * running <= levels[level] and row < size - 1:
                row += 1
                running += weights[row]
            found[level] = start + row
            level += 1


@compiled
def add_by_rank(
    volumes: Volumes,
    rank: Ranks,
    status: Status,
    correction: Numbers,
    rho: float,
    k: int,
    rows: int,
    ranks: Ranks,
    found: Numbers,
) -> None:
    """Sums of weights by rank, up to a common factor, in one pass over the rows.

    Arguments:
        volumes, rank, status, correction, rho, k, rows: as `weigh`.
        ranks: of all rows.
        found: begun with 0; the sum for each rank from 0 on, the last for all above too. 0 where a weight is infinite.
    """
    room, weights, factor = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS), np.empty(1)
    top, last = -np.inf, found.shape[0] - 1
    for start in range(0, rows, BLOCK_ROWS):
        size = min(BLOCK_ROWS, rows - start)
        highest = fill(volumes, rank, status, correction, rho, k, start, room[:size])
        if highest == -np.inf:
            continue
        if highest > top:
            exponentials(np.full(1, top), highest, factor)
            found *= factor[0]
            top = highest
        if top == np.inf:
            found[:] = 0.0
            return
        exponentials(room[:size], top, weights[:size])
        some = ranks[start : start + size]
        for at in range(size):
            found[min(np.int64(some[at]), last)] += weights[at]
