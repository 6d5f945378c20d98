"""Lines that cut a window: how many tiles, and that they stay a subdivision whatever the lines (T1 to T3, T6)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from magnet_service.geometry.tessellation.subdivision import whole
from tests.geometry.planes import SQUARE, check_subdivision, count_by_hand, cut_by_lines, polygon

WINDOWS = {
    "square": SQUARE,
    "triangle": np.array([[-0.7, -0.9], [1.1, -0.3], [-0.2, 0.8]]),
    "heptagon": polygon(7, 0.9, 0.2),
    "sliver": np.array([[-1.0, -1.0], [1.0, 0.99], [1.0, 1.0], [-1.0, -0.98]]),
    "far": SQUARE * 1e-3 + np.array([5.0, -2.0]),
}


def random_lines(seed: int, count: int, offset: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    return source.normal(size=(count, 2)), offset * source.normal(size=count)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 40])
def test_lines_in_general_position_in_a_large_window_make_every_tile(count: int) -> None:
    normals, offsets = random_lines(count, count)
    found = cut_by_lines(1e5 * SQUARE, normals, offsets)
    assert found.subdivision.tiles == 1 + count + math.comb(count, 2)
    check_subdivision(found.subdivision, 1e5 * SQUARE)


@pytest.mark.parametrize("name", sorted(WINDOWS))
@pytest.mark.parametrize("seed", range(3))
def test_lines_in_a_bounded_window(name: str, seed: int) -> None:
    window = WINDOWS[name]
    size = np.ptp(window, axis=0).max()
    normals, offsets = random_lines(seed, 40)
    offsets = size * offsets - normals @ window.mean(axis=0)
    found = cut_by_lines(window, normals, offsets)
    assert found.merged == 0
    assert found.subdivision.tiles == count_by_hand(window, normals, offsets)
    check_subdivision(found.subdivision, window)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 200])
@pytest.mark.parametrize("name", ["square", "heptagon"])
def test_lines_through_the_middle_make_two_tiles_each(count: int, name: str) -> None:
    normals, _ = random_lines(count, count)
    found = cut_by_lines(WINDOWS[name], normals, np.zeros(count)).subdivision
    assert found.tiles == 2 * count
    assert len(found.points) == len(WINDOWS[name]) + 2 * count + (count > 1)
    check_subdivision(found, WINDOWS[name])


def test_a_grid_of_parallel_lines() -> None:
    places = np.linspace(-0.8, 0.8, 9)
    normals = np.repeat(np.eye(2), 9, axis=0)
    found = cut_by_lines(SQUARE, normals, -np.tile(places, 2)).subdivision
    assert found.tiles == 100
    check_subdivision(found, SQUARE)


def test_lines_that_miss_the_window_or_touch_it_change_nothing() -> None:
    normals = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, -3.0], [0.0, 0.0]])
    offsets = np.array([-1.5, -2.0, -1.0, -3.0, 0.0])  # outside, at a corner, along two sides, nowhere
    found = cut_by_lines(SQUARE, normals, offsets)
    assert found.subdivision.tiles == 1
    assert len(found.subdivision.points) == 4


def test_lines_through_corners_use_them() -> None:
    normals = np.array([[1.0, -1.0], [1.0, 1.0], [2.0, 1.0]])  # both diagonals, and one through a corner and a side
    found = cut_by_lines(SQUARE, normals, np.array([0.0, 0.0, 1.0])).subdivision
    assert found.tiles == 6
    # Corners, the middle, two more crossings of the third line, of which one is the corner (-1, 1).
    assert len(found.points) == 4 + 3
    check_subdivision(found, SQUARE)


@pytest.mark.parametrize("point", [(0.3, 0.1), (0.3, -1.0), (-1.0, 1.0)], ids=["inside", "on a side", "at a corner"])
@pytest.mark.parametrize("count", [3, 50])
def test_a_pencil_of_lines_meets_in_one_vertex(point: tuple[float, float], count: int) -> None:
    angle = np.linspace(0.05, np.pi + 0.02, count, endpoint=False)
    normals = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    offsets = -normals @ np.array(point)
    found = cut_by_lines(SQUARE, normals, offsets).subdivision
    check_subdivision(found, SQUARE)
    at = np.linalg.norm(found.points - np.array(point), axis=1) < 1e-10
    assert at.sum() == 1
    inside = np.abs(point).max() < 1
    hits = (SQUARE @ normals.T + offsets > 1e-9).any(axis=0) & (SQUARE @ normals.T + offsets < -1e-9).any(axis=0)
    assert found.tiles == (2 * count if inside else 1 + hits.sum())


def test_lines_that_are_one_cut_once() -> None:
    normals, offsets = random_lines(3, 20)
    once = cut_by_lines(SQUARE, normals, offsets).subdivision
    factors = (1.0, 1.0, -1.0, 3.0, -1e-8, 1e8)
    many = cut_by_lines(
        SQUARE,
        np.concatenate([factor * normals for factor in factors]),
        np.concatenate([factor * offsets for factor in factors]),
    ).subdivision
    assert many.tiles == once.tiles
    assert len(many.points) == len(once.points)
    check_subdivision(many, SQUARE)


@pytest.mark.parametrize("apart", [1e-16, 1e-15, 1e-14, 1e-13, 1e-12])
def test_copies_of_lines_apart_by_rounding_stay_a_subdivision(apart: float) -> None:
    source = np.random.default_rng(5)
    normals, offsets = random_lines(4, 20)
    once = cut_by_lines(SQUARE, normals, offsets).subdivision
    noise = apart * source.normal(size=20)
    found = cut_by_lines(SQUARE, np.concatenate([normals, normals]), np.concatenate([offsets, offsets + noise]))
    check_subdivision(found.subdivision, SQUARE)
    assert found.subdivision.tiles >= once.tiles
    if apart <= 1e-15:
        assert found.subdivision.tiles == once.tiles
        assert found.merged > 0


def lattice(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lines through pairs of points of a small lattice: many meet in one point, fall together, or touch corners."""
    source = np.random.default_rng(seed)
    first, second = source.integers(-3, 4, size=(2, source.integers(3, 60), 2)) / 3
    kept = (first != second).any(axis=1)
    first, direction = first[kept], (second - first)[kept]
    normals = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * source.normal(size=(len(first), 1))
    return normals, -(normals * first).sum(axis=1)


