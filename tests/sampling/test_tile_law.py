"""The gold standard in two dimensions: tile frequencies against area x v^rho, exactly known (S1, S4, S8, S11)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from magnet_service.generator import Generator
from magnet_service.geometry import log_volume, volumes
from magnet_service.sampling import Bank, Box, SampleRequest, engine_for
from tests.sampling.exact_tiles import Tile, clip, exact_tiles, polygon_area, square
from tests.sampling.nets import Layers, generator_of, layers
from tests.sampling.pools import bank_of, draw_of, g_test, tile_index, tile_law

PRIOR = Box(2, low=-1.0, high=1.0)
RHOS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
POOL = 300_000
# One alpha for this file; each of the seven exponents gets a seventh of it (Bonferroni).
ALPHA = 0.001
EACH = ALPHA / len(RHOS)

each_rho = pytest.mark.parametrize("rho", RHOS)


@pytest.fixture(scope="module")
def network() -> Layers:
    return layers((2, 12, 12, 3), seed=9)


@pytest.fixture(scope="module")
def generator(network: Layers) -> Generator:
    return generator_of(network)


@pytest.fixture(scope="module")
def tiles(network: Layers) -> list[Tile]:
    return exact_tiles(network, square(-1.0, 1.0))


@pytest.fixture(scope="module")
def bank(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return bank_of(tmp_path_factory.mktemp("banks"), generator, PRIOR, POOL)


def request(bank: Bank, rho: float, count: int, seed: int = 1) -> SampleRequest:
    return SampleRequest(count=count, seed=seed, rho=rho, top_k=2, manifold=bank.spec.manifold)


def drawable(bank: Bank, rho: float, share: float) -> int:
    """Draws that the pool's ESS allows when it must be 1 / share times as large."""
    if rho == 0.0:
        return 20_000
    return int(draw_of(bank, PRIOR, request(bank, rho, 100)).diagnostics.ess * share)


def test_the_network_is_one_that_the_check_means(tiles: list[Tile]) -> None:
    sigma = np.array([np.linalg.svd(tile.a, compute_uv=False) for tile in tiles])
    law = tile_law(tiles, 0.0)
    logs = np.log(sigma).sum(axis=1)
    spread = np.sqrt((law * (logs - (law * logs).sum()) ** 2).sum())
    assert sum(tile.area for tile in tiles) == pytest.approx(4.0, abs=1e-12)
    assert (sigma[:, 1] / sigma[:, 0]).min() > 0.01
    assert 0.5 < spread < 1.2


@each_rho
def test_tile_frequencies_follow_area_times_volume_to_the_rho(rho: float, bank: Bank, tiles: list[Tile]) -> None:
    count = drawable(bank, rho, 1 / 20)
    draw = draw_of(bank, PRIOR, request(bank, rho, count))
    p, cells = g_test(tiles, draw.latents(0, count), tile_law(tiles, rho))
    assert cells >= 8, "vacuous: too few cells"
    assert p > EACH


@each_rho
def test_latents_are_uniform_inside_their_tiles(rho: float, bank: Bank, tiles: list[Tile]) -> None:
    count = min(drawable(bank, rho, 1 / 20), 2000)
    latents = draw_of(bank, PRIOR, request(bank, rho, count)).latents(0, count).astype(np.float64)
    homes = tile_index(tiles, latents)
    for axis in (0, 1):
        normal = -np.eye(2)[axis]
        below = [
            polygon_area(part) / tiles[home].area
            if len(part := clip(tiles[home].corners, normal, z[axis])) > 2
            else 0.0
            for home, z in zip(homes, latents, strict=True)
        ]
        assert stats.kstest(below, "uniform").pvalue > EACH / 2


@each_rho
def test_mean_log_volume_passes_at_rho_and_is_rejected_at_one_and_a_twentieth(
    rho: float, bank: Bank, tiles: list[Tile], generator: Generator
) -> None:
    law = tile_law(tiles, rho)
    logs = np.array([tile.log_volume for tile in tiles])
    mean = float((law * logs).sum())
    variance = float((law * (logs - mean) ** 2).sum())

    def score(used: float) -> float:
        count = drawable(bank, used, 1.0)
        draw = draw_of(bank, PRIOR, request(bank, used, count, seed=2))
        values, pool = draw.log_volumes(0, count), 0.0
        if values is None:
            fresh = volumes(generator, torch.from_numpy(draw.latents(0, count)), engine=engine_for(bank.spec))
            values = log_volume(fresh, 2).numpy()
        else:
            # The pool is one finite sample of the base: its own error of the weighted mean.
            weights = np.exp(rho * bank.rows().log_volumes[:, 1].astype(np.float64))
            weights /= weights.sum()
            pool = float(np.square(weights * (bank.rows().log_volumes[:, 1] - mean)).sum())
        return float((values.mean() - mean) / np.sqrt(variance / count + pool))

    limit = stats.norm.isf(EACH / 2)
    assert abs(score(rho)) < limit
    assert abs(score(1.05 * rho if rho else 0.05)) > limit


def test_the_mean_volume_is_the_manifolds_area_over_the_domains(bank: Bank, tiles: list[Tile]) -> None:
    exact = sum(tile.area * np.exp(tile.log_volume) for tile in tiles)
    values = 4.0 * np.exp(bank.rows().log_volumes[:, 1].astype(np.float64))
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - exact) < 4.0 * error
    assert error < 0.01 * exact


def test_log_volumes_of_the_bank_are_those_of_the_tiles(bank: Bank, tiles: list[Tile]) -> None:
    rows = bank.rows(20_000)
    exact = np.array([tile.log_volume for tile in tiles])[tile_index(tiles, rows.latents)]
    error = np.abs(rows.log_volumes[:, 1] - exact)
    # A latent within rounding of a line may be taken to either side of it.
    assert (error > 1e-5).mean() < 1e-3


def test_rho_zero_is_the_base_draw_of_the_same_seed(bank: Bank) -> None:
    draw = draw_of(bank, PRIOR, request(bank, 0.0, 50, seed=77))
    assert (draw.latents(0, 50) == PRIOR.rows(77, 0, 50)).all()
    assert draw.indices(0, 50) is None


@pytest.mark.parametrize("rho", [-1e6, 1e6])
def test_rho_to_infinity_is_the_extreme_tile(rho: float, bank: Bank, tiles: list[Tile]) -> None:
    rows = bank.rows(30_000)
    hit = np.unique(tile_index(tiles, rows.latents))
    logs = np.array([tile.log_volume for tile in tiles])
    extreme = hit[np.argmax(np.sign(rho) * logs[hit])]
    draw = draw_of(bank, PRIOR, request(bank, rho, 200), rows)
    assert (tile_index(tiles, draw.latents(0, 200)) == extreme).all()
