"""Distances to the nearest wall of many latents: those of their regions, however the columns are cut."""

from __future__ import annotations

import math

import pytest
import torch

from magnet_service.errors import Cancelled, InvalidInput, OutOfMemory, Refused
from magnet_service.generator import Manifold
from magnet_service.geometry import Engine, radii, region_at
from tests.generator.families import FAMILIES, Family, by_name, generator_of

pytestmark = pytest.mark.usefixtures("one_thread")

STRAIGHT = [family for family in FAMILIES if family.piecewise_affine]


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_radii_are_those_of_the_regions(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, latents = generator_of(family), family.latents(5, seed=2)
    found = radii(generator, latents, engine=Engine(tile_rows=3))
    regions = [region_at(generator, latent) for latent in latents]
    expected = torch.tensor([region.radius for region in regions], dtype=torch.float64)
    torch.testing.assert_close(found.radius, expected, rtol=1e-9, atol=0.0)
    for row, region in enumerate(regions):
        if region.nearest is None:
            assert (int(found.nodes[row]), int(found.units[row])) == (-1, -1)
            continue
        near = region.half_spaces.distances <= region.radius * (1 + 1e-8)
        pairs = torch.stack([region.half_spaces.nodes, region.half_spaces.units], 1)[near].tolist()
        assert [int(found.nodes[row]), int(found.units[row])] in pairs
    monkeypatch.setattr("magnet_service.geometry.radius.BLOCK_BYTES", 1)
    by_column = radii(generator, latents, engine=Engine(tile_rows=3))
    torch.testing.assert_close(by_column.radius, found.radius, rtol=1e-9, atol=0.0)
    assert torch.equal(by_column.nodes, found.nodes)


def test_edges() -> None:
    mlp = generator_of(by_name("mlp"))
    assert radii(mlp, torch.zeros(0, 6)).radius.shape == (0,)
    linear = radii(generator_of(by_name("linear")), torch.zeros(2, 6))
    assert linear.radius.tolist() == [math.inf] * 2
    assert linear.nodes.tolist() == [-1, -1]
    latents = torch.zeros(2, 6, dtype=torch.float64)
    latents[1] = 1.7e308
    mixed = radii(mlp, latents)
    assert mixed.radius.isnan().tolist() == [False, True]
    assert (int(mixed.nodes[1]), int(mixed.units[1])) == (-1, -1)


def test_refusals() -> None:
    mlp = generator_of(by_name("mlp"))
    with pytest.raises(Refused):
        radii(generator_of(by_name("mlp_tanh")), torch.zeros(1, 6), manifold=Manifold.OUTPUT)
    with pytest.raises(InvalidInput, match="6 numbers"):
        radii(mlp, torch.zeros(1, 5))
    with pytest.raises(OutOfMemory, match="fewer tile rows"):
        radii(mlp, torch.zeros(4, 6), engine=Engine(max_memory=1000))
    with pytest.raises(Cancelled):
        radii(mlp, torch.zeros(4, 6), should_stop=lambda: True)
