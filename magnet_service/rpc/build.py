"""One build at work in this server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

from magnet_service.registry import Build
from magnet_service.sampling import OperationRecord, new_operation_name, this_process

__all__ = ["BuildOperation"]

_RATE_SECONDS = 5.0
_BETWEEN_CHANGES = 0.2  # seconds: five messages a second at most


class BuildOperation:
    """A build as it stands.

    Attributes:
        name: `operations/...`.
        bank_id: the bank in work.
        rows_done: rows computed.
        rows_total: rows wanted.
        for_idleness: whether it was begun for want of other work, and gives way to any.
    """

    def __init__(self, build: Build) -> None:
        self.bank_id = build.bank.id
        self.name = new_operation_name(self.bank_id)
        self.for_idleness = build.for_idleness
        conditions, condition = build.held.card.conditions, build.held.condition
        self._condition = "" if conditions is None or condition is None else conditions.label_of(condition)
        self._reference = build.held.reference
        self.rows_done = build.bank.revision
        self.rows_total = max(build.rows, build.bank.revision)
        self._started = time.time()
        self._pace: deque[tuple[float, int]] = deque([(time.monotonic(), self.rows_done)])
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def record(self) -> OperationRecord:
        """How it stands."""
        (start, first), (end, last) = self._pace[0], self._pace[-1]
        return OperationRecord(
            name=self.name,
            bank_id=self.bank_id,
            reference=self._reference,
            condition=self._condition,
            rows_done=self.rows_done,
            rows_total=self.rows_total,
            rows_per_second=(last - first) / (end - start) if end > start else 0.0,
            started=self._started,
            written=time.time(),
            holder=this_process(),
        )

    def advance(self, rows_done: int, rows_total: int) -> None:
        """Notes how far it is."""
        self.rows_done, self.rows_total = rows_done, rows_total
        now = time.monotonic()
        self._pace.append((now, rows_done))
        while len(self._pace) > 2 and self._pace[1][0] < now - _RATE_SECONDS:
            self._pace.popleft()
        self._changed.set()
        self._changed = asyncio.Event()

    def over(self) -> None:
        """Notes that its last record is written; whoever waits goes on."""
        self._over.set()
        self._changed.set()

    async def changes(self) -> AsyncIterator[None]:
        """Yields at once, then after changes, five times a second at most, until it is over."""
        while not self._over.is_set():
            changed = self._changed
            yield
            await changed.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _BETWEEN_CHANGES)
