"""The arrangement of chords inside convex tiles.

Two chords of a convex tile cross if, and only if, their ends alternate along its boundary: what crosses what is a
matter of order, never of rounding. A tile is halved by one chord after another; each half keeps the chords, or the
pieces of chords, that still cut it, by the places of their ends on the half's boundary. Numbers enter only where a
crossing is placed along its chord, and crossings nearer than a bound to one another, or to the chord's end, become one
vertex. So tiles stay a subdivision whatever the numbers are.
"""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.planar.crossings import sort_pairs

__all__ = ["arrange"]

TRIED = 8
"""Chords of which the one that halves a tile best is taken."""


@compiled
def arrange(  # type: ignore[no-untyped-def]
    first_tile,
    last_tile,
    starts,
    cycle,
    ends,
    made,
    first_piece,
    first_vertex,
    chord_starts,
    chords,
    counts,
    room,
    near,
    points,
    parents,
    shares,
    functions,
    new_ends,
    new_functions,
    sides,
    new_starts,
    new_cycle,
    used,
):
    """Cut tiles first_tile to last_tile by their chords.

    Arguments:
        starts, cycle, ends: tiles and edges as they are.
        made, first_piece, first_vertex: new vertices of each edge, and the numbers of its first piece and first new
            vertex among the new ones.
        chord_starts, chords, counts: as `find_chords` leaves them.
        room: [tiles, 4] int64: the first vertex, edge, tile and place in new_cycle that may be written for each tile.
        near: nearest distance of two vertices.
        points: [new vertices, 2], written to where vertices are made, like the next three.
        parents, shares: vertex = (1 - share) parent 0 + share parent 1.
        functions: [new vertices, 2] int32: the two that cross there.
        new_ends, new_functions: of the edges made.
        sides: [new edges, 2] int32: the tiles on the left of each direction of an edge, written for all edges met.
        new_starts, new_cycle: the new tiles.
        used: [tiles, 4] int64, written to: how much of the room of each was used.

    Returns:
        Pieces of chords that fell on an edge.
    """
    merged = 0
    room_cycle = 16
    room_chords = 16
    for tile in range(first_tile, last_tile):
        count, crossings, boundary = counts[tile, 0], counts[tile, 1], counts[tile, 2]
        room_cycle = max(room_cycle, boundary + 2 * (count + 2 * crossings))
        room_chords = max(room_chords, count + 2 * crossings)
    vertices = np.empty(room_cycle, np.int32)
    edges = np.empty(room_cycle, np.int32)
    pieces = np.empty((room_chords, 3), np.int32)
    faces = np.empty((room_chords + 2, 4), np.int64)
    own_vertices = np.empty(room_cycle, np.int32)
    own_edges = np.empty(room_cycle, np.int32)
    own_pieces = np.empty((room_chords, 3), np.int32)
    met = np.empty(room_chords, np.int32)
    along = np.empty(room_chords, np.float64)
    ordinal = np.empty(room_chords, np.int32)
    for tile in range(first_tile, last_tile):
        next_vertex, next_edge = room[tile, 0], room[tile, 1]
        next_tile, next_place = room[tile, 2], room[tile, 3]
        size = 0
        for at in range(starts[tile], starts[tile + 1]):
            edge, back = cycle[at] >> 1, cycle[at] & 1
            vertices[size] = ends[edge, back]
            count, piece, vertex = made[edge], first_piece[edge], first_vertex[edge]
            edges[size] = 2 * (piece + count) + 1 if back else 2 * piece
            size += 1
            for new in range(count):
                vertices[size] = vertex + (count - 1 - new if back else new)
                edges[size] = 2 * (piece + count - 1 - new) + 1 if back else 2 * (piece + new + 1)
                size += 1
        count = counts[tile, 0]
        for chord in range(count):
            for item in range(3):
                pieces[chord, item] = chords[chord_starts[tile] + chord, item]
        faces[0, 0], faces[0, 1], faces[0, 2], faces[0, 3] = 0, size, 0, count
        depth = 1
        while depth > 0:
            depth -= 1
            at_cycle, size, at_pieces, count = faces[depth, 0], faces[depth, 1], faces[depth, 2], faces[depth, 3]
            if count == 0:
                new_starts[next_tile] = next_place
                for place in range(at_cycle, at_cycle + size):
                    directed = edges[place]
                    new_cycle[next_place] = directed
                    sides[directed >> 1, directed & 1] = next_tile
                    next_place += 1
                next_tile += 1
                continue
            best, least = 0, size + 1
            step = max(1, count // TRIED)
            for chord in range(0, count, step):
                uneven = abs(2 * (pieces[at_pieces + chord, 2] - pieces[at_pieces + chord, 1]) - size)
                if uneven < least:
                    best, least = chord, uneven
            function, low, high = pieces[at_pieces + best, 0], pieces[at_pieces + best, 1], pieces[at_pieces + best, 2]
            own_vertices[:size] = vertices[at_cycle : at_cycle + size]
            own_edges[:size] = edges[at_cycle : at_cycle + size]
            own_pieces[:count] = pieces[at_pieces : at_pieces + count]
            start, end = own_vertices[low], own_vertices[high]
            crossings = 0
            for chord in range(count):
                one, other = own_pieces[chord, 1], own_pieces[chord, 2]
                if (low < one < high and (other < low or other > high)) or (
                    low < other < high and (one < low or one > high)
                ):
                    met[crossings] = chord
                    along[crossings] = where_crossed(points, start, end, own_vertices[one], own_vertices[other])
                    crossings += 1
            sort_pairs(along[:crossings], met[:crossings])
            length = np.hypot(points[end, 0] - points[start, 0], points[end, 1] - points[start, 1])
            new = 0
            previous = 0.0
            first_new = next_vertex
            for item in range(crossings):
                place = along[item]
                if (place - previous) * length <= near:
                    merged += 1
                elif (1.0 - place) * length <= near:
                    merged += 1
                    ordinal[met[item]] = -1
                    continue
                else:
                    previous = place
                    parents[next_vertex, 0], parents[next_vertex, 1] = start, end
                    shares[next_vertex] = place
                    points[next_vertex, 0] = (1.0 - place) * points[start, 0] + place * points[end, 0]
                    points[next_vertex, 1] = (1.0 - place) * points[start, 1] + place * points[end, 1]
                    functions[next_vertex, 0], functions[next_vertex, 1] = function, own_pieces[met[item], 0]
                    next_vertex += 1
                    new += 1
                ordinal[met[item]] = new
            for item in range(crossings):
                if ordinal[met[item]] < 0:
                    ordinal[met[item]] = new + 1
            first_edge = next_edge
            before = start
            for item in range(new + 1):
                after = first_new + item if item < new else end
                new_ends[next_edge, 0], new_ends[next_edge, 1] = before, after
                new_functions[next_edge] = function
                before = after
                next_edge += 1
            # The half beyond the chord, then the one before it, on top.
            inner = high - low + 1 + new
            outer = size - (high - low) + 1 + new
            out = at_cycle
            for place in range(high, size + low + 1):
                vertices[out] = own_vertices[place if place < size else place - size]
                out += 1
            for item in range(new):
                vertices[out] = first_new + item
                out += 1
            out = at_cycle
            for place in range(high, size + low):
                edges[out] = own_edges[place if place < size else place - size]
                out += 1
            for item in range(new + 1):
                edges[out] = 2 * (first_edge + item)
                out += 1
            for place in range(low, high + 1):
                vertices[out + place - low] = own_vertices[place]
            for item in range(new):
                vertices[out + high - low + 1 + item] = first_new + new - 1 - item
            for place in range(low, high):
                edges[out] = own_edges[place]
                out += 1
            for item in range(new + 1):
                edges[out] = 2 * (first_edge + new - item) + 1
                out += 1
            kept = 0
            for side in range(2):
                around = outer if side == 0 else inner
                first_kept = kept
                for chord in range(count):
                    if chord == best:
                        continue
                    one, other = own_pieces[chord, 1], own_pieces[chord, 2]
                    one_within, other_within = low < one < high, low < other < high
                    one_beyond, other_beyond = one < low or one > high, other < low or other > high
                    crosses = (one_within and other_beyond) or (one_beyond and other_within)
                    if not crosses:
                        # With both ends on the chord it is that chord; else it lies on the side of its free end.
                        if not (one_within or other_within or one_beyond or other_beyond):
                            merged += side
                            continue
                        if (one_within or other_within) != (side == 1):
                            continue
                    one_place, other_place = -1, -1
                    if side == 1:
                        at_crossing = (inner - ordinal[chord]) % inner if crosses else 0
                        one_place = one - low if low <= one <= high else at_crossing
                        other_place = other - low if low <= other <= high else at_crossing
                    else:
                        at_crossing = (size - high + low + ordinal[chord]) % outer if crosses else 0
                        one_place = at_crossing if low < one < high else (one - high) % size
                        other_place = at_crossing if low < other < high else (other - high) % size
                    begins, finishes = min(one_place, other_place), max(one_place, other_place)
                    if finishes - begins <= 1 or (begins == 0 and finishes == around - 1):
                        merged += 1
                        continue
                    pieces[at_pieces + kept, 0] = own_pieces[chord, 0]
                    pieces[at_pieces + kept, 1] = begins
                    pieces[at_pieces + kept, 2] = finishes
                    kept += 1
                faces[depth, 0] = at_cycle if side == 0 else at_cycle + outer
                faces[depth, 1] = around
                faces[depth, 2] = at_pieces + first_kept
                faces[depth, 3] = kept - first_kept
                depth += 1
        used[tile, 0] = next_vertex - room[tile, 0]
        used[tile, 1] = next_edge - room[tile, 1]
        used[tile, 2] = next_tile - room[tile, 2]
        used[tile, 3] = next_place - room[tile, 3]
    return merged


@compiled
def where_crossed(points, start, end, one, other):  # type: ignore[no-untyped-def]
    """Where along the chord from start to end, from 0 to 1, the line through two vertices crosses it."""
    across, down = points[other, 0] - points[one, 0], points[other, 1] - points[one, 1]
    first = across * (points[start, 1] - points[one, 1]) - down * (points[start, 0] - points[one, 0])
    second = across * (points[end, 1] - points[one, 1]) - down * (points[end, 0] - points[one, 0])
    if first == second:
        return 0.5
    return min(max(first / (first - second), 0.0), 1.0)
