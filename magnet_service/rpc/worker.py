"""One thread for one device: the event loop never computes, and two computations never share the device."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from magnet_service.rpc.turnstile import Turnstile

__all__ = ["StopSignal", "Worker"]

StopSignal = Callable[[], bool]
"""Asked between tiles: whether the caller has left."""

Value = TypeVar("Value")


class Worker:
    """Runs work in its own thread, one piece at a time: requests in their order, background steps between them.

    Arguments:
        queue_limit: requests that may wait; one more is refused.
    """

    def __init__(self, queue_limit: int) -> None:
        self._turnstile = Turnstile(queue_limit)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="magnet-worker")

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return self._turnstile.waiting

    async def run(self, work: Callable[[StopSignal], Value]) -> Value:
        """Runs one request's work. Cancelling the caller drops it while it waits, and tells it to stop while it runs.

        Arguments:
            work: called in the worker's thread with a function that turns true when the caller has left.

        Returns:
            What `work` returns.

        Raises:
            Overloaded: the queue is full.
            MagnetError: whatever `work` raises.
        """
        await self._turnstile.enter()
        left = threading.Event()
        running = self._submit(lambda: work(left.is_set))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            left.set()
            raise

    async def steps(self, items: Iterator[Value]) -> AsyncIterator[Value]:
        """Advances a generator in the background: one step whenever no request waits.

        Arguments:
            items: advanced in the worker's thread only, and closed there too if it is a generator.

        Yields:
            Its items.

        Raises:
            MagnetError: whatever a step raises.
        """
        try:
            while True:
                await self._turnstile.enter(background=True)
                found = await asyncio.shield(self._submit(lambda: list(islice(items, 1))))
                if not found:
                    return
                yield found[0]
        finally:
            # Behind a step that may still run: one thread keeps the order.
            self._thread.submit(getattr(items, "close", lambda: None))

    def close(self) -> None:
        """Waits for what runs, drops what waits, and ends the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[[], Value]) -> asyncio.Future[Value]:
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        running.add_done_callback(lambda _: self._turnstile.leave())
        return running
