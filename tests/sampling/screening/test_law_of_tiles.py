"""Every sampler against the exact law of tiles of `rings`: P(tile) ~ area v^rho (S1, S11).

Answer rows of one run share its finite weighted set, so that the runs are what is independent: Hotelling's test of
their mean cell frequencies, with the covariance that they show themselves, and the t-test of their mean log v.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from magnet_service.sampling import Result, SampleRequest, Stream, uniforms
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
ANSWERS = 4000
# One alpha for this file, shared by all its tests (Bonferroni).
EACH = 0.001 / (3 * (len(RHOS) + len(FAR)) + 3 * len(RHOS) + 2)
POWER = 9.0
"""Standard errors between the means of log v at rho and at 1.05 rho that a power test is given evaluations for."""

BUDGETS = {RESAMPLE: Budget(4000), SCREENED: Budget(500, 10_000), CHAIN: Budget(512, 16_384)}
QUICK = {(RESAMPLE, -2.0), (RESAMPLE, 1.0), (SCREENED, -2.0), (SCREENED, 1.0), (CHAIN, -2.0)}
QUICK_POWER = {(RESAMPLE, -2.0), (SCREENED, -2.0)}
# A chain's power at half a unit would take many minutes: the shift is a sixteenth of that at two.
POWERS = [(method, rho) for method in METHODS for rho in RHOS if method is not CHAIN or abs(rho) >= 1.0]
LOGS = [tile.log_volume for tile in rings_tiles()] if FOLDER.is_dir() else []


def cases(pairs: list[tuple[Method, float]], quick: set[tuple[Method, float]]) -> list[object]:
    marks = {True: (), False: (pytest.mark.long,)}
    return [pytest.param(*pair, id=f"{pair[0]}{pair[1]:+g}", marks=marks[pair in quick]) for pair in pairs]


@cache
def surrogate() -> Surrogate:
    generator, prior = rings()
    return fitted(rows_of(generator, prior, 4000, seed=99), generator)


def sampler_of(method: Method, guess: Surrogate | None = None) -> Sampler:
    guess = guess or surrogate()
    return {RESAMPLE: Resample(), SCREENED: Screened(guess), CHAIN: ScreenedChain(guess)}[method]


def homes_of(sample: Sample, seed: int) -> np.ndarray:
    """Tiles of answer rows, drawn by weight as an answer's are."""
    rows = sample.weighed.at(uniforms(seed, Stream.RESAMPLE, 0, ANSWERS, 1)[:, 0])
    distinct, places = np.unique(rows, return_inverse=True)
    return tile_index(rings_tiles(), sample.rows.latents_at(distinct))[places]


@cache
def runs(
    method: Method, rho: float, budget: Budget, guess: Surrogate | None = None
) -> tuple[np.ndarray, tuple[Sample, ...]]:
    """Frequencies of tiles in the answers of independent runs, and the runs."""
    target = target_of(*rings(), rho, 2)
    made = [sampler_of(method, guess)(target, budget, seed) for seed in range(RUNS)]
    found = [np.bincount(homes_of(one, seed), minlength=len(LOGS)) / ANSWERS for seed, one in enumerate(made)]
    return np.array(found), tuple(made)


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


@pytest.mark.parametrize(("method", "rho"), cases([(m, r) for m in METHODS for r in RHOS], QUICK))
def test_tile_frequencies_follow_area_times_volume_to_the_rho(method: Method, rho: float) -> None:
    shares, made = runs(method, rho, BUDGETS[method])
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
    exact = int(each * (1.5 if method is SCREENED else 2.0 * rho * rho))
    return Budget(exact, max(20 * exact, LEAST_CHAIN_FORWARDS))


@pytest.mark.parametrize(("method", "rho"), cases(POWERS, QUICK_POWER))
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


@pytest.mark.parametrize("rho", FAR)
def test_far_out_a_small_bank_says_that_it_cannot(rho: float, tmp_path: Path) -> None:
    generator, prior = rings()
    areas = np.array([tile.area for tile in rings_tiles()])
    logs = rho * np.array(LOGS)
    powers = np.exp(logs - logs.max())
    share = float((areas @ powers) ** 2 / (areas @ powers**2) / areas.sum())
    rows = int(25.0 / share)
    bank = bank_of(tmp_path, generator, prior, rows)
    request = SampleRequest(count=100, seed=1, rho=rho, top_k=2, manifold=bank.spec.manifold)
    draw = draw_of(bank, prior, request, bank.rows(rows))
    assert draw.diagnostics.ess < 50.0
    assert draw.result in (Result.LOW_ESS, Result.DEGENERATE)


@pytest.mark.parametrize("rho", [1.0])
def test_a_surrogate_of_noise_keeps_the_law_costs_effective_rows_and_says_so(rho: float) -> None:
    guess, budget = noise(rings()[0], 2), BUDGETS[SCREENED]
    law = tile_law(rings_tiles(), rho)
    shares, made = runs(SCREENED, rho, budget, guess)
    p, cells = hotelling(shares, law, effective(made))
    assert cells >= 8, "vacuous: too few cells"
    assert p > EACH
    good = [one.figures.ess for one in runs(SCREENED, rho, budget)[1]]
    poor = [one.figures.ess for one in made]
    assert max(poor) < 0.7 * min(good)
    # The figure is the truth: the spread of the runs is that of as many independent draws.
    deviation = np.sqrt(law @ np.square(np.array(LOGS) - law @ LOGS))
    counted = (deviation / (shares @ LOGS).std(ddof=1)) ** 2
    assert 0.4 < counted / np.mean(poor) < 2.5
    # Left uncorrected, the choices follow the noise: what is tested here can fail.
    target = target_of(*rings(), rho, 2)
    chosen = [Screened(guess).choose(target, budget, seed) for seed in range(RUNS)]
    plain = [
        np.bincount(tile_index(rings_tiles(), one.rows.latents), weights=one.copies, minlength=len(LOGS))
        for one in chosen
    ]
    wrong, _ = hotelling(np.array(plain) / budget.exact, law, effective(made))
    assert wrong < 1e-6


@pytest.mark.long
def test_chains_on_a_surrogate_of_noise_keep_the_law() -> None:
    guess = noise(rings()[0], 2)
    shares, made = runs(CHAIN, 1.0, BUDGETS[CHAIN], guess)
    p, cells = hotelling(shares, tile_law(rings_tiles(), 1.0), effective(made))
    assert cells >= 8, "vacuous: too few cells"
    assert p > EACH
    good = [one.figures.ess for one in runs(CHAIN, 1.0, BUDGETS[CHAIN])[1]]
    assert np.mean([one.figures.ess for one in made]) < 0.7 * np.mean(good)
