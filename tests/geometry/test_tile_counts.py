"""How many tiles there are: by formula, by brute force, and as counted once for networks of stated seeds (T1 to T4)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, Precision, activation_pattern
from magnet_service.geometry import Extent, Slice, slice_along, tessellate, tile_maps
from tests.geometry.planes import check_subdivision, count_by_hand, polygon
from tests.geometry.tilings import tile_of_points
from tests.sampling.exact_tiles import exact_tiles
from tests.sampling.nets import generator_of, layers

pytestmark = pytest.mark.usefixtures("one_thread")


def window(*given: float | np.ndarray) -> Slice:
    """A window of the latent plane: left, right, bottom, top, or the corners of a polygon."""
    corners = torch.from_numpy(given[0]) if isinstance(given[0], np.ndarray) else tuple(given)
    return slice_along(torch.zeros(2), torch.eye(2), corners)


def one_layer(seed: int, units: int, bias: bool = True) -> tuple[Generator, np.ndarray, np.ndarray]:
    """A layer of units, summed up at the end; its weights and biases."""
    source = torch.Generator().manual_seed(seed)
    first, last = nn.Linear(2, units).double(), nn.Linear(units, 1).double()
    with torch.no_grad():
        first.weight.copy_(torch.randn(units, 2, generator=source))
        first.bias.copy_(0.3 * torch.randn(units, generator=source) if bias else torch.zeros(units))
    generator = Generator.from_module(nn.Sequential(first, nn.ReLU(), last), 2)
    return generator, first.weight.detach().numpy(), first.bias.detach().numpy()


@pytest.mark.parametrize("units", [1, 2, 5, 30])
def test_a_layer_in_general_position(units: int) -> None:
    generator, _, _ = one_layer(units, units)
    found = tessellate(generator, window(-1e4, 1e4, -1e4, 1e4))
    assert found.tiles == 1 + units + math.comb(units, 2)
    assert found.layers[0].bending == units


@pytest.mark.parametrize("corners", [3, 4, 9])
def test_a_layer_in_a_bounded_window(corners: int) -> None:
    generator, weights, biases = one_layer(7, 60)
    shape = polygon(corners, 0.6, 0.1) + np.array([0.2, -0.1])
    found = tessellate(generator, window(shape))
    assert found.tiles == count_by_hand(shape, weights, biases)
    check_subdivision(found, shape)


def test_a_layer_without_biases() -> None:
    generator, _, _ = one_layer(3, 40, bias=False)
    found = tessellate(generator, window(-1.0, 1.0, -1.0, 1.0))
    assert found.tiles == 80


class Tents(nn.Module):
    """The tent map on either axis, folded again and again: 2 relu(x) - 4 relu(x - 1/2)."""

    def __init__(self, folds: int) -> None:
        super().__init__()
        self.folds = folds

    def forward(self, latents: Tensor) -> Tensor:
        for _ in range(self.folds):
            latents = 2 * torch.relu(latents) - 4 * torch.relu(latents - 0.5)
        return latents


@pytest.mark.parametrize("folds", [1, 2, 3, 6])
def test_tents_make_equal_squares(folds: int) -> None:
    found = tessellate(Generator.from_module(Tents(folds), 2), window(0.0, 1.0, 0.0, 1.0))
    assert found.tiles == 4**folds
    assert found.merged == 0
    assert (found.areas == 4.0**-folds).all()
    assert (np.diff(found.starts) == 4).all()
    assert (found.points * 2**folds == np.round(found.points * 2**folds)).all()
    np.testing.assert_allclose(found.stretches, 4.0**folds, rtol=1e-14)
    np.testing.assert_allclose(found.spectral_norms, 2.0**folds, rtol=1e-14)
    check_subdivision(found, np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))


@pytest.mark.parametrize(
    ("widths", "seed", "shape"),
    [
        ((2, 10, 8, 3), 0, polygon(4, 1.4, math.pi / 4)),
        ((2, 6, 6, 6, 4), 1, polygon(5, 1.0)),
        ((2, 20, 10, 2), 2, polygon(3, 1.5, 0.4)),
        ((2, 8, 8, 8, 8, 1), 3, polygon(4, 0.5, 0.2) + np.array([0.5, 0.3])),
    ],
)
def test_tiles_cut_one_by_one(widths: tuple[int, ...], seed: int, shape: np.ndarray) -> None:
    """Against polygons clipped by every unit of every layer in turn: as many, of the same areas and maps."""
    net = layers(widths, seed)
    expected = exact_tiles(net, shape)
    generator = generator_of(net)
    found = tessellate(generator, window(shape))
    assert found.tiles == len(expected)
    middles = np.array([tile.corners.mean(axis=0) for tile in expected])
    own = tile_of_points(found, middles)
    assert len(np.unique(own)) == len(expected)
    np.testing.assert_allclose(found.areas[own], [tile.area for tile in expected], rtol=1e-9, atol=1e-13)
    matrices, offsets = tile_maps(generator, found, own)
    np.testing.assert_allclose(matrices, np.stack([tile.a for tile in expected]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(offsets, np.stack([tile.c for tile in expected]), rtol=0, atol=1e-9)
    counts = np.diff(found.starts)[own]
    assert (counts >= 3).all()


def mlp(seed: int, *widths: int) -> Generator:
    """Default linear layers with ReLU in between."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made: list[nn.Module] = []
        for first, second in itertools.pairwise(widths):
            made += [nn.Linear(first, second), nn.ReLU()]
    return Generator.from_module(nn.Sequential(*made[:-1]), 2)


def check_count(generator: Generator, tiles: int) -> None:
    found = tessellate(generator, window(-1.0, 1.0, -1.0, 1.0), boundary=True)
    assert found.extent is Extent.COMPLETE
    assert found.tiles == tiles
    check_subdivision(found, np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]))


def test_five_layers_of_a_hundred() -> None:
    check_count(mlp(0, 2, *(100,) * 5, 1), 21_232)


@pytest.mark.long
def test_eight_layers_of_two_hundred() -> None:
    check_count(mlp(1, 2, *(200,) * 8, 1), 108_364)


@pytest.mark.long
def test_a_layer_of_960() -> None:
    check_count(mlp(0, 2, 960, 1), 165_599)


def test_patterns_on_a_grid_are_at_most_as_many() -> None:
    generator = mlp(5, 2, 24, 24, 24, 1)
    plane = window(-1.0, 1.0, -1.0, 1.0)
    found = tessellate(generator, plane)
    side = torch.linspace(-1, 1, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    patterns = activation_pattern(generator.to(precision=Precision.FLOAT64), grid)
    seen = len(torch.unique(patterns, dim=0))
    assert seen <= found.tiles
    # A tile with a disc of half the grid's diagonal in it holds a point of the grid.
    wide = found.areas / found.spreads[:, 0] > 4 * math.sqrt(2) * 0.005
    assert 20 < wide.sum() <= seen
