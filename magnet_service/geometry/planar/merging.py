"""Edges taken out of a subdivision again."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["count_tiles", "fuse", "join_tiles"]


@compiled
def join_tiles(starts, cycle, ends, sides, removed, vertices, groups, new_starts, new_cycle):  # type: ignore[no-untyped-def]
    """Tiles whose common edges are removed become one.

    Arguments:
        starts, cycle, ends, sides: the subdivision.
        removed: [edges] bool; an edge is put back where the tiles at it do not make one tile without holes.
        vertices: how many.
        groups: [tiles] int32, written to: the new tile of each.
        new_starts, new_cycle: written to, with room for as many as there are.

    Returns:
        New tiles.
    """
    tiles = starts.shape[0] - 1
    root = np.arange(tiles)
    for edge in range(ends.shape[0]):
        if removed[edge]:
            one, other = top(root, sides[edge, 0]), top(root, sides[edge, 1])
            root[max(one, other)] = min(one, other)
    following = np.full(tiles, -1, np.int64)
    last = np.arange(tiles)
    for tile in range(tiles):
        first = top(root, tile)
        if first != tile:
            following[last[first]] = tile
            last[first] = tile
    leaving = np.full(vertices, -1, np.int64)
    count = 0
    place = 0
    for tile in range(tiles):
        if top(root, tile) != tile:
            continue
        kept = 0
        start = -1
        member = tile
        while member >= 0:
            for at in range(starts[member], starts[member + 1]):
                if not removed[cycle[at] >> 1]:
                    start = cycle[at] if start < 0 else start
                    leaving[ends[cycle[at] >> 1, cycle[at] & 1]] = cycle[at]
                    kept += 1
            member = following[member]
        walked = 0
        directed = start
        while walked < kept and start >= 0:
            new_cycle[place + walked] = directed
            walked += 1
            directed = leaving[ends[directed >> 1, 1 - (directed & 1)]]
            if directed == start:
                break
        if walked == kept:
            new_starts[count] = place
            place += kept
            member = tile
            while member >= 0:
                groups[member] = count
                member = following[member]
            count += 1
            continue
        member = tile
        while member >= 0:
            new_starts[count] = place
            groups[member] = count
            count += 1
            for at in range(starts[member], starts[member + 1]):
                removed[cycle[at] >> 1] = removed[cycle[at] >> 1] and top(root, sides[cycle[at] >> 1, 0]) != tile
                new_cycle[place] = cycle[at]
                place += 1
            member = following[member]
    new_starts[count] = place
    return count


@compiled
def count_tiles(sides, layers, tiles, counts):  # type: ignore[no-untyped-def]
    """How many tiles there are without the edges of later layers, for every layer.

    Arguments:
        sides: tiles on both sides of each edge; -1 outside.
        layers: [edges]; edges of layers below 0 always count.
        tiles: how many there are.
        counts: [layers], written to: tiles of the edges up to each layer.
    """
    root = np.arange(tiles)
    left = tiles
    for layer in range(counts.shape[0] - 1, -1, -1):
        counts[layer] = left
        for edge in range(sides.shape[0]):
            if layers[edge] == layer and sides[edge, 0] >= 0 and sides[edge, 1] >= 0:
                one, other = top(root, sides[edge, 0]), top(root, sides[edge, 1])
                if one != other:
                    root[max(one, other)] = min(one, other)
                    left -= 1


@compiled
def top(root, tile):  # type: ignore[no-untyped-def]
    """The first tile of a group."""
    while root[tile] != tile:
        root[tile] = root[root[tile]]
        tile = root[tile]
    return tile


@compiled
def fuse(ends, removed, loose):  # type: ignore[no-untyped-def]
    """Two edges that meet at a loose vertex with no third become one; the second of them is removed.

    Arguments:
        ends: [edges, 2], written to.
        removed: [edges] bool, written to.
        loose: [vertices] bool: those at which edges may be fused; written to: those at which no edge ends any more.
    """
    degree = np.zeros(loose.shape[0], np.int64)
    met = np.full((loose.shape[0], 2), -1, np.int64)
    for edge in range(ends.shape[0]):
        if not removed[edge]:
            for end in range(2):
                vertex = ends[edge, end]
                if degree[vertex] < 2:
                    met[vertex, degree[vertex]] = edge
                degree[vertex] += 1
    for vertex in range(loose.shape[0]):
        if not loose[vertex]:
            continue
        if degree[vertex] == 2:
            one, other = met[vertex, 0], met[vertex, 1]
            far = ends[other, 1] if ends[other, 0] == vertex else ends[other, 0]
            ends[one, 0 if ends[one, 0] == vertex else 1] = far
            removed[other] = True
            for item in range(2):
                if met[far, item] == other:
                    met[far, item] = one
        else:
            loose[vertex] = degree[vertex] == 0
