"""Networks in special position: copies, ties, lines along borders, dead layers, nothing but zeros (T12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator
from magnet_service.geometry import Slice, Tessellation, slice_along, statistics, tessellate, tile_maps
from tests.geometry.tilings import Tiling, inner_points

pytestmark = pytest.mark.usefixtures("one_thread")

SQUARE = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
LARGE = slice_along(torch.zeros(2), torch.eye(2), (-2.0, 2.0, -2.0, 2.0))


def dense(
    *given: tuple[Sequence[Sequence[float]] | Tensor, Sequence[float] | Tensor], unit: nn.Module
) -> nn.Sequential:
    """Linear layers of stated weights and biases, the unit in between."""
    made: list[nn.Module] = []
    for weight, bias in given:
        weights, biases = torch.as_tensor(weight, dtype=torch.float64), torch.as_tensor(bias, dtype=torch.float64)
        layer = nn.Linear(weights.shape[1], weights.shape[0], dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(weights)
            layer.bias.copy_(biases)
        made += [layer, unit]
    return nn.Sequential(*made[:-1])


def tiling_of(module: nn.Module, plane: Slice = SQUARE, boundary: bool = False) -> Tiling:
    generator = Generator.from_module(module.eval().requires_grad_(False), 2)
    return Tiling(generator, module, tessellate(generator, plane, boundary=boundary))


def checked(module: nn.Module, plane: Slice = SQUARE, boundary: bool = False) -> Tessellation:
    """Its tiles, after they were found to be a subdivision on which the module is as they say."""
    tiling = tiling_of(module, plane, boundary)
    tiling.check_subdivision()
    found = tiling.found
    points = inner_points(found, np.arange(found.tiles), 4).reshape(-1, 2)
    matrices, offsets = tile_maps(tiling.generator, found, np.repeat(np.arange(found.tiles), 4))
    told = (matrices @ torch.from_numpy(points)[..., None])[..., 0] + offsets
    values = module(plane.lift(torch.from_numpy(points)))
    assert float((told - values).abs().max()) <= 1e-9 * max(1.0, float(values.abs().max()))
    return found


def drawn(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two_layers(first: Tensor, bias: Tensor, units: int = 6) -> nn.Sequential:
    return dense(
        (first, bias),
        (drawn(1, units, len(first)), drawn(2, units, scale=0.3)),
        (drawn(3, 2, units), torch.zeros(2)),
        unit=nn.ReLU(),
    )


def test_copies_of_units_cut_once() -> None:
    weight, bias = drawn(4, 8, 2), drawn(5, 8, scale=0.3)
    once = checked(dense((weight, bias), (drawn(6, 3, 8), torch.zeros(3)), unit=nn.ReLU()))
    factors = torch.tensor([1.0, 1.0, 3.0, -1.0, 1e-9, -1e9], dtype=torch.float64)[:, None]
    copied = (factors[:, :, None] * weight).flatten(0, 1), (factors * bias).flatten()
    many = checked(dense(copied, (drawn(7, 3, 48), torch.zeros(3)), unit=nn.ReLU()))
    assert many.tiles == once.tiles
    assert len(many.points) == len(once.points)


@pytest.mark.parametrize("apart", [1e-16, 1e-15, 1e-14, 1e-12, 1e-9])
def test_copies_of_units_apart_by_rounding(apart: float) -> None:
    weight, bias = drawn(8, 8, 2), drawn(9, 8, scale=0.3)
    weights = torch.cat([weight, weight * (1 + apart * drawn(10, 8, 2))])
    found = checked(two_layers(weights, torch.cat([bias, bias + apart * drawn(11, 8)])))
    assert found.tiles > 30


def test_parallel_lines() -> None:
    places = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.5]], dtype=torch.float64).expand(7, 2)
    found = checked(dense((weight, places), (torch.ones(1, 7), [0.0]), unit=nn.ReLU()))
    assert found.tiles == 8
    assert checked(two_layers(weight, places)).tiles > 8


@pytest.mark.parametrize("point", [(0.25, -0.5), (1.0, 0.3), (-1.0, -1.0)], ids=["inside", "border", "corner"])
def test_lines_through_one_point(point: tuple[float, float]) -> None:
    weight = drawn(12, 9, 2)
    bias = -weight @ torch.tensor(point, dtype=torch.float64)
    found = checked(dense((weight, bias), (drawn(13, 1, 9), [0.0]), unit=nn.ReLU()))
    at = np.linalg.norm(found.points - np.array(point), axis=1) < 1e-9
    assert at.sum() == 1
    if point == (0.25, -0.5):
        assert found.tiles == 18
    assert checked(two_layers(weight, bias)).tiles > found.tiles


def test_lines_along_the_border_cut_nothing() -> None:
    weight = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -2.0], [1.0, 1.0]]
    found = checked(dense((weight, [1.0, 1.0, 1.0, 2.0, 2.0]), (torch.ones(1, 5), [0.0]), unit=nn.ReLU()))
    assert found.tiles == 1
    assert found.layers[0].bending == 0


def test_a_line_along_another_layers_line_cuts_nothing_more() -> None:
    # The second layer's unit is relu(relu(x)): its line is that of the first.
    found = checked(dense(([[1.0, 0.0]], [0.0]), ([[1.0]], [0.0]), ([[1.0]], [0.0]), unit=nn.ReLU()))
    assert [layer.tiles for layer in found.layers] == [2, 2]


def test_diagonals_meet_in_corners() -> None:
    found = checked(dense(([[1.0, 1.0], [1.0, -1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0]), unit=nn.ReLU()))
    assert found.tiles == 4
    assert len(found.points) == 5


@pytest.mark.parametrize("bias", [0.7, 0.0, -0.7])
def test_units_without_weights(bias: float) -> None:
    weight = torch.cat([torch.zeros(3, 2, dtype=torch.float64), drawn(14, 1, 2)])
    biases = torch.tensor([bias, bias, bias, 0.1])
    found = checked(dense((weight, biases), (drawn(15, 2, 4), [0.0, 0.0]), unit=nn.ReLU()))
    assert found.tiles == 2
    assert found.layers[0].bending == 1


def test_a_dead_layer_leaves_one_tile_of_norm_zero() -> None:
    module = dense(
        (drawn(16, 5, 2), torch.full((5,), -50.0)),
        (drawn(17, 5, 5), drawn(18, 5)),
        (drawn(19, 3, 5), torch.zeros(3)),
        unit=nn.ReLU(),
    )
    for boundary in (False, True):
        found = checked(module, boundary=boundary)
        assert found.tiles == 1
        assert found.spectral_norms[0] == found.frobenius_norms[0] == found.stretches[0] == 0.0
        assert [layer.bending for layer in found.layers] == [0, 0]


def test_what_saturates_everywhere_is_constant_behind() -> None:
    # Units bend first, and then nothing depends on the latent any more.
    module = nn.Sequential(
        dense((drawn(20, 6, 2), drawn(21, 6)), (drawn(22, 6, 6), torch.full((6,), 90.0)), unit=nn.Hardtanh()),
        nn.Hardtanh(-0.5, 0.5),
        nn.Linear(6, 8, dtype=torch.float64),
        nn.Unflatten(1, (2, 2, 2)),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(2, 2, dtype=torch.float64),
        nn.LeakyReLU(0.2),
    )
    found = checked(module)
    assert found.tiles > 6
    assert [layer.bending for layer in found.layers[1:]] == [0, 0, 0]
    assert (found.frobenius_norms == 0).all()


class Vanishing(nn.Module):
    """relu(x) + relu(-x) - |x|: 0 up to rounding, behind units that bend."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.tensor([[0.1, 0.7, 0.3], [0.3, -0.2, 1.1]], dtype=torch.float64))

    def forward(self, latents: Tensor) -> Tensor:
        mixed = latents @ self.mix
        nothing = torch.relu(mixed) + torch.relu(-mixed) - mixed.abs() + (mixed * 3 / 7 - mixed / 7 * 3)
        return torch.relu(nothing) - torch.nn.functional.hardtanh(1e3 * nothing, 0.0, 1.0)


