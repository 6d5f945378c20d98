"""Tessellations of the pieces of a window put together along their seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.tessellation.pieces import Piece
from magnet_service.geometry.tessellation.subdivision import BORDER, Subdivision, running

__all__ = ["SEAM", "joined"]

SEAM = -3
"""Layer of edges on a seam, which no function makes."""

_SAME = 1e-9
"""Distance, as a share of the window's size, within which the same crossing may come out on both sides of a seam."""


def joined(parts: Sequence[tuple[Piece, Subdivision]], size: float) -> Subdivision:
    """One subdivision of all pieces; its edges on seams have the layer SEAM and tiles on both sides.

    Both sides of a seam are cut by the same lines, so that their vertices are the same ones in the same order, up to
    rounding. Where one side has more of them than the other, as where a piece beside it was cut again, the other gets
    them too.

    Arguments:
        parts: pieces that make up the window, and their subdivisions.
        size: of the window.

    Returns:
        The subdivision; tiles and edges come piece by piece.

    Raises:
        Nothing.

    Accuracy: of two vertices that are one, the first is kept.
    """
    whole = placed_side_by_side(parts)
    seams = np.full(len(whole.ends), -1)
    border = whole.labels[:, 0] == BORDER
    of_piece = np.repeat(np.arange(len(parts)), [len(part.ends) for _, part in parts])
    for number, (piece, _) in enumerate(parts):
        mine = border & (of_piece == number)
        seams[mine] = np.array(piece.seams)[whole.labels[mine, 1]]
    outer = border & (seams < 0)
    whole.labels[outer, 1] = -1 - seams[outer]
    same = np.arange(len(whole.points))
    ends: list[NDArray[np.int32]] = []
    replaced: dict[int, NDArray[np.int64]] = {}
    first = len(whole.ends)
    for seam in np.unique(seams[seams >= 0]):
        edges = np.flatnonzero(seams == seam)
        made, pieces_of = along(whole, edges, of_piece, same, size)
        for edge, numbers in pieces_of.items():
            replaced[edge] = 2 * (first + numbers[:, 0]) + numbers[:, 1]
        ends.append(made)
        first += len(made)
    return rebuilt(whole, seams >= 0, np.concatenate(ends), replaced, same)


def placed_side_by_side(parts: Sequence[tuple[Piece, Subdivision]]) -> Subdivision:
    """The subdivisions as one, with nothing in common."""
    vertices = edges = tiles = length = 0
    found: list[tuple[NDArray[np.float64] | NDArray[np.int32] | NDArray[np.int64], ...]] = []
    for _, part in parts:
        sides = np.where(part.sides >= 0, part.sides + tiles, -1)
        found.append(
            (part.points, part.ends + vertices, sides, part.labels, part.starts[:-1] + length, part.cycle + 2 * edges)
        )
        vertices, edges = vertices + len(part.points), edges + len(part.ends)
        tiles, length = tiles + part.faces, length + len(part.cycle)
    points, ends, sides, labels, starts, cycle = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return Subdivision(
        points, ends.astype(np.int32), sides.astype(np.int32), labels, np.append(starts, length), cycle.astype(np.int32)
    )


