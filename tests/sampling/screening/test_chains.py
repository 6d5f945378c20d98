from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from magnet_service.errors import Cancelled, InvalidInput, Refused
from magnet_service.generator import Generator
from magnet_service.sampling import Ball, Box, Law, Normal, NormBoundedNormal, Sphere, TruncatedNormal
from magnet_service.sampling.diagnostics import effective_sample_size
from magnet_service.sampling.pushforward import Pushforward
from magnet_service.sampling.screening.chains import (
    LEAST_CHAIN_EXACT,
    LEAST_CHAIN_FORWARDS,
    ScreenedChain,
    chains_of,
)
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget
from magnet_service.sampling.screening.walk import Walk
from tests.sampling.screening.surrogates import target_of

PRIOR = Normal(3)
BUDGET = Budget(200, LEAST_CHAIN_FORWARDS)
LAWS: tuple[Law, ...] = (
    Normal(3, scale=2.0),
    TruncatedNormal(3, bound=1.5),
    NormBoundedNormal(3, bound=1.5),
    Box(3, low=-0.5, high=2.0),
    Ball(3, radius=1.7),
    Sphere(3, radius=1.7),
)
EACH = 0.001 / (2 * len(LAWS) + 2)


def walk_of(learned: Surrogate, net: Generator, law: Law, rho: float, chains: int = 512, seed: int = 3) -> Walk:
    return Walk(learned, target_of(net, law, rho, 2), chains, seed, None)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_without_a_tilt_chains_keep_the_base_law(law: Law, net: Generator, learned: Surrogate) -> None:
    walk = walk_of(learned, net, law, 1e-9)
    start = walk.latents
    walk.raise_share(last=False)
    assert walk.share == 1.0
    assert sum(walk.advance(adapting=False) for _ in range(8)) > 0.0
    assert (walk.latents != start).any(axis=1).mean() > 0.9
    fresh = law.rows(1000, 0, 20_000).astype(np.float64)
    for number in (lambda z: z[:, 0], lambda z: np.abs(z).max(1)):
        assert stats.ks_2samp(number(walk.latents.astype(np.float64)), number(fresh)).pvalue > EACH


@pytest.mark.parametrize(
    "law",
    [
        # Numbers of float32 are far apart there, and the bounds are none of them.
        Box(3, low=1000.00002, high=1000.0003),
        TruncatedNormal(3, bound=0.1, scale=5.0),
        Ball(3, radius=1e-3 / 3.0),
        NormBoundedNormal(3, bound=0.1, scale=5.0),
    ],
    ids=lambda law: law.name,
)
def test_no_state_is_rounded_out_of_the_support(law: Law, learned: Surrogate, net: Generator) -> None:
    walk = walk_of(learned, net, law, 1e-9)
    for _ in range(20):
        walk.advance(adapting=True)
        assert np.isfinite(law.log_density(walk.latents)).all()


def test_a_mapped_law_walks_before_its_mapping(net: Generator, learned: Surrogate) -> None:
    seen: list[np.ndarray] = []

    def mapping(latents: np.ndarray) -> np.ndarray:
        seen.append(latents)
        return (latents[:, :3] + 2.0 * latents[:, 3:]).astype(np.float32)

    law = Pushforward(3, Box(4, low=-1.0, high=1.0), mapping)
    walk = walk_of(learned, net, law, 1e-9)
    for _ in range(8):
        walk.advance(adapting=False)
    assert all(states.shape == (512, 4) and np.abs(states).max() <= 1.0 for states in seen)
    # Three uniform numbers, each with twice the fourth.
    fresh = law.rows(7, 0, 20_000)
    for number in (lambda z: z[:, 0], lambda z: z[:, 1] - z[:, 2]):
        assert stats.ks_2samp(number(walk.latents), number(fresh)).pvalue > EACH
    assert walk.watched().shape == (512, 1 + 1 + 4)


