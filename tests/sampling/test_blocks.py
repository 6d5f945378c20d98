"""Figures of weights summed by blocks against plain sums over all rows."""

from __future__ import annotations

import numpy as np
import pytest

from magnet_service.sampling import Normal, Weights, diagnose
from magnet_service.sampling.blocks import in_parts, sums_by_block
from magnet_service.sampling.kernels.weighing import BLOCK_ROWS
from magnet_service.sampling.log_weights import LogWeights
from magnet_service.sampling.pareto import tail_length
from tests.sampling.synthetic import rows_of
from tests.sampling.weight_cases import cases, plain_figures

CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_figures_are_those_of_plain_sums(name: str) -> None:
    logs = CASES[name]
    sums = sums_by_block(LogWeights.given(logs))
    ess, largest, log_mean = plain_figures(logs)
    assert sums.top == logs.max()
    assert sums.ess == pytest.approx(ess, rel=1e-12)
    assert sums.largest_weight == pytest.approx(largest, rel=1e-12)
    assert sums.log_mean == pytest.approx(log_mean, abs=1e-12)
    assert sums.positive == np.isfinite(logs).sum()
    for block, start in enumerate(range(0, logs.size, BLOCK_ROWS)):
        part = logs[start : start + BLOCK_ROWS]
        with np.errstate(divide="ignore"):
            assert sums.tops[block] + np.log(sums.sums[block]) == pytest.approx(
                np.logaddexp.reduce(part), abs=1e-9, rel=1e-12
            )


@pytest.mark.parametrize("name", CASES)
def test_the_largest_are_exactly_the_largest(name: str) -> None:
    logs = CASES[name]
    sums = sums_by_block(LogWeights.given(logs))
    assert sums.largest.tolist() == np.sort(logs)[-(max(0, tail_length(logs.size)) + 1) :].tolist()
    assert sums_by_block(LogWeights.given(logs), tail=False).largest.size == 0


@pytest.mark.parametrize("name", CASES)
def test_no_figure_depends_on_threads(name: str) -> None:
    logs = LogWeights.given(np.concatenate([CASES[name]] * (1 + 40 * BLOCK_ROWS // CASES[name].size)))
    alone = sums_by_block(logs, threads=1)
    assert in_parts(lambda first, last: (first, last), 40, 40 // 16, 2) == [(0, 20), (20, 40)]
    for threads in (2, 3, 7):
        crew = sums_by_block(logs, threads=threads)
        for figure in ("tops", "sums", "squares", "largest", "ends"):
            assert getattr(crew, figure).tobytes() == getattr(alone, figure).tobytes()
        assert (crew.ess, crew.khat, crew.positive) == (alone.ess, alone.khat, alone.positive)


@pytest.mark.parametrize("logs", [np.full(5, -np.inf), np.empty(0), np.full(3 * BLOCK_ROWS, -np.inf)])
def test_no_weight_at_all(logs: np.ndarray) -> None:
    sums = sums_by_block(LogWeights.given(logs))
    assert (sums.any, sums.total, sums.ess, sums.largest_weight, sums.khat) == (False, 0.0, 0.0, 0.0, (None, 0))
    assert sums.positive == 0


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_weight_that_is_no_number_spoils_all(bad: float) -> None:
    logs = np.zeros(BLOCK_ROWS + 10)
    logs[BLOCK_ROWS + 3] = bad
    assert not sums_by_block(LogWeights.given(logs)).any
    assert diagnose(logs).ess == 0.0


def test_log_weights_of_some_rows_are_those_of_all() -> None:
    rank = np.random.default_rng(4).integers(0, 5, 25_000)
    rows = rows_of(Normal(4), 25_000, [1.0, 0.5, 0.2, 0.1], rank=rank)
    indices = np.array([0, 24_999, 10_240, 10_239, 7, 7])
    for law in (Normal(4), Normal(4, 0.9)):
        weights = Weights(rows, law, Normal(4))
        for rho, k in ((0.0, 0), (-1.3, 3), (0.7, 4)):
            logs = weights.logs(rho, k)
            assert logs.at(indices).tobytes() == logs.all()[indices].tobytes()
            assert logs.span(10_000, 11_000).tobytes() == logs.all()[10_000:11_000].tobytes()


def test_the_share_of_low_rank_by_plain_sums() -> None:
    rank = np.random.default_rng(5).integers(0, 5, 25_000)
    rows = rows_of(Normal(4), 25_000, [1.0, 0.5, 0.2, 0.1], rank=rank)
    narrow = Normal(4, 0.7)
    weights = Weights(rows, narrow, Normal(4))
    shares = np.exp(narrow.log_density(rows.latents) - Normal(4).log_density(rows.latents))
    for k in range(6):
        assert weights.low_rank_share(k) == pytest.approx(shares[rank < k].sum() / shares.sum(), rel=1e-12)
