"""The linear algebra alone, on matrices with known singular values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from magnet_service.geometry.spectrum import gram, gram_log_singular_values, log_singular_values, trusted
from tests.geometry.oracles import many_digit_log_sigma, random_latents

EPS = torch.finfo(torch.float64).eps


def matrix(sigma: Tensor, outputs: int, seed: int) -> Tensor:
    """[columns, outputs] with the singular values given, up to float64 rounding of its entries."""
    columns = len(sigma)
    left = torch.linalg.qr(random_latents(seed, outputs, columns, torch.float64)).Q
    right = torch.linalg.qr(random_latents(seed + 1, columns, columns, torch.float64)).Q
    return right @ (left * sigma).T


@pytest.mark.parametrize("condition", [1.0, 30.0, 1e3])
@pytest.mark.parametrize("outputs", [6, 40, 1500, 3001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gram_path_is_right_where_it_is_trusted(condition: float, outputs: int, dtype: torch.dtype) -> None:
    sigma = torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64)
    rows = torch.stack([matrix(sigma, outputs, seed) for seed in range(5)]).to(dtype)
    found = gram_log_singular_values(gram(rows))
    assert trusted(found, (outputs, 6), dtype, torch.ones(5, dtype=torch.bool)).all()
    torch.testing.assert_close(found, torch.linalg.svdvals(rows.double().mT).log(), rtol=0, atol=2.5e-7)


@pytest.mark.parametrize("columns", [5, 20, 64])
@pytest.mark.parametrize("outputs", [64, 784])
def test_every_trusted_row_is_within_the_stated_error(columns: int, outputs: int) -> None:
    rows = []
    for seed, power in enumerate(torch.linspace(1, 6, 60).tolist()):
        rows.append(matrix(torch.logspace(0, -power, columns, dtype=torch.float64), outputs, 2 * seed))
    stacked = torch.stack(rows)
    found = gram_log_singular_values(gram(stacked))
    trust = trusted(found, (outputs, columns), torch.float64, torch.ones(60, dtype=torch.bool))
    assert 10 < int(trust.sum()) < 50
    error = (found - torch.linalg.svdvals(stacked.mT).log())[trust].abs().max()
    assert float(error) < 2.5e-7


def test_in_float32_no_row_is_trusted_below_the_rank_threshold() -> None:
    eps = torch.finfo(torch.float32).eps
    logs = torch.tensor([[0.0, math.log(5000 * eps * factor)] for factor in (0.9, 1.1)], dtype=torch.float64)
    assert trusted(logs, (5000, 2), torch.float32, torch.ones(2, dtype=torch.bool)).tolist() == [False, True]


def test_what_is_not_finite_is_not_trusted_and_leaves_the_rest_alone() -> None:
    rows = random_latents(1, 4 * 3, 8).reshape(4, 3, 8)
    clean = gram_log_singular_values(gram(rows))
    rows[1, 2, 3] = torch.nan
    rows[2, 0, 0] = torch.inf
    found = gram_log_singular_values(gram(rows))
    assert torch.equal(found[[0, 3]], clean[[0, 3]])
    values_finite = torch.tensor([True, True, True, False])
    assert trusted(found, (8, 3), torch.float32, values_finite).tolist() == [True, False, False, False]


@pytest.mark.parametrize("condition", [1e6, 1e9, 1e12])
@pytest.mark.parametrize("outputs", [6, 25])
def test_the_decomposition_agrees_with_sixty_digits(condition: float, outputs: int) -> None:
    sigma = torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64)
    rows = torch.stack([matrix(sigma, outputs, seed) for seed in range(3)])
    found, rank, finite = log_singular_values(rows)
    expected = torch.stack([many_digit_log_sigma(row.T) for row in rows])
    allowed = 10 * 6 * EPS * (expected[:, :1] - expected).exp()
    assert ((found - expected).abs() <= allowed + 1e-13).all()
    assert rank.tolist() == [6, 6, 6]
    assert finite.all()


@pytest.mark.parametrize("rank", [0, 1, 3, 4])
@pytest.mark.parametrize("outputs", [4, 50])
def test_the_rank_of_the_decomposition_is_that_of_the_matrix(rank: int, outputs: int) -> None:
    sigma = torch.tensor([1.0] * rank + [0.0] * (4 - rank), dtype=torch.float64)
    found, ranks, _ = log_singular_values(matrix(sigma, outputs, 3)[None])
    assert ranks.tolist() == [rank]
    assert (found[0, rank:] == -torch.inf).all()
    torch.testing.assert_close(found[0, :rank], torch.zeros(rank, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("exponent", [-1060, -700, 0, 700, 1015])
def test_powers_of_two_move_the_logs_and_change_nothing_else(exponent: int) -> None:
    # Whole numbers, so that no bit is lost where 2^-1060 is subnormal.
    rows = (8 * random_latents(4, 3 * 5, 12, torch.float64)).round().reshape(3, 5, 12)
    plain, rank, _ = log_singular_values(rows)
    scaled = torch.ldexp(torch.ldexp(rows, torch.tensor(exponent // 2)), torch.tensor(exponent - exponent // 2))
    found, same_rank, finite = log_singular_values(scaled)
    torch.testing.assert_close(found, plain + exponent * math.log(2), rtol=1e-15, atol=1e-12)
    assert torch.equal(same_rank, rank)
    assert finite.all()
