"""The area of a generator's whole manifold, from tiles and from draws (S4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from magnet_service.config import BUNDLED
from magnet_service.generator import Generator, load_version
from magnet_service.geometry import log_volume, slice_along, tessellate, tile_volumes, volumes
from tests.geometry.oracles import dense

DRAWS = 40_000


def rings() -> Generator:
    return load_version(BUNDLED / "rings")[0]


def small() -> Generator:
    return Generator.from_module(dense(2, 12, 12, 3, seed=9), 2)


def with_batch_norm() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        norm = nn.BatchNorm1d(16)
        layers = nn.Sequential(nn.Linear(2, 16), norm, nn.LeakyReLU(0.2), nn.Linear(16, 5)).eval()
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    return Generator.from_module(layers, 2)


@pytest.mark.parametrize("make", [rings, small, with_batch_norm])
def test_the_area_of_the_manifold_is_the_domains_times_the_mean_volume_factor(make: object) -> None:
    assert callable(make)
    generator = make()
    found = tessellate(generator, slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0)))
    area = float(found.areas @ found.stretches)
    latents = 2 * torch.rand(DRAWS, 2, generator=torch.Generator().manual_seed(5)) - 1
    factors = log_volume(volumes(generator, latents), 2).double().exp().numpy()
    mean, error = 4 * factors.mean(), 4 * factors.std() / np.sqrt(DRAWS)
    assert error < 0.02 * area
    assert abs(mean - area) < 4 * error
    # By singular values at the centroids the area is the same.
    by_values = log_volume(tile_volumes(generator, found), 2).exp().numpy()
    np.testing.assert_allclose(by_values, found.stretches, rtol=1e-6, atol=1e-9 * found.stretches.max())
    assert float(found.areas @ by_values) == pytest.approx(area, rel=1e-9)


def test_the_tiles_of_the_rings() -> None:
    found = tessellate(rings(), slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0)))
    assert found.tiles == 431
    assert found.areas.sum() == pytest.approx(4.0, rel=1e-14)
