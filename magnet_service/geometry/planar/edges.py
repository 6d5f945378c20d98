"""Room for what a split makes, and the edges of before cut into pieces."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["cut_edges", "name_edges", "room_of"]


@compiled
def room_of(made, counts, vertices):  # type: ignore[no-untyped-def]
    """Where what a split makes may be written: pieces of the edges of before first, then those of each tile's chords.

    Arguments:
        made: [edges], new vertices of each edge.
        counts: [tiles, 3], chords of each tile, their crossings, places on its boundary.
        vertices: of before.

    Returns:
        [edges + 1], the first piece of each edge, and its first new vertex; [tiles + 1, 4], the first vertex, edge,
        tile and place in the cycle of each tile.
    """
    edges, tiles = made.shape[0], counts.shape[0]
    first_piece, first_vertex = np.empty(edges + 1, np.int64), np.empty(edges + 1, np.int64)
    first_piece[0], first_vertex[0] = 0, vertices
    for edge in range(edges):
        first_piece[edge + 1] = first_piece[edge] + made[edge] + 1
        first_vertex[edge + 1] = first_vertex[edge] + made[edge]
    room = np.empty((tiles + 1, 4), np.int64)
    room[0, 0], room[0, 1], room[0, 2], room[0, 3] = first_vertex[edges], first_piece[edges], 0, 0
    for tile in range(tiles):
        chords, crossings, boundary = counts[tile, 0], counts[tile, 1], counts[tile, 2]
        pieces = chords + 2 * crossings
        room[tile + 1, 0] = room[tile, 0] + crossings
        room[tile + 1, 1] = room[tile, 1] + pieces
        room[tile + 1, 2] = room[tile, 2] + 1 + chords + crossings
        room[tile + 1, 3] = room[tile, 3] + boundary + 2 * pieces
    return first_piece, first_vertex, room


@compiled
def cut_edges(  # type: ignore[no-untyped-def]
    first_edge,
    last_edge,
    ends,
    labels,
    crossing_starts,
    crossing_functions,
    crossing_ordinals,
    places,
    made,
    first_piece,
    first_vertex,
    points,
    parents,
    shares,
    functions,
    new_ends,
    sources,
    new_labels,
):
    """The new vertices on edges first_edge to last_edge, and the pieces of those.

    Arguments:
        ends, labels: of the edges as they are.
        crossing_starts, crossing_functions, crossing_ordinals, places, made: from `plan_crossings`.
        first_piece, first_vertex: from `room_of`.
        points, parents, shares, functions: of all vertices, written to; of a vertex that several functions made the
            last listed.
        new_ends, sources, new_labels: of all edges, written to; the source of pieces is -1.
    """
    for edge in range(first_edge, last_edge):
        first, last = ends[edge, 0], ends[edge, 1]
        piece, vertex, begin = first_piece[edge], first_vertex[edge], crossing_starts[edge]
        new_ends[piece, 0] = first
        for new in range(made[edge]):
            share = places[begin + new]
            points[vertex + new, 0] = (1 - share) * points[first, 0] + share * points[last, 0]
            points[vertex + new, 1] = (1 - share) * points[first, 1] + share * points[last, 1]
            parents[vertex + new, 0], parents[vertex + new, 1] = first, last
            shares[vertex + new] = share
            new_ends[piece + new, 1] = vertex + new
            new_ends[piece + new + 1, 0] = vertex + new
        new_ends[first_piece[edge + 1] - 1, 1] = last
        for at in range(begin, crossing_starts[edge + 1]):
            functions[vertex + crossing_ordinals[at], 0] = crossing_functions[at]
        for at in range(piece, first_piece[edge + 1]):
            sources[at] = -1
            for item in range(3):
                new_labels[at, item] = labels[edge, item]


@compiled
def name_edges(first_edge, sources, labels, new_labels):  # type: ignore[no-untyped-def]
    """The labels of the functions that made the edges from first_edge on."""
    for edge in range(first_edge, sources.shape[0]):
        for item in range(3):
            new_labels[edge, item] = labels[sources[edge], item]
