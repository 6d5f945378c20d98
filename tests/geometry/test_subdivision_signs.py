"""Any signs at vertices, also ones that no affine function has, leave a subdivision behind (T12)."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from magnet_service.geometry.tessellation.subdivision import Subdivision, whole
from tests.geometry.planes import SQUARE, check_subdivision, cut_by_lines, cuts_of, polygon, split_by

TINY = 1e-17
VALUES = (-1.0, -TINY, 0.0, TINY, 1.0)

settle = settings(max_examples=60)


def windows() -> st.SearchStrategy[np.ndarray]:
    return st.sampled_from([SQUARE, polygon(3), polygon(5, 0.8, 0.3), polygon(12)])


def cut_again(before: Subdivision, values: np.ndarray, window: np.ndarray, rounding: float) -> Subdivision:
    found = split_by(before, cuts_of(values), 2.83)
    check_subdivision(found.subdivision, window, rounding)
    assert (found.parents < len(before.points) + np.arange(len(found.parents))[:, None]).all()
    assert ((found.shares >= 0) & (found.shares <= 1)).all()
    kept = found.subdivision.points[: len(before.points)]
    assert (kept == before.points).all()
    parents = found.subdivision.points[found.parents]
    between = (1 - found.shares)[:, None] * parents[:, 0] + found.shares[:, None] * parents[:, 1]
    assert np.allclose(found.subdivision.points[len(before.points) :], between, rtol=0, atol=1e-15)
    return found.subdivision


@given(windows(), st.integers(1, 30), st.randoms(use_true_random=False))
@settle
def test_signs_and_zeros_at_corners(window: np.ndarray, functions: int, source: random.Random) -> None:
    values = np.array([[source.choice(VALUES) for _ in range(functions)] for _ in window])
    cut_again(whole(window), values, window, 4e-13)


@given(windows(), st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
@settle
def test_numbers_that_belong_to_no_line(window: np.ndarray, lines: int, functions: int, seed: int) -> None:
    source = np.random.default_rng(seed)
    before = cut_by_lines(window, source.normal(size=(lines, 2)), 0.3 * source.normal(size=lines)).subdivision
    values = source.normal(size=(len(before.points), functions))
    cut_again(before, values, window, 4e-13)


@given(windows(), st.integers(1, 12), st.integers(1, 70), st.integers(0, 2**32 - 1))
@settle
@example(SQUARE, 4, 64, 0)
@example(SQUARE, 4, 65, 0)
def test_signs_that_belong_to_no_line(window: np.ndarray, lines: int, functions: int, seed: int) -> None:
    source = np.random.default_rng(seed)
    before = cut_by_lines(window, source.normal(size=(lines, 2)), 0.3 * source.normal(size=lines)).subdivision
    values = source.choice(VALUES, size=(len(before.points), functions))
    found = cut_again(before, values, window, 4e-13)
    # What was made so may be cut again.
    cut_again(found, source.choice(VALUES, size=(len(found.points), 3)), window, 4e-13)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
@settle
def test_lines_of_small_whole_numbers(lines: int, seed: int) -> None:
    source = np.random.default_rng(seed)
    normals, offsets = source.integers(-2, 3, size=(lines, 2)), source.integers(-2, 3, size=lines)
    found = cut_by_lines(SQUARE, normals.astype(float), offsets.astype(float)).subdivision
    check_subdivision(found, SQUARE)
    # Every vertex but the window's corners lies on two lines, the border among them.
    all_normals = np.concatenate([normals, np.eye(2), np.eye(2)])
    all_offsets = np.concatenate([offsets, [1, 1, -1, -1]])
    kept = (all_normals != 0).any(axis=1)
    onto = np.abs(found.points @ all_normals[kept].T + all_offsets[kept]) < 1e-12
    directions = all_normals[kept] / np.linalg.norm(all_normals[kept], axis=1, keepdims=True)
    for mine in onto:
        assert np.linalg.matrix_rank(directions[mine], tol=1e-9) == 2
