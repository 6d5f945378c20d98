"""The exact law of tiles on the bundled generator `rings`: P(tile) ~ area v^rho (S1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import magnet_service
from magnet_service.generator import Program, load_version, read_archive
from magnet_service.generator.program import Constant
from magnet_service.sampling import Bank, Box, SampleRequest, parse_law
from tests.sampling.exact_tiles import Tile, exact_tiles, square
from tests.sampling.nets import Layers
from tests.sampling.pools import bank_of, draw_of, g_test, tile_law

FOLDER = Path(magnet_service.__file__).parent / "bundled" / "rings"
RHOS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
EACH = 0.001 / len(RHOS)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the generator rings is not bundled in this tree")


def layers_of(program: Program) -> Layers:
    """Weights of a plain ReLU network, read from its calls."""
    found: Layers = []
    for call in program.calls:
        if call.target.startswith(("aten.linear", "aten.addmm")):
            names = ("weight", "bias") if "linear" in call.target else ("mat2", "self")
            held = [call.arguments[name] for name in names]
            assert all(isinstance(value, Constant) for value in held)
            weight, bias = (program.constants[value.name].double().numpy() for value in held)
            found.append((weight, bias))
        else:
            assert call.target.startswith(("aten.relu", "aten.t.", "aten.permute")), call.target
    return found


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    program = read_archive(max(FOLDER.glob("*/generator.pt2")))
    found = exact_tiles(layers_of(program), square(-1.0, 1.0))
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
    generator, card, _ = load_version(FOLDER)
    prior = parse_law(card.prior, card.latent_dim)
    assert prior == Box(2, low=-1.0, high=1.0)
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