def tiles_of_lattice(normals: np.ndarray, offsets: np.ndarray) -> int:
    """E - V + 1 of the arrangement in the square, from its distinct vertices and what lies on each line."""
    lines = {}
    for normal, offset in zip(normals, offsets, strict=True):
        line = np.array([*normal, offset]) / np.linalg.norm(normal)
        line *= np.sign(line[np.abs(line) > 1e-9][0])
        if (SQUARE @ line[:2] + line[2] > 1e-9).any() and (SQUARE @ line[:2] + line[2] < -1e-9).any():
            lines[tuple(np.round(line, 9))] = line
    border = [np.array([1.0, 0, -1]), np.array([1.0, 0, 1]), np.array([0, 1.0, -1]), np.array([0, 1.0, 1])]
    on_line: list[set[tuple[float, ...]]] = []
    everything = [*lines.values(), *border]
    for one in everything:
        mine = set()
        for other in everything:
            matrix = np.stack([one[:2], other[:2]])
            if abs(np.linalg.det(matrix)) > 1e-9:
                place = np.linalg.solve(matrix, -np.array([one[2], other[2]]))
                if np.abs(place).max() < 1 + 1e-9:
                    mine.add(tuple(np.round(place, 8) + 0.0))
        on_line.append(mine)
    vertices = set.union(*on_line)
    return sum(len(mine) - 1 for mine in on_line) - len(vertices) + 1


@pytest.mark.parametrize("seed", range(40))
def test_lines_of_a_lattice(seed: int) -> None:
    normals, offsets = lattice(seed)
    found = cut_by_lines(SQUARE, normals, offsets).subdivision
    check_subdivision(found, SQUARE)
    assert found.tiles == tiles_of_lattice(normals, offsets)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40, 600))
def test_lines_of_many_lattices(seed: int) -> None:
    test_lines_of_a_lattice(seed)


def test_the_whole_window_is_one_tile() -> None:
    for window in WINDOWS.values():
        check_subdivision(whole(window), window)
