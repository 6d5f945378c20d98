"""One thread for one device: the event loop never computes, and two computations never share the device."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from magnet_service.rpc.turnstile import Turnstile

__all__ = ["StopSignal", "Worker"]

StopSignal = Callable[[], bool]
"""Asked between tiles: whether the caller has left."""

Value = TypeVar("Value")

_TURN_SECONDS = 0.02


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

    async def run(self, work: Callable[[StopSignal], Value], *, background: bool = False) -> Value:
        """Runs one request's work. Cancelling the caller drops it while it waits, and tells it to stop while it runs.

        Arguments:
            work: called in the worker's thread with a function that turns true when the caller has left.
            background: wait until no request waits, and never be refused.

        Returns:
            What `work` returns.

        Raises:
            Overloaded: the queue is full.
            MagnetError: whatever `work` raises.
        """
        await self._turnstile.enter(background=background)
        left = threading.Event()
        running = self._submit(lambda: work(left.is_set))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            left.set()
            raise

    async def steps(self, items: Iterator[Value]) -> AsyncIterator[Value]:
        """Advances a generator in the background; a request that comes waits for one step at most.

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
                found: list[Value] = []
                turn = self._submit(partial(self._advance, items, found))
                await asyncio.wait([turn])
                for item in found:  # also those before an error
                    yield item
                if turn.result():
                    return
        finally:
            # Behind a step that may still run: one thread keeps the order.
            self._thread.submit(getattr(items, "close", lambda: None))

    def close(self) -> None:
        """Waits for what runs, drops what waits, and ends the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _advance(self, items: Iterator[Value], found: list[Value]) -> bool:
        # Several short steps in one turn spare the way to the loop and back; a waiting request still ends the turn.
        end = time.monotonic() + _TURN_SECONDS
        for item in items:
            found.append(item)
            if self._turnstile.waiting or time.monotonic() >= end:
                return False
        return True

    def _submit(self, work: Callable[[], Value]) -> asyncio.Future[Value]:
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        running.add_done_callback(self._left)
        return running

    def _left(self, done: asyncio.Future[Value]) -> None:
        self._turnstile.leave()
        if not done.cancelled():
            done.exception()  # looked at, so that asyncio does not complain where the caller is gone
