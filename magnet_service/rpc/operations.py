"""Bank builds in work and lately done: each runs in the background, tells how far it is, and may be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator

import structlog
from google.rpc import status_pb2

from magnet_service.errors import Cancelled, InvalidInput, MagnetError, Refused, UnknownResource
from magnet_service.registry import Build, Registry
from magnet_service.rpc.status import internal_status, status_of
from magnet_service.rpc.worker import Worker
from magnet_service.sampling import Bank

__all__ = ["BuildOperation", "OperationBoard"]

_KEPT = 1000
_RATE_SECONDS = 5.0
_BETWEEN_CHANGES = 0.2  # seconds: five messages a second at most


class BuildOperation:
    """One build as it stands.

    Attributes:
        name: `operations/...`.
        bank_id: the bank in work.
        reference: its generator, `name@version`.
        condition: of the bank, its label where it has one; empty for a generator without.
        labels: of the generator's classes.
        rows_done: rows computed.
        rows_total: rows wanted.
        bank: the bank, once done well.
        error: why it failed, once done badly.
    """

    def __init__(self, build: Build) -> None:
        self.name = f"operations/{secrets.token_hex(8)}"
        self.bank_id = build.bank.id
        self.reference = build.held.reference
        conditions, condition = build.held.card.conditions, build.held.condition
        self.labels = () if conditions is None else conditions.labels
        self.condition = "" if conditions is None or condition is None else conditions.label_of(condition)
        self.rows_done = build.bank.revision
        self.rows_total = max(build.rows, build.bank.revision)
        self.bank: Bank | None = None
        self.error: status_pb2.Status | None = None
        self._pace: deque[tuple[float, int]] = deque([(time.monotonic(), self.rows_done)])
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or badly."""
        return self._ended.is_set()

    @property
    def rows_per_second(self) -> float:
        """Pace over the last seconds; 0 before the first rows."""
        (start, first), (end, last) = self._pace[0], self._pace[-1]
        return (last - first) / (end - start) if end > start else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time to go at that pace; None while there is none."""
        pace = self.rows_per_second
        return (self.rows_total - self.rows_done) / pace if pace > 0 else None

    def advance(self, rows_done: int, rows_total: int) -> None:
        """Notes how far it is."""
        self.rows_done, self.rows_total = rows_done, rows_total
        now = time.monotonic()
        self._pace.append((now, rows_done))
        while len(self._pace) > 2 and self._pace[1][0] < now - _RATE_SECONDS:
            self._pace.popleft()
        self._notify()

    def end(self, *, bank: Bank | None = None, error: status_pb2.Status | None = None) -> None:
        """Notes that it ended."""
        self.bank, self.error = bank, error
        self._ended.set()
        self._notify()

    async def wait(self, seconds: float | None = None) -> None:
        """Waits until it has ended, `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    async def states(self) -> AsyncIterator[None]:
        """Yields at once, then after changes, five times a second at most, the last time when it has ended."""
        while True:
            changed, ended = self._changed, self.done
            yield
            if ended:
                return
            await changed.wait()
            await self.wait(_BETWEEN_CHANGES)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class OperationBoard:
    """All operations, the last thousand kept.

    Arguments:
        worker: where builds run, whenever no request waits.
        registry: where a finished bank is looked up.
        log: where the end of each build is noted.
    """

    def __init__(self, worker: Worker, registry: Registry, log: structlog.typing.FilteringBoundLogger) -> None:
        self._worker = worker
        self._registry = registry
        self._log = log
        self._operations: OrderedDict[str, BuildOperation] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[Bank]] = {}

    def start(self, build: Build) -> BuildOperation:
        """Starts a build, or joins the one that is at work on the same rows.

        Arguments:
            build: from `Registry.plan_build`.

        Returns:
            The operation.

        Raises:
            Refused: the bank is being built to another number of rows; reason BUSY.
        """
        for operation in self._operations.values():
            if operation.bank_id == build.bank.id and not operation.done and build.rows > build.bank.revision:
                if operation.rows_total == max(build.rows, build.bank.revision):
                    return operation
                raise Refused(
                    f"Bank {build.bank.id} is being built to {operation.rows_total:,} rows by {operation.name}: wait "
                    "for it, or cancel it first.",
                    field="rows",
                    reason="BUSY",
                    metadata={"operation": operation.name},
                )
        operation = BuildOperation(build)
        self._operations[operation.name] = operation
        task = asyncio.create_task(self._run(operation, build), name=operation.name)
        self._tasks[operation.name] = task
        task.add_done_callback(lambda done: self._ended(operation, done))
        self._forget()
        return operation

    def get(self, name: str) -> BuildOperation:
        """Finds an operation; UnknownResource if there is none of that name."""
        if name not in self._operations:
            raise UnknownResource(
                f"There is no operation {name[:80]!r}; the server keeps the last {_KEPT} since its start.",
                field="name",
                metadata={"name": name[:80]},
            )
        return self._operations[name]

    def page(self, size: int, token: str) -> tuple[list[BuildOperation], str]:
        """Lists operations, the newest first.

        Arguments:
            size: at most so many; 0 for all.
            token: where to go on, from the page before; empty for the start.

        Returns:
            The operations and the token of the next page, empty at the end.

        Raises:
            InvalidInput: a token that no page gave, or a negative size.
        """
        if size < 0:
            raise InvalidInput(f"page_size is {size}; write 0 or more.", field="page_size")
        if token and not (token.isascii() and token.isdigit()):
            raise InvalidInput("Write the page_token that the page before gave.", field="page_token")
        everything = list(reversed(self._operations.values()))
        start = int(token or 0)
        stop = start + size if size else len(everything)
        return everything[start:stop], str(stop) if stop < len(everything) else ""

    def cancel(self, name: str) -> None:
        """Asks an operation to end; its complete shards stay. One that has ended is left as it is."""
        self.get(name)
        if name in self._tasks:
            self._tasks[name].cancel()

    def forget(self, name: str) -> None:
        """Removes an operation from the list; its build goes on."""
        self.get(name)
        del self._operations[name]

    async def close(self) -> None:
        """Cancels all builds and waits for their end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, operation: BuildOperation, build: Build) -> Bank:
        async for progress in self._worker.steps(build.steps):
            operation.advance(progress.rows_done, progress.rows_total)
        return await self._worker.run(lambda _: self._registry.banks.open(build.bank.id), background=True)

    def _ended(self, operation: BuildOperation, task: asyncio.Task[Bank]) -> None:
        del self._tasks[operation.name]
        cancelled = Cancelled("The build was cancelled; its complete shards stay.")
        error = cancelled if task.cancelled() else task.exception()
        if error is None:
            operation.end(bank=task.result())
            self._log.info("build done", operation=operation.name, bank=operation.bank_id, rows=operation.rows_done)
            return
        identifier = operation.name.removeprefix("operations/")
        if isinstance(error, MagnetError):
            operation.end(error=status_of(error, identifier))
            self._log.warning("build ended early", operation=operation.name, reason=error.reason, cause=error.message)
        else:
            operation.end(error=internal_status(identifier))
            self._log.error("unexpected failure", operation=operation.name, exc_info=error)

    def _forget(self) -> None:
        for name in [name for name, operation in self._operations.items() if operation.done]:
            if len(self._operations) <= _KEPT:
                return
            del self._operations[name]
