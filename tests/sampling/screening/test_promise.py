"""What is promised, against plain sums over the bank's rows."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from magnet_service.generator import Generator
from magnet_service.sampling import Ball, Law, Normal, Rows
from magnet_service.sampling.method import Method
from magnet_service.sampling.polarity import Weights
from magnet_service.sampling.screening.chains import ScreenedChain
from magnet_service.sampling.screening.promise import Promise, better, promises, shared_out
from magnet_service.sampling.screening.screened import Screened
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget
from tests.sampling.screening.surrogates import fitted, rows_of, target_of

PRIOR = Normal(3)


def screened_ess(evaluations: float, columns: float, pool_share: float, counted: float, share: float) -> float:
    exact = share * evaluations
    return 1.0 / (1.0 / ((evaluations - exact) * columns * pool_share) + 1.0 / (exact * counted))


@pytest.mark.parametrize(
    ("columns", "pool_share", "counted"),
    list(itertools.product((2.0, 20.0, 100.0), (1e-4, 0.01, 0.5), (0.05, 0.5, 0.95))),
)
def test_the_budget_shared_out_gives_the_most(columns: float, pool_share: float, counted: float) -> None:
    budget = shared_out(4000.0, columns, pool_share, counted)
    assert budget.evaluations(int(columns)) == pytest.approx(4000.0, abs=1.0)
    found = screened_ess(4000.0, columns, pool_share, counted, budget.exact / 4000.0)
    each = [screened_ess(4000.0, columns, pool_share, counted, share) for share in np.linspace(0.1, 0.9, 801)]
    assert found >= max(each) * (1.0 - 1e-6)


@pytest.mark.parametrize(("pool_share", "counted"), [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0)])
def test_without_figures_the_budget_is_halved(pool_share: float, counted: float) -> None:
    assert shared_out(1000.0, 10.0, pool_share, counted) == Budget(500, 5000)


def test_the_least_budget_is_one_of_each() -> None:
    assert shared_out(0.5, 3.0, 0.1, 0.5) == Budget(1, 1)


def plain(
    surrogate: Surrogate, rows: Rows, base: Law, bank_law: Law, rho: float, k: int
) -> tuple[float, float, np.ndarray]:
    """e_p, e_s and the pool's weights by plain sums; rows that do not count have none."""
    with np.errstate(invalid="ignore", over="ignore"):
        prior = np.exp(base.log_density(rows.latents) - bank_law.log_density(rows.latents))
        guess = rows.log_volumes[:, k - 1].astype(np.float64) - surrogate.residuals[:, k - 1].astype(np.float64)
        exact = np.exp(rho * rows.log_volumes[:, k - 1].astype(np.float64))
        tilt = np.exp(rho * guess + surrogate.log_ranks[:, k - 1].astype(np.float64))
    counts = rows.rank >= k
    exact, tilt = np.where(counts, exact, 0.0), np.where(counts, tilt, 0.0)
    e_p = (prior * tilt).sum() ** 2 / prior.sum() / (prior * tilt**2).sum()
    second = np.where(counts, exact**2 / np.where(counts, tilt, 1.0), 0.0)
    e_s = (prior * exact).sum() ** 2 / (prior * tilt).sum() / (prior * second).sum()
    return float(e_p), float(e_s), prior * tilt


@pytest.mark.parametrize("base", [PRIOR, Ball(3, radius=5.0**0.5)], ids=["own law", "corrected"])
@pytest.mark.parametrize(("rho", "k"), [(1.0, 1), (-1.0, 3), (2.0, 2)])
def test_the_figures_are_plain_sums_over_the_banks_rows(
    rho: float, k: int, base: Law, known: Rows, learned: Surrogate
) -> None:
    e_p, e_s, _ = plain(learned, known, base, PRIOR, rho, k)
    (screened, chain) = promises(learned, Weights(known, base, PRIOR), rho, k, 20_000.0, base)
    assert screened.method is Method.SCREENED
    expected = shared_out(20_000.0, 3.0, e_p, e_s)
    assert abs(screened.budget.exact - expected.exact) <= 1
    pool, choices = screened.budget.forwards * e_p, screened.budget.exact * e_s
    # A heavy tail at rho = -1 and k = 3: the pool counts for no more than the bank.
    dead = "no more for its size" in screened.reason
    assert dead == (rho == -1.0 and base == PRIOR)
    pool = min(pool, len(known) * e_p) if dead else pool
    assert screened.ess == pytest.approx(1.0 / (1.0 / pool + 1.0 / choices), rel=1e-9)
    assert chain.method is Method.SCREENED_CHAIN
    assert chain.budget == Budget(9984, 30_000)
    apart = 0.4 * 30_000 / 150.0
    assert chain.ess == pytest.approx(1.0 / (1.0 / apart + 1.0 / (9984 * e_s)), rel=1e-9)


