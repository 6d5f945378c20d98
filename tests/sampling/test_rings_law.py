"""The exact law of tiles on the bundled generator `rings`: P(tile) ~ area v^rho (S1)."""

from __future__ import annotations

import numpy as np
import pytest

from magnet_service.sampling import Bank, SampleRequest
from tests.sampling.exact_tiles import Tile
from tests.sampling.pools import bank_of, draw_of, g_test, tile_law
from tests.sampling.rings import FOLDER, rings, rings_tiles

RHOS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
EACH = 0.001 / len(RHOS)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the generator rings is not bundled in this tree")


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    found = rings_tiles()
    law = tile_law(found, 0.0)
    sigma = np.array([np.linalg.svd(tile.a, compute_uv=False) for tile in found])
    if sigma[:, 1].min() <= 1e-12 * sigma[:, 0].max():
        pytest.skip("rings has tiles of rank below 2: the law of tiles is checked on the hand-made network")
    logs = np.log(sigma).sum(axis=1)
    spread = float(np.sqrt((law * (logs - (law * logs).sum()) ** 2).sum()))
    if not 0.5 < spread < 1.2:
        pytest.skip(f"log v of rings has standard deviation {spread:.2f}: checked on the hand-made network")
    return found


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    generator, prior = rings()
    return bank_of(tmp_path_factory.mktemp("rings"), generator, prior, 200_000)


@pytest.mark.parametrize("rho", RHOS)
def test_tile_frequencies_follow_area_times_volume_to_the_rho(rho: float, tiles: list[Tile], bank: Bank) -> None:
    prior = bank.spec.base_law
    request = SampleRequest(count=100, seed=1, rho=rho, top_k=2, manifold=bank.spec.manifold)
    ess = draw_of(bank, prior, request).diagnostics.ess
    count = 20_000 if rho == 0.0 else int(ess / 20)
    latents = draw_of(bank, prior, request).latents(0, count)
    p, cells = g_test(tiles, latents, tile_law(tiles, rho))
    assert cells >= 8, "vacuous: too few cells"
    assert p > EACH
