"""Log determinants and condition numbers of Gram matrices in lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.kernels import determinants
from magnet_service.geometry.kernels.determinants import half_log_determinants

Matrices = NDArray[np.float64]


def answers(grams: Matrices) -> tuple[Matrices, Matrices, NDArray[np.bool_]]:
    nats, conditions, positive = half_log_determinants(torch.from_numpy(np.ascontiguousarray(grams)))
    return nats.numpy(), conditions.numpy(), positive.numpy()


def grams_of(side: int, rows: int, seed: int = 0) -> Matrices:
    source = np.random.default_rng([side, rows, seed])
    factors = source.standard_normal((rows, side, 2 * side + 3))
    made: Matrices = factors @ factors.swapaxes(1, 2)
    return made


def estimate(gram: Matrices) -> float:
    """Two steps of power and of inverse iteration, by numpy."""
    low: NDArray[np.floating[Any]] = np.ones(len(gram))
    high = low
    for _ in range(2):
        low = np.linalg.solve(gram, low / np.linalg.norm(low))
        high = gram @ (high / np.linalg.norm(high))
    return float(np.linalg.norm(low) * np.linalg.norm(high))


@pytest.mark.parametrize("side", [*range(1, 41), 64, 66, 101])
def test_determinants_and_conditions(side: int) -> None:
    grams = grams_of(side, 11)
    nats, conditions, positive = answers(grams)
    np.testing.assert_allclose(nats, np.linalg.slogdet(grams)[1] / 2, rtol=1e-13, atol=1e-13 * side)
    np.testing.assert_allclose(conditions, [estimate(gram) for gram in grams], rtol=1e-11)
    assert positive.all()
    true = np.linalg.cond(grams)
    assert (conditions <= true * (1 + 1e-10)).all()
    assert (conditions >= true / 30).all()


@pytest.mark.parametrize("seed", range(30))
def test_any_scale_and_condition(seed: int) -> None:
    source = np.random.default_rng(seed)
    side, rows = int(source.integers(1, 41)), int(source.integers(1, 30))
    spread, power = source.uniform(0, 5), source.uniform(-150, 150)
    turns = np.linalg.qr(source.standard_normal((rows, side, side)))[0]
    values = 10.0 ** (-spread * np.linspace(0, 1, side))
    grams = turns @ (values[:, None] * turns.swapaxes(1, 2))
    nats, conditions, positive = answers(grams * 10.0**power)
    expected = np.log(values).sum() / 2 + side * power * np.log(10) / 2
    np.testing.assert_allclose(nats, np.full(rows, expected), rtol=1e-13, atol=1e-14 * side * 10**spread)
    np.testing.assert_allclose(conditions, [estimate(gram) for gram in grams], rtol=1e-14 * side * 10**spread + 1e-12)
    assert positive.all()


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 9, 30])
def test_rows_without_positive_pivots_leave_others_alone(side: int) -> None:
    grams = grams_of(side, 21)
    expected = answers(grams)
    grams[2, side - 1, side - 1] = np.nan
    grams[7, side - 1, 0] = np.inf
    grams[8, side // 2, side // 2] *= -1
    grams[11] = 0
    grams[20] = -np.eye(side)
    rows = [row for row in range(21) if row not in (2, 7, 8, 11, 20)]
    found = answers(grams)
    assert found[2].tolist() == [row in rows for row in range(21)]
    for before, after in zip(expected, found, strict=True):
        assert after[rows].tobytes() == before[rows].tobytes()


@pytest.mark.parametrize("side", [1, 2, 4, 7, 8, 19, 33])
def test_equal_bytes_at_any_place_beside_any_neighbours(side: int) -> None:
    source = np.random.default_rng(side)
    odd = np.stack([np.full((side, side), np.nan), 1e200 * np.eye(side), np.zeros((side, side))])
    grams = np.concatenate([grams_of(side, 25), 1e-130 * grams_of(side, 4), odd])
    alone = [[part.tobytes() for part in answers(gram[None])] for gram in grams]
    for rows in (2, 7, 8, 9, 16, 21, 32):
        order = source.permutation(len(grams))[:rows]
        nats, conditions, positive = answers(grams[order])
        for at, row in enumerate(order):
            assert positive[at : at + 1].tobytes() == alone[row][2]
            if positive[at]:
                assert [nats[at : at + 1].tobytes(), conditions[at : at + 1].tobytes()] == alone[row][:2]


def test_the_upper_triangle_is_not_read_and_no_rows_are_none() -> None:
    grams = grams_of(19, 11)
    torn = np.where(np.tri(19, dtype=bool), grams, np.nan)
    for whole, half in zip(answers(grams), answers(torn), strict=True):
        assert whole.tobytes() == half.tobytes()
    assert [len(part) for part in answers(np.zeros((0, 4, 4)))] == [0, 0, 0]
    assert answers(np.zeros((2, 0, 0)))[0].tolist() == [0, 0]


def test_large_matrices_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    grams = torch.from_numpy(np.where(np.tri(9, dtype=bool), grams_of(9, 5), np.nan))
    expected = half_log_determinants(grams)
    monkeypatch.setattr(determinants, "LOCKSTEP_SIDE", 8)
    for found, wanted in zip(half_log_determinants(grams), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    grams[3, 8, 8], grams[1, 4, 4] = torch.nan, -1.0
    positive: Tensor = half_log_determinants(grams)[2]
    assert positive.tolist() == [True, False, True, False, True]
