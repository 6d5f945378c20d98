"""The right to write a bank: an object that names its holder and its end, at the bank's own place."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import final

from magnet_service.errors import DamagedData, MagnetError, OutOfSpace, Refused
from magnet_service.sampling.banks.holder import Holder, this_process
from magnet_service.sampling.banks.place import Place

__all__ = ["LEASES", "LEASE_SECONDS", "Lease", "Term", "lease_in_force"]

LEASES = "lease"
LEASE_SECONDS = 30.0


@dataclass(frozen=True)
class Term:
    """What a lease object says.

    Attributes:
        number: of the lease; a later one has a larger one.
        holder: who holds it.
        end: when it ends, seconds since 1970; 0 once given back.
    """

    number: int
    holder: Holder
    end: float

    @property
    def over(self) -> bool:
        """Whether another may take its place: given back, past its end, or its holder gone."""
        return time.time() >= self.end or self.holder.ended


def lease_in_force(bank: Place) -> Term | None:
    """The last lease of a bank, perhaps over; None before the first.

    Arguments:
        bank: the bank's place.

    Returns:
        The term of the highest number.

    Raises:
        DamagedData: it is no lease.

    Accuracy:
        As the store was when asked; ends compare clocks of two machines.
    """
    place = bank.child(LEASES)
    while names := place.names():
        try:
            return _term(names[-1], place.read(names[-1]))
        except FileNotFoundError:  # a later one took its place in between
            continue
    return None


@final
class Lease:
    """Held while a `with` block runs, and renewed meanwhile by a thread of its own.

    Leases of a bank are numbered objects; a new one is made under the next number if that is absent, so that of two
    who try at once one gets it. What it guards is guarded by numbers too (see `manifest`): a holder that stalls beyond
    its end, and goes on, can replace nothing.

    Arguments:
        bank: the bank's place.
        what: words for messages, as `bank 0123456789abcdef`.
        seconds: how long a term lasts; it is renewed after a third of that.

    Raises:
        Refused: another holder; reason BUSY.
    """

    def __init__(self, bank: Place, what: str, seconds: float = LEASE_SECONDS) -> None:
        self._place, self._what, self._seconds = bank.child(LEASES), what, seconds
        self._ended = threading.Event()
        self._lost: MagnetError | None = None
        last = lease_in_force(bank)
        if last is not None and not last.over:
            raise self._busy(last)
        self.number = 1 if last is None else last.number + 1
        self._end = time.time() + seconds
        if not self._place.create(_name(self.number), self._content(self._end)) or self._highest() != self.number:
            raise self._busy(lease_in_force(bank))
        for name in self._place.names():
            if name < _name(self.number):
                self._place.remove(name)
        self._renewer = threading.Thread(target=self._renew, name=f"lease of {what}", daemon=True)
        self._renewer.start()

    def check(self) -> None:
        """Refused (LEASE_LOST) when the lease is no longer held: asked before anything is written."""
        if self._lost is not None or time.time() >= self._end:
            why = f": {self._lost.message}" if self._lost else ""
            raise Refused(
                f"{self._what} is no longer this writer's, its lease ended before it was renewed{why}. What is "
                "complete stays; build again to go on.",
                reason="LEASE_LOST",
            )

    def give_back(self) -> None:
        """Ends it; another may write at once."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._renewer.join()
        # A store that cannot be reached any more forgets the lease by itself.
        with contextlib.suppress(MagnetError):
            if self._lost is None and self._highest() == self.number:
                try:
                    self._place.put(_name(self.number), self._content(0.0))
                except OutOfSpace:  # numbers begin anew
                    self._place.remove(_name(self.number))

    def __enter__(self) -> Lease:
        """The lease."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it."""
        self.give_back()

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 3.0):
            end = time.time() + self._seconds
            try:
                if self._highest() != self.number:
                    raise Refused("another writer holds a later one", reason="LEASE_LOST")
                self._place.put(_name(self.number), self._content(end))
            except MagnetError as error:
                if time.time() >= self._end or not _passing(error):
                    self._lost = error
                    return
            else:
                self._end = end

    def _highest(self) -> int:
        return max((_number(name) for name in self._place.names()), default=0)

    def _content(self, end: float) -> bytes:
        return json.dumps({"holder": this_process().content(), "end": end}).encode()

    def _busy(self, term: Term | None) -> Refused:
        by = f" by {term.holder}" if term else ""
        return Refused(
            f"{self._what} is being written{by}: wait until that is done, or stop it first; the lease of a writer that "
            f"was killed ends by itself within {self._seconds:.0f} s",
            reason="BUSY",
        )


def _passing(error: MagnetError) -> bool:
    """Whether a later try may go well: a store that cannot be reached now, a disk that is full now."""
    return not isinstance(error, Refused)


def _name(number: int) -> str:
    return f"{number:012d}.json"


def _number(name: str) -> int:
    digits = name.removesuffix(".json")
    return int(digits) if digits.isdigit() else 0


def _term(name: str, data: bytes) -> Term:
    try:
        content = json.loads(data)
        return Term(_number(name), Holder(**content["holder"]), float(content["end"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedData(f"{LEASES}/{name} is no lease: {error!r}; remove it when nobody writes") from error
