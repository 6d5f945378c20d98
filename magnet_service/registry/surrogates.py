"""Surrogates of banks: found in the store, fitted where there is none, the last ones kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from magnet_service.errors import DamagedData, Refused
from magnet_service.generator import Precision
from magnet_service.geometry import Engine
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import SampleRequest
from magnet_service.sampling.method import Method
from magnet_service.sampling.screening.fitting import MOST_ROWS, fitting
from magnet_service.sampling.screening.keeping import Keeping
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.settled import Settled

__all__ = ["SurrogateShelf", "no_surrogate"]

_IN_MEMORY = 8


@dataclass(frozen=True, eq=False)
class SurrogateShelf:
    """Surrogates by bank and digest. Not thread-safe, as the registry.

    Attributes:
        banks: the banks.
        engine_for: how the server computes in a precision.
    """

    banks: BankShelf
    engine_for: Callable[[Precision], Engine]
    _held: OrderedDict[str, Surrogate] = field(default_factory=OrderedDict)
    _at_work: set[str] = field(default_factory=set)

    def fitted(self, held: HeldGenerator, request: SampleRequest, found: Settled) -> Iterator[float]:
        """Fits the surrogate of a bank and stores it, in steps of some milliseconds; nothing where one is stored.

        Arguments:
            held: the generator, of its condition.
            request: the draw.
            found: what it came to.

        Yields:
            The share that is done.

        Raises:
            Refused: the bank is too small (SMALL_BANK), or this server only reads (NO_SURROGATE); of AUTO not the
                latter.
            What `BankShelf.open` raises.

        Accuracy: as `fitting`.
        """
        bank = self.banks.open(found.choice.spec.id)
        keeping = Keeping(bank.place)
        while bank.id in self._at_work:  # another call fits it
            yield 0.0
        if self.newest(keeping, len(found.rows)) is not None:
            return
        if not self.banks.builder:
            if request.method is Method.AUTO:
                return
            raise no_surrogate(bank.id)
        self._at_work.add(bank.id)
        try:
            surrogate = yield from fitting(
                found.rows,
                held.generator,
                self.engine_for(Precision.FLOAT32),
                manifold=request.manifold,
                bank_id=bank.id,
            )
            keeping.keep_surrogate(surrogate)
            self._remember(surrogate)
        finally:
            self._at_work.discard(bank.id)

    def newest(self, keeping: Keeping, revision: int) -> Surrogate | None:
        """The surrogate of the most rows that can be read; None too where the bank has doubled and it is time anew."""
        for digest in keeping.digests(revision):
            try:
                found = self.named(keeping, digest)
            except (DamagedData, Refused):  # another is fitted
                continue
            if found is not None:
                grown = revision >= 2 * found.revision and found.revision < MOST_ROWS
                return None if grown and self.banks.builder else found
        return None

    def named(self, keeping: Keeping, digest: str) -> Surrogate | None:
        """The surrogate of a digest, None where there is none; raises as `Keeping.surrogate`."""
        found = self._held.get(digest) or keeping.surrogate(digest)
        if found is not None:
            self._remember(found)
        return found

    def _remember(self, surrogate: Surrogate) -> None:
        self._held[surrogate.digest] = surrogate
        self._held.move_to_end(surrogate.digest)
        while len(self._held) > _IN_MEMORY:
            self._held.popitem(last=False)


def no_surrogate(bank_id: str) -> Refused:
    """What says that a bank has no surrogate and that this server fits none."""
    return Refused(
        f"bank {bank_id} has no surrogate yet, and this server only reads banks: ask one started with --builder for a "
        "screened draw first, or use method RESAMPLE.",
        field="method",
        reason="NO_SURROGATE",
    )
