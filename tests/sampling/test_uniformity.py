"""What is uniform: Gaussian proposals weighted by v alone are not, base UNIFORM is (S9)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magnet_service.generator import Generator
from magnet_service.sampling import Ball, Bank, Base, Draw, Normal, Preset, SampleRequest
from tests.sampling.exact_tiles import Tile, disc, exact_tiles
from tests.sampling.nets import Layers, generator_of, layers
from tests.sampling.pools import bank_of, draw_of, g_test, tile_law

PRIOR = Normal(2)
POOL = 200_000
ALPHA = 0.001 / 3


@pytest.fixture(scope="module")
def network() -> Layers:
    return layers((2, 12, 12, 3), seed=5)


@pytest.fixture(scope="module")
def generator(network: Layers) -> Generator:
    return generator_of(network)


@pytest.fixture(scope="module")
def tiles(network: Layers) -> list[Tile]:
    """Tiles of the default domain, the disc of radius sqrt(2 + 2)."""
    return exact_tiles(network, disc(2.0, 256))


@pytest.fixture(scope="module")
def prior_bank(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return bank_of(tmp_path_factory.mktemp("prior"), generator, PRIOR, POOL)


def draw(bank: Bank, request: SampleRequest) -> tuple[Draw, np.ndarray]:
    made = draw_of(bank, PRIOR, request)
    return made, made.latents(0, request.count)


def test_weighting_a_gaussian_by_volume_alone_is_not_uniform(prior_bank: Bank, tiles: list[Tile]) -> None:
    request = SampleRequest(count=3000, seed=1, rho=1.0, top_k=2, base=Base.PRIOR, manifold=prior_bank.spec.manifold)
    made, latents = draw(prior_bank, request)
    inside = latents[np.linalg.norm(latents, axis=1) < 2.0]
    p, cells = g_test(tiles, inside, tile_law(tiles, 1.0))
    assert cells >= 8
    assert p < 1e-6
    assert made.resolved.uniformity == ""


def test_base_uniform_on_a_corrected_prior_bank_is(prior_bank: Bank, tiles: list[Tile]) -> None:
    request = SampleRequest(count=3000, seed=1, preset=Preset.UNIFORM, manifold=prior_bank.spec.manifold)
    made, latents = draw(prior_bank, request)
    assert made.diagnostics.ess >= 20 * request.count
    assert made.resolved.base_law == "ball(dim=2,radius=2.0)"
    assert "corrected" in made.resolved.bank_reason
    p, cells = g_test(tiles, latents, tile_law(tiles, 1.0))
    assert cells >= 8
    assert p > ALPHA


def test_base_uniform_on_a_bank_of_the_domain_is(generator: Generator, tiles: list[Tile], tmp_path: Path) -> None:
    bank = bank_of(tmp_path, generator, Ball(2, radius=2.0), POOL)
    request = SampleRequest(count=3000, seed=1, preset=Preset.UNIFORM, manifold=bank.spec.manifold)
    made, latents = draw(bank, request)
    assert made.diagnostics.ess >= 20 * request.count
    assert made.resolved.uniformity == "uniform"
    p, cells = g_test(tiles, latents, tile_law(tiles, 1.0))
    assert cells >= 8
    assert p > ALPHA
