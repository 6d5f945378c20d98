"""Sums of weights by blocks of rows: what the weights are worth, in memory of the blocks alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float64, Int64

from magnet_service.sampling.kernels.exponential import exponentials
from magnet_service.sampling.kernels.weighing import BLOCK_ROWS, weigh
from magnet_service.sampling.log_weights import LogWeights
from magnet_service.sampling.pareto import khat_of, tail_length

__all__ = ["BlockSums", "in_parts", "sums_by_block"]

Made = TypeVar("Made")

_BLOCKS_OF_A_THREAD = 16
"""Below that many blocks, half a millisecond's work, another thread costs more than it takes off."""


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Weights of rows, summed in blocks of 10,240, each relative to its own largest.

        sum w = e^top sum_b e^(top_b - top) S_b,   S_b = sum_{i in b} e^(log w_i - top_b)

    Attributes:
        size: number of rows.
        tops: largest log weight of each block, -inf where it has none.
        sums: S_b, added in the order of the rows.
        squares: the same of the squares.
        positive: rows whose log weight is above -inf.
        largest: log weights of the tail that k-hat is fitted to, and the next largest, ascending; empty where they
            were not asked for.
    """

    size: int
    tops: Float64[np.ndarray, " blocks"]
    sums: Float64[np.ndarray, " blocks"]
    squares: Float64[np.ndarray, " blocks"]
    positive: int
    largest: Float64[np.ndarray, " tail"]

    @cached_property
    def top(self) -> float:
        """The largest log weight, nats; -inf where no row has weight."""
        return float(self.tops.max(initial=-np.inf))

    @property
    def any(self) -> bool:
        """Whether any row has weight, and none an infinite one."""
        return -np.inf < self.top < np.inf

    @cached_property
    def scales(self) -> Float64[np.ndarray, " blocks"]:
        """What each block's weights are multiplied by, so that the largest of all is one."""
        scales: Float64[np.ndarray, " blocks"] = np.zeros(self.tops.size)
        if self.any:
            exponentials(self.tops, self.top, scales)
        return scales

    @cached_property
    def ends(self) -> Float64[np.ndarray, " blocks"]:
        """Running sums of the weights up to the end of each block, the largest weight counted as one."""
        ends: Float64[np.ndarray, " blocks"] = np.cumsum(self.scales * self.sums)
        return ends

    @cached_property
    def starts(self) -> Float64[np.ndarray, " blocks"]:
        """Running sums before each block."""
        starts: Float64[np.ndarray, " blocks"] = np.append(0.0, self.ends)[: self.ends.size]
        return starts

    @property
    def total(self) -> float:
        """Sum of all weights, the largest counted as one; 0 where no row has weight."""
        return float(self.ends[-1]) if self.any else 0.0

    @property
    def ess(self) -> float:
        """(sum w)^2 / sum w^2: 1 to the number of rows, 0 where none has weight."""
        return float(self.total**2 / (np.square(self.scales) * self.squares).sum()) if self.any else 0.0

    @property
    def largest_weight(self) -> float:
        """The largest share that a row has of all weight, 0 where none has weight."""
        return 1.0 / self.total if self.any else 0.0

    @property
    def log_mean(self) -> float:
        """Log of the mean weight, nats; some row must have weight."""
        return float(self.top + np.log(self.total / self.size))

    @cached_property
    def khat(self) -> tuple[float | None, int]:
        """Pareto k-hat and the weights in its tail: as `pareto.khat_of`."""
        return khat_of(np.exp(self.largest - self.top)) if self.any else (None, 0)


def sums_by_block(logs: LogWeights, *, tail: bool = True, threads: int | None = None) -> BlockSums:
    """Sums weights in one pass over the rows.

    Arguments:
        logs: the log weights.
        tail: whether to keep the largest, for k-hat.
        threads: at work at once; as torch has where None. No figure depends on them.

    Returns:
        The sums.

    Raises:
        Nothing.

    Accuracy:
        Sums in float64, in the order of the rows within a block: relative error below 10,240 x 1.1e-16 and, of their
        sum, blocks x 1.1e-16. Weights below e^-708 of the largest of their block count as zero in them. The largest
        weights are exact. Equal bits on every machine.

    Cost:
        About 3 ns a row on one core, memory for four numbers a block.
    """
    count = -(-logs.size // BLOCK_ROWS)
    tops, sums, squares = (np.empty(count) for _ in range(3))
    positive: Int64[np.ndarray, " blocks"] = np.empty(count, dtype=np.int64)
    kept = max(0, tail_length(logs.size)) + 1 if tail and logs.size else 0

    def part(first: int, last: int) -> Float64[np.ndarray, " tail"]:
        heap = np.full(kept, -np.inf)
        weigh(*logs.terms, logs.size, first, last, tops, sums, squares, positive, heap)
        return heap

    largest = np.sort(np.concatenate(in_parts(part, count, count // _BLOCKS_OF_A_THREAD, threads)))
    return BlockSums(logs.size, tops, sums, squares, int(positive.sum()), largest[largest.size - kept :])


def in_parts(work: Callable[[int, int], Made], count: int, most: int, threads: int | None) -> list[Made]:
    """Work on ranges that cover 0 to count - 1, in order, at once on as many threads as it is worth.

    Arguments:
        work: of (first, last), `last` left out; releases the interpreter's lock.
        count: how much there is to do.
        most: threads that it is worth.
        threads: that there may be; as torch has where None.

    Returns:
        What was made of each range, one at least.

    Raises:
        What `work` raises.
    """
    threads = max(1, min(most, torch.get_num_threads() if threads is None else threads))
    cuts = [count * part // threads for part in range(threads + 1)]
    if threads == 1:
        return [work(0, count)]
    with ThreadPoolExecutor(threads, "magnet-weights") as crew:
        return list(crew.map(work, cuts[:-1], cuts[1:]))