@pytest.mark.parametrize(("rho", "k"), [(1.0, 2), (-1.0, 2), (3.0, 2)])
def test_rows_of_low_rank_count_for_nothing(rho: float, k: int, lame_rows: Rows, lame_surrogate: Surrogate) -> None:
    assert 0.0 < (lame_rows.rank < k).mean() < 0.5
    e_p, e_s, _ = plain(lame_surrogate, lame_rows, PRIOR, PRIOR, rho, k)
    screened = promises(lame_surrogate, Weights(lame_rows, PRIOR, PRIOR), rho, k, 500.0, PRIOR)[0]
    pool, choices = screened.budget.forwards * e_p, screened.budget.exact * e_s
    assert screened.ess == pytest.approx(1.0 / (1.0 / pool + 1.0 / choices), rel=1e-9)


def test_a_bank_without_a_row_that_counts_promises_nothing(known: Rows, learned: Surrogate) -> None:
    away = Ball(3, radius=1e-6)
    found = promises(learned, Weights(known, away, PRIOR), 1.0, 2, 20_000.0, away)
    assert [one.ess for one in found] == [0.0, 0.0]
    assert found[0].budget.evaluations(3) == pytest.approx(20_000.0)


def test_a_pool_of_a_heavy_tail_counts_for_no_more_than_the_bank(known: Rows, learned: Surrogate) -> None:
    heavy = np.random.default_rng(0).pareto(0.7, size=len(known)) + 1.0
    volumes = np.repeat(np.log(heavy)[:, None], 3, axis=1).astype(np.float32)
    rows = Rows(known.latents, volumes, np.full(len(known), 3, np.int16), known.status)
    known_all = replace(
        learned, residuals=np.zeros((len(known), 3), np.float16), log_ranks=np.zeros((len(known), 3), np.float16)
    )
    e_p, e_s, _ = plain(known_all, rows, PRIOR, PRIOR, 1.0, 2)
    screened = promises(known_all, Weights(rows, PRIOR, PRIOR), 1.0, 2, 100_000.0, PRIOR)[0]
    assert "no more for its size" in screened.reason
    pool = len(rows) * e_p
    assert screened.ess == pytest.approx(1.0 / (1.0 / pool + 1.0 / (screened.budget.exact * e_s)), rel=1e-6)
    assert pool < 0.2 * screened.budget.forwards * e_p


def test_a_bank_that_has_grown_since_is_read_as_far_as_the_surrogate_was_fitted(
    net: Generator, known: Rows, learned: Surrogate
) -> None:
    grown = rows_of(net, PRIOR, 4000, seed=41)
    assert (grown.latents[:2500] == known.latents).all()
    before, after = (promises(learned, Weights(rows, PRIOR, PRIOR), 1.0, 2, 900.0, PRIOR) for rows in (known, grown))
    assert before[0].ess == pytest.approx(after[0].ess, rel=1e-3)


def test_chains_are_promised_where_they_can_walk_and_are_fed(known: Rows, learned: Surrogate) -> None:
    weights = Weights(known, PRIOR, PRIOR)

    def methods(evaluations: float, walks: bool) -> list[Method]:
        return [one.method for one in promises(learned, weights, 1.0, 2, evaluations, PRIOR, walks=walks)]

    assert methods(20_000.0, False) == [Method.SCREENED]
    assert methods(20_000.0, True) == [Method.SCREENED, Method.SCREENED_CHAIN]
    # 8,192 forwards at three to an evaluation, and as many evaluations again.
    assert methods(5460.0, True) == [Method.SCREENED]
    assert methods(5462.0, True) == [Method.SCREENED, Method.SCREENED_CHAIN]


def test_what_is_promised_is_what_comes(net: Generator, known: Rows, learned: Surrogate) -> None:
    target = target_of(net, PRIOR, 1.5, 3)
    screened, chain = promises(learned, Weights(known, PRIOR, PRIOR), 1.5, 3, 5500.0, PRIOR)
    found = Screened(learned)(target, screened.budget, 1).figures.ess
    assert found == pytest.approx(screened.ess, rel=0.3)
    sample = ScreenedChain(learned)(target, chain.budget, 1)
    assert sample.figures.ess > 0.5 * chain.ess
    assert sample.spent.exact <= chain.budget.exact


def promise(method: Method, ess: float) -> Promise:
    return Promise(method, ess, Budget(1, 1), "")


def test_the_better_promise_unless_the_bank_is_no_worse() -> None:
    few, many = promise(Method.SCREENED, 100.0), promise(Method.SCREENED_CHAIN, 300.0)
    assert better((few, many), 299.0) is many
    assert better((few, many), 300.0) is None
    assert better((many, few), 1e9) is None
    # A bank short of what is asked for cannot grow by itself, and screening can.
    assert better((few, many), 500.0, min_ess=1000.0) is many
    assert better((few, many), 1000.0, min_ess=1000.0) is None


def test_a_surrogate_of_more_rows_promises_no_less(net: Generator) -> None:
    rows = rows_of(net, PRIOR, 6000, seed=5)
    weights = Weights(rows, PRIOR, PRIOR)
    small, large = (promises(fitted(rows.first(n), net), weights, 3.0, 3, 1000.0, PRIOR)[0] for n in (2000, 6000))
    assert large.ess > small.ess
