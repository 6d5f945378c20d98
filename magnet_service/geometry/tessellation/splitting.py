"""How functions split the tiles of a subdivision."""

from __future__ import annotations

from typing import Any

import numpy as np

from magnet_service.geometry.planar.arrangement import arrange
from magnet_service.geometry.planar.chords import count_cuts, find_chords
from magnet_service.geometry.planar.crossings import count_crossings, place_crossings, snap
from magnet_service.geometry.planar.signs import pack_signs
from magnet_service.geometry.tessellation.compaction import compacted
from magnet_service.geometry.tessellation.cuts import Cuts, Split, SplitPlan
from magnet_service.geometry.tessellation.subdivision import Places, Subdivision, running
from magnet_service.geometry.tessellation.workers import Workers

__all__ = ["plan_split", "split"]


def plan_split(before: Subdivision, cuts: Cuts, near: float, workers: Workers) -> SplitPlan:
    """Find all crossings of edges and all chords of tiles.

    Arguments:
        before: the subdivision; not changed.
        cuts: the functions.
        near: distance below which two vertices are one.
        workers: to work with.

    Returns:
        The plan, with its counts.

    Raises:
        Nothing.

    Accuracy: what crosses what is decided by the signs at the vertices; a vertex nearer than `near` to a crossing of
        one of its edges counts as on the line.
    """
    vertices = len(cuts.values)
    words = (len(cuts.columns) + 63) // 64
    positive, negative = (np.empty((vertices, words), np.uint64) for _ in range(2))
    workers.over(
        lambda at, end: pack_signs(
            cuts.values[at:end], cuts.columns, cuts.levels, cuts.floors, positive[at:end], negative[at:end]
        ),
        vertices,
    )
    lines = (before.ends, cuts.allowed_edges, positive, negative)
    numbers = (cuts.values, cuts.columns, cuts.levels, before.points, near)
    merged = snap(*lines, *numbers)
    found = np.zeros(len(before.ends), np.int64)
    count_crossings(*lines, found)
    crossing_starts = running(found)
    total = int(crossing_starts[-1])
    listed, ordinals = np.empty(total, np.int32), np.empty(total, np.int32)
    places, made = np.empty(total), np.zeros(len(before.ends), np.int64)
    merged += place_crossings(*lines, *numbers, crossing_starts, listed, ordinals, places, made)
    around = (before.starts, before.cycle, before.ends, cuts.allowed_tiles, positive, negative)
    found = np.zeros(before.faces, np.int64)
    count_cuts(*around, found)
    chord_starts = running(found)
    chords = np.empty((int(chord_starts[-1]), 3), np.int32)
    counts = np.zeros((before.faces, 3), np.int64)
    merged += sum(
        workers.over(
            lambda at, end: find_chords(
                at, end, *around, crossing_starts, listed, ordinals, made, chord_starts, chords, counts
            ),
            before.faces,
        )
    )
    return SplitPlan(cuts, crossing_starts, listed, ordinals, places, made, chord_starts, chords, counts, merged)


def split(before: Subdivision, plan: SplitPlan, near: float, workers: Workers) -> Split:
    """Carry out a plan.

    Arguments:
        before: the subdivision that it was made for; not changed.
        plan: from `plan_split`.
        near: distance below which two vertices are one.
        workers: to work with.

    Returns:
        The new subdivision and the parents of its new vertices.

    Raises:
        Nothing.

    Accuracy: every vertex is rounded once along the edge or chord that it lies on.
    """
    old_vertices = len(before.points)
    made, counts = plan.made, plan.counts
    # Pieces of the edges of before come first, then those of each tile's chords.
    first_piece = running(made + 1)
    first_vertex = running(made, old_vertices)
    on_edges = int(first_vertex[-1])
    room = np.zeros((before.faces + 1, 4), np.int64)
    sizes = np.stack(
        [
            counts[:, 1],
            counts[:, 0] + 2 * counts[:, 1],
            1 + counts[:, 0] + counts[:, 1],
            counts[:, 2] + 2 * (counts[:, 0] + 2 * counts[:, 1]),
        ],
        axis=1,
    )
    np.cumsum(sizes, axis=0, out=room[1:])
    room[:, 0] += on_edges
    room[:, 1] += first_piece[-1]
    vertices, edges, tiles, length = (int(count) for count in room[-1])
    points = np.zeros((vertices, 2))
    points[:old_vertices] = before.points
    # What is left of the room holds zeros, which index something.
    parents, shares = np.zeros((vertices, 2), np.int32), np.zeros(vertices)
    functions = np.full((vertices, 2), -1, np.int32)
    ends, sides = np.zeros((edges, 2), np.int32), np.full((edges, 2), -1, np.int32)
    source = np.zeros(edges, np.int32)
    cut_edges(before, plan, first_piece, first_vertex, (points, parents, shares, functions[:, 0], ends))
    starts, cycle = np.zeros(tiles + 1, np.int64), np.zeros(length, np.int32)
    starts[-1] = length
    used = np.zeros((before.faces, 4), np.int64)
    merged = plan.merged + sum(
        workers.over(
            lambda at, end: arrange(
                at,
                end,
                before.starts,
                before.cycle,
                before.ends,
                made,
                first_piece,
                first_vertex,
                plan.chord_starts,
                plan.chords,
                counts,
                room,
                near,
                points,
                parents,
                shares,
                functions,
                ends,
                source,
                sides,
                starts,
                cycle,
                used,
            ),
            before.faces,
        )
    )
    pieces = int(first_piece[-1])
    labels = np.empty((edges, 3), np.int32)
    labels[:pieces] = np.repeat(before.labels, made + 1, axis=0)
    source[:pieces] = -1
    labels[pieces:] = plan.cuts.labels[source[pieces:]]
    origins = np.repeat(np.arange(before.faces), sizes[:, 2])
    result = Split(
        Subdivision(points, ends, sides, labels, starts, cycle),
        on_edges,
        parents[old_vertices:],
        shares[old_vertices:],
        functions[old_vertices:],
        source,
        origins,
        merged,
    )
    return result if (used == sizes).all() else compacted(result, old_vertices, room, used)


def cut_edges(
    before: Subdivision, plan: SplitPlan, first_piece: Places, first_vertex: Places, made_of: tuple[Any, ...]
) -> None:
    """Write the new vertices on edges, and the pieces of the edges."""
    points, parents, shares, functions, ends = made_of
    counts = plan.made
    edges = len(before.ends)
    ends[first_piece[:-1], 0] = before.ends[:, 0]
    ends[first_piece[1:] - 1, 1] = before.ends[:, 1]
    total = int(counts.sum())
    if not total:
        return
    edge = np.repeat(np.arange(edges), counts)
    number = np.arange(total) - np.repeat(first_vertex[:-1] - first_vertex[0], counts)
    vertex = np.arange(total) + first_vertex[0]
    share = plan.places[plan.crossing_starts[edge] + number]
    points[vertex] = (1 - share)[:, None] * points[before.ends[edge, 0]] + share[:, None] * points[before.ends[edge, 1]]
    parents[vertex], shares[vertex] = before.ends[edge], share
    ends[first_piece[edge] + number, 1] = vertex
    ends[first_piece[edge] + number + 1, 0] = vertex
    # One function of each vertex, the last listed where several met.
    of_edge = np.repeat(np.arange(edges), np.diff(plan.crossing_starts))
    functions[first_vertex[of_edge] + plan.crossing_ordinals] = plan.crossing_functions
