"""Every sampler against the exact law of tiles of `rings`: P(tile) ~ area v^rho (S1, S11).

Answer rows of one run share its finite weighted set, so that the runs are what is independent: Hotelling's test of
their mean cell frequencies, with the covariance that they show themselves, and the t-test of their mean log v.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from magnet_service.sampling import Bank, Result, SampleRequest, Stream, uniforms
from magnet_service.sampling.method import Method
from magnet_service.sampling.screening.chains import LEAST_CHAIN_FORWARDS, ScreenedChain
from magnet_service.sampling.screening.resample import Resample
from magnet_service.sampling.screening.screened import Screened
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget, Sample, Sampler
from tests.sampling.pools import bank_of, draw_of, pooled, tile_index, tile_law
from tests.sampling.rings import FOLDER, rings, rings_tiles
from tests.sampling.screening.surrogates import fitted, noise, rows_of, target_of

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the generator rings is not bundled in this tree")

RHOS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
FAR = (-20.0, -5.0, 5.0, 20.0)
RESAMPLE, SCREENED, CHAIN = Method.RESAMPLE, Method.SCREENED, Method.SCREENED_CHAIN
METHODS = (RESAMPLE, SCREENED, CHAIN)
RUNS = 40
ANSWERS = 20_000
# One alpha for this file, shared by all its tests (Bonferroni).
EACH = 0.001 / (3 * (len(RHOS) + len(FAR)) + 3 * len(RHOS) + 2)
POWER = 8.0
"""Standard errors between the means of log v at rho and at 1.05 rho that a power test is given evaluations for."""

CHAINS = {True: Budget(256, 8192), False: Budget(1024, 32_768)}
QUICK = {(SCREENED, -2.0), (CHAIN, 1.0)}  # of resampling see tests/sampling/test_tile_law.py
# Chains take minutes at 2, and at a half the shift of the means is a sixteenth of that.
POWERS = [(method, rho) for method in METHODS for rho in RHOS if method is not CHAIN or abs(rho) == 2.0]
LOGS = [tile.log_volume for tile in rings_tiles()] if FOLDER.is_dir() else []


def cases(pairs: list[tuple[Method, float]]) -> list[object]:
    marks = {True: (), False: (pytest.mark.long,)}
    return [pytest.param(*pair, id=f"{pair[0]}{pair[1]:+g}", marks=marks[pair in QUICK]) for pair in pairs]


@cache
def surrogate() -> Surrogate:
    generator, prior = rings()
    return fitted(rows_of(generator, prior, 4000, seed=99), generator)


def sampler_of(method: Method, guess: Surrogate | None = None) -> Sampler:
    guess = guess or surrogate()
    return {RESAMPLE: Resample(), SCREENED: Screened(guess), CHAIN: ScreenedChain(guess)}[method]


def shares_of(sample: Sample, seed: int) -> np.ndarray:
    """Frequencies of tiles among answer rows, drawn by weight as an answer's are."""
    rows = sample.weighed.at(uniforms(seed, Stream.RESAMPLE, 0, ANSWERS, 1)[:, 0])
    distinct, places = np.unique(rows, return_inverse=True)
    homes = tile_index(rings_tiles(), sample.rows.latents_at(distinct))[places]
    return np.bincount(homes, minlength=len(LOGS)) / ANSWERS


@cache
def runs(
    method: Method, rho: float, budget: Budget, guess: Surrogate | None = None
) -> tuple[np.ndarray, tuple[Sample, ...]]:
    """Frequencies of tiles in the answers of independent runs, and the runs."""
    target = target_of(*rings(), rho, 2)
    made = [sampler_of(method, guess)(target, budget, seed) for seed in range(RUNS)]
    return np.array([shares_of(one, seed) for seed, one in enumerate(made)]), tuple(made)


def hotelling(shares: np.ndarray, law: np.ndarray, effective: float) -> tuple[float, int]:
    """p-value of the mean cell frequencies of the runs against the law, and the number of cells."""
    # At most 20 cells: their covariance is estimated from 40 runs.
    cells = pooled(rings_tiles(), law, int(min(effective, 400.0)))
    count = int(cells.max()) + 1
    if count == 1:
        return 1.0, 1
    table = np.stack([np.bincount(cells, weights=share, minlength=count) for share in shares])
    exact = np.bincount(cells, weights=law, minlength=count)
    assert exact.min() * effective >= 20.0
    # The last cell follows from the others.
    away = table.mean(0)[:-1] - exact[:-1]
    free = count - 1
    squared = RUNS * away @ np.linalg.solve(np.cov(table[:, :-1].T).reshape(free, free), away)
    return float(stats.f.sf(squared * (RUNS - free) / (free * (RUNS - 1)), free, RUNS - free)), count


def score(shares: np.ndarray, rho: float) -> float:
    """t of the runs' mean log v against that of the law of rho."""
    means = shares @ LOGS
    exact = tile_law(rings_tiles(), rho) @ LOGS
    return float((means.mean() - exact) / (means.std(ddof=1) / np.sqrt(RUNS)))


def effective(made: tuple[Sample, ...]) -> float:
    return sum(min(one.figures.ess, float(ANSWERS)) for one in made)


