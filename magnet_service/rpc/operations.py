"""Bank builds: those at work here, and the records of those anywhere on the store."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog
from google.rpc import status_pb2

from magnet_service import errors
from magnet_service.errors import Cancelled, InvalidInput, MagnetError, Refused, UnknownResource
from magnet_service.registry import Build, Registry
from magnet_service.rpc.aside import aside
from magnet_service.rpc.build import BuildOperation
from magnet_service.rpc.status import internal_status, status_of
from magnet_service.rpc.worker import Worker
from magnet_service.sampling import Bank, OperationRecord, RecordedError

__all__ = ["OperationBoard", "OperationState"]

_WORD_SECONDS = 1.0  # between two records of a build that advances, and two looks whether it shall end
_LEAST_WORD_SECONDS = 15.0  # between two records of one that does not
_ENDED_KEPT = 100
_LOOK_SECONDS = 1.0  # between two looks at a build elsewhere


@dataclass(frozen=True)
class OperationState:
    """An operation as it stands.

    Attributes:
        record: how far it is.
        bank: its bank, once done well.
        labels: of the generator's classes.
        error: why it failed, once done badly.
    """

    record: OperationRecord
    bank: Bank | None = None
    labels: tuple[str, ...] = ()
    error: status_pb2.Status | None = None


class OperationBoard:
    """All operations of the store.

    Arguments:
        worker: where builds run, whenever no request waits.
        registry: where a finished bank is looked up.
        log: where the end of each build is noted.
    """

    def __init__(self, worker: Worker, registry: Registry, log: structlog.typing.FilteringBoundLogger) -> None:
        self._worker = worker
        self._registry = registry
        self._records = registry.banks.operations
        self._log = log
        self._running: dict[str, BuildOperation] = {}
        self._ended: OrderedDict[str, OperationRecord] = OrderedDict()  # for those whose last record could not be kept
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def idle(self) -> bool:
        """Whether no build is at work here."""
        return not self._running

    async def start(self, build: Build) -> OperationState:
        """Starts a build, or joins the one that is at work here on the same rows.

        Arguments:
            build: from `Registry.plan_build`.

        Returns:
            The operation.

        Raises:
            Refused: the bank is being built to another number of rows; reason BUSY.
            OutOfSpace, Unreachable: its record cannot be written.
        """
        for running in list(self._running.values()):
            if running.bank_id != build.bank.id or build.rows <= build.bank.revision:
                continue
            if running.for_idleness:
                await self._end(running)
            elif running.rows_total == max(build.rows, build.bank.revision):
                return self._state(running.record)
            else:
                raise Refused(
                    f"Bank {build.bank.id} is being built to {running.rows_total:,} rows by {running.name}: wait for "
                    "it, or cancel it first.",
                    field="rows",
                    reason="BUSY",
                    metadata={"operation": running.name},
                )
        operation = BuildOperation(build)
        await asyncio.to_thread(self._records.put, operation.record)
        self._running[operation.name] = operation
        task = asyncio.create_task(self._run(operation, build), name=operation.name)
        self._tasks[operation.name] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.name, None))
        return self._state(operation.record)

    async def get(self, name: str) -> OperationState:
        """Finds an operation.

        Arguments:
            name: `operations/...`.

        Returns:
            The operation as it stands.

        Raises:
            UnknownResource: none of that name.
            DamagedData, Unreachable: its record, or the bank that it made, cannot be read.
        """
        return await self._whole(await self._record(name))

    async def states(self, name: str) -> AsyncIterator[OperationState]:
        """Yields an operation at once, then after changes, the last time when it has ended; raises as `get`."""
        running = self._running.get(name)
        if running is not None:
            async for _ in running.changes():
                yield self._state(running.record)
            # The end is told once its last record is written, with the bank.
            yield await self.get(name)
            return
        last: OperationRecord | None = None
        while True:
            state = await self.get(name)
            if state.record != last:
                yield state
            if state.record.done:
                return
            last = state.record
            await asyncio.sleep(_LOOK_SECONDS)

    async def wait(self, name: str, seconds: float | None) -> OperationState:
        """Waits until an operation has ended, `seconds` at most; raises as `get`."""

        async def end() -> None:
            async for _ in self.states(name):
                pass

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(end(), seconds)
        return await self.get(name)

    async def page(self, size: int, token: str) -> tuple[list[OperationState], str]:
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
        records = await asyncio.to_thread(self._records.all)
        everything = [
            self._running[record.name].record if record.name in self._running else record for record in records
        ]
        start = int(token or 0)
        stop = start + size if size else len(everything)
        found = [await self._listed(record) for record in everything[start:stop]]
        return found, str(stop) if stop < len(everything) else ""

    async def cancel(self, name: str) -> None:
        """Asks an operation to end; its complete shards stay. One that has ended is left as it is."""
        if name in self._running:
            self._tasks[name].cancel()
        else:
            await asyncio.to_thread(self._records.ask_to_end, name)

    async def forget(self, name: str) -> None:
        """Removes an operation from the list; its build goes on, and is told of again when it advances."""
        self._ended.pop(name, None)
        await asyncio.to_thread(self._records.remove, name)

    async def close(self) -> None:
        """Cancels all builds of this server and waits for their end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _end(self, running: BuildOperation) -> None:
        task = self._tasks[running.name]
        task.cancel()
        await asyncio.wait([task])

    async def _record(self, name: str) -> OperationRecord:
        running = self._running.get(name)
        if running is not None:
            return running.record
        return self._ended[name] if name in self._ended else await asyncio.to_thread(self._records.get, name)

    async def _whole(self, record: OperationRecord) -> OperationState:
        """A record with what an answer needs beside it."""
        if not record.done or record.error is not None:
            return self._state(record)
        with contextlib.suppress(UnknownResource):  # a bank that was deleted since is no part of the answer
            return await self._worker.run(lambda _: self._described(record), background=True)
        return self._state(record)

    async def _listed(self, record: OperationRecord) -> OperationState:
        """The same in a list, which a bank that cannot be read does not spoil."""
        try:
            return await self._whole(record)
        except MagnetError:
            return self._state(record)

    def _described(self, record: OperationRecord) -> OperationState:
        bank = self._registry.banks.open(record.bank_id)
        return OperationState(record, bank, self._registry.generators.labels_of(record.reference))

    def _state(self, record: OperationRecord) -> OperationState:
        error = record.error
        if record.abandoned:
            gone = f"The builder, {record.holder}, ended without a word; complete shards stay. Build again to go on."
            error = RecordedError(Cancelled.__name__, gone, "ABANDONED")
            record = replace(record, done=True, error=error)
        if error is None:
            return OperationState(record)
        return OperationState(record, error=_status(error, record.name.removeprefix("operations/")))

    async def _run(self, operation: BuildOperation, build: Build) -> None:
        steps = asyncio.create_task(self._advance(operation, build))
        ended = asyncio.Event()
        word = asyncio.create_task(self._tell(operation, ended))
        try:
            await asyncio.wait([steps])
        except asyncio.CancelledError:
            steps.cancel()
            await asyncio.wait([steps])
        ended.set()
        cancelled = Cancelled("The build was cancelled; its complete shards stay.")
        error = cancelled if steps.cancelled() else steps.exception()
        await asyncio.shield(asyncio.create_task(self._last_word(operation, error, word)))

    async def _advance(self, operation: BuildOperation, build: Build) -> None:
        steps = aside(build.steps, build.stop) if build.elsewhere else self._worker.steps(build.steps)
        async with contextlib.aclosing(steps):  # type: ignore[type-var]  # both are asynchronous generators
            async for progress in steps:
                operation.advance(progress.rows_done, progress.rows_total)

    async def _last_word(
        self, operation: BuildOperation, error: BaseException | None, word: asyncio.Task[None]
    ) -> None:
        await asyncio.wait([word])  # what it writes now must not come behind
        log = self._log.bind(operation=operation.name, bank=operation.bank_id, rows=operation.rows_done)
        if error is None:
            log.info("build done")
        elif isinstance(error, MagnetError):
            log.warning("build ended early", reason=error.reason, cause=error.message)
        else:
            log.error("unexpected failure", exc_info=error)
        last = replace(operation.record, done=True, error=_recorded(error))
        try:
            await asyncio.to_thread(self._records.put, last)
        except MagnetError as trouble:  # its bank may be deleted, or the store gone
            log.warning("the end of a build is not recorded", reason=trouble.reason, cause=trouble.message)
            self._ended[operation.name] = last
            while len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)
        del self._running[operation.name]
        operation.over()
        with contextlib.suppress(MagnetError):  # another time
            await asyncio.to_thread(self._records.prune, operation.bank_id)

    async def _tell(self, operation: BuildOperation, ended: asyncio.Event) -> None:
        """Writes the record of a build while it runs, and ends it when somebody elsewhere asks for that."""
        last, told = operation.record, time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _WORD_SECONDS)
            if ended.is_set():
                return
            now = operation.record
            silent = time.monotonic() - told
            try:
                if now.rows_done != last.rows_done or silent >= _LEAST_WORD_SECONDS:
                    await asyncio.to_thread(self._records.put, now)
                    last, told = now, time.monotonic()
                if await asyncio.to_thread(self._records.asked_to_end, operation.name):
                    self._tasks[operation.name].cancel()
                    return
            except MagnetError as trouble:
                self._log.warning("a build is not recorded", operation=operation.name, cause=trouble.message)


def _recorded(error: BaseException | None) -> RecordedError | None:
    if error is None:
        return None
    if isinstance(error, MagnetError):
        return RecordedError(type(error).__name__, error.message, error.reason, error.field, error.metadata)
    return RecordedError("", "", "INTERNAL")


def _status(error: RecordedError, identifier: str) -> status_pb2.Status:
    kind = getattr(errors, error.kind, None) if error.kind in errors.__all__ else None
    if kind is None:
        return internal_status(identifier)
    told = kind(error.message)
    told.reason, told.field, told.metadata = error.reason, error.field, dict(error.metadata)
    return status_of(told, identifier)
