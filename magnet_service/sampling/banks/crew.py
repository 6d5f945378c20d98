"""Who computes rows: this process, or others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from magnet_service.sampling.banks.rows import Rows

__all__ = ["Crew", "StopSignal"]

StopSignal = Callable[[], bool]


class Crew(Protocol):
    """Computes spans of the rows of one recipe."""

    def compute(
        self, spans: Iterable[tuple[int, int]], should_stop: StopSignal | None = None
    ) -> Iterator[tuple[int, Rows]]:
        """Rows start to stop - 1 for each span, with their start, in any order; spans are taken as they are needed."""

    def close(self) -> None:
        """Ends the workers."""
