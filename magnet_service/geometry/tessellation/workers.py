"""Ranges of items worked on side by side, each on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["Workers", "working"]

Made = TypeVar("Made")

_LEAST = 2048


class Workers:
    """Threads for kernels that run without the interpreter's lock; each uses one thread of torch.

    Arguments:
        pool: of the threads.
        count: of them.
    """

    def __init__(self, pool: ThreadPoolExecutor, count: int) -> None:
        self.count = count
        self._pool = pool

    def over(self, work: Callable[[int, int], Made], items: int, least: int = _LEAST) -> list[Made]:
        """Work on the ranges that items are cut into.

        Arguments:
            work: (first, last + 1) -> what it makes.
            items: how many.
            least: items below which they stay in one range, in the calling thread.

        Returns:
            What each range made, in order.

        Raises:
            What `work` raises.
        """
        parts = 1 if items < least else min(self.count, items)
        if parts == 1:
            return [work(0, items)]
        bounds = [items * part // parts for part in range(parts + 1)]
        return list(self._pool.map(work, bounds[:-1], bounds[1:]))

    @contextmanager
    def together(self) -> Iterator[None]:
        """All cores for operations of torch in the calling thread, for the block."""
        torch.set_num_threads(self.count)
        try:
            yield
        finally:
            torch.set_num_threads(1)


@contextmanager
def working(threads: int) -> Iterator[Workers]:
    """Workers for the block, in which the calling thread too uses one thread of torch."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "magnet-slice", initializer=torch.set_num_threads, initargs=(1,))
    torch.set_num_threads(1)
    try:
        yield Workers(pool, threads)
    finally:
        torch.set_num_threads(before)
        pool.shutdown(cancel_futures=True)
