"""Windows, lines on them, and what must hold of any subdivision of a window."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.tessellation.cuts import Cuts, Split
from magnet_service.geometry.tessellation.splitting import plan_split, split
from magnet_service.geometry.tessellation.subdivision import BORDER, Subdivision, whole
from magnet_service.geometry.tessellation.workers import working

__all__ = [
    "SQUARE",
    "Flat",
    "area_of",
    "check_subdivision",
    "count_by_hand",
    "cut_by_lines",
    "cuts_of",
    "expanded",
    "polygon",
    "split_by",
]

SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
"""The window [-1, 1]^2."""

NEAR = 1e-13
"""The tie rule's distance as a share of a window's size."""


class Flat(Protocol):
    """A subdivision or a tessellation of a plane."""

    @property
    def points(self) -> NDArray[np.float64]: ...
    @property
    def ends(self) -> NDArray[np.int32]: ...
    @property
    def sides(self) -> NDArray[np.int32]: ...
    @property
    def labels(self) -> NDArray[np.int32]: ...
    @property
    def starts(self) -> NDArray[np.int64]: ...
    @property
    def cycle(self) -> NDArray[np.int32]: ...


def polygon(corners: int, radius: float = 1.0, turn: float = 0.0) -> NDArray[np.float64]:
    """A regular polygon, counterclockwise."""
    angle = turn + 2 * np.pi * np.arange(corners) / corners
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def area_of(corners: NDArray[np.float64]) -> float:
    x, y = (corners - corners[0]).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def expanded(tiles: Flat) -> Iterator[NDArray[np.int32]]:
    """The vertices of each tile."""
    corners = tiles.ends[tiles.cycle >> 1, tiles.cycle & 1]
    for first, last in itertools.pairwise(tiles.starts):
        yield corners[first:last]


def check_subdivision(tiles: Flat, window: NDArray[np.float64], rounding: float = 4 * NEAR) -> None:
    """V - E + F = 1, areas sum to the window, tiles are convex, every inner edge has a tile on either side (T6).

    `rounding` is how far, as a share of the window's size, a vertex may lie from where it belongs.
    """
    points, ends, cycle = tiles.points, tiles.ends, tiles.cycle
    count = len(tiles.starts) - 1
    size = float(np.linalg.norm(window[:, None] - window[None], axis=2).max())
    assert len(points) - len(ends) + count == 1
    assert np.isfinite(points).all()
    assert (np.unique(ends) == np.arange(len(points))).all()
    assert (ends[:, 0] != ends[:, 1]).all()
    assert (np.diff(tiles.starts) >= 3).all()
    # Each direction of an inner edge belongs to one tile, and of a border edge one direction does.
    used = np.zeros((len(ends), 2), np.int64)
    np.add.at(used, (cycle >> 1, cycle & 1), 1)
    border = tiles.labels[:, 0] == BORDER
    assert (used[~border] == 1).all()
    assert (used[border].sum(axis=1) == 1).all()
    assert ((tiles.sides >= 0) == (used == 1)).all()
    owner = np.repeat(np.arange(count), np.diff(tiles.starts))
    assert (tiles.sides[cycle >> 1, cycle & 1] == owner).all()
    # Directed edges follow one another around a tile.
    after = np.arange(1, len(cycle) + 1)
    after[tiles.starts[1:] - 1] = tiles.starts[:-1]
    begins, finishes = ends[cycle >> 1, cycle & 1], ends[cycle >> 1, 1 - (cycle & 1)]
    assert (finishes == begins[after]).all()
    here, there, beyond = points[begins], points[finishes], points[begins[after][after]]
    first, second = there - here, beyond - there
    turn = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    reach = np.linalg.norm(first, axis=1) + np.linalg.norm(second, axis=1)
    assert (turn >= -rounding * size * reach).all(), "a tile is not convex"
    origin = points[begins[tiles.starts[:-1]]]
    from_first = here - np.repeat(origin, np.diff(tiles.starts), axis=0)
    to_next = there - np.repeat(origin, np.diff(tiles.starts), axis=0)
    doubled = from_first[:, 0] * to_next[:, 1] - from_first[:, 1] * to_next[:, 0]
    areas = np.add.reduceat(doubled, tiles.starts[:-1]) / 2
    assert areas.min() >= -rounding * size**2, "a tile is turned over"
    assert abs(areas.sum() - area_of(window)) <= 1e-9 * area_of(window)
    # The border is the window's.
    sides = np.roll(window, -1, axis=0) - window
    lengths = np.linalg.norm(points[ends[border, 1]] - points[ends[border, 0]], axis=1)
    assert np.isclose(lengths.sum(), np.linalg.norm(sides, axis=1).sum(), rtol=1e-12, atol=0)


def cuts_of(values: NDArray[np.float64], levels: NDArray[np.float64] | None = None) -> Cuts:
    """One function for each column of values, without allowance for rounding."""
    functions = values.shape[1]
    numbers = np.arange(functions, dtype=np.int32)
    labels = np.stack([np.zeros_like(numbers), numbers, np.zeros_like(numbers)], axis=1)
    none = np.zeros((0, 1), np.uint64)
    zero = np.zeros(functions)
    return Cuts(np.ascontiguousarray(values), numbers, zero if levels is None else levels, zero, labels, none, none)


def split_by(before: Subdivision, cuts: Cuts, size: float, threads: int = 2) -> Split:
    with working(threads) as workers:
        plan = plan_split(before, cuts, NEAR * size, workers)
        return split(before, plan, NEAR * size, workers)


def cut_by_lines(
    window: NDArray[np.float64], normals: NDArray[np.float64], offsets: NDArray[np.float64], threads: int = 2
) -> Split:
    """A window cut by the lines normal . x + offset = 0."""
    size = float(np.linalg.norm(window[:, None] - window[None], axis=2).max())
    return split_by(whole(window), cuts_of(window @ normals.T + offsets), size, threads)


def count_by_hand(window: NDArray[np.float64], normals: NDArray[np.float64], offsets: NDArray[np.float64]) -> int:
    """1 + lines that hit a convex window + crossings inside, for lines in general position (T2)."""
    values = window @ normals.T + offsets
    hit = (values.min(axis=0) < 0) & (values.max(axis=0) > 0)
    crossings = 0
    for one, other in itertools.combinations(range(len(normals)), 2):
        meeting = np.linalg.solve(normals[[one, other]], -offsets[[one, other]])
        sides = np.roll(window, -1, axis=0) - window
        beyond = meeting - window
        crossings += bool((sides[:, 0] * beyond[:, 1] - sides[:, 1] * beyond[:, 0] > 0).all())
    return 1 + int(hit.sum()) + crossings
