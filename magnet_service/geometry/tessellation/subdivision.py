"""A subdivision of a convex window into convex tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BORDER", "Floats", "Integers", "Places", "Subdivision", "Words", "running", "whole"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]
Places = NDArray[np.int64]
Words = NDArray[np.uint64]

BORDER = -1
"""Layer of the edges on the window's border."""


@dataclass(frozen=True)
class Subdivision:
    """Tiles, edges and vertices of a window; every vertex and every edge once.

    Attributes:
        points: [vertices, 2], in coordinates of the slice.
        ends: [edges, 2], first and second vertex of each edge.
        sides: [edges, 2], the tile on the left of the edge from first to second end, and on the way back; -1 outside.
        labels: [edges, 3]: layer, unit and which of its functions made the edge; layer BORDER on the border.
        starts: [tiles + 1], where the edges of a tile begin.
        cycle: directed edges of the tiles, counterclockwise: twice the edge, and 1 more on the way back.
    """

    points: Floats
    ends: Integers
    sides: Integers
    labels: Integers
    starts: Places
    cycle: Integers

    @property
    def line(self) -> bool:
        """Whether it is one of a line: edges and vertices only."""
        return len(self.starts) == 1

    @property
    def faces(self) -> int:
        """Number of tiles of a plane."""
        return len(self.starts) - 1

    @property
    def tiles(self) -> int:
        """Number of tiles; of edges on a line."""
        return len(self.ends) if self.line else self.faces

    @property
    def corners(self) -> Integers:
        """The vertices of the tiles, in the order of `cycle`."""
        corners: Integers = self.ends[self.cycle >> 1, self.cycle & 1]
        return corners

    @property
    def around(self) -> tuple[Places, Integers]:
        """Where the vertices of each tile begin, and the vertices."""
        if self.line:
            return np.arange(0, 2 * len(self.ends) + 1, 2), self.ends.ravel()
        return self.starts, self.corners


def whole(window: Floats) -> Subdivision:
    """The subdivision that a convex window is, one tile.

    Arguments:
        window: [corners, 2], counterclockwise; [2, 1] for a line.

    Returns:
        As many vertices and edges as corners.

    Raises:
        Nothing.
    """
    if window.shape[1] == 1:
        points = np.concatenate([window, np.zeros_like(window)], axis=1)
        none = np.zeros((1, 2), np.int32)
        ends, labels = np.array([[0, 1]], np.int32), np.zeros((1, 3), np.int32)
        return Subdivision(points, ends, none - 1, labels, np.zeros(1, np.int64), none[0, :0])
    count = len(window)
    first = np.arange(count, dtype=np.int32)
    ends = np.stack([first, np.roll(first, -1)], axis=1)
    sides = np.stack([np.zeros_like(first), np.full_like(first, -1)], axis=1)
    labels = np.stack([np.full_like(first, BORDER), first, np.zeros_like(first)], axis=1)
    return Subdivision(window.copy(), ends, sides, labels, np.array([0, count]), 2 * first)


def running(counts: Places, first: int = 0) -> Places:
    """[n + 1] sums of the counts before each place, from `first` on."""
    sums = np.empty(len(counts) + 1, np.int64)
    sums[0] = first
    np.cumsum(counts, out=sums[1:])
    sums[1:] += first
    return sums
