"""Edges that no function makes after all, taken out again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.planar.merging import fuse, join_tiles
from magnet_service.geometry.tessellation.subdivision import Subdivision, running

__all__ = ["Joined", "without"]


@dataclass(frozen=True)
class Joined:
    """A subdivision after edges were taken out.

    Attributes:
        subdivision: the new one.
        vertices: those of before that it has, in order.
        members: [tiles], a tile of before that each holds.
    """

    subdivision: Subdivision
    vertices: NDArray[np.int64]
    members: NDArray[np.int64]


def without(before: Subdivision, removed: NDArray[np.bool_], loose: NDArray[np.bool_]) -> Joined:
    """A subdivision without some of its edges, and without the vertices that only they needed.

    Arguments:
        before: the subdivision; not changed.
        removed: [edges], inner edges whose tiles together are convex.
        loose: [vertices], those that may go where no two lines meet in them any more.

    Returns:
        The new subdivision, the vertices it has and the tiles it came from.

    Raises:
        Nothing.

    Accuracy: exact. Where tiles do not join to one without holes, their edges stay.
    """
    gone, free = removed.copy(), loose.copy()
    groups = np.empty(before.faces, np.int32)
    starts, cycle = np.empty(before.faces + 1, np.int64), np.empty(len(before.cycle), np.int32)
    given = (before.starts, before.cycle, before.ends, before.sides)
    tiles = join_tiles(*given, gone, len(before.points), groups, starts, cycle)
    starts = starts[: tiles + 1]
    cycle = cycle[: starts[-1]]
    ends = before.ends.copy()
    fuse(ends, gone, free)
    kept = np.flatnonzero(~free)
    new_vertex, new_edge = np.cumsum(~free).astype(np.int32) - 1, np.cumsum(~gone).astype(np.int32) - 1
    stays = ~gone[cycle >> 1]
    lengths = np.add.reduceat(stays.astype(np.int64), starts[:-1])
    cycle = cycle[stays]
    sides = before.sides[~gone]
    members = np.empty(tiles, np.int64)
    members[groups] = np.arange(before.faces)
    return Joined(
        Subdivision(
            before.points[kept],
            new_vertex[ends[~gone]],
            np.where(sides >= 0, groups[sides], -1).astype(np.int32),
            before.labels[~gone],
            running(lengths),
            2 * new_edge[cycle >> 1] + (cycle & 1),
        ),
        kept,
        members,
    )
