"""SCREENED against its formula, written out in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from magnet_service.errors import Cancelled, DamagedData, InvalidInput, Refused
from magnet_service.generator import Generator
from magnet_service.sampling import Normal, Stream, uniforms
from magnet_service.sampling.banks.rows import NON_FINITE
from magnet_service.sampling.screening.choices import Choices
from magnet_service.sampling.screening.screened import Screened
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget, seed_of
from tests.geometry.oracles import autograd_jacobian
from tests.sampling.nets import layers, module_of
from tests.sampling.screening.surrogates import ENGINE, noise, target_of

PRIOR = Normal(3)
SEED = 11
BUDGET = Budget(150, 400)


def oracle(
    generator: Generator, surrogate: Surrogate, widths: tuple[int, ...], net_seed: int, rho: float, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents chosen, copies and weights, by the formula alone."""
    pool = PRIOR.rows(seed_of(SEED, "pool"), 0, BUDGET.forwards)
    scores = surrogate.scores(generator, ENGINE, pool)
    tilts = rho * scores.log_volumes[:, k - 1] + scores.log_ranks[:, k - 1]
    chances = np.exp(tilts - tilts.max())
    ends = np.cumsum(chances) / chances.sum()
    uniform = uniforms(SEED, Stream.SCREEN, 0, BUDGET.exact, 1)[:, 0]
    copies = np.zeros(BUDGET.forwards, dtype=int)
    for number in uniform:
        copies[int(np.argmax(ends > number))] += 1
    chosen = np.flatnonzero(copies)
    jacobians = autograd_jacobian(module_of(layers(widths, seed=net_seed)), torch.from_numpy(pool[chosen]))
    sigma = np.linalg.svd(jacobians.numpy(), compute_uv=False)
    ranks = (sigma > 1e-9 * sigma[:, :1]).sum(1)
    with np.errstate(divide="ignore"):
        volumes = np.log(sigma[:, :k]).sum(1)
    weights = np.where(ranks >= k, copies[chosen] * np.exp(rho * volumes - tilts[chosen]), 0.0)
    return pool[chosen], copies[chosen], weights


@pytest.mark.parametrize(("rho", "k"), [(1.0, 3), (-1.5, 2), (4.0, 1)])
def test_copies_weights_and_figures_are_the_formulas(rho: float, k: int, net: Generator, learned: Surrogate) -> None:
    latents, copies, weights = oracle(net, learned, (3, 8, 8, 5), 1, rho, k)
    target = target_of(net, PRIOR, rho, k)
    chosen = Screened(learned).choose(target, BUDGET, SEED)
    assert (chosen.rows.latents == latents).all()
    assert (chosen.copies == copies).all()
    assert copies.max() > 1
    assert copies.sum() == BUDGET.exact
    assert chosen.spent == Budget(len(latents), BUDGET.forwards)
    sample = Screened(learned)(target, BUDGET, SEED)
    found = np.exp(sample.log_weights)
    assert found / found.sum() == pytest.approx(weights / weights.sum(), rel=1e-4)
    assert sample.figures.ess == pytest.approx(weights.sum() ** 2 / np.square(weights).sum(), rel=1e-4)
    assert sample.figures.largest_weight == pytest.approx(weights.max() / weights.sum(), rel=1e-4)
    assert sample.figures.low_rank_share == pytest.approx(copies[weights == 0.0].sum() / copies.sum())


@pytest.mark.parametrize("rho", [1.0, -1.0])
def test_rows_of_low_rank_have_no_weight_and_their_share_is_told(rho: float, lame: Generator) -> None:
    # Noise does not know which latents they are.
    guess = noise(lame, 3)
    _, copies, weights = oracle(lame, guess, (3, 4, 5), 3, rho, 3)
    assert 0 < (weights == 0.0).sum() < len(weights)
    sample = Screened(guess)(target_of(lame, PRIOR, rho, 3), BUDGET, SEED)
    assert ((sample.log_weights == -np.inf) == (weights == 0.0)).all()
    assert sample.figures.low_rank_share == pytest.approx(copies[weights == 0.0].sum() / copies.sum())
    assert sample.figures.distinct == (weights > 0.0).sum()
    answers = sample.weighed.at(uniforms(1, Stream.RESAMPLE, 0, 5000, 1)[:, 0])
    assert (sample.rows.ranks()[answers] >= 3).all()


