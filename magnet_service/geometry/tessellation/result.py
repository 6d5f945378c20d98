"""The tessellation of a slice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.slice import Slice
from magnet_service.geometry.tessellation.subdivision import BORDER

__all__ = ["DECISION", "Extent", "LayerTiles", "Tessellation"]

DECISION = -2
"""Layer of the edges of the decision boundary."""


class Extent(StrEnum):
    """How far a tessellation goes."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class LayerTiles:
    """What one nonlinearity does to a slice.

    Attributes:
        name: of the node.
        operation: in the table of operations.
        units: all of its units.
        bending: those that are not affine over the window.
        tiles: of the slice, this layer's cuts among them; on a line its intervals.
    """

    name: str
    operation: str
    units: int
    bending: int
    tiles: int


@dataclass(frozen=True)
class Tessellation:
    """The tiles into which a network cuts a window of a plane, or the intervals of a line; on each it is affine.

    Attributes:
        slice: the plane or the line, and its window.
        target: name of the value that is affine on every tile; `latent` for the latent itself.
        layers: the nonlinearities taken into account, in order of execution.
        extent: TRUNCATED where a budget ended it: these are then the exact tiles of the layers listed, and not of those
            behind.
        stopped_at: name of the nonlinearity whose cuts would have gone beyond the budget; empty for COMPLETE.
        merged: how often the tie rule took two for one.
        points: [vertices, axes], coordinates on the slice.
        ends: [edges, 2], first and second vertex of each edge.
        sides: [edges, 2], the tile on the left of the edge from first to second end, and on the way back; -1 outside of
            the window. No rows for a line.
        labels: [edges, 3], what made each edge: layer (its place in `layers`; BORDER, DECISION), unit, and which of the
            unit's functions: a breakpoint, or for units that take the largest of n entries the two that tie, as
            first x n + second. On the border the side of the window instead of a unit. On a line [vertices, 3], what
            made each vertex.
        starts: [tiles + 1], where the edges of a tile begin in `cycle`.
        cycle: directed edges of the tiles, counterclockwise: twice the edge, and 1 more on the way back.
        corners: the vertices at which they begin.
        areas: [tiles], in squares of the latent's units; lengths on a line.
        centroids: [tiles, axes].
        spreads: [tiles, 2], longest and shortest distance of two corners.
        spectral_norms, frobenius_norms: [tiles], of the affine map restricted to the slice; NaN where TRUNCATED.
        stretches: [tiles], the factor by which that map stretches areas of the slice, or lengths of a line.
    """

    slice: Slice
    target: str
    layers: tuple[LayerTiles, ...]
    extent: Extent
    stopped_at: str
    merged: int
    points: NDArray[np.float64]
    ends: NDArray[np.int32]
    sides: NDArray[np.int32]
    labels: NDArray[np.int32]
    starts: NDArray[np.int64]
    cycle: NDArray[np.int32]
    corners: NDArray[np.int32]
    areas: NDArray[np.float64]
    centroids: NDArray[np.float64]
    spreads: NDArray[np.float64]
    spectral_norms: NDArray[np.float64]
    frobenius_norms: NDArray[np.float64]
    stretches: NDArray[np.float64]

    @property
    def tiles(self) -> int:
        """Number of tiles; of intervals on a line."""
        return len(self.areas)

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """The tile beyond each edge of `cycle`; -1 beyond the window."""
        beyond: NDArray[np.int32] = self.sides[self.cycle >> 1, 1 - (self.cycle & 1)]
        return beyond

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Lengths of the edges."""
        found: NDArray[np.float64] = np.linalg.norm(self.points[self.ends[:, 1]] - self.points[self.ends[:, 0]], axis=1)
        return found

    @property
    def border(self) -> NDArray[np.bool_]:
        """Which edges lie on the window's border."""
        found: NDArray[np.bool_] = self.labels[:, 0] == BORDER
        return found

    @property
    def decision(self) -> NDArray[np.bool_]:
        """Which edges lie on the decision boundary."""
        found: NDArray[np.bool_] = self.labels[:, 0] == DECISION
        return found