def along(
    whole: Subdivision, edges: NDArray[np.int64], of_piece: NDArray[np.int64], same: NDArray[np.int64], size: float
) -> tuple[NDArray[np.int32], dict[int, NDArray[np.int64]]]:
    """The vertices of one seam brought together.

    Arguments:
        whole: all pieces.
        edges: those on the seam.
        of_piece: the piece of each edge.
        same: [vertices], written to: the vertex that stands for each.
        size: of the window.

    Returns:
        Ends of the new edges along the seam, and for each old edge the numbers of those that replace it, each with 1
        where it is passed backwards.
    """
    points = whole.points
    spread = np.ptp(points[whole.ends[edges].ravel()], axis=0)
    axis = int(np.argmax(spread))
    place = points[:, axis]
    rising = place[whole.ends[edges, 1]] > place[whole.ends[edges, 0]]
    inner: list[NDArray[np.int64]] = []
    corners: list[int] = []
    for side in (rising, ~rising):
        vertices: list[int] = []
        for piece in np.unique(of_piece[edges[side]]):
            mine = edges[side][of_piece[edges[side]] == piece]
            chain = np.unique(whole.ends[mine].ravel())
            chain = chain[np.argsort(place[chain], kind="stable")]
            corners += [int(chain[0]), int(chain[-1])]
            vertices += chain[1:-1].tolist()
        inner.append(np.array(sorted(vertices, key=lambda vertex: place[vertex]), dtype=np.int64))
    for kept, twin in matched(place[inner[0]], place[inner[1]], _SAME * size):
        same[inner[1][twin]] = inner[0][kept]
    # Corners of pieces on both sides have the same coordinates, or lie inside of a side.
    standing: dict[float, int] = {}
    for corner in corners:
        same[corner] = standing.setdefault(float(place[corner]), corner)
    vertices_of = np.unique(same[np.concatenate([*inner, np.array(corners, dtype=np.int64)])])
    line = vertices_of[np.argsort(place[vertices_of], kind="stable")]
    number = {int(vertex): at for at, vertex in enumerate(line)}
    made = np.stack([line[:-1], line[1:]], axis=1).astype(np.int32)
    pieces_of: dict[int, NDArray[np.int64]] = {}
    for edge, up in zip(edges, rising, strict=True):
        start, end = (number[int(same[vertex])] for vertex in whole.ends[edge])
        low, high = min(start, end), max(start, end)
        passed = np.arange(low, high) if up else np.arange(high - 1, low - 1, -1)
        pieces_of[int(edge)] = np.stack([passed, np.full(len(passed), int(not up))], axis=1)
    return made, pieces_of


def matched(one: NDArray[np.float64], other: NDArray[np.float64], tolerance: float) -> list[tuple[int, int]]:
    """Pairs of places that are the same, in order."""
    if len(one) == len(other) and bool((np.abs(one - other) <= tolerance).all()):
        return [(at, at) for at in range(len(one))]
    pairs = []
    at = to = 0
    while at < len(one) and to < len(other):
        if abs(one[at] - other[to]) <= tolerance / 100:
            pairs.append((at, to))
            at, to = at + 1, to + 1
        elif one[at] < other[to]:
            at += 1
        else:
            to += 1
    return pairs


def rebuilt(
    whole: Subdivision,
    gone: NDArray[np.bool_],
    made: NDArray[np.int32],
    replaced: dict[int, NDArray[np.int64]],
    same: NDArray[np.int64],
) -> Subdivision:
    """The pieces with common edges on their seams, and each vertex replaced by the one that stands for it."""
    counts = np.ones(len(whole.cycle), np.int64)
    on_seam = np.flatnonzero(gone[whole.cycle >> 1])
    counts[on_seam] = [len(replaced[int(edge)]) for edge in whole.cycle[on_seam] >> 1]
    places = running(counts)
    cycle = np.repeat(whole.cycle.astype(np.int64), counts)
    for at in on_seam:
        cycle[places[at] : places[at + 1]] = replaced[int(whole.cycle[at] >> 1)]
    starts = places[whole.starts]
    tile = np.repeat(np.arange(whole.faces), np.diff(starts))
    ends = np.concatenate([whole.ends, made])
    labels = np.concatenate([whole.labels, np.full((len(made), 3), SEAM, np.int32)])
    sides = np.full((len(ends), 2), -1, np.int32)
    sides[cycle >> 1, cycle & 1] = tile
    stays = np.append(~gone, np.ones(len(made), bool))
    used = np.unique(same)
    new_edge, new_vertex = np.cumsum(stays) - 1, np.zeros(len(same), np.int64)
    new_vertex[used] = np.arange(len(used))
    found = Subdivision(
        whole.points[used],
        new_vertex[same[ends[stays]]].astype(np.int32),
        sides[stays],
        labels[stays],
        starts,
        (2 * new_edge[cycle >> 1] + (cycle & 1)).astype(np.int32),
    )
    return without_slips(found)


def without_slips(found: Subdivision) -> Subdivision:
    """The subdivision without edges that have come to begin and to end at one vertex."""
    slips = found.ends[:, 0] == found.ends[:, 1]
    if not slips.any():
        return found
    stays = ~slips[found.cycle >> 1]
    new_edge = np.cumsum(~slips) - 1
    cycle = found.cycle[stays]
    lengths = np.array([int(stays[at:end].sum()) for at, end in pairwise(found.starts)])
    return replace(
        found,
        ends=found.ends[~slips],
        sides=found.sides[~slips],
        labels=found.labels[~slips],
        starts=running(lengths),
        cycle=(2 * new_edge[cycle >> 1] + (cycle & 1)).astype(np.int32),
    )
