"""Regions: the affine map against autograd, the walls against the patterns on both sides of them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from magnet_service.errors import Cancelled, InvalidInput, OutOfMemory, Refused
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern
from magnet_service.generator.composition import Composition
from magnet_service.geometry import Engine, Region, patterns_of, radii, region_at, same_region
from magnet_service.geometry.codes import codes_at
from magnet_service.geometry.layers import contests_of, layers_of
from tests.generator.families import FAMILIES, Family, by_name, generator_of
from tests.geometry.oracles import dense
from tests.geometry.polytopes import inner_points, leaving

STRAIGHT = [family for family in FAMILIES if family.piecewise_affine]
pytestmark = pytest.mark.usefixtures("one_thread")


def exact(family: Family) -> Generator:
    return generator_of(family).to(precision=Precision.FLOAT64)


def region_of(family: Family, seed: int = 1) -> Region:
    return region_at(generator_of(family), family.latents(1, seed)[0])


def codes(generator: Generator, latents: Tensor) -> Tensor:
    layers = layers_of(generator)
    return codes_at(generator, latents, layers, contests_of(generator, layers))


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_the_affine_map_is_the_autograd_jacobian(family: Family) -> None:
    region, module = region_of(family), family.build()
    outputs = family.outputs(module, region.latent[None])[0]
    expected = torch.func.jacrev(lambda z: family.outputs(module, z[None])[0])(region.latent)
    scale = float(region.matrix.abs().max())
    if not family.smooth_head:
        torch.testing.assert_close(region.matrix, expected, rtol=1e-10, atol=1e-11 * scale)
        torch.testing.assert_close(region.values(region.latent[None])[0], outputs, rtol=1e-10, atol=1e-10)
        return
    # A head that works element by element multiplies each row of A by a positive slope.
    slopes = torch.linalg.vector_norm(expected, dim=1) / torch.linalg.vector_norm(region.matrix, dim=1)
    torch.testing.assert_close(slopes[:, None] * region.matrix, expected, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_inner_points_share_pattern_and_map(family: Family) -> None:
    region, generator = region_of(family), exact(family)
    pattern = activation_pattern(generator, region.latent[None])
    assert region.pattern.dtype == pattern.dtype
    assert torch.equal(region.pattern, pattern[0])
    assert region.radius > 0 or not len(region.pattern)
    half_spaces = region.half_spaces
    points = inner_points(half_spaces.normals, half_spaces.offsets, region.latent, 40, seed=3)
    mixed = torch.rand(40, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = torch.cat([points, mixed * points + (1 - mixed) * region.latent])
    assert region.contains(points, 1e-12).all()
    assert (activation_pattern(generator, points) == region.pattern).all()
    values = generator.forward(points, Manifold.PRE_ACTIVATION).flatten(1)
    scale = float(values.abs().max())
    torch.testing.assert_close(region.values(points), values, rtol=1e-10, atol=1e-11 * scale)
    assert same_region(generator, points, region.latent.expand_as(points)).all()


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_across_a_wall_the_named_unit_changes_its_state(family: Family) -> None:
    region, generator = region_of(family), exact(family)
    half_spaces = region.half_spaces
    normals, offsets = half_spaces.normals, half_spaces.offsets
    inside = codes(generator, region.latent[None])[0]
    layers, contests = {layer.node: layer for layer in region.layers}, contests_of(generator, region.layers)
    source, met = torch.Generator().manual_seed(5), set()
    for at in inner_points(normals, offsets, region.latent, 15, seed=4):
        move = functional.normalize(torch.randn(len(at), generator=source, dtype=torch.float64), dim=0)
        distance, row = leaving(normals, offsets, at, move)
        if row < 0:
            continue
        beyond = at + move * (distance * (1 + 1e-9) + 1e-10)
        # Rows of one hyperplane are crossed together; a corner is not crossed on purpose.
        crossed = (normals @ beyond > offsets).nonzero().flatten().tolist()
        if any(not bool((normals[other] - normals[row]).abs().max() < 1e-9) for other in crossed):
            continue
        met.add(row)
        changed = (codes(generator, beyond[None])[0] != inside).nonzero().flatten().tolist()
        assert set(changed) == {unit_of(region, other) for other in crossed}
        layer, unit = layers[int(half_spaces.nodes[row])], unit_of(region, row)
        new = int(codes(generator, beyond[None])[0, unit])
        if layer.entries:
            rivals = {int(half_spaces.contenders[other]) for other in crossed if unit_of(region, other) == unit}
            assert int(contests[layer.node].places[int(half_spaces.units[row]), new]) in rivals
        else:
            assert new - int(inside[unit]) == int(half_spaces.sides[row])
        jump = region_at(generator, beyond).matrix - region.matrix
        along = jump - (jump @ normals[row])[:, None] * normals[row]
        assert float(along.abs().max()) <= 1e-9 * max(1.0, float(region.matrix.abs().max()))
    assert len(met) >= min(3, len(half_spaces))


def unit_of(region: Region, row: int) -> int:
    """Number of a half-space's unit in the activation pattern."""
    node = int(region.half_spaces.nodes[row])
    first = next(layer.first for layer in region.layers if layer.node == node)
    return first + int(region.half_spaces.units[row])