def test_the_tilt_is_raised_by_what_half_of_the_chains_bear(net: Generator, learned: Surrogate) -> None:
    walk = walk_of(learned, net, PRIOR, 6.0)
    tilts, shares = walk.tilts.copy(), []
    walk.raise_share(last=False)
    shares.append(walk.share)
    assert 0.0 < walk.share < 1.0
    assert effective_sample_size(walk.share * tilts) / 512 == pytest.approx(0.5, abs=1e-6)
    assert walk.tilts.mean() > tilts.mean()
    while walk.share < 1.0:
        walk.advance(adapting=True)
        walk.raise_share(last=False)
        shares.append(walk.share)
    assert shares == sorted(set(shares))
    walk.raise_share(last=False)
    assert walk.share == 1.0
    sudden = walk_of(learned, net, PRIOR, 6.0)
    sudden.raise_share(last=True)
    assert sudden.share == 1.0


def test_bytes_follow_from_target_budget_and_seed(net: Generator, learned: Surrogate) -> None:
    target = target_of(net, PRIOR, 2.0, 3)
    once, again, other = (ScreenedChain(learned).choose(target, BUDGET, seed).to_bytes() for seed in (4, 4, 5))
    assert once == again != other


def test_it_spends_no_more_than_its_budget_and_says_how_it_went(net: Generator, learned: Surrogate) -> None:
    sample = ScreenedChain(learned)(target_of(net, PRIOR, 2.0, 3), BUDGET, 4)
    assert sample.spent.exact == len(sample.rows) <= BUDGET.exact
    assert sample.spent.forwards <= BUDGET.forwards
    assert len(np.unique(sample.latents, axis=0)) == len(sample.rows)
    notes = sample.notes
    assert (notes["chains"], notes["steps"]) == (64.0, 127.0)
    assert 0.05 < notes["acceptance"] < 0.8
    assert 0.0 < notes["step"] <= 1.0
    assert notes["autocorrelation"] >= 1.0
    assert 0.0 <= notes["raised"] < 1.0
    assert sample.figures.ess == pytest.approx(effective_sample_size(sample.log_weights) / notes["autocorrelation"])


def test_states_kept_are_weighted_by_what_the_surrogate_missed(net: Generator, learned: Surrogate) -> None:
    rho, k = 2.0, 3
    target = target_of(net, PRIOR, rho, k)
    chosen = ScreenedChain(learned).choose(target, BUDGET, 4)
    # 127 steps less 77 leave 50, three rounds of 64 chains.
    assert chosen.copies.sum() == 3 * 64
    scores = learned.scores(net, target.engine, chosen.rows.latents)
    # The bytes of a score depend on the row's place in its tile.
    assert scores.tilt(rho, k) == pytest.approx(chosen.tilts, abs=1e-4)
    expected = np.log(chosen.copies) + rho * chosen.rows.log_volumes[:, k - 1].astype(np.float64) - chosen.tilts
    assert chosen.sample(rho, k).log_weights == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "budget",
    [Budget(LEAST_CHAIN_EXACT - 1, 100_000), Budget(1000, LEAST_CHAIN_FORWARDS - 1)],
    ids=["exact", "forwards"],
)
def test_a_budget_that_feeds_no_chains_is_told(budget: Budget, net: Generator, learned: Surrogate) -> None:
    with pytest.raises(InvalidInput, match="64 or more and 8,192 or more") as caught:
        ScreenedChain(learned)(target_of(net, PRIOR, 1.0, 1), budget, 0)
    assert caught.value.field == "budget"


def test_chains_are_whole_tiles_and_no_more_than_states(net: Generator) -> None:
    for exact in (64, 100, 129, 5000, 900_000):
        for forwards in (LEAST_CHAIN_FORWARDS, 70_000, 3_000_000):
            chains = chains_of(Budget(exact, forwards))
            assert chains % 64 == 0
            assert 64 <= chains <= min(exact, 4096) or chains == 64
            assert chains == 64 or forwards // chains >= 256


def test_refusals(net: Generator, learned: Surrogate) -> None:
    with pytest.raises(Refused) as caught:
        ScreenedChain(learned)(target_of(net, PRIOR, 1.0, 4), BUDGET, 0)
    assert caught.value.reason == "NO_SURROGATE"
    twice = Pushforward(3, Pushforward(3, PRIOR, lambda z: z), lambda z: z)
    with pytest.raises(Refused) as caught:
        ScreenedChain(learned)(target_of(net, twice, 1.0, 2), BUDGET, 0)
    assert caught.value.reason == "NO_CHAIN"
    with pytest.raises(Cancelled):
        ScreenedChain(learned)(target_of(net, PRIOR, 1.0, 2), BUDGET, 0, lambda: True)
