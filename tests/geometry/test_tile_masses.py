"""Probabilities of tiles against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import Tensor, nn

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator
from magnet_service.geometry import slice_along, slice_through, tessellate, tile_masses


def normal(latents: Tensor) -> Tensor:
    return -0.5 * (latents**2).sum(1) - latents.shape[1] / 2 * np.log(2 * np.pi)


def network(latent_dim: int, seed: int) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Linear(latent_dim, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    return Generator.from_module(layers, latent_dim)


def test_the_window_of_a_plane_has_its_normal_probability() -> None:
    plane = slice_along(torch.zeros(2), torch.eye(2), (-1.5, 2.0, -0.5, 1.0))
    found = tile_masses(tessellate(network(2, 0), plane), normal)
    expected = (ndtr(2.0) - ndtr(-1.5)) * (ndtr(1.0) - ndtr(-0.5))
    assert found.law == "latent law"
    assert abs(found.masses.sum() - expected) < 1e-9
    assert found.window == found.masses.sum()


def test_tiles_have_the_share_of_draws_that_fall_into_them() -> None:
    generator = network(2, 1)
    plane = slice_along(torch.zeros(2), torch.eye(2), (-6.0, 6.0, -6.0, 6.0))
    tiles = tessellate(generator, plane)
    masses = tile_masses(tiles, normal).masses
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(20_000, 2))
    points, corners = tiles.points, tiles.corners
    counted = np.zeros(tiles.tiles)
    for number in range(tiles.tiles):
        polygon = points[corners[tiles.starts[number] : tiles.starts[number + 1]]]
        side = np.roll(polygon, -1, 0) - polygon
        beyond = draws[:, None] - polygon
        counted[number] = (side[:, 0] * beyond[..., 1] - side[:, 1] * beyond[..., 0] >= 0).all(1).sum()
    often = masses * len(draws) > 5
    spread = np.sqrt(len(draws) * masses * (1 - masses))
    assert often.sum() > 10
    assert (np.abs(counted - len(draws) * masses)[often] < 5 * spread[often]).all()


def test_a_uniform_law_gives_areas_and_its_edge_is_followed() -> None:
    plane = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    tiles = tessellate(network(2, 2), plane)
    uniform = tile_masses(tiles, lambda latents: torch.full((len(latents),), -np.log(4.0), dtype=torch.float64))
    np.testing.assert_allclose(uniform.masses, tiles.areas / 4, rtol=1e-12)
    disc = tile_masses(
        tiles, lambda latents: torch.where(latents.norm(dim=1) < 1, -np.log(np.pi), -torch.inf), tolerance=1e-4
    )
    assert abs(disc.window - 1) < 1e-3


def test_a_slice_of_a_larger_space_has_the_conditional_law() -> None:
    torch.manual_seed(3)
    plane = slice_through(torch.randn(3, 5, dtype=torch.float64))
    tiles = tessellate(network(5, 3), plane)
    found = tile_masses(tiles, normal)
    assert found.law == "conditional on the slice"
    assert abs(found.masses.sum() - 1) < 1e-12
    assert np.isnan(found.window)
    shifted = tile_masses(tiles, lambda latents: normal(latents) + 7.0)
    np.testing.assert_allclose(shifted.masses, found.masses, rtol=1e-10)


def test_lines_and_windows_without_probability_are_refused() -> None:
    generator = network(2, 4)
    with pytest.raises(InvalidInput, match="a line") as caught:
        tile_masses(tessellate(generator, slice_through(torch.eye(2))), normal)
    assert caught.value.field == "slice"
    plane = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    with pytest.raises(InvalidInput, match="no probability"):
        tile_masses(tessellate(generator, plane), lambda latents: torch.full((len(latents),), -torch.inf))
