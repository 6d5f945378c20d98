"""Log singular values from tangents, at condition numbers where every way of getting them is taken."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from magnet_service.generator import Precision
from magnet_service.geometry.reduction import SINGLE_CONDITION, estimated, piece_of, standing
from magnet_service.geometry.reduction import log_spectrum as spectrum_of_pieces

DIM, WIDTH, ROWS = 12, 90, 6
FINITE = torch.ones(ROWS, dtype=torch.bool)


def log_spectrum(
    tangents: Tensor, finite: Tensor, outputs: int, precision: Precision, basis: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    return spectrum_of_pieces([piece_of(tangents, finite, basis)], outputs, precision)


def log_determinant(tangents: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
    return estimated(piece_of(tangents, finite).grams, finite)


def tangents_of(condition: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Transposed Jacobians [rows, columns, width] with logarithmically spread singular values, and their logs."""
    source = torch.Generator().manual_seed(seed)
    logs = torch.linspace(1.0, 1.0 - math.log(condition), DIM, dtype=torch.float64).expand(ROWS, DIM)
    left = torch.linalg.qr(torch.randn(ROWS, WIDTH, DIM, generator=source, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(ROWS, DIM, DIM, generator=source, dtype=torch.float64)).Q
    return (left * logs.exp()[:, None, :] @ right).mT.contiguous(), logs


@pytest.mark.parametrize("condition", [1.5, 10.0, 29.0, 31.0, 100.0, 300.0, 1000.0, 3000.0])
def test_float32_is_linear_in_the_condition_number(condition: float) -> None:
    exact, expected = tangents_of(condition)
    logs, stands = log_spectrum(exact.float(), FINITE, WIDTH, Precision.FLOAT32)
    assert stands.all()
    assert float((logs - expected).abs().max()) < 10 * torch.finfo(torch.float32).eps * condition


@pytest.mark.parametrize("condition", [1e5, 1e7, 1e12])
def test_float32_does_not_stand_where_it_cannot_tell_the_rank(condition: float) -> None:
    _, stands = log_spectrum(tangents_of(condition)[0].float(), FINITE, WIDTH, Precision.FLOAT32)
    assert not stands.any()


def test_rows_are_decided_one_by_one() -> None:
    mixed = torch.cat([tangents_of(condition)[0][:1] for condition in (5.0, 200.0, 1e6)])
    together, stands = log_spectrum(mixed.float(), FINITE[:3], WIDTH, Precision.FLOAT32)
    assert stands.tolist() == [True, True, False]
    for row in range(2):
        alone, _ = log_spectrum(mixed[row : row + 1].float(), FINITE[:1], WIDTH, Precision.FLOAT32)
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-6)


def test_pieces_are_one_after_another() -> None:
    parts = [tangents_of(condition)[0][:2].float() for condition in (5.0, 200.0, 1e6)]
    pieces = [piece_of(part, FINITE[:2]) for part in parts]
    logs, stands = spectrum_of_pieces(pieces, WIDTH, Precision.FLOAT32)
    assert stands.tolist() == [True, True, True, True, False, False]
    whole, _ = log_spectrum(torch.cat(parts), FINITE, WIDTH, Precision.FLOAT32)
    torch.testing.assert_close(logs[:4], whole[:4], rtol=0, atol=1e-6)


def test_rows_that_are_not_finite_do_not_stand_and_leave_others_alone() -> None:
    exact, expected = tangents_of(20.0)
    exact[2, 3, 4] = torch.nan
    exact[4, 0, 0] = torch.inf
    logs, stands = log_spectrum(exact.float(), FINITE, WIDTH, Precision.FLOAT32)
    assert stands.tolist() == [True, True, False, True, False, True]
    torch.testing.assert_close(logs[stands], expected[stands], rtol=0, atol=1e-4)


@pytest.mark.parametrize("condition", [5.0, 200.0])
def test_a_basis_restricts_the_jacobian(condition: float) -> None:
    exact, _ = tangents_of(condition)
    source = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(ROWS, DIM, DIM - 1, generator=source, dtype=torch.float64)).Q.mT.contiguous()
    logs, stands = log_spectrum(exact.float(), FINITE, WIDTH, Precision.FLOAT32, basis)
    assert stands.all()
    torch.testing.assert_close(logs, torch.linalg.svdvals(basis @ exact).log(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("condition", [1.5, 10.0, 25.0])
def test_the_determinant_stands_where_the_condition_number_is_small(condition: float) -> None:
    exact, expected = tangents_of(condition)
    found, stands = log_determinant(exact.float(), FINITE)
    assert stands.all()
    torch.testing.assert_close(found, expected.sum(1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("condition", [5 * SINGLE_CONDITION, 1e3, 1e5, 1e9])
def test_the_determinant_does_not_stand_where_it_is_large(condition: float) -> None:
    for seed in range(5):
        assert not log_determinant(tangents_of(condition, seed)[0].float(), FINITE)[1].any()


def test_fewer_outputs_than_columns() -> None:
    exact, _ = tangents_of(10.0)
    logs, stands = log_spectrum(exact[:, :, :7].float(), FINITE, 7, Precision.FLOAT32)
    assert logs.shape == (ROWS, 7)
    torch.testing.assert_close(logs[stands], torch.linalg.svdvals(exact[:, :, :7])[stands].log(), rtol=0, atol=1e-3)


def test_bfloat16_stands_above_the_rounding_of_its_tangents() -> None:
    exact, _ = tangents_of(20.0)
    rounded = exact.bfloat16().float()
    assert log_spectrum(rounded, FINITE, WIDTH, Precision.BFLOAT16)[1].all()
    # Rank 11 of 12: the last singular value is nothing but rounding, and says so.
    deficient = exact.clone()
    deficient[:, -1] = deficient[:, 0]
    logs, stands = log_spectrum(deficient.mul(1.0).bfloat16().float() + 0.0, FINITE, WIDTH, Precision.BFLOAT16)
    assert not stands.any()
    noisy = deficient * (1 + 2.0**-9 * torch.randn(deficient.shape, generator=torch.Generator().manual_seed(1)))
    logs, stands = log_spectrum(noisy.float(), FINITE, WIDTH, Precision.BFLOAT16)
    assert not stands.any()
    assert standing(logs, (WIDTH, DIM), Precision.FLOAT32, FINITE).all()
