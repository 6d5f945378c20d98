"""The room of a split that was not used, because crossings fell together, taken out."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.tessellation.cuts import Split
from magnet_service.geometry.tessellation.subdivision import Places, Subdivision, running

__all__ = ["compacted"]


def compacted(found: Split, old_vertices: int, room: Places, used: Places) -> Split:
    """A split without the room that was not used, because crossings fell together."""
    whole_split = found.subdivision
    kept = []
    for item, total in enumerate(
        (len(whole_split.points), len(whole_split.ends), whole_split.faces, len(whole_split.cycle))
    ):
        stays = np.ones(total, bool)
        stays[room[0, item] :] = False
        lengths = used[:, item]
        places = np.repeat(room[:-1, item] - running(lengths)[:-1], lengths) + np.arange(int(lengths.sum()))
        stays[places] = True
        kept.append(stays)
    vertices, edges, tiles, places = kept
    new_vertex, new_edge, new_tile = (np.cumsum(stays).astype(np.int32) - 1 for stays in (vertices, edges, tiles))
    # A tile's edges end where the next one's begin, or where the room of its origin was used up to.
    origins = found.origins[: whole_split.faces]
    first = whole_split.starts[:-1][tiles]
    ends_of_room = room[:-1, 3] + used[:, 3]
    kept_origins = np.repeat(np.arange(len(used)), used[:, 2])
    following = np.append(first[1:], 0)
    last_of_origin = np.append(kept_origins[1:] != kept_origins[:-1], True)
    lengths = np.where(last_of_origin, ends_of_room[kept_origins], following) - first
    cycle = whole_split.cycle[places]
    sides = whole_split.sides[edges]
    inner = vertices[old_vertices:]
    return Split(
        Subdivision(
            whole_split.points[vertices],
            new_vertex[whole_split.ends[edges]],
            np.where(sides >= 0, new_tile[sides], -1).astype(np.int32),
            whole_split.labels[edges],
            running(lengths),
            2 * new_edge[cycle >> 1] + (cycle & 1),
        ),
        found.first_inner,
        new_vertex[found.parents[inner]],
        found.shares[inner],
        found.functions[inner],
        found.sources[edges],
        kept_origins if len(origins) else origins,
        found.merged,
    )