def test_a_relu_changes_the_map_by_rank_one() -> None:
    generator = Generator.from_module(dense(3, 12, 9, seed=0), 3).to(precision=Precision.FLOAT64)
    region = region_at(generator, torch.tensor([0.2, -0.1, 0.4]))
    row = region.nearest
    assert row is not None
    beyond = region.latent + region.half_spaces.normals[row] * region.radius * (1 + 1e-9)
    jump = region_at(generator, beyond).matrix - region.matrix
    sigma = torch.linalg.svdvals(jump)
    assert sigma[0] > 1e-3
    assert sigma[1] < 1e-12


@pytest.mark.parametrize("name", ["mlp", "hardtanh", "pooled", "extrema", "residual", "wgan_upsampling"])
def test_half_spaces_and_patterns_agree_about_neighbours(name: str) -> None:
    family = by_name(name)
    generator, region = exact(family), region_of(family)
    moves = family.latents(200, seed=7)
    lengths = torch.logspace(-4, 0.5, 200, dtype=torch.float64)[:, None]
    points = region.latent + lengths * functional.normalize(moves, dim=1)
    inside = region.contains(points)
    assert torch.equal(same_region(generator, points, region.latent.expand_as(points)), inside)
    assert 10 < int(inside.sum()) < 190
    assert bool(same_region(generator, points[0], region.latent)) == bool(inside[0])
    assert inside[lengths[:, 0] < region.radius].all()