@pytest.mark.parametrize("boundary", [False, True])
def test_zero_up_to_rounding_cuts_nothing(boundary: bool) -> None:
    found = checked(Vanishing(), boundary=boundary)
    assert found.tiles == 6
    assert not found.decision.any()


class Copies(nn.Module):
    """The largest of several groups of functions, each given three times and apart by rounding."""

    def __init__(self, apart: float, seed: int) -> None:
        super().__init__()
        weight = drawn(seed, 4, 5, 2)
        bias = drawn(seed + 1, 4, 5, scale=0.3)
        noise = 1 + apart * drawn(seed + 2, 4, 5, 3)
        # Sums in another order differ by rounding too.
        self.weight = nn.Parameter((weight[:, :, None] * noise[..., None]).flatten(1, 2))
        self.bias = nn.Parameter((bias[:, :, None] * noise).flatten(1, 2))

    def forward(self, latents: Tensor) -> Tensor:
        units = torch.nn.functional.linear(latents, self.weight.flatten(0, 1), self.bias.flatten())
        return units.unflatten(1, (4, 15)).amax(2)


@pytest.mark.parametrize("seed", range(30, 36))
def test_the_largest_of_copies_is_that_of_one_each(seed: int) -> None:
    once = checked(Copies(0.0, seed))
    many = checked(Copies(2e-16, seed))
    assert many.tiles == once.tiles
    np.testing.assert_allclose(np.sort(many.areas), np.sort(once.areas), rtol=0, atol=1e-12)
    # Groups win where the tiles say, and nowhere else: no two tiles have the same winners, and no point has others.
    module = Copies(0.0, seed)
    side = torch.linspace(-0.999, 0.999, 201, dtype=torch.float64)
    own = winners(module, torch.from_numpy(once.centroids))
    seen = winners(module, torch.cartesian_prod(side, side))
    assert len(own.unique(dim=0)) == once.tiles
    assert {tuple(row) for row in seen.tolist()} <= {tuple(row) for row in own.tolist()}


