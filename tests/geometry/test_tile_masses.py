"""Probabilities of tiles against closed forms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import Tensor, nn

from magnet_service.errors import Cancelled, InvalidInput
from magnet_service.generator import Generator
from magnet_service.geometry import Tessellation, slice_along, slice_through, tessellate, tile_masses
from magnet_service.geometry.tessellation import masses
from tests.sampling.exact_tiles import clip, polygon_area


def normal(latents: Tensor) -> Tensor:
    return -0.5 * (latents**2).sum(1) - latents.shape[1] / 2 * np.log(2 * np.pi)


def network(latent_dim: int, seed: int) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Linear(latent_dim, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    return Generator.from_module(layers, latent_dim)


def polygons(tiles: Tessellation) -> Iterator[np.ndarray]:
    for first, last in itertools.pairwise(tiles.starts.tolist()):
        yield tiles.points[tiles.corners[first:last]]


def contains(polygon: np.ndarray, places: np.ndarray) -> np.ndarray:
    side = np.roll(polygon, -1, 0) - polygon
    beyond = places[:, None] - polygon
    return (side[:, 0] * beyond[..., 1] - side[:, 1] * beyond[..., 0] >= 0).all(1)


def intersection(polygon: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of two convex polygons; the second one clockwise."""
    for start, end in zip(other, np.roll(other, -1, 0), strict=True):
        normal = np.array([end[1] - start[1], start[0] - end[0]])
        if len(polygon):
            polygon = clip(polygon, -normal, normal @ start)
    return polygon


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
    draws = np.random.default_rng(0).normal(size=(20_000, 2))
    counted = np.array([contains(polygon, draws).sum() for polygon in polygons(tiles)])
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


def sides(*normals_and_offsets: list[float]) -> tuple[Tensor, Tensor]:
    rows = torch.tensor(normals_and_offsets, dtype=torch.float64)
    return rows[:, :-1], rows[:, -1]


def test_tiles_are_clipped_to_a_support() -> None:
    tiles = tessellate(network(2, 5), slice_along(torch.zeros(2), torch.eye(2), (-2.0, 3.0, -2.0, 2.0)))
    triangle = sides([1.0, 0.0, 0.7], [-1.0, 1.0, 0.9], [0.0, -1.0, 0.3], [1.0, 1.0, 50.0])
    corners = np.array([[0.7, 1.6], [-1.2, -0.3], [0.7, -0.3]])
    uniform = tile_masses(tiles, lambda latents: torch.zeros(len(latents)), support=triangle)
    assert abs(uniform.window - 1.9 * 1.9 / 2) < 1e-12
    shares = [polygon_area(intersection(polygon, corners)) for polygon in polygons(tiles)]
    np.testing.assert_allclose(uniform.masses, shares, atol=1e-12)
    assert 0 < (uniform.masses > 0).sum() < tiles.tiles
    bent = tile_masses(tiles, normal, support=triangle)
    x = np.linspace(-1.2, 0.7, 200_001)
    across = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * (ndtr(x + 0.9) - ndtr(-0.3))
    assert abs(bent.window - np.trapezoid(across, x)) < 1e-9
    with pytest.raises(InvalidInput, match="no probability"):
        tile_masses(tiles, normal, support=sides([1.0, 0.0, -9.0]))


def test_half_spaces_of_a_larger_space_are_those_of_the_plane() -> None:
    source = torch.Generator().manual_seed(4)
    place = slice_through(torch.randn(3, 5, generator=source, dtype=torch.float64) / 2)
    tiles = tessellate(network(5, 3), place)
    box = torch.cat([torch.eye(5), -torch.eye(5)]), torch.full((10,), 0.5)
    found = tile_masses(tiles, lambda latents: torch.zeros(len(latents)), support=box)
    draws = place.window.amin(0) + torch.rand(400_000, 2, generator=source) * (
        place.window.amax(0) - place.window.amin(0)
    )
    inside = (place.lift(draws).abs() <= 0.5).all(1)
    assert 0.01 < inside.double().mean() < 0.9
    counted = np.zeros(tiles.tiles)
    for number, polygon in enumerate(polygons(tiles)):
        counted[number] = contains(polygon, draws[inside].numpy()).sum()
    spread = np.sqrt(found.masses * (1 - found.masses) / counted.sum())
    assert (np.abs(counted / counted.sum() - found.masses) < 5 * spread + 1e-9).all()
    parallel = (
        torch.linalg.qr(torch.cat([place.frame, torch.randn(1, 5, generator=source, dtype=torch.float64)]).T).Q[:, 2:].T
    )
    level = (parallel @ place.origin) + 0.1
    whole = tile_masses(tiles, lambda latents: torch.zeros(len(latents)), support=(parallel, level))
    np.testing.assert_allclose(whole.masses, tiles.areas / tiles.areas.sum(), rtol=1e-9)
    with pytest.raises(InvalidInput, match="no probability"):
        tile_masses(tiles, normal, support=(parallel, level - 0.2))


