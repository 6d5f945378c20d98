"""Log singular values of Gram matrices in lanes: against LAPACK, exact cases, and rows that leave others alone."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.kernels import eigenvalues
from magnet_service.geometry.kernels.eigenvalues import log_singular_values_of_grams

Matrices = NDArray[np.float64]

SIDES = [*range(1, 41), 47, 64, 65, 100]


def logs_of(grams: Matrices) -> Matrices:
    found: Matrices = log_singular_values_of_grams(torch.from_numpy(np.ascontiguousarray(grams))).numpy()
    return found


def grams_of(side: int, rows: int, seed: int = 0, width: int | None = None) -> Matrices:
    source = np.random.default_rng([side, rows, seed])
    factors = source.standard_normal((rows, side, 2 * side + 3 if width is None else width))
    made: Matrices = factors @ factors.swapaxes(1, 2)
    return made


def with_eigenvalues(values: list[float], rows: int = 1, seed: int = 0) -> Matrices:
    source = np.random.default_rng(seed)
    turns = np.linalg.qr(source.standard_normal((rows, len(values), len(values))))[0]
    made: Matrices = turns @ (np.array(values)[:, None] * turns.swapaxes(1, 2))
    return (made + made.swapaxes(1, 2)) / 2


def assert_eigenvalues(grams: Matrices) -> None:
    """Within 1e-14 side of the largest one, of LAPACK's."""
    expected = np.linalg.eigvalsh(grams)[:, ::-1]
    found = np.exp(2 * logs_of(grams))
    tolerance = 1e-14 * grams.shape[1] * np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(found - expected.clip(min=0)) <= tolerance).all()


@pytest.mark.parametrize("side", SIDES)
def test_well_conditioned_matrices(side: int) -> None:
    grams = grams_of(side, 19)
    assert_eigenvalues(grams)
    expected = np.log(np.linalg.eigvalsh(grams)[:, ::-1]) / 2
    np.testing.assert_allclose(logs_of(grams), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_any_symmetric_matrices(seed: int) -> None:
    source = np.random.default_rng(seed)
    side, rows = int(source.integers(1, 41)), int(source.integers(1, 40))
    grams = source.standard_normal((rows, side, side)) * 10.0 ** source.uniform(-8, 8, (rows, 1, 1))
    grams = grams + grams.swapaxes(1, 2)
    grams[source.random(grams.shape) < source.random()] = 0
    assert_eigenvalues(np.tril(grams) + np.tril(grams, -1).swapaxes(1, 2))


def test_against_fifty_digits() -> None:
    grams = grams_of(7, 3)
    for gram, found in zip(grams, logs_of(grams), strict=True):
        with mpmath.workdps(50):
            values = sorted(mpmath.eigsy(mpmath.matrix(gram.tolist()), eigvals_only=True), reverse=True)
            expected = [float(mpmath.log(value) / 2) for value in values]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 9, 33])
def test_diagonal_matrices_are_exact(side: int) -> None:
    values = np.random.default_rng(side).lognormal(0, 30, (5, side))
    grams = np.zeros((5, side, side))
    grams[:, range(side), range(side)] = values
    np.testing.assert_allclose(logs_of(grams), np.log(np.sort(values)[:, ::-1]) / 2, rtol=1e-15, atol=1e-300)
    assert (logs_of(np.eye(side)[None]) == 0).all()
    assert (logs_of(np.zeros((2, side, side))) == -np.inf).all()


def test_two_by_two_and_none() -> None:
    np.testing.assert_allclose(logs_of(np.array([[[2.0, 1.0], [1.0, 2.0]]])), [[np.log(3) / 2, 0]], atol=1e-15)
    assert logs_of(np.zeros((0, 3, 3))).shape == (0, 3)
    assert logs_of(np.zeros((3, 0, 0))).shape == (3, 0)


@pytest.mark.parametrize("side", [2, 5, 12, 40])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_rank_deficient_matrices(side: int, rank: int) -> None:
    grams = grams_of(side, 9, width=rank)
    assert_eigenvalues(grams)
    ones = np.ones((1, side, side))
    assert np.exp(2 * logs_of(ones))[0, 0] == pytest.approx(side, rel=1e-14)