def test_two_units_of_a_known_network() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]]))
        module[0].bias.copy_(torch.tensor([-5.0, 1.0, 1.0]))
        module[2].weight.copy_(torch.tensor([[1.0, 10.0, 100.0]]))
    region = region_at(Generator.from_module(module, 2), torch.zeros(2))
    assert region.pattern.tolist() == [0, 1, 1]
    normals = torch.tensor([[0.6, 0.8], [0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(region.half_spaces.normals, normals)
    torch.testing.assert_close(region.half_spaces.offsets, torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert region.half_spaces.units.tolist() == [0, 1]
    assert region.half_spaces.sides.tolist() == [1, -1]
    assert region.unconstrained == 1
    assert (region.radius, region.nearest) == (0.5, 1)
    assert region.name_of(1) == "relu[1]"
    assert region.matrix.tolist() == [[0.0, -20.0]]
    assert region.shift.tolist() == [110.0]


def test_on_a_boundary_the_lower_state_decides_and_the_radius_is_zero() -> None:
    generator = Generator.from_module(nn.Hardtanh(-1.0, 1.0), 1)
    found = [(z, region_at(generator, torch.tensor([z]))) for z in (-2.0, -1.0, 0.5, 1.0, 3.0)]
    assert [region.pattern.tolist() for _, region in found] == [[0], [0], [1], [1], [2]]
    assert [region.radius for _, region in found] == [1.0, 0.0, 0.5, 0.0, 2.0]
    assert [region.matrix.item() for _, region in found] == [0.0, 0.0, 1.0, 1.0, 0.0]
    assert found[1][1].half_spaces.normals.tolist() == [[1.0]]
    assert found[3][1].half_spaces.sides.tolist() == [-1, 1]
    assert found[3][1].contains(torch.tensor([[-1.0], [1.0], [1.01]])).tolist() == [True, True, False]


class Both(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return functional.relu(z) + functional.relu(-z)


def test_a_region_without_inside() -> None:
    generator = Generator.from_module(Both(), 2)
    region = region_at(generator, torch.tensor([0.0, 3.0]), minimal=True)
    assert region.pattern.tolist() == [0, 1, 0, 0]
    assert not region.minimal
    assert len(region.half_spaces) == 4
    assert region.radius == 0.0
    assert region.contains(torch.tensor([[0.0, 5.0], [0.1, 5.0], [-0.1, 5.0]])).tolist() == [True, False, False]


class Best(nn.Module):
    """The larger or smaller of two numbers, as a choice between two values or over a dimension."""

    def __init__(self, largest: bool, choice: bool) -> None:
        super().__init__()
        self.largest, self.choice = largest, choice

    def forward(self, z: Tensor) -> Tensor:
        if self.choice:
            return (torch.maximum if self.largest else torch.minimum)(z[:, :1], z[:, 1:])
        return z.amax(1, keepdim=True) if self.largest else z.amin(1, keepdim=True)


@pytest.mark.parametrize("choice", [True, False])
@pytest.mark.parametrize("largest", [True, False])
def test_of_equal_entries_the_walls_are_those_of_the_one_taken(largest: bool, choice: bool) -> None:
    generator = Generator.from_module(Best(largest, choice), 2).to(precision=Precision.FLOAT64)
    for latent in itertools.product((-1.0, 0.0, 1.0), repeat=2):
        at = torch.tensor(latent, dtype=torch.float64)
        region = region_at(generator, at)
        assert torch.equal(region.matrix, generator.push(at[None])[1][0].mT)
        assert (region.radius == 0) == (latent[0] == latent[1])
        for move in itertools.product((-1e-3, 0.0, 1e-3), repeat=2):
            point = at + torch.tensor(move, dtype=torch.float64)
            if move[0] == move[1]:
                assert region.contains(point[None], 1e-12).all()
                continue
            patterns = activation_pattern(generator, torch.stack([at, point]))
            same = torch.equal(patterns[0], patterns[1])
            assert bool(region.contains(point[None])) == bool(same_region(generator, point, at)) == same


def test_a_dead_window_has_no_walls_of_its_own() -> None:
    module = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten())
    region = region_at(Generator.from_module(module, 4), torch.tensor([-1.0, -2.0, 3.0, 1.0]))
    rows = list(zip(region.half_spaces.units.tolist(), region.half_spaces.contenders.tolist(), strict=True))
    assert rows == [(0, -1), (1, -1), (2, -1), (3, -1), (1, 3)]
    assert region.unconstrained == 1
    assert region.half_spaces.distances.tolist()[:4] == [1.0, 2.0, 3.0, 1.0]
    assert region.half_spaces.distances[4] == pytest.approx(2 / 2**0.5)


def test_entries_that_differ_by_rounding_are_one() -> None:
    class Twice(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            once = z[:, :1] * 0.3 + z[:, 1:] * 0.7
            again = z[:, :1] * 0.1 * 3.0 + z[:, 1:] * 0.7
            return torch.stack([once, again, -once], 1).amax(1)

    generator, at = Generator.from_module(Twice(), 2), torch.tensor([1.0, 2.0])
    region = region_at(generator, at)
    assert region.half_spaces.contenders.tolist() == [2]
    assert region.unconstrained == 1
    assert region.radius == pytest.approx(1.7 / (0.3**2 + 0.7**2) ** 0.5)
    assert radii(generator, at[None]).radius.item() == pytest.approx(region.radius)


def test_tiny_weights_have_walls_where_they_are() -> None:
    layer = nn.Linear(2, 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3e-200, 4e-200]], dtype=torch.float64))
        layer.bias.fill_(5e-200)
    region = region_at(Generator.from_module(nn.Sequential(layer, nn.ReLU()), 2), torch.zeros(2))
    assert region.radius == pytest.approx(1.0)


def test_a_unit_over_the_whole_row() -> None:
    class Largest(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.relu(z.amax(1) - 2.5).unsqueeze(1)

    generator, at = Generator.from_module(Largest(), 3), torch.tensor([1.0, 3.0, 2.0])
    region = region_at(generator, at)
    assert region.half_spaces.contenders.tolist() == [0, 2, -1]
    expected = torch.tensor([2 / 2**0.5, 1 / 2**0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(region.half_spaces.distances, expected)
    assert radii(generator, at[None]).radius.tolist() == [0.5]
    assert patterns_of(generator, at[None]).words.tolist() == [[1, 0, 1]]


def test_a_linear_generator_is_one_region() -> None:
    region = region_at(generator_of(by_name("linear")), torch.zeros(6), minimal=True)
    assert len(region.half_spaces) == len(region.pattern) == 0
    assert region.radius == torch.inf
    assert region.nearest is None
    assert region.minimal
    assert region.contains(torch.full((2, 6), 1e9)).all()


def test_the_sides_of_a_box_are_walls_but_no_unit() -> None:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.125]]))
    generator = Generator.from_module(module, 2)
    region = region_at(generator, torch.tensor([0.9, 0.5]), box=(-1.0, 1.0), minimal=True)
    names = [region.name_of(row) for row in range(len(region.half_spaces))]
    assert names == ["relu[0]", "relu[1]", "box[0]", "box[1]"]
    assert region.half_spaces.sides.tolist() == [-1, -1, 1, 1]
    assert region.radius == 0.5
    inner = region_at(generator, torch.tensor([0.9, 0.5]), box=(0.25, 1.0), minimal=True)
    assert (inner.radius, inner.nearest, len(inner.half_spaces)) == (0.5, None, 4)
    outside = region_at(generator, torch.tensor([-0.9, -0.5]), box=(-1.0, -0.25), minimal=True)
    assert [outside.name_of(row) for row in range(4)] == ["box[0]", "box[0]", "box[1]", "box[1]"]


def test_features_have_units_of_their_own() -> None:
    features = Generator.from_module(dense(4, 7, 2, seed=6), 4).graph
    plain = Generator.from_module(dense(3, 5, 4, seed=5), 3)
    generator, at = plain.composed(Composition(features=features)), torch.tensor([0.2, -0.4, 0.1])
    region = region_at(generator, at, manifold=Manifold.FEATURES)
    both = nn.Sequential(dense(3, 5, 4, seed=5), dense(4, 7, 2, seed=6)).double()
    torch.testing.assert_close(region.matrix, torch.func.jacrev(lambda z: both(z[None])[0])(at.double()))
    assert len(region.pattern) == 12
    exact = generator.to(precision=Precision.FLOAT64)
    assert torch.equal(region.pattern, activation_pattern(exact, at.double()[None], Manifold.FEATURES)[0])
    assert len(region_at(generator, at).pattern) == 5
    assert patterns_of(generator, at[None], manifold=Manifold.FEATURES).units == 12
    with pytest.raises(Refused, match="feature network"):
        region_at(plain, at, manifold=Manifold.FEATURES)


def test_what_has_no_region_is_refused() -> None:
    mlp, smooth = generator_of(by_name("mlp")), generator_of(by_name("mlp_tanh"))
    with pytest.raises(Refused, match="PRE_ACTIVATION") as refused:
        region_at(smooth, torch.zeros(6), manifold=Manifold.OUTPUT)
    assert refused.value.reason == "NOT_PIECEWISE_AFFINE"
    with pytest.raises(Refused, match="smooth"):
        same_region(generator_of(by_name("attention")), torch.zeros(6), torch.zeros(6))
    with pytest.raises(InvalidInput, match="6 numbers"):
        region_at(mlp, torch.zeros(5))
    with pytest.raises(InvalidInput, match="not finite"):
        region_at(mlp, torch.tensor([torch.nan] * 6))
    with pytest.raises(InvalidInput, match="nearer to the origin"):
        region_at(mlp, torch.full((6,), 1.7e308, dtype=torch.float64))
    with pytest.raises(InvalidInput, match="low < high") as invalid:
        region_at(mlp, torch.zeros(6), box=(1.0, -1.0))
    assert invalid.value.field == "box"
    with pytest.raises(InvalidInput, match="outside of the box"):
        region_at(mlp, torch.full((6,), 2.0), box=(-1.0, 1.0))
    with pytest.raises(InvalidInput, match="as many"):
        same_region(mlp, torch.zeros(3, 6), torch.zeros(2, 6))
    with pytest.raises(OutOfMemory, match="radii") as short:
        region_at(mlp, torch.zeros(6), engine=Engine(max_memory=1000))
    assert int(short.value.metadata["needed_bytes"]) > 1000
    with pytest.raises(Cancelled):
        region_at(mlp, torch.zeros(6), should_stop=lambda: True)
    with pytest.raises(Cancelled):
        same_region(mlp, torch.zeros(6), torch.zeros(6), should_stop=lambda: True)


def test_no_latents_are_in_no_region() -> None:
    assert same_region(generator_of(by_name("mlp")), torch.zeros(0, 6), torch.zeros(0, 6)).shape == (0,)


def test_a_conditional_generator_has_regions_for_each_condition() -> None:
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = dense(5, 8, 3, seed=2)

        def forward(self, z: Tensor, label: Tensor) -> Tensor:
            return self.body(torch.cat([z, label], 1))

    generator = Generator.from_module(Conditional(), 3, condition=torch.eye(2))
    at = torch.tensor([0.3, -0.2, 0.1])
    regions = [region_at(generator.conditioned(label), at) for label in range(2)]
    body = dense(5, 8, 3, seed=2).double()
    for label, region in enumerate(regions):
        whole = torch.cat([at.double(), torch.eye(2, dtype=torch.float64)[label]])
        expected = torch.autograd.functional.jacobian(lambda z: body(z[None])[0], whole)[:, :3]
        torch.testing.assert_close(region.matrix, expected)
    assert not torch.allclose(regions[0].half_spaces.distances, regions[1].half_spaces.distances)
    with pytest.raises(InvalidInput, match="condition"):
        region_at(generator, at)