def winners(module: Copies, points: Tensor) -> Tensor:
    """Which of its five functions each unit takes."""
    units = torch.nn.functional.linear(points, module.weight.flatten(0, 1), module.bias.flatten())
    return units.unflatten(1, (4, 5, 3))[..., 0].argmax(2)


def lattice_net(seed: int) -> nn.Sequential:
    """Small whole numbers everywhere: lines meet in points, fall together and run along borders."""
    source = np.random.default_rng(seed)
    widths = [2, *source.integers(2, 12, size=source.integers(1, 4)).tolist(), int(source.integers(1, 4))]
    given = []
    for first, second in pairwise(widths):
        weights = torch.from_numpy(source.integers(-2, 3, size=(second, first))).double()
        given.append(
            (weights, torch.from_numpy(source.integers(-2, 3, size=second)).double() / source.choice([1, 2, 3]))
        )
    units = (nn.ReLU(), nn.LeakyReLU(0.5), nn.Hardtanh(), nn.ReLU6())
    return dense(*given, unit=units[seed % len(units)])


@pytest.mark.parametrize("seed", range(16))
def test_networks_of_small_whole_numbers(seed: int) -> None:
    checked(lattice_net(seed), LARGE, boundary=bool(seed % 2))


@pytest.mark.long
@pytest.mark.parametrize("first", range(16, 616, 20))
def test_many_networks_of_small_whole_numbers(first: int) -> None:
    for seed in range(first, first + 20):
        checked(lattice_net(seed), LARGE, boundary=True)


@pytest.mark.parametrize("power", [-300, -30, 30, 300])
def test_scaling_units_by_powers_of_two_changes_nothing(power: int) -> None:
    first, bias = drawn(40, 9, 2), drawn(41, 9, scale=0.3)
    second, other = drawn(42, 7, 9), drawn(43, 7)
    last = drawn(44, 3, 7), drawn(45, 3)
    once = checked(dense((first, bias), (second, other), last, unit=nn.ReLU()))
    factor = 2.0**power
    scaled = checked(dense((factor * first, factor * bias), (second / factor, other), last, unit=nn.ReLU()))
    assert (scaled.points == once.points).all()
    assert (scaled.cycle == once.cycle).all()
    np.testing.assert_allclose(scaled.spectral_norms, once.spectral_norms, rtol=1e-12)


def test_the_mean_eccentricity_leaves_out_tiles_whose_corners_are_the_same_numbers() -> None:
    found = checked(dense(([[1.0, 0.5], [0.3, -1.0]], [0.1, 0.2]), ([[1.0, 1.0]], [0.0]), unit=nn.ReLU()))
    whole = statistics(found).eccentricity_mean
    longest, shortest = found.spreads.T
    assert whole == pytest.approx((longest / shortest).mean())
    for flat in (1, found.tiles):
        spreads = found.spreads.copy()
        spreads[:flat, 1] = 0
        some = statistics(replace(found, spreads=spreads)).eccentricity_mean
        assert some == (pytest.approx((longest / shortest)[1:].mean()) if flat == 1 else np.inf)


def test_norms_of_thin_tiles_lose_no_more_than_their_width() -> None:
    # Two lines 1e-9 apart: a tile a million times longer than wide, whose map is known.
    apart = 1e-9
    module = dense(
        ([[1.0, 0.3], [1.0, 0.3]], [0.1, 0.1 - apart]), ([[2.0, 0.0], [0.0, 3.0]], [0.0, 0.0]), unit=nn.ReLU()
    )
    found = checked(module)
    assert found.tiles == 3
    thin = int(np.argmin(found.areas))
    expected = 2 * np.hypot(1.0, 0.3)
    assert abs(found.frobenius_norms[thin] / expected - 1) < 1e-5
    assert abs(found.spectral_norms[thin] / expected - 1) < 1e-5
    assert found.stretches[thin] < 1e-2
