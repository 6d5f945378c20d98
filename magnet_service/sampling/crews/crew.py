"""What computes spans of a bank's rows; the simplest one does so in the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

from magnet_service.geometry.engine import stopped
from magnet_service.sampling.banks.rows import Rows
from magnet_service.sampling.crews.recipe import Bench

__all__ = ["Computed", "Crew", "Inline", "Span", "StopSignal"]

Span = tuple[int, int]
"""First row and the one behind the last; the first begins a tile."""

Computed = tuple[int, Rows]
"""First row of a span, and the rows of that span."""

StopSignal = Callable[[], bool]


@runtime_checkable
class Crew(Protocol):
    """Workers of one recipe, started once and closed at the end; one computation at a time."""

    @property
    def size(self) -> int:
        """How many workers there are."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The workers that are ready, as logs name them."""
        ...

    def compute(self, spans: Iterable[Span], should_stop: StopSignal | None = None) -> Iterator[Computed]:
        """Computes spans of rows, several at a time.

        Arguments:
            spans: taken in their order, each when a worker is about to be free: at most two a worker are out.
            should_stop: asked several times a second.

        Returns:
            Each span's first row and its rows, in the order in which they are done.

        Raises:
            Cancelled: should_stop turned true; close the crew to end what its workers still do.
            Refused: workers died again and again (WORKERS_DIED), none could be had (NO_WORKERS), none computes as
                the recipe's stamp says (OTHER_ENGINE), or another generator is where they look (FOREIGN_BANK).
            Whatever the computation raises, as `compute_rows` does.

        Accuracy: the bytes of a row do not depend on who computed it, nor on what was computed beside it.
        """
        ...

    def close(self) -> None:
        """Ends the workers, whatever they do, and waits until they are gone; a second call does nothing."""
        ...


class Inline:
    """No other process: the calling thread.

    Arguments:
        bench: of the recipe, or made of a generator that has no files.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @property
    def size(self) -> int:
        """One."""
        return 1

    @property
    def names(self) -> tuple[str, ...]:
        """This process."""
        return ("this process",)

    def compute(self, spans: Iterable[Span], should_stop: StopSignal | None = None) -> Iterator[Computed]:
        """Computes one span after another; see `Crew.compute`."""
        for start, stop in spans:
            stopped(should_stop)
            yield start, self._bench.rows(start, stop, should_stop)

    def close(self) -> None:
        """Nothing is left to end."""
