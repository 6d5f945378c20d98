from __future__ import annotations

import numpy as np
import pytest

from magnet_service.sampling.screening.autocorrelation import autocorrelation_time, weighted_time


def autoregressive(phi: float, steps: int, chains: int, seed: int = 0) -> np.ndarray:
    """x_t = phi x_(t-1) + noise, from its own law on: time (1 + phi) / (1 - phi)."""
    noise = np.random.default_rng(seed).normal(size=(steps, chains))
    series = np.empty((steps, chains))
    series[0] = noise[0] / np.sqrt(1.0 - phi * phi)
    for step in range(1, steps):
        series[step] = phi * series[step - 1] + noise[step]
    return series


@pytest.mark.parametrize("lag", [1, 4])
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_time_of_an_autoregression_is_known(phi: float, lag: int) -> None:
    found = autocorrelation_time(autoregressive(phi, 4000, 16), lag)
    decay = phi**lag
    assert found == pytest.approx((1.0 + decay) / (1.0 - decay), rel=0.08)


def test_the_mean_of_a_chain_varies_as_the_time_says() -> None:
    series = autoregressive(0.8, 2000, 400)
    independent = series.var() / len(series)
    assert series.mean(0).var(ddof=1) / independent == pytest.approx(autocorrelation_time(series), rel=0.25)


def test_an_alternating_chain_counts_no_more_than_its_states() -> None:
    assert autocorrelation_time(autoregressive(-0.8, 1000, 4)) == 1.0


def test_chains_that_never_meet_have_a_long_time() -> None:
    apart = np.array([-5.0, 0.0, 5.0]) + np.random.default_rng(0).normal(size=(300, 3))
    assert autocorrelation_time(apart) > 100.0
    assert autocorrelation_time(apart - apart.mean(0)) < 2.0
    stuck = np.tile(np.arange(4.0), (50, 1))
    assert autocorrelation_time(stuck) >= 50.0


def test_states_all_equal_are_one_state() -> None:
    assert autocorrelation_time(np.full((60, 4), 2.5)) == 60.0
    assert autocorrelation_time(np.full((60, 4), 2.5), lag=5) == 12.0
    assert autocorrelation_time(np.full((1, 4), 2.5)) == 1.0


def test_weights_that_are_equal_leave_the_time_of_what_is_watched() -> None:
    series = autoregressive(0.6, 3000, 8)
    found = weighted_time(np.zeros(series.shape), series[..., None])
    assert found == pytest.approx(autocorrelation_time(series))
    assert weighted_time(np.full(series.shape, -4000.0), series[..., None]) == pytest.approx(found)


def test_the_slowest_number_counts() -> None:
    fast, slow = autoregressive(0.1, 3000, 8), autoregressive(0.9, 3000, 8, seed=1)
    both = np.stack([fast, slow], axis=-1)
    assert weighted_time(np.zeros(fast.shape), both) == pytest.approx(autocorrelation_time(slow))


def test_weights_of_their_own_make_neighbours_worth_more() -> None:
    series = autoregressive(0.9, 3000, 16)
    lonely = np.random.default_rng(3).normal(size=series.shape)
    assert weighted_time(lonely, series[..., None]) < 0.7 * autocorrelation_time(series)
    # They say the truth: the spread over chains of E f is that of ESS / time independent draws.
    weights = np.exp(lonely)
    terms = weights * series
    means = terms.mean(0) / weights.mean(0)
    ess = weights.mean() ** 2 / np.square(weights).mean() * len(series)
    assert means.var(ddof=1) == pytest.approx(series.var() * weighted_time(lonely, series[..., None]) / ess, rel=0.6)


def test_no_weight_at_all_is_no_time() -> None:
    nothing = np.full((10, 4), -np.inf)
    assert weighted_time(nothing, np.zeros((10, 4, 1))) == 1.0
