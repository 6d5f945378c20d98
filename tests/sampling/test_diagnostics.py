"""Figures of weights: ESS, k-hat against a slow second implementation and against exact laws, verdicts (S7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from magnet_service.sampling import (
    Result,
    Stream,
    diagnose,
    effective_sample_size,
    judge,
    needed_ess,
    pareto_khat,
    uniforms,
)


def uniform(count: int, seed: int = 0) -> np.ndarray:
    return uniforms(seed, Stream.LATENTS, 0, count, 1)[:, 0]


def slow_khat(log_weights: np.ndarray) -> float:
    """The published recipe in plain loops, in the sign convention of Zhang and Stephens (their k is minus ours)."""
    weights = sorted(math.exp(w - log_weights.max()) for w in log_weights)
    size = len(weights)
    length = math.ceil(min(size / 5, 3 * math.sqrt(size)))
    x = [w - weights[size - length - 1] for w in weights[size - length :]]
    n, grid = length, 30 + int(math.sqrt(length))
    quartile = x[int(n / 4 + 0.5) - 1]
    thetas = [1 / x[-1] + (1 - math.sqrt(grid / (j - 0.5))) / (3 * quartile) for j in range(1, grid + 1)]

    def profile(theta: float) -> float:
        k = -sum(math.log(1 - theta * value) for value in x) / n
        return n * (math.log(theta / k) + k - 1)

    likelihood = [profile(theta) for theta in thetas]
    parts = [1 / sum(math.exp(other - own) for other in likelihood) for own in likelihood]
    theta = sum(t * p for t, p in zip(thetas, parts, strict=True))
    k = -sum(math.log(1 - theta * value) for value in x) / n
    return (-k * n + 0.5 * 10) / (n + 10)


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("size", [40, 225, 3000])
def test_khat_agrees_with_plain_loops(spread: float, size: int) -> None:
    logs = spread * np.sqrt(2) * np.array([math.log(u / (1 - u)) for u in uniform(size, seed=size)])
    khat, tail = pareto_khat(logs)
    assert tail == math.ceil(min(size / 5, 3 * math.sqrt(size)))
    assert khat == pytest.approx(slow_khat(logs), abs=1e-9)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.7, 1.0, 1.5])
def test_pareto_weights_recover_their_shape(shape: float) -> None:
    # w = u^-k is exactly Pareto of shape k, and so are its exceedances over any level.
    logs = -shape * np.log(uniform(100_000, seed=5))
    khat, tail = pareto_khat(logs)
    assert khat is not None
    assert abs(khat - shape) < 4 * (1 + shape) / math.sqrt(tail)


def test_khat_ignores_a_common_factor() -> None:
    logs = -0.6 * np.log(uniform(5000))
    assert pareto_khat(logs + 5000.0)[0] == pytest.approx(pareto_khat(logs)[0], abs=1e-9)


def test_khat_is_absent_with_fewer_than_five_distinct_tail_weights() -> None:
    assert pareto_khat(np.zeros(1000)) == (None, 0)
    few = np.zeros(1000)
    few[:400] = np.log(np.array([2.0, 3.0, 4.0, 5.0])).repeat(100)
    assert pareto_khat(few)[0] is None
    assert pareto_khat(np.log(np.arange(1.0, 10.0)))[0] is None
    assert pareto_khat(np.array([0.0]))[0] is None
    assert pareto_khat(np.full(10, -np.inf)) == (None, 0)
    assert pareto_khat(np.empty(0)) == (None, 0)


@pytest.mark.parametrize("rho", [-1.5, -0.5, 0.5, 1.0])
def test_lognormal_weights_have_the_known_ess(rho: float) -> None:
    spread = 0.8
    volumes = spread * special.ndtri(uniform(200_000, seed=3))
    assert effective_sample_size(rho * volumes) / 200_000 == pytest.approx(math.exp(-(rho**2) * spread**2), rel=0.05)


def test_figures_of_plain_weights() -> None:
    figures = diagnose(np.log(np.array([1.0, 2.0, 3.0, 2.0])))
    assert figures.ess == pytest.approx(64 / 18)
    assert figures.largest_weight == pytest.approx(3 / 8)
    assert (figures.distinct, figures.rows) == (4, 4)
    out = diagnose(np.array([0.0, -np.inf, 0.0]), indices=np.array([0, 0, 0]))
    assert (out.ess, out.distinct, out.rows) == (2.0, 1, 3)


def test_no_weight_at_all_is_an_outcome() -> None:
    figures = diagnose(np.full(7, -np.inf))
    assert (figures.ess, figures.largest_weight, figures.khat) == (0.0, 0.0, None)
    assert judge(figures, 100) is Result.DEGENERATE


def test_extreme_weights_neither_overflow_nor_vanish() -> None:
    assert effective_sample_size(np.array([1e5, 1e5, -1e5])) == 2.0
    assert effective_sample_size(np.array([-1e5, -1e5])) == 2.0


def lognormal(ess: float, rows: int = 10_000) -> np.ndarray:
    return math.sqrt(math.log(rows / ess)) * special.ndtri((np.arange(rows) + 0.5) / rows)


def test_verdicts() -> None:
    assert judge(diagnose(np.zeros(100)), needed_ess(0, 10)) is Result.OK
    assert judge(diagnose(np.zeros(99)), needed_ess(0, 10)) is Result.LOW_ESS
    assert judge(diagnose(np.zeros(149)), needed_ess(50, 100)) is Result.LOW_ESS
    assert judge(diagnose(np.zeros(150)), needed_ess(50, 100)) is Result.OK
    assert judge(diagnose(np.zeros(999)), needed_ess(0, 0, endless=True)) is Result.LOW_ESS
    assert judge(diagnose(np.zeros(1000)), needed_ess(0, 0, endless=True)) is Result.OK
    assert judge(diagnose(np.zeros(9)), 5) is Result.DEGENERATE
    heavy = np.zeros(1000)
    heavy[0] = math.log(1000.0)
    assert diagnose(heavy).largest_weight > 0.2
    assert judge(diagnose(heavy), 1) is Result.DEGENERATE


def test_a_heavy_tail_is_low_whatever_its_ess() -> None:
    logs = -0.9 * np.log(uniform(100_000, seed=8))
    figures = diagnose(logs)
    assert figures.khat is not None
    assert figures.khat > 0.7
    assert figures.largest_weight < 0.2
    assert figures.ess > 100
    assert judge(figures, 100) is Result.LOW_ESS