@pytest.mark.parametrize(("method", "rho"), cases([(m, r) for m in METHODS for r in RHOS]))
def test_tile_frequencies_follow_area_times_volume_to_the_rho(method: Method, rho: float) -> None:
    budget = CHAINS[(method, rho) in QUICK] if method is CHAIN else powerful(method, rho)
    shares, made = runs(method, rho, budget)
    p, cells = hotelling(shares, tile_law(rings_tiles(), rho), effective(made))
    assert cells >= 8, "vacuous: too few cells"
    assert p > EACH


def powerful(method: Method, rho: float) -> Budget:
    """A budget whose runs tell rho from 1.05 rho: the means of log v differ by 0.05 rho var(log v)."""
    law = tile_law(rings_tiles(), rho)
    deviation = float(np.sqrt(law @ np.square(np.array(LOGS) - law @ LOGS)))
    each = (POWER / (0.05 * rho * deviation)) ** 2 / RUNS
    if method is RESAMPLE:
        weights = np.array([tile.area for tile in rings_tiles()])
        powers = np.exp(rho * np.array(LOGS))
        return Budget(int(each * (weights @ powers**2) * weights.sum() / (weights @ powers) ** 2))
    if method is SCREENED:
        exact = int(1.8 * each)
        return Budget(exact, 12 * exact)
    exact = int(2.0 * rho * rho * each)
    return Budget(exact, max(20 * exact, LEAST_CHAIN_FORWARDS))


@pytest.mark.parametrize(("method", "rho"), cases(POWERS))
def test_mean_log_volume_passes_at_rho_and_is_rejected_at_one_and_a_twentieth(method: Method, rho: float) -> None:
    limit, budget = stats.t.isf(EACH / 2.0, RUNS - 1), powerful(method, rho)
    assert abs(score(runs(method, rho, budget)[0], rho)) < limit
    assert abs(score(runs(method, 1.05 * rho, budget)[0], rho)) > limit


@pytest.mark.long
@pytest.mark.parametrize("rho", FAR)
@pytest.mark.parametrize("method", [SCREENED, CHAIN])
def test_far_out_the_screened_ones_follow_the_law_too(method: Method, rho: float) -> None:
    shares, made = runs(method, rho, Budget(2048, 131_072))
    p, cells = hotelling(shares, tile_law(rings_tiles(), rho), effective(made))
    assert p > EACH
    if cells == 1:
        pytest.skip(f"one tile holds nearly all of the law at rho {rho:g}: no test")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return bank_of(tmp_path_factory.mktemp("rings"), *rings(), 500)


@pytest.mark.parametrize("rho", FAR)
def test_far_out_a_small_bank_says_that_it_cannot(rho: float, bank: Bank) -> None:
    areas = np.array([tile.area for tile in rings_tiles()])
    logs = rho * np.array(LOGS)
    powers = np.exp(logs - logs.max())
    share = float((areas @ powers) ** 2 / (areas @ powers**2) / areas.sum())
    rows = min(int(25.0 / share), len(bank.rows()))  # a law of one tiny tile would need a million
    request = SampleRequest(count=100, seed=1, rho=rho, top_k=2, manifold=bank.spec.manifold)
    draw = draw_of(bank, bank.spec.base_law, request, bank.rows(rows))
    assert draw.diagnostics.ess < 50.0
    assert draw.result in (Result.LOW_ESS, Result.DEGENERATE)
    assert draw.advice


def test_a_surrogate_of_noise_keeps_the_law_costs_effective_rows_and_says_so() -> None:
    rho, budget, guess = 1.0, Budget(500, 8000), noise(rings()[0], 2)
    target, law = target_of(*rings(), rho, 2), tile_law(rings_tiles(), rho)
    chosen = [Screened(guess).choose(target, budget, seed) for seed in range(RUNS)]
    made = tuple(one.sample(rho, 2) for one in chosen)
    shares = np.array([shares_of(one, seed) for seed, one in enumerate(made)])
    p, cells = hotelling(shares, law, effective(made))
    assert cells >= 8, "vacuous: too few cells"
    assert p > EACH
    poor = [one.figures.ess for one in made]
    assert max(poor) < 0.7 * min(Screened(surrogate())(target, budget, seed).figures.ess for seed in range(3))
    # The figure is the truth: the spread of the runs is that of as many independent draws.
    deviation = np.sqrt(law @ np.square(np.array(LOGS) - law @ LOGS))
    counted = (deviation / (shares @ LOGS).std(ddof=1)) ** 2
    assert 0.4 < counted / np.mean(poor) < 2.5
    # Left uncorrected, the choices follow the noise: what is tested here can fail.
    plain = [
        np.bincount(tile_index(rings_tiles(), one.rows.latents), weights=one.copies, minlength=len(LOGS))
        for one in chosen
    ]
    wrong, _ = hotelling(np.array(plain) / budget.exact, law, effective(made))
    assert wrong < 1e-6


@pytest.mark.long
def test_chains_on_a_surrogate_of_noise_keep_the_law() -> None:
    budget = CHAINS[False]
    shares, made = runs(CHAIN, 1.0, budget, noise(rings()[0], 2))
    p, cells = hotelling(shares, tile_law(rings_tiles(), 1.0), effective(made))
    assert cells >= 8, "vacuous: too few cells"
    assert p > EACH
    good = [one.figures.ess for one in runs(CHAIN, 1.0, budget)[1]]
    assert np.mean([one.figures.ess for one in made]) < 0.7 * np.mean(good)