def test_a_fitted_surrogate_finds_fewer_rows_of_low_rank(lame: Generator, lame_surrogate: Surrogate) -> None:
    target = target_of(lame, PRIOR, 1e-9, 2)
    fitted, blind = (Screened(guess)(target, BUDGET, SEED).figures for guess in (lame_surrogate, noise(lame, 3)))
    assert fitted.low_rank_share < 0.6 * blind.low_rank_share


def test_rows_that_are_not_finite_have_no_weight(net: Generator, learned: Surrogate) -> None:
    chosen = Screened(learned).choose(target_of(net, PRIOR, 1.0, 2), BUDGET, SEED)
    status = np.zeros(len(chosen.rows), np.int8)
    status[:7] = NON_FINITE
    damaged = replace(chosen, rows=replace(chosen.rows, status=status)).sample(1.0, 2)
    assert (np.flatnonzero(damaged.log_weights == -np.inf) == np.arange(7)).all()


def test_a_larger_pool_begins_with_the_smaller(net: Generator, learned: Surrogate) -> None:
    # Screened by a surrogate that finds all latents alike, the choice of a row follows from its number alone.
    target = target_of(net, PRIOR, 1e-12, 2)
    small, large = (Screened(learned).choose(target, Budget(4000, pool), SEED) for pool in (100, 300))
    assert len(small.rows) == 100
    assert len(large.rows) == 300
    assert (large.rows.latents[:100] == small.rows.latents).all()
    assert (large.tilts[:100] == small.tilts).all()
    assert (large.rows.log_volumes[:64] == small.rows.log_volumes[:64]).all()


def test_a_pool_holds_no_rows_of_a_bank_of_the_same_seed(net: Generator, learned: Surrogate) -> None:
    chosen = Screened(learned).choose(target_of(net, PRIOR, 1e-12, 2), Budget(4000, 200), SEED)
    bank = {row.tobytes() for row in PRIOR.rows(SEED, 0, 5000)}
    assert not bank & {row.tobytes() for row in chosen.rows.latents}


def test_bytes_follow_from_target_budget_and_seed(net: Generator, learned: Surrogate) -> None:
    target = target_of(net, PRIOR, 2.0, 3)
    once, again, other = (Screened(learned).choose(target, BUDGET, seed).to_bytes() for seed in (SEED, SEED, 12))
    assert once == again != other


def test_choices_come_back_from_their_bytes(net: Generator, learned: Surrogate) -> None:
    chosen = Screened(learned).choose(target_of(net, PRIOR, 2.0, 3), BUDGET, SEED)
    back = Choices.from_bytes(chosen.to_bytes())
    assert back.to_bytes() == chosen.to_bytes()
    assert (back.spent, back.notes) == (chosen.spent, chosen.notes)
    assert (back.sample(2.0, 3).log_weights == chosen.sample(2.0, 3).log_weights).all()


@pytest.mark.parametrize("kind", ["empty", "cut", "flipped", "other", "pickle"])
def test_damaged_choices_are_told(kind: str, net: Generator, learned: Surrogate) -> None:
    data = Screened(learned).choose(target_of(net, PRIOR, 2.0, 3), BUDGET, SEED).to_bytes()
    middle = len(data) // 2
    damaged = {
        "empty": b"",
        "cut": data[:middle],
        "flipped": data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :],
        "other": b"PK\x05\x06" + bytes(18),
        "pickle": b"\x80\x04K\x01.",
    }
    with pytest.raises(DamagedData):
        Choices.from_bytes(damaged[kind])


@pytest.mark.parametrize("budget", [Budget(0, 10), Budget(10, 0)])
def test_an_empty_budget_is_told(budget: Budget, net: Generator, learned: Surrogate) -> None:
    with pytest.raises(InvalidInput) as caught:
        Screened(learned)(target_of(net, PRIOR, 1.0, 1), budget, SEED)
    assert caught.value.field == "budget"


def test_a_k_that_the_surrogate_does_not_reach_is_refused(lame: Generator) -> None:
    with pytest.raises(Refused) as caught:
        Screened(noise(lame, 2))(target_of(lame, PRIOR, 1.0, 3), BUDGET, SEED)
    assert (caught.value.reason, caught.value.field) == ("NO_SURROGATE", "top_k")


def test_it_stops_when_told(net: Generator, learned: Surrogate) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(Cancelled):
        Screened(learned)(target_of(net, PRIOR, 1.0, 1), Budget(10, 30_000), SEED, stop)
    assert asked <= 160  # tiles of one block out of three


def test_a_budget_counts_forwards_as_columns() -> None:
    assert Budget(100, 640).evaluations(64) == 110.0
