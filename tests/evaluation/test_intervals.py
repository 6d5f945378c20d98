"""Intervals over distinct latents: how often they hold a truth that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from magnet_service.errors import InvalidInput
from magnet_service.evaluation.intervals import bootstrap_weights, distinct_rows, jackknife, percentiles


def resampled(rng: np.random.Generator, rho: float, rows: int, draws: int) -> np.ndarray:
    """Indices drawn from a bank of normal numbers by weights exp(rho x), and the bank: the law is N(rho, 1)."""
    bank = rng.normal(size=rows)
    weights = np.exp(rho * bank)
    return bank[rng.choice(rows, size=draws, p=weights / weights.sum())]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Share above 1.2 of N(1, 1), by 1,500 draws from banks of 500: about 330 distinct rows, ESS near 180."""
    rng = np.random.default_rng(0)
    truth = float(norm.sf(1.2, loc=1.0))
    repeats, held, naive = 200, 0, 0
    for repeat in range(repeats):
        drawn = resampled(rng, 1.0, 500, 1_500)
        above = (drawn > 1.2).astype(float)
        for distinct, counts in ((distinct_rows(drawn[:, None]), True), (np.arange(len(drawn)), False)):
            weights = bootstrap_weights(distinct, 200, repeat)
            found = percentiles(above.mean(), weights @ above / weights.sum(axis=1))
            if counts:
                held += found.low <= truth <= found.high
            else:
                naive += found.low <= truth <= found.high
    assert 0.90 <= held / repeats <= 0.985
    # That repeated rows are not independent is seen: taken so, the intervals are far too narrow.
    assert naive / repeats < 0.75


def test_of_draws_that_repeat_nothing_it_is_the_ordinary_bootstrap() -> None:
    weights = bootstrap_weights(np.arange(400), 500, 0)
    assert (weights.sum(axis=1) == 400).all()
    values = np.random.default_rng(1).normal(size=400)
    error = (weights @ values / 400).std()
    assert error == pytest.approx(values.std() / 20, rel=0.1)


def test_copies_of_a_latent_always_count_alike_and_seeds_decide() -> None:
    latents = np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [0.0, 2.0]], np.float32)
    distinct = distinct_rows(latents)
    assert distinct[0] == distinct[2]
    assert len(set(distinct.tolist())) == 3
    weights = bootstrap_weights(distinct, 50, 3)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights == bootstrap_weights(distinct, 50, 3)).all()
    assert (weights != bootstrap_weights(distinct, 50, 4)).any()


@pytest.mark.parametrize("copies", [1, 3])
def test_the_jackknife_finds_the_error_of_a_mean(copies: int) -> None:
    """Of n independent numbers, each copied: the error is 1 / sqrt(n), whatever the copies."""
    rng = np.random.default_rng(5)
    squares = []
    for repeat in range(200):
        values = np.repeat(rng.normal(size=120), copies)
        distinct = np.repeat(np.arange(120), copies)
        found = jackknife(lambda mask, values=values: {"mean": values[mask].mean()}, distinct, 10, repeat)["mean"]
        assert found.value == values.mean()
        assert found.low < found.value < found.high
        squares.append(found.error**2)
    assert np.mean(squares) == pytest.approx(1 / 120, rel=0.1)


def test_few_latents_are_groups_of_their_own_and_of_one_nothing_is_known() -> None:
    values = np.array([0.0, 0.0, 3.0, 6.0])
    found = jackknife(lambda mask: {"mean": values[mask].mean()}, np.array([0, 0, 1, 2]), 10, 0)["mean"]
    left_out = np.array([4.5, 2.0, 1.0])
    assert found.error == pytest.approx(np.sqrt(2 / 3 * np.square(left_out - left_out.mean()).sum()))
    alone = jackknife(lambda mask: {"mean": 7.0}, np.zeros(5, int), 10, 0)["mean"]
    assert (alone.value, np.isnan(alone.low), np.isnan(alone.high)) == (7.0, True, True)
    with pytest.raises(InvalidInput, match="write 2 or more") as caught:
        jackknife(lambda mask: {"mean": 7.0}, np.arange(5), 1, 0)
    assert caught.value.field == "groups"
