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
"""Tiles, edges or vertices that one core does before another could have begun."""

_WORK = 1 << 21
"""Additions and multiplications of which the same is true."""


class Workers:
    """Threads for kernels that run without the interpreter's lock; each uses one thread of torch.

    Arguments:
        count: of the threads, which are made once they are needed.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None

    def over(self, work: Callable[[int, int], Made], items: int, each: int | None = None) -> list[Made]:
        """Work on the ranges that items are cut into.

        Arguments:
            work: (first, last + 1) -> what it makes.
            items: how many; what is too little for several threads stays in one range, in the calling thread.
            each: additions and multiplications for one item; None for what a kernel does for a tile.

        Returns:
            What each range made, in order.

        Raises:
            What `work` raises.
        """
        enough = items >= _LEAST if each is None else items * each >= _WORK
        parts = min(self.count, items) if enough else 1
        if parts <= 1:
            return [work(0, items)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self.count, "magnet-slice", initializer=torch.set_num_threads, initargs=(1,)
            )
        bounds = [items * part // parts for part in range(parts + 1)]
        return list(self._pool.map(work, bounds[:-1], bounds[1:]))

    @contextmanager
    def together(self, amount: int) -> Iterator[None]:
        """All cores for operations of torch in the calling thread, for the block, where there is enough to do.

        Arguments:
            amount: additions and multiplications, or less.
        """
        # Threads of OpenMP go on turning for a while after each operation, at the cost of all others.
        if self.count == 1 or amount < _WORK:
            yield
            return
        torch.set_num_threads(self.count)
        try:
            yield
        finally:
            torch.set_num_threads(1)

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@contextmanager
def working(threads: int) -> Iterator[Workers]:
    """Workers for the block, in which the calling thread too uses one thread of torch."""
    before = torch.get_num_threads()
    workers = Workers(threads)
    torch.set_num_threads(1)
    try:
        yield workers
    finally:
        torch.set_num_threads(before)
        workers.close()