@pytest.mark.parametrize("scale", [1e-4, 1.0])
def test_a_law_that_is_narrow_for_its_tiles_is_not_missed(scale: float) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one = Generator.from_module(nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2)), 2)
    centre = torch.tensor([311.3, -217.9], dtype=torch.float64)
    tiles = tessellate(one, slice_along(torch.zeros(2), torch.eye(2), (-1000.0, 1000.0, -1000.0, 1000.0)))
    assert tiles.tiles == 2

    def disc(latents: Tensor) -> Tensor:
        inside = (latents - centre).norm(dim=1) <= scale
        return torch.where(inside, -np.log(np.pi * scale**2), -torch.inf)

    with pytest.raises(InvalidInput, match="no probability"):
        tile_masses(tiles, disc)
    assert abs(tile_masses(tiles, disc, bulk=(centre, scale), tolerance=1e-3).window - 1) < 1e-2

    def peak(latents: Tensor) -> Tensor:
        return normal((latents - centre) / scale) - 2 * np.log(scale)

    assert abs(tile_masses(tiles, peak, bulk=(centre, scale)).window - 1) < 1e-8


def test_nothing_underflows_in_many_dimensions() -> None:
    # At 1500 dimensions the density is below the smallest number everywhere; on the plane it is a normal one.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        wide = nn.Sequential(nn.Linear(1500, 6), nn.ReLU(), nn.Linear(6, 2))
        origin = torch.randn(1500, dtype=torch.float64)
    with torch.no_grad():
        wide[0].weight[:, :2] *= 60.0
    plane = slice_along(torch.zeros(1500), torch.eye(1500)[:2], (-1.0, 2.0, -3.0, 1.0))
    away = slice_along(origin * torch.tensor([0.0, 0.0] + [1.0] * 1498), torch.eye(1500)[:2], (-1.0, 2.0, -3.0, 1.0))
    for place in (plane, away):
        tiles = tessellate(Generator.from_module(wide, 1500), place)
        found = tile_masses(tiles, normal)
        assert tiles.tiles > 3
        assert np.exp(float(normal(place.lift(torch.zeros(1, 2))))) == 0
        flat = tile_masses(tessellate(first_two(wide, place.origin), slice_along(*FLAT)), normal)
        np.testing.assert_allclose(found.masses, flat.masses / flat.window, rtol=1e-5, atol=1e-7)  # biases are float32


FLAT = (torch.zeros(2), torch.eye(2), (-1.0, 2.0, -3.0, 1.0))


def first_two(wide: nn.Sequential, origin: Tensor) -> Generator:
    """The same network of the first two latents, the others held fixed."""
    first = nn.Linear(2, 6)
    with torch.no_grad():
        first.weight.copy_(wide[0].weight[:, :2])
        first.bias.copy_(wide[0].bias.double() + wide[0].weight.double() @ origin)
    return Generator.from_module(nn.Sequential(first, *wide[1:]), 2)


def test_batches_change_nothing_and_it_stops_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = tessellate(network(2, 7), slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0)))
    whole = tile_masses(tiles, normal)
    sizes: list[int] = []

    def watched(latents: Tensor) -> Tensor:
        sizes.append(len(latents))
        return normal(latents)

    monkeypatch.setattr(masses, "_NUMBERS", 9000)
    np.testing.assert_allclose(tile_masses(tiles, watched).masses, whole.masses, rtol=1e-12)
    assert max(sizes) <= 4500
    asked = iter([False] * 5)
    with pytest.raises(Cancelled):
        tile_masses(tiles, normal, should_stop=lambda: next(asked, True))
