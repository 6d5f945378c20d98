"""Banks: built, listed, read, described, deleted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from magnet.v1 import bank_pb2
from magnet_client import codec
from magnet_client.awaiting.connection import AsyncConnection
from magnet_client.errors import ServerFault
from magnet_client.results import BankInfo, BankList, BankRows, PolarityGrid, Progress
from magnet_client.words import BaseWord, ConditionLike, ManifoldWord, PrecisionWord

__all__ = ["AsyncBanks"]


class AsyncBanks(AsyncConnection):
    """Calls of the bank service."""

    async def build_bank(
        self,
        generator: str,
        rows: int = 10_240,
        *,
        condition: ConditionLike | None = None,
        seed: int = 0,
        base: BaseWord = "prior",
        ball_radius: float | None = None,
        box: tuple[float, float] | None = None,
        manifold: ManifoldWord = "output",
        precision: PrecisionWord = "float32",
        on_progress: Callable[[Progress], None] | None = None,
        timeout: float | None = None,
    ) -> BankInfo:
        """Build a bank, or grow it, and wait until it is done; as `Client.build_bank`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.build_request(generator, rows, condition, seed, base, ball_radius, box, manifold, precision)
        started = await self._call(self._banks.BuildBank, request, None)
        state = codec.decode_progress(started)
        if started.done:
            if on_progress is not None:
                on_progress(state)
            return codec.decode_outcome(started)
        async with aclosing(self._watch(state.operation, timeout)) as states:
            async for operation, progress in states:
                if on_progress is not None:
                    on_progress(progress)
                if operation.done:
                    return codec.decode_outcome(operation)
        raise ServerFault("the build was followed no further, and is not done", reason="MALFORMED_ANSWER")

    async def start_build(
        self,
        generator: str,
        rows: int = 10_240,
        *,
        condition: ConditionLike | None = None,
        seed: int = 0,
        base: BaseWord = "prior",
        ball_radius: float | None = None,
        box: tuple[float, float] | None = None,
        manifold: ManifoldWord = "output",
        precision: PrecisionWord = "float32",
        timeout: float | None = None,
    ) -> Progress:
        """Start what `build_bank` does, and do not wait; as `Client.start_build`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.build_request(generator, rows, condition, seed, base, ball_radius, box, manifold, precision)
        return codec.decode_progress(await self._call(self._banks.BuildBank, request, timeout))

    async def watch_build(self, operation: str, *, timeout: float | None = None) -> AsyncGenerator[Progress, None]:
        """Follow a build; as `Client.watch_build`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        async with aclosing(self._watch(operation, timeout)) as states:
            async for state, progress in states:
                if state.done:
                    codec.decode_outcome(state)
                yield progress

    async def cancel_build(self, operation: str, *, timeout: float | None = None) -> None:
        """Cancel a build; the rows that are complete stay; as `Client.cancel_build`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        await self._cancel(operation, timeout)

    async def banks(self, generator: str = "", *, timeout: float | None = None) -> BankList:
        """List the banks; as `Client.banks`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = bank_pb2.ListBanksRequest(generator=generator)
        return codec.decode_banks(await self._call(self._banks.ListBanks, request, timeout))

    async def bank(self, bank: str, *, timeout: float | None = None) -> BankInfo:
        """Describe one bank; as `Client.bank`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = bank_pb2.GetBankRequest(bank_id=codec.bank_id(bank))
        return codec.decode_bank((await self._call(self._banks.GetBank, request, timeout)).bank)

    async def delete_bank(self, bank: str, *, timeout: float | None = None) -> None:
        """Delete a bank and its rows, for good; as `Client.delete_bank`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        await self._call(self._banks.DeleteBank, bank_pb2.DeleteBankRequest(bank_id=codec.bank_id(bank)), timeout)

    async def read_bank(
        self, bank: str, offset: int = 0, count: int | None = None, *, timeout: float | None = None
    ) -> BankRows:
        """Read rows of a bank; as `Client.read_bank`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.read_request(bank, offset, count)
        parts = [part async for part in self._iterate(self._banks.ReadBank, request, timeout)]
        return codec.decode_rows(parts, offset)

    async def describe_polarity(
        self,
        generator: str | None,
        rhos: Sequence[float] | None = None,
        top_ks: Sequence[int] | None = None,
        *,
        condition: ConditionLike | None = None,
        base: BaseWord = "prior",
        ball_radius: float | None = None,
        box: tuple[float, float] | None = None,
        manifold: ManifoldWord = "output",
        bank: str | None = None,
        bank_revision: int | None = None,
        precision: PrecisionWord = "float32",
        timeout: float | None = None,
    ) -> PolarityGrid:
        """Tell which rho and k a bank supports; as `Client.describe_polarity`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.polarity_request(
            generator, rhos, top_ks, condition, base, ball_radius, box, manifold, bank, bank_revision, precision
        )
        return codec.decode_polarity(await self._call(self._banks.DescribePolarity, request, timeout))

    async def _watch(
        self, operation: str, timeout: float | None
    ) -> AsyncGenerator[tuple[codec.Operation, Progress], None]:
        request = bank_pb2.WatchOperationRequest(name=operation)
        async with aclosing(self._iterate(self._banks.WatchOperation, request, timeout)) as responses:
            async for response in responses:
                yield response.operation, codec.decode_progress(response.operation)
                if response.operation.done:
                    return
