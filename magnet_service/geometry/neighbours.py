"""The nearest patterns of a bank, by the number of units in another state."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.hamming import check_layers, runs_of
from magnet_service.geometry.kernels.popcounts import BEYOND, ROW_BITS, keep_nearest
from magnet_service.geometry.patterns import Patterns

__all__ = ["Neighbours", "nearest"]

CACHED_BYTES = 256 << 10
"""Bytes of a bank's rows that all queries look at before the next ones are read."""

QUERIES = 256
"""Queries that look at rows in one call: between calls a computation can be stopped."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of a bank, nearest first.

    Attributes:
        rows: their numbers, int64; of equally near ones the lower first.
        distances: units in another state, int64.
    """

    rows: Int[Tensor, "queries count"]
    distances: Int[Tensor, "queries count"]


def nearest(
    bank: Patterns,
    queries: Patterns,
    count: int,
    *,
    threads: int | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Neighbours:
    """The `count` patterns of a bank that differ from each query in the fewest units.

    Arguments:
        bank: packed patterns, as `patterns_of` gives them.
        queries: of the same layers.
        count: how many neighbours of each, 1 to the rows of the bank.
        threads: parts of the bank that are looked at side by side; those of torch where None.
        should_stop: asked before every piece of the bank; once it answers true the call ends in Cancelled.

    Returns:
        Neighbours; a query that is in the bank is its own, at distance 0. No answer depends on the threads.

    Raises:
        InvalidInput: patterns of other layers (field `queries`), a count or threads that cannot be (their fields).
        Cancelled: `should_stop` answered true.

    Accuracy: exact: every row is looked at.
    Cost: one XOR and count of bits for each query, row and word, as fast as caches give words.

    Example:
        >>> from magnet_service.generator import Generator
        >>> from magnet_service.geometry.patterns import patterns_of
        >>> sign = Generator.from_module(torch.nn.ReLU(), 3)
        >>> bank = patterns_of(sign, torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, 1.0], [2.0, 3.0, -4.0]]))
        >>> found = nearest(bank, bank.chosen(slice(0, 1)), 3)
        >>> found.rows.tolist(), found.distances.tolist()
        ([[0, 2, 1]], [[0, 0, 1]])
    """
    check_layers(bank, queries, "queries")
    rows = len(bank)
    if not 1 <= count <= rows:
        raise InvalidInput(f"count is {count}; write a whole number from 1 to the bank's rows, {rows}.", field="count")
    threads = torch.get_num_threads() if threads is None else threads
    if threads < 1:
        raise InvalidInput(f"threads is {threads}; write a whole number of at least 1.", field="threads")
    stored, wanted = (np.ascontiguousarray(one.words) for one in (bank, queries))
    runs, words = runs_of(bank.layers), stored.shape[1]
    step = max(1, CACHED_BYTES // max(1, 8 * words))

    def part(first: int, last: int) -> NDArray[np.int64]:
        keys = np.full((len(wanted), count), BEYOND)
        for start in range(first, last, step):
            for at in range(0, len(wanted), QUERIES):
                stopped(should_stop)
                some, end = wanted[at : at + QUERIES].reshape(-1), min(last, start + step)
                keep_nearest(stored.reshape(-1), words, start, end, some, runs, keys[at : at + QUERIES])
        return keys

    cuts = np.linspace(0, len(stored), min(threads, len(stored)) + 1).astype(int).tolist()
    with ThreadPoolExecutor(len(cuts) - 1, "magnet-patterns") as crew:
        found = list(crew.map(part, cuts[:-1], cuts[1:]))
    keys = np.sort(np.concatenate(found, 1), 1)[:, :count]
    return Neighbours(torch.from_numpy(keys & ((1 << ROW_BITS) - 1)), torch.from_numpy(keys >> ROW_BITS))
