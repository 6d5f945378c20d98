"""A planar subdivision of a convex window into convex tiles, and how functions split it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.planar.arrangement import arrange
from magnet_service.geometry.planar.chords import count_cuts, find_chords
from magnet_service.geometry.planar.crossings import count_crossings, place_crossings, snap
from magnet_service.geometry.planar.signs import pack_signs
from magnet_service.geometry.tessellation.workers import Workers

__all__ = ["BORDER", "Cuts", "Split", "Subdivision", "plan_split", "split", "whole"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]
Places = NDArray[np.int64]

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


@dataclass(frozen=True)
class Cuts:
    """Functions, affine on every tile, that split tiles where they reach a level.

    Attributes:
        values: [vertices, width], at the vertices.
        columns: [functions], the column of `values` that holds each of them.
        levels: [functions].
        floors: [functions], what rounding may make of 0: no further from its level a value is taken to be there.
        labels: [functions, 3], for the edges they make.
        allowed_edges: [edges, words] bits of the functions that may cross an edge; no rows for all.
        allowed_tiles: the same for tiles.
    """

    values: Floats
    columns: Integers
    levels: Floats
    floors: Floats
    labels: Integers
    allowed_edges: NDArray[np.uint64]
    allowed_tiles: NDArray[np.uint64]


@dataclass(frozen=True)
class SplitPlan:
    """What a split will make, counted before anything of it is made.

    Attributes:
        cuts: the functions.
        crossing_starts, crossing_functions, crossing_ordinals, places, made: crossings of each edge.
        chord_starts, chords, counts: chords of each tile.
        merged: how often the tie rule took two for one so far.
    """

    cuts: Cuts
    crossing_starts: Places
    crossing_functions: Integers
    crossing_ordinals: Integers
    places: Floats
    made: Places
    chord_starts: Places
    chords: Integers
    counts: Places
    merged: int

    @property
    def tiles(self) -> int:
        """Tiles after the split, at most."""
        return len(self.counts) + int(self.counts[:, :2].sum())

    @property
    def vertices(self) -> int:
        """Vertices after the split, at most."""
        return len(self.cuts.values) + int(self.made.sum() + self.counts[:, 1].sum())


@dataclass(frozen=True)
class Split:
    """A subdivision after a split, and where its vertices come from.

    Attributes:
        subdivision: the new one; vertices that were there keep their numbers.
        first_inner: the first new vertex inside of a tile of before; those in between lie on edges of before.
        parents, shares: of the new vertices: (1 - share) times the first parent and share times the second. A parent's
            number is below the vertex's own.
        functions: [new vertices, 2], the functions that reach their level there, -1 for none.
        sources: [edges], the function that made each, -1 for pieces of the edges of before.
        origins: [tiles], the tile of before that each comes from.
        merged: how often the tie rule took two for one.
    """

    subdivision: Subdivision
    first_inner: int
    parents: Integers
    shares: Floats
    functions: Integers
    sources: Integers
    origins: Places
    merged: int


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


def running(counts: Places, first: int = 0) -> Places:
    """[n + 1] sums of the counts before each place, from `first` on."""
    sums = np.empty(len(counts) + 1, np.int64)
    sums[0] = first
    np.cumsum(counts, out=sums[1:])
    sums[1:] += first
    return sums