@pytest.mark.parametrize("side", [2, 3, 8, 21, 40])
def test_repeated_eigenvalues(side: int) -> None:
    for values in ([3.0] * side, [5.0] * (side // 2) + [1.0] * (side - side // 2), [1.0] * (side - 1) + [1e-9]):
        assert_eigenvalues(with_eigenvalues(values, rows=9))


@pytest.mark.parametrize("side", [3, 16, 40])
def test_tridiagonal_matrices_with_known_eigenvalues(side: int) -> None:
    gram = 2 * np.eye(side) - np.eye(side, k=1) - np.eye(side, k=-1)
    expected = np.log(2 * np.sin(np.arange(side, 0, -1) * np.pi / (2 * side + 2)))
    np.testing.assert_allclose(logs_of(gram[None])[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("zeros", [(0,), (1,), (3,), (2, 3, 7), (0, 10), (5, 6, 7, 8)])
def test_blocks_with_nothing_between_them(zeros: tuple[int, ...]) -> None:
    source = np.random.default_rng(zeros)
    between = source.standard_normal(11)
    between[list(zeros)] = 0
    gram = np.diag(source.standard_normal(12)) + np.diag(between, 1) + np.diag(between, -1)
    assert_eigenvalues(gram[None])
    assert_eigenvalues(np.stack([gram[::-1, ::-1], np.zeros((12, 12)), gram @ gram]))


def test_shifts_that_are_eigenvalues() -> None:
    assert_eigenvalues(np.array([[[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]))
    assert_eigenvalues((np.eye(20, k=1) + np.eye(20, k=-1))[None])
    wilkinson = np.diag(np.abs(np.arange(-10.0, 11))) + np.eye(21, k=1) + np.eye(21, k=-1)
    assert_eigenvalues(wilkinson[None])


@pytest.mark.parametrize("power", [-150, -80, -9, 9, 80, 150])
def test_sizes_far_from_one(power: int) -> None:
    grams = grams_of(12, 10)
    found = logs_of(grams * 10.0**power)
    np.testing.assert_allclose(found - power * np.log(10) / 2, logs_of(grams), rtol=0, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_graded_matrices(reverse: bool) -> None:
    for step in (1.0, 5.0, 15.0, 30.0):
        grades = 10.0 ** np.clip(-step * np.arange(10), -150, 0)
        grades = grades[::-1] if reverse else grades
        assert_eigenvalues(grams_of(10, 9) * np.sqrt(grades[:, None] * grades))
    both = np.zeros((1, 20, 20))
    both[0, :10, :10], both[0, 10:, 10:] = 1e150 * grams_of(10, 1)[0], 1e-150 * grams_of(10, 1)[0]
    assert np.isfinite(logs_of(both)[0, :10]).all()
    np.testing.assert_allclose(logs_of(both)[0, :10], logs_of(1e150 * grams_of(10, 1))[0], rtol=1e-14)


def test_the_largest_and_the_least_numbers() -> None:
    huge, tiny = np.finfo(np.float64).max, np.finfo(np.float64).smallest_subnormal
    found = logs_of(np.array([[[huge, 0.0], [0.0, huge]], [[tiny, 0.0], [0.0, tiny]], [[huge, huge], [huge, huge]]]))
    expected = [[np.log(huge) / 2] * 2, [np.log(tiny) / 2] * 2, [np.log(huge) / 2 + np.log(2) / 2, found[2, 1]]]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found[2, 1] < found[2, 0] - 15


@pytest.mark.parametrize("side", [1, 2, 7, 8, 9, 30])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_leave_others_alone(side: int, bad: float) -> None:
    grams = grams_of(side, 21)
    expected = logs_of(grams)
    for row, place in ((3, 0), (8, side - 1), (20, side // 2)):
        grams[row, side - 1, place] = bad
    found = logs_of(grams)
    rows = [row for row in range(21) if row not in (3, 8, 20)]
    assert np.isnan(found[[3, 8, 20]]).all()
    assert found[rows].tobytes() == expected[rows].tobytes()


@pytest.mark.parametrize("side", [1, 2, 5, 8, 13, 24, 40, 65])
def test_equal_bytes_at_any_place_beside_any_neighbours(side: int) -> None:
    source = np.random.default_rng(side)
    hard = with_eigenvalues([10.0**-i for i in range(side)], rows=6)
    odd = np.stack([np.zeros((side, side)), np.full((side, side), np.nan), np.eye(side) * 1e200, np.ones((side, side))])
    grams = np.concatenate([grams_of(side, 30), hard, odd, 1e-120 * grams_of(side, 3)])
    alone = [logs_of(gram[None]).tobytes() for gram in grams]
    for rows in (2, 7, 8, 9, 15, 16, 17, 24, 43):
        order = source.permutation(len(grams))[:rows]
        for row, found in zip(order, logs_of(grams[order]), strict=True):
            assert found.tobytes() == alone[row]


def test_the_upper_triangle_is_not_read() -> None:
    grams = grams_of(19, 11)
    torn = np.where(np.tri(19, dtype=bool), grams, np.nan)
    assert logs_of(torn).tobytes() == logs_of(grams).tobytes()


def test_views_and_gradients_are_taken_as_they_are() -> None:
    grams = torch.from_numpy(grams_of(6, 10))
    assert log_singular_values_of_grams(grams[::2]).equal(log_singular_values_of_grams(grams)[::2])
    assert not log_singular_values_of_grams(grams.requires_grad_()).requires_grad


def test_large_matrices_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    grams = torch.from_numpy(grams_of(9, 5))
    expected = log_singular_values_of_grams(grams)
    monkeypatch.setattr(eigenvalues, "LOCKSTEP_SIDE", 8)
    torch.testing.assert_close(log_singular_values_of_grams(grams), expected, rtol=0, atol=1e-13)
    grams[2, 4, 1] = torch.nan
    found: Tensor = log_singular_values_of_grams(grams)
    assert found.isnan().all(1).tolist() == [False, False, True, False, False]
