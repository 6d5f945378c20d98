"""A draw over all classes in equal shares: answer row i has class i mod C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from magnet_service.sampling.counter import Stream, uniforms
from magnet_service.sampling.draw import DirectDraw, Draw, ResampledDraw

__all__ = ["MixtureDraw", "places_of", "share_of"]


@final
@dataclass(frozen=True, eq=False)
class MixtureDraw(Draw):
    """Rows of all classes in turn.

    Row i is that of the draw for its class alone under the same seed, k and rho: a direct draw's row i; of a resampled
    one with replacement row i, without replacement row i div C.

    Attributes:
        count_of_classes: C.
        directs: where no bank is read, the draw of each class, or one that all classes share; else empty.
        parts: the draw of each class; empty for a direct draw.
    """

    count_of_classes: int
    directs: tuple[DirectDraw, ...]
    parts: tuple[ResampledDraw, ...]

    def classes(self, start: int, count: int) -> Int32[np.ndarray, " answer"]:
        """As `Draw.classes`."""
        return (np.arange(start, start + count) % self.count_of_classes).astype(np.int32)

    def latents(self, start: int, count: int) -> Float32[np.ndarray, "answer latent"]:
        """As `Draw.latents`."""
        if len(self.directs) == 1:
            return self.directs[0].latents(start, count)
        if self.directs:
            return self._direct(start, count)
        indices = self._indices(start, count)
        page = np.empty((count, self.parts[0].rows.dim), dtype=np.float32)
        for index, part in enumerate(self.parts):
            places = places_of(index, self.count_of_classes, start, count)
            page[places] = part.rows.latents_at(indices[places])
        return page

    def indices(self, start: int, count: int) -> Int64[np.ndarray, " answer"] | None:
        """As `Draw.indices`: rows of the bank of each row's class."""
        return self._indices(start, count) if self.parts else None

    def log_volumes(self, start: int, count: int) -> Float64[np.ndarray, " answer"] | None:
        """As `Draw.log_volumes`."""
        return self._gathered(start, count, volumes=True) if self.parts else None

    def log_weights(self, start: int, count: int) -> Float64[np.ndarray, " answer"]:
        """As `Draw.log_weights`, within each row's class."""
        return self._gathered(start, count, volumes=False) if self.parts else np.zeros(count)

    def distinct(self, start: int, count: int) -> int:
        """Different rows of their classes' banks among these rows; all of them where no bank is read."""
        if not self.parts:
            return count
        indices = self._indices(start, count)
        each = (indices[places_of(index, self.count_of_classes, start, count)] for index in range(len(self.parts)))
        return sum(int(np.unique(rows).size) for rows in each)

    def _indices(self, start: int, count: int) -> Int64[np.ndarray, " answer"]:
        return self._page(start, count)

    @cached_property
    def _page(self) -> Callable[[int, int], Int64[np.ndarray, " answer"]]:
        return lru_cache(maxsize=1)(self._drawn)  # as `ResampledDraw`

    def _drawn(self, start: int, count: int) -> Int64[np.ndarray, " answer"]:
        page: Int64[np.ndarray, " answer"] = np.empty(count, dtype=np.int64)
        replacement = self.resolved.replacement
        uniform = uniforms(self.resolved.seed, Stream.RESAMPLE, start, count, 1)[:, 0] if replacement else None
        for index, part in enumerate(self.parts):
            places = places_of(index, self.count_of_classes, start, count)
            if uniform is None:
                page[places] = part.in_order((start + places) // self.count_of_classes)
            else:
                page[places] = part.at(uniform[places])
        page.setflags(write=False)
        return page

    def _direct(self, start: int, count: int) -> Float32[np.ndarray, "answer latent"]:
        # Every class draws the whole page: a row of a mapped law depends on its place in its tile.
        page = self.directs[0].latents(start, count).copy()
        for index, direct in enumerate(self.directs[1:], 1):
            places = places_of(index, self.count_of_classes, start, count)
            page[places] = direct.latents(start, count)[places]
        return page

    def _gathered(self, start: int, count: int, *, volumes: bool) -> Float64[np.ndarray, " answer"]:
        indices = self._indices(start, count)
        page: Float64[np.ndarray, " answer"] = np.empty(count)
        for index, part in enumerate(self.parts):
            places = places_of(index, self.count_of_classes, start, count)
            rows = indices[places]
            page[places] = part.log_volumes_of(rows) if volumes else part.log_weights_of(rows)
        return page


def places_of(index: int, classes: int, start: int, count: int) -> Int64[np.ndarray, " places"]:
    """Where rows of class `index` stand among answer rows start to start + count - 1, counted from `start`."""
    return np.arange((index - start) % classes, count, classes, dtype=np.int64)


def share_of(index: int, classes: int, rows: int) -> int:
    """How many of the first `rows` answer rows have class `index`.

    Example:
        >>> [share_of(index, 3, 7) for index in range(3)]
        [3, 2, 2]
    """
    return max(0, -(-(rows - index) // classes))
