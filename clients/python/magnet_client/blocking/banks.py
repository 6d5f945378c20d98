"""Banks: built, listed, read, described, deleted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

from magnet.v1 import bank_pb2
from magnet_client import codec
from magnet_client.blocking.connection import Connection
from magnet_client.errors import ServerFault
from magnet_client.results import BankInfo, BankList, BankRows, PolarityGrid, Progress
from magnet_client.words import BaseWord, ConditionLike, ManifoldWord, PrecisionWord

__all__ = ["Banks"]


class Banks(Connection):
    """Calls of the bank service."""

    def build_bank(
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
        """Build a bank, or grow it, and wait until it is done.

        Arguments:
            generator: `name` or `name@version`.
            rows: rows that the bank shall have at the end, 1 to 10,000,000,000; those that exist are kept.
            condition: of all its rows, where the generator takes one; a draw over all classes reads a bank of each.
            seed: seed of the latents, 0 to 2^64 - 1.
            base: law of the bank's latents, `prior` or `uniform`.
            ball_radius: bounds a uniform law by a ball.
            box: (low, high) bounds it by a box. Neither: as in `sample`.
            manifold: where volumes are taken, `output`, `pre_activation` or `features`.
            precision: `float32`, `float64`, or `bfloat16` (tangents alone): where that is off by more than 0.05 nats at
                some k up to 30, float32 takes its place, and the bank says so.
            on_progress: called with each change of state, a few times a second.
            timeout: seconds to wait; no limit when None. The build goes on when the waiting ends.

        Returns:
            The bank.

        Raises:
            InvalidInput: with field, for what can never be right.
            UnknownResource: no such generator or version.
            OutOfSpace: the store is full; the rows that were complete stay.
            Cancelled: somebody cancelled the build.
            DeadlineExceeded, Overloaded, Unavailable, ServerFault: as their names say.

        Accuracy: rows are bit-identical however often the build was interrupted and continued.

        Cost: one Jacobian a row, in the background of the server's other requests.
        """
        request = codec.build_request(generator, rows, condition, seed, base, ball_radius, box, manifold, precision)
        started = self._call(self._banks.BuildBank, request, None)
        state = codec.decode_progress(started)
        if started.done:
            if on_progress is not None:
                on_progress(state)
            return codec.decode_outcome(started)
        for operation, progress in self._watch(state.operation, timeout):
            if on_progress is not None:
                on_progress(progress)
            if operation.done:
                return codec.decode_outcome(operation)
        raise ServerFault("the build was followed no further, and is not done", reason="MALFORMED_ANSWER")

    def start_build(
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
        """Start what `build_bank` does, and do not wait.

        Arguments:
            generator, rows, condition, seed, base, ball_radius, box, manifold, precision: as in `build_bank`.
            timeout: seconds until the build has been taken on; the client's own when None.

        Returns:
            The build as it stands; its `operation` is the name for `watch_build` and `cancel_build`.

        Raises:
            InvalidInput, UnknownResource, Overloaded, DeadlineExceeded, Unavailable, ServerFault: as in `build_bank`.

        Accuracy: as `build_bank`.
        """
        request = codec.build_request(generator, rows, condition, seed, base, ball_radius, box, manifold, precision)
        return codec.decode_progress(self._call(self._banks.BuildBank, request, timeout))

    def watch_build(self, operation: str, *, timeout: float | None = None) -> Generator[Progress, None, None]:
        """Follow a build.

        Arguments:
            operation: its name, `operations/...`.
            timeout: seconds for the whole watch; no limit when None.

        Returns:
            An iterator: the present state at once, then each change, the last one done.

        Raises:
            UnknownResource: no such operation.
            OutOfSpace, Cancelled, and whatever else ended the build.
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact at the time of each answer.
        """
        for state, progress in self._watch(operation, timeout):
            if state.done:
                codec.decode_outcome(state)
            yield progress

    def cancel_build(self, operation: str, *, timeout: float | None = None) -> None:
        """Cancel a build; the rows that are complete stay.

        Arguments:
            operation: its name, `operations/...`.
            timeout: seconds; the client's own when None.

        Raises:
            UnknownResource: no such operation.
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: the build ends at its next tile.
        """
        self._cancel(operation, timeout)

    def banks(self, generator: str = "", *, timeout: float | None = None) -> BankList:
        """List the banks.

        Arguments:
            generator: only those of `name` or `name@version`; all when empty.
            timeout: seconds; the client's own when None.

        Returns:
            A sequence of banks, ordered by generator, law and id; `unreadable` tells which cannot be opened.

        Raises:
            UnknownResource: no such generator or version.
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact.
        """
        request = bank_pb2.ListBanksRequest(generator=generator)
        return codec.decode_banks(self._call(self._banks.ListBanks, request, timeout))

    def bank(self, bank: str, *, timeout: float | None = None) -> BankInfo:
        """Describe one bank.

        Arguments:
            bank: its id, 16 hexadecimal digits.
            timeout: seconds; the client's own when None.

        Returns:
            The bank.

        Raises:
            InvalidInput: that cannot be an id.
            UnknownResource: no such bank.
            DamagedData: its files are not what they were.
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact.
        """
        request = bank_pb2.GetBankRequest(bank_id=codec.bank_id(bank))
        return codec.decode_bank(self._call(self._banks.GetBank, request, timeout).bank)

    def delete_bank(self, bank: str, *, timeout: float | None = None) -> None:
        """Delete a bank and its rows, for good.

        Arguments:
            bank: its id, 16 hexadecimal digits.
            timeout: seconds; the client's own when None.

        Raises:
            InvalidInput: that cannot be an id.
            UnknownResource: no such bank.
            Refused: it is being built.
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact.
        """
        self._call(self._banks.DeleteBank, bank_pb2.DeleteBankRequest(bank_id=codec.bank_id(bank)), timeout)

    def read_bank(
        self, bank: str, offset: int = 0, count: int | None = None, *, timeout: float | None = None
    ) -> BankRows:
        """Read rows of a bank.

        Arguments:
            bank: its id, 16 hexadecimal digits.
            offset: first row.
            count: rows; all that follow when None.
            timeout: seconds; no limit when None.

        Returns:
            Latents, log-volumes of every k, and ranks, in the bank's order.

        Raises:
            InvalidInput: that cannot be an id, or rows beyond the end.
            UnknownResource: no such bank.
            DamagedData: a shard is not what it was; the message names it.
            DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact, as stored.
        """
        responses = self._open(self._banks.ReadBank, codec.read_request(bank, offset, count), timeout)
        parts = []
        while (part := self._next(responses)) is not None:
            parts.append(part)
        return codec.decode_rows(parts, offset)

    def describe_polarity(
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
        """Tell which rho and k a bank supports.

        Arguments:
            generator: `name` or `name@version`; None beside a bank, whose own law then stands for the prior.
            rhos: exponents of v_k, at most 64; a grid from -5 to 5 when None.
            top_ks: values of k, at most 64; a selection of 1..d when None.
            base, ball_radius, box: the law to be reweighted, as in `sample`.
            manifold: where volumes are taken.
            bank: its id; chosen as for a draw when None.
            bank_revision: use only this many first rows.
            precision: arithmetic of the bank.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            ESS, k-hat and largest weight for every pair, and advice in words.

        Raises:
            InvalidInput: with field, for what can never be right.
            UnknownResource: no such generator, version or bank.
            Refused: no bank fits; the message says how to build one.
            Overloaded, DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact sums over the bank's rows in float64; k-hat is an estimate.
        """
        request = codec.polarity_request(
            generator, rhos, top_ks, condition, base, ball_radius, box, manifold, bank, bank_revision, precision
        )
        return codec.decode_polarity(self._call(self._banks.DescribePolarity, request, timeout))

    def _watch(self, operation: str, timeout: float | None) -> Iterator[tuple[codec.Operation, Progress]]:
        responses = self._open(self._banks.WatchOperation, bank_pb2.WatchOperationRequest(name=operation), timeout)
        try:
            while (response := self._next(responses)) is not None:
                yield response.operation, codec.decode_progress(response.operation)
                if response.operation.done:
                    return
        finally:
            responses.cancel()
