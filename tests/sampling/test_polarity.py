from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from magnet_service.errors import InvalidInput
from magnet_service.sampling import (
    Ball,
    Normal,
    Result,
    Weights,
    choose_rho,
    choose_top_k,
    describe,
    effective_sample_size,
    log_weights,
    pareto_khat,
)
from tests.sampling.synthetic import rows_of

PRIOR = Normal(4)


def test_weights_are_rho_times_the_prefix_sum() -> None:
    rows = rows_of(PRIOR, 50, [1.0, 0.5, 0.2, 0.1])
    for k in (1, 4):
        expected = -1.5 * rows.log_volumes[:, k - 1].astype(np.float64)
        assert (log_weights(rows, PRIOR, PRIOR, -1.5, k) == expected).all()


def test_another_base_is_corrected_by_both_densities() -> None:
    rows = rows_of(PRIOR, 2000, [1.0, 0.5, 0.2, 0.1])
    ball = Ball(4, radius=2.0)
    logs = log_weights(rows, ball, PRIOR, 1.0, 4)
    inside = np.linalg.norm(rows.latents.astype(np.float64), axis=1) <= 2.0
    assert (np.isfinite(logs) == inside).all()
    correction = ball.log_density(rows.latents) - PRIOR.log_density(rows.latents)
    assert logs[inside] == pytest.approx((rows.log_volumes[:, 3] + correction)[inside], abs=1e-12)


def test_rho_zero_reads_no_volumes() -> None:
    rows = rows_of(PRIOR, 20, [1.0] * 4, rank=np.zeros(20, dtype=int))
    blind = replace(rows, log_volumes=np.full_like(rows.log_volumes, np.nan))
    assert (log_weights(blind, PRIOR, PRIOR, 0.0, 0) == 0.0).all()


@pytest.mark.parametrize("rho", [-0.5, 0.5])
def test_rows_of_low_rank_are_left_out_for_every_other_rho(rho: float) -> None:
    rank = np.array([4, 3, 2, 1, 0] * 20)
    rows = rows_of(PRIOR, 100, [1.0] * 4, rank=rank)
    for k in (1, 2, 4):
        assert (np.isfinite(log_weights(rows, PRIOR, PRIOR, rho, k)) == (rank >= k)).all()
        assert Weights(rows, PRIOR, PRIOR).low_rank_share(k) == pytest.approx((rank < k).mean())


def test_non_finite_rows_are_left_out_always() -> None:
    rows = rows_of(PRIOR, 10, [1.0] * 4)
    status = rows.status.copy()
    status[3] = 1
    rows = replace(rows, status=status)
    for rho in (0.0, 1.0):
        assert np.flatnonzero(log_weights(rows, PRIOR, PRIOR, rho, 4) == -np.inf).tolist() == [3]


def test_the_share_of_low_rank_is_that_of_the_base_law() -> None:
    rows = rows_of(PRIOR, 5000, [1.0] * 4)
    near = np.linalg.norm(rows.latents, axis=1) < 1.0
    rows = replace(rows, rank=np.where(near, 3, 4).astype(np.int16))
    narrow = Ball(4, radius=1.0)
    assert Weights(rows, PRIOR, PRIOR).low_rank_share(4) == pytest.approx(near.mean())
    assert Weights(rows, narrow, PRIOR).low_rank_share(4) == pytest.approx(1.0)


@pytest.mark.parametrize("k", [-1, 0, 5])
def test_k_outside_the_columns_is_refused(k: int) -> None:
    rows = rows_of(PRIOR, 5, [1.0] * 4)
    with pytest.raises(InvalidInput) as caught:
        log_weights(rows, PRIOR, PRIOR, 1.0, k)
    assert caught.value.field == "top_k"


def test_auto_is_the_largest_k_that_is_supported() -> None:
    rows = rows_of(PRIOR, 10_000, [0.5, 0.5, 1.5, 3.0])
    chosen = choose_top_k(rows, PRIOR, PRIOR, 1.0)
    supported = [effective_sample_size(log_weights(rows, PRIOR, PRIOR, 1.0, k)) >= 200 for k in (1, 2, 3, 4)]
    assert supported == [True, True, True, False]
    assert (chosen.k, chosen.supported) == (3, True)
    assert "ESS" in chosen.reason
    assert choose_top_k(rows, PRIOR, PRIOR, 1.0, min_ess=5000.0).k == 2


def test_auto_asks_for_rank_on_99_percent() -> None:
    for low, k in ((100, 4), (101, 3)):
        rank = np.full(10_000, 4)
        rank[:low] = 3
        assert choose_top_k(rows_of(PRIOR, 10_000, [0.1] * 4, rank=rank), PRIOR, PRIOR, 1.0).k == k


def test_auto_without_support_is_one_and_says_so() -> None:
    rows = rows_of(PRIOR, 150, [0.1] * 4)
    chosen = choose_top_k(rows, PRIOR, PRIOR, 1.0)
    assert (chosen.k, chosen.supported) == (1, False)


@pytest.mark.parametrize("sign", [-1, 1])
def test_rho_is_the_largest_of_the_grid_that_is_supported(sign: int) -> None:
    weights = Weights(rows_of(PRIOR, 10_000, [1.1, 0.1, 0.1, 0.1]), PRIOR, PRIOR)
    chosen = choose_rho(weights, 2, sign)
    assert chosen.supported
    grid = [0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0]
    fits = []
    for size in grid:
        logs = weights.log_weights(sign * size, 2)
        khat, _ = pareto_khat(logs)
        fits.append(effective_sample_size(logs) >= 200 and (khat is None or khat < 0.7))
    assert chosen.rho == sign * max(size for size, fit in zip(grid, fits, strict=True) if fit)
    assert not all(fits)


def test_rho_without_support_is_a_tenth() -> None:
    weights = Weights(rows_of(PRIOR, 150, [1.0] * 4), PRIOR, PRIOR)
    chosen = choose_rho(weights, 4, -1)
    assert (chosen.rho, chosen.supported) == (-0.1, False)


def test_describe_covers_the_grid() -> None:
    rows = rows_of(PRIOR, 20_000, [1.0, 0.5, 0.5, 0.5])
    cells = describe(rows, PRIOR, PRIOR, [-1.0, 0.0, 0.5], [1, 4])
    assert [(cell.rho, cell.k) for cell in cells] == [(-1.0, 1), (-1.0, 4), (0.0, 1), (0.0, 4), (0.5, 1), (0.5, 4)]
    assert cells[4].ess / 20_000 == pytest.approx(math.exp(-0.25), rel=0.05)
    assert cells[5].ess / 20_000 == pytest.approx(math.exp(-0.25 * 1.75), rel=0.05)
    assert cells[2].ess == pytest.approx(20_000)
    assert cells[0].result is Result.OK
    with pytest.raises(InvalidInput):
        describe(rows, PRIOR, PRIOR, [math.nan], [1])
    with pytest.raises(InvalidInput):
        describe(rows, PRIOR, PRIOR, [1.0], [5])
