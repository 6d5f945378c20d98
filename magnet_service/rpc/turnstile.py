"""Who goes next: one caller at a time, requests before background work, a bounded number of requests waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from magnet_service.errors import Overloaded

__all__ = ["Turnstile"]


class Turnstile:
    """Admits one caller at a time on one event loop; not thread-safe, and needs no lock for it.

    Requests are admitted in their order and before any background work. A caller who is cancelled while waiting is
    forgotten at once, so nothing is computed for it.

    Arguments:
        limit: requests that may wait; background work waits without limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy = False
        self._requests: deque[asyncio.Future[None]] = deque()
        self._background: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return len(self._requests)

    async def enter(self, *, background: bool = False) -> None:
        """Waits for the turn. The caller must call `leave` exactly once afterwards.

        Arguments:
            background: wait until no request waits.

        Raises:
            Overloaded: `limit` requests wait already.
        """
        if not self._busy:
            self._busy = True
            return
        queue = self._background if background else self._requests
        if not background and len(queue) >= self._limit:
            raise Overloaded(
                f"{self._limit} requests wait already: try again in a moment, or start the server with a longer queue "
                "(queue_limit).",
            )
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the turn came in the same moment as the cancel: pass it on
            else:
                with contextlib.suppress(ValueError):  # `leave` may have dropped it between the cancel and now
                    queue.remove(turn)
            raise

    def leave(self) -> None:
        """Passes the turn on."""
        for queue in (self._requests, self._background):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._busy = False
