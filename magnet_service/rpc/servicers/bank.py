"""BankService: banks are built, described, read and deleted."""

# ruff: noqa: N802 - methods are called as in the proto
from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog
from google.longrunning import operations_pb2

from magnet.v1 import bank_pb2, bank_pb2_grpc
from magnet_service.errors import InvalidInput
from magnet_service.registry import reference_of, spans
from magnet_service.rpc.backend import CHUNK_BYTES, Backend
from magnet_service.rpc.wire.advice import description_message
from magnet_service.rpc.wire.banks import (
    bank_message,
    bank_row_bytes,
    bank_rows_message,
    operation_message,
    progress_message,
)
from magnet_service.rpc.wire.requests import build_from, describe_from
from magnet_service.rpc.worker import StopSignal
from magnet_service.sampling import Bank, BankRows

__all__ = ["BankServicer"]


class BankServicer(bank_pb2_grpc.BankServiceServicer):
    """Answers from the store.

    Arguments:
        backend: registry, worker and operations.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def BuildBank(self, request: bank_pb2.BuildBankRequest, context: Any) -> operations_pb2.Operation:
        """Starts a build, or joins the same one."""
        wanted = build_from(request)
        build = await self._backend.worker.run(lambda _: self._backend.registry.plan_build(request.generator, wanted))
        return operation_message(await self._backend.operations.start(build))

    async def WatchOperation(
        self, request: bank_pb2.WatchOperationRequest, context: Any
    ) -> AsyncIterator[bank_pb2.WatchOperationResponse]:
        """Follows a build until it ends."""
        async for state in self._backend.operations.states(request.name):
            yield bank_pb2.WatchOperationResponse(
                operation=operation_message(state), progress=progress_message(state.record)
            )

    async def GetBank(self, request: bank_pb2.GetBankRequest, context: Any) -> bank_pb2.GetBankResponse:
        """Describes one bank."""
        registry = self._backend.registry

        def work(_: StopSignal) -> bank_pb2.GetBankResponse:
            bank = registry.banks.open(request.bank_id)
            return bank_pb2.GetBankResponse(bank=self._described(bank))

        return await self._backend.worker.run(work)

    async def ListBanks(self, request: bank_pb2.ListBanksRequest, context: Any) -> bank_pb2.ListBanksResponse:
        """Lists the banks."""
        registry = self._backend.registry

        def work(_: StopSignal) -> bank_pb2.ListBanksResponse:
            held = registry.generators.get(request.generator) if request.generator else None
            found, unreadable = registry.banks.survey()
            banks = [
                self._described(bank)
                for bank in found
                if held is None or bank.spec.is_of(held.generator.digest, held.reference)
            ]
            banks.sort(key=lambda bank: (bank.generator, bank.law, len(bank.condition), bank.condition, bank.bank_id))
            return bank_pb2.ListBanksResponse(banks=banks, unreadable=unreadable)

        return await self._backend.worker.run(work)

    def _described(self, bank: Bank) -> bank_pb2.Bank:
        generators = self._backend.registry.generators
        reference = reference_of(generators, bank.spec)
        conditions = generators.get(reference).card.conditions if reference else None
        return bank_message(bank, reference, () if conditions is None else conditions.labels)

    async def DeleteBank(self, request: bank_pb2.DeleteBankRequest, context: Any) -> bank_pb2.DeleteBankResponse:
        """Deletes a bank."""
        await self._backend.worker.run(lambda _: self._backend.registry.banks.delete(request.bank_id))
        return bank_pb2.DeleteBankResponse()

    async def ReadBank(
        self, request: bank_pb2.ReadBankRequest, context: Any
    ) -> AsyncIterator[bank_pb2.ReadBankResponse]:
        """Streams a bank's rows."""
        worker = self._backend.worker
        bank = await worker.run(lambda _: self._backend.registry.banks.open(request.bank_id))
        left = bank.revision - request.offset
        if left < request.count or left < 0:
            raise InvalidInput(
                f"Bank {bank.id} has {bank.revision:,} rows; offset {request.offset:,} and count {request.count:,} go "
                "beyond them.",
                field="offset" if left < 0 else "count",
            )
        rows = await worker.run(lambda _: bank.rows())
        count = request.count or left
        for start, length in spans(request.offset, count, CHUNK_BYTES // bank_row_bytes(bank), 1):
            yield await worker.run(partial(_rows_message, rows, start, length))
        structlog.contextvars.bind_contextvars(rows=count)

    async def DescribePolarity(
        self, request: bank_pb2.DescribePolarityRequest, context: Any
    ) -> bank_pb2.DescribePolarityResponse:
        """Says which rho and k a bank supports."""
        wanted = describe_from(request)
        return await self._backend.worker.run(
            lambda _: description_message(self._backend.registry.describe(request.generator, wanted))
        )


def _rows_message(rows: BankRows, start: int, count: int, _: StopSignal) -> bank_pb2.ReadBankResponse:
    return bank_rows_message(rows, start, count)
