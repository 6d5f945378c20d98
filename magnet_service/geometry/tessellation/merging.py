"""Edges that no function makes after all, taken out again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.planar.merging import fuse, join_tiles
from magnet_service.geometry.tessellation.subdivision import Subdivision, running

__all__ = ["without"]


def without(
    before: Subdivision, removed: NDArray[np.bool_], old_vertices: int
) -> tuple[Subdivision, NDArray[np.int64]]:
    """A subdivision without some of its edges, and without the vertices that only they needed.

    Arguments:
        before: the subdivision; not changed.
        removed: [edges], inner edges whose tiles together are convex.
        old_vertices: vertices below this number stay.

    Returns:
        The new subdivision, and the vertices kept.

    Raises:
        Nothing.

    Accuracy: exact. Where tiles do not join to one without holes, their edges stay.
    """
    gone = removed.copy()
    groups = np.empty(before.tiles, np.int32)
    starts, cycle = np.empty(before.tiles + 1, np.int64), np.empty(len(before.cycle), np.int32)
    vertices = len(before.points)
    tiles = join_tiles(before.starts, before.cycle, before.ends, before.sides, gone, vertices, groups, starts, cycle)
    starts = starts[: tiles + 1]
    cycle = cycle[: starts[-1]]
    loose = np.zeros(vertices, bool)
    loose[old_vertices:] = True
    ends = before.ends.copy()
    fuse(ends, gone, loose)
    kept = np.flatnonzero(~loose)
    new_vertex, new_edge = np.cumsum(~loose).astype(np.int32) - 1, np.cumsum(~gone).astype(np.int32) - 1
    stays = ~gone[cycle >> 1]
    lengths = np.add.reduceat(stays.astype(np.int64), starts[:-1])
    cycle = cycle[stays]
    sides = before.sides[~gone]
    return (
        Subdivision(
            before.points[kept],
            new_vertex[ends[~gone]],
            np.where(sides >= 0, groups[sides], -1).astype(np.int32),
            before.labels[~gone],
            running(lengths),
            2 * new_edge[cycle >> 1] + (cycle & 1),
        ),
        kept,
    )
