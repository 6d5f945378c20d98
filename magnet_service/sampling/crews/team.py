"""A crew of workers that may die: spans handed out as workers become free, and again where one did not answer."""

from __future__ import annotations

import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from magnet_service.errors import Refused
from magnet_service.geometry.engine import stopped
from magnet_service.sampling.banks.rows import Rows
from magnet_service.sampling.crews.crew import Computed, Span, StopSignal

__all__ = ["Hand", "Presence", "Team", "WorkerDied"]

_OUT = 2
"""Spans that a worker has at once: the next one is there when it has done one."""

_DEATHS = 3
"""Deaths in a row, without an answer between them, after which a worker is not replaced or a span given up."""

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 300.0


class WorkerDied(Exception):
    """A worker ended without an answer; the message says how. It never leaves the team."""


@dataclass(frozen=True)
class Presence:
    """Where a worker is.

    Attributes:
        host: name of its machine.
        pid: of its process there.
    """

    host: str
    pid: int

    @property
    def name(self) -> str:
        """As logs have it."""
        return f"pid {self.pid} on {self.host}"


@runtime_checkable
class Hand(Protocol):
    """One worker's handle in the driver; what it answers with may raise WorkerDied, or the worker's MagnetError."""

    @property
    def ready(self) -> Future[Presence]:
        """Done once the worker has loaded its recipe."""
        ...

    def submit(self, span: Span) -> Future[Rows]:
        """Computes a span behind those before it."""
        ...

    def close(self) -> None:
        """Ends the worker whatever it does; a second call does nothing."""
        ...


@dataclass
class _Place:
    """A worker's place in the team, which those who replace it take over."""

    number: int
    hand: Hand
    presence: Presence | None = None
    out: deque[tuple[Future[Rows], Span]] = field(default_factory=deque)
    deaths: int = 0

    @property
    def name(self) -> str:
        return f"worker {self.number}" + ("" if self.presence is None else f" ({self.presence.name})")

    @property
    def next(self) -> Future[Any]:
        """What it will answer next."""
        return self.out[0][0] if self.out else self.hand.ready


class Team:
    """A crew whose workers are started at once and replaced when they die.

    Arguments:
        start: makes the worker of a place, numbered from 0, which loads its recipe by itself.
        size: places.
        tell: given a line whenever a worker dies or is left out.
        ended: called once after the workers have been ended.
        patience: seconds for which no worker may be ready.

    Raises:
        Whatever `start` raises.
    """

    def __init__(
        self,
        start: Callable[[int], Hand],
        size: int,
        *,
        tell: Callable[[str], None] | None = None,
        ended: Callable[[], None] | None = None,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._start = start
        self._tell = tell
        self._ended = ended
        self._patience = patience
        self._places: list[_Place] = []
        self._refusal: Refused | None = None
        try:
            for number in range(size):
                self._places.append(_Place(number, start(number)))
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Places that are not given up."""
        return len(self._places)

    @property
    def names(self) -> tuple[str, ...]:
        """The workers that are ready."""
        return tuple(place.name for place in self._places if place.presence is not None)

    @property
    def present(self) -> tuple[Presence, ...]:
        """Where the workers that are ready are."""
        return tuple(place.presence for place in self._places if place.presence is not None)

    def compute(self, spans: Iterable[Span], should_stop: StopSignal | None = None) -> Iterator[Computed]:
        """Computes spans of rows, several at a time; see `Crew.compute`."""
        left = _Left(iter(spans))
        heard = time.monotonic()
        try:
            while left.some or any(place.out for place in self._places):
                stopped(should_stop)
                wait([place.next for place in self._busy(left)], _POLL_SECONDS, FIRST_COMPLETED)
                for place in tuple(self._places):
                    yield from self._answers(place, left)
                self._give(left)
                if self.present:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self._patience:
                    raise Refused(
                        f"no worker became ready within {self._patience:.0f} s: look whether the machines have free "
                        "devices, or ask for fewer workers.",
                        reason="NO_WORKERS",
                    )
        finally:
            for place in self._places:
                for job, _ in place.out:
                    job.cancel()
                place.out.clear()

    def close(self) -> None:
        """Ends the workers, whatever they do; see `Crew.close`."""
        places, self._places = self._places, []
        for place in places:
            place.hand.close()
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended()

    def _busy(self, left: _Left) -> list[_Place]:
        # A worker that has loaded its recipe and has nothing to do is not waited for.
        return [place for place in self._places if place.out or (place.presence is None and left.some)]

    def _give(self, left: _Left) -> None:
        for depth in range(1, _OUT + 1):
            for place in self._places:
                if place.presence is not None and len(place.out) < depth and left.some:
                    span = left.take()
                    place.out.append((place.hand.submit(span), span))

    def _answers(self, place: _Place, left: _Left) -> Iterator[Computed]:
        try:
            if place.presence is None and place.hand.ready.done():
                place.presence = place.hand.ready.result()
            while place.out and place.out[0][0].done():
                rows = place.out[0][0].result()
                _, span = place.out.popleft()
                place.deaths = 0
                yield span[0], rows
        except WorkerDied as death:
            self._replace(place, left, str(death))
        except Refused as refusal:
            if refusal.reason != "OTHER_ENGINE":
                raise
            # Of a cluster's machines some may be of another kind: the others do the work.
            self._refusal = refusal
            self._leave_out(place, refusal.message)

    def _replace(self, place: _Place, left: _Left, how: str) -> None:
        name, spans = place.name, [span for _, span in place.out]
        place.deaths += 1
        place.presence = None
        place.out.clear()
        left.put_back(spans)
        if spans and left.blame(spans[0]) >= _DEATHS:
            first, stop = spans[0]
            raise _died(f"{_DEATHS} workers died one after another at rows {first} to {stop - 1}, the last one {how}")
        if place.deaths >= _DEATHS:
            self._refusal = _died(f"{name} {how}, {_DEATHS} times in a row without an answer")
            self._leave_out(place, f"{how}, too often")
            return
        self._say(f"{name} {how}: it is replaced" + (f", {len(spans)} spans are handed out again" if spans else ""))
        place.hand.close()
        place.hand = self._start(place.number)

    def _leave_out(self, place: _Place, why: str) -> None:
        self._say(f"{place.name} is left out: {why}")
        place.hand.close()
        self._places.remove(place)
        if not self._places and self._refusal is not None:
            raise self._refusal

    def _say(self, line: str) -> None:
        if self._tell is not None:
            self._tell(line)


class _Left:
    """Spans that nobody works at: those handed back first, then the iterable's, which is read one ahead."""

    def __init__(self, source: Iterator[Span]) -> None:
        self._source = source
        self._head = next(source, None)
        self._back: list[Span] = []
        self._blamed: Counter[Span] = Counter()

    @property
    def some(self) -> bool:
        return bool(self._back) or self._head is not None

    def take(self) -> Span:
        if self._back:
            return heapq.heappop(self._back)
        if self._head is None:
            raise IndexError("no span is left")
        head, self._head = self._head, next(self._source, None)
        return head

    def put_back(self, spans: Iterable[Span]) -> None:
        for span in spans:
            heapq.heappush(self._back, span)

    def blame(self, span: Span) -> int:
        """How many workers have died at a span, this one counted."""
        self._blamed[span] += 1
        return self._blamed[span]


def _died(what: str) -> Refused:
    return Refused(
        f"{what}. Workers that are killed often lack memory: ask for fewer of them or bound it (max_memory); a script "
        'that starts workers must do so under `if __name__ == "__main__":`. What they wrote to stderr may say more.',
        reason="WORKERS_DIED",
    )
