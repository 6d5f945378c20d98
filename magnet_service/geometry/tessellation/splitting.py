"""How functions split the tiles of a subdivision."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.planar.arrangement import arrange
from magnet_service.geometry.planar.chords import count_cuts, find_chords
from magnet_service.geometry.planar.crossings import plan_crossings
from magnet_service.geometry.planar.edges import cut_edges, name_edges, room_of
from magnet_service.geometry.planar.signs import pack_signs
from magnet_service.geometry.tessellation.compaction import compacted
from magnet_service.geometry.tessellation.cuts import Cuts, Split, SplitPlan
from magnet_service.geometry.tessellation.subdivision import Subdivision
from magnet_service.geometry.tessellation.workers import Workers

__all__ = ["plan_split", "split"]

_EDGE = 64
"""Additions and multiplications that cutting an edge takes the time of."""


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
        len(cuts.columns),
    )
    lines = (before.ends, cuts.allowed_edges, positive, negative)
    numbers = (cuts.values, cuts.columns, cuts.levels, before.points, near)
    merged, *crossings = plan_crossings(*lines, *numbers)
    crossing_starts, listed, ordinals, places, made = crossings
    around = (before.starts, before.cycle, before.ends, cuts.allowed_tiles, positive, negative)
    chord_starts = count_cuts(*around)
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
    first_piece, first_vertex, room = room_of(made, counts, old_vertices)
    on_edges, pieces = int(first_vertex[-1]), int(first_piece[-1])
    vertices, edges, tiles, length = room[-1].tolist()
    points = np.zeros((vertices, 2))
    points[:old_vertices] = before.points
    # What is left of the room holds zeros, which index something.
    parents, shares = np.zeros((vertices, 2), np.int32), np.zeros(vertices)
    functions = np.full((vertices, 2), -1, np.int32)
    ends, sides = np.zeros((edges, 2), np.int32), np.full((edges, 2), -1, np.int32)
    sources, labels = np.zeros(edges, np.int32), np.empty((edges, 3), np.int32)
    crossings = (plan.crossing_starts, plan.crossing_functions, plan.crossing_ordinals, plan.places, made)
    written = (points, parents, shares, functions, ends, sources, labels)
    workers.over(
        lambda at, end: cut_edges(at, end, before.ends, before.labels, *crossings, first_piece, first_vertex, *written),
        len(before.ends),
        _EDGE,
    )
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
                sources,
                sides,
                starts,
                cycle,
                used,
            ),
            before.faces,
        )
    )
    name_edges(pieces, sources, plan.cuts.labels, labels)
    result = Split(
        Subdivision(points, ends, sides, labels, starts, cycle),
        on_edges,
        parents[old_vertices:],
        shares[old_vertices:],
        functions[old_vertices:],
        sources,
        np.repeat(np.arange(before.faces), np.diff(room[:, 2])),
        merged,
    )
    return result if (used.sum(axis=0) == room[-1] - room[0]).all() else compacted(result, old_vertices, room, used)
