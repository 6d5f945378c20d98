"""Distances to hyperplanes: against autograd through plain modules in both spaces, and L5: what batch norm does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import Cancelled, InvalidInput, OutOfMemory, Refused
from magnet_service.generator import Generator
from magnet_service.geometry import DistanceSpace, affine_chain, hyperplane_distances
from tests.generator.families import by_name, generator_of
from tests.geometry.oracles import dense, random_latents

each_space = pytest.mark.parametrize("space", list(DistanceSpace))
QUICK = ("hardtanh", "dcgan_leaky", "wgan_upsampling", "sequence")
NETWORKS = (*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in ("mlp", "relu6", "batch_norm", "grouped")))
BENT = (nn.ReLU, nn.LeakyReLU, nn.Hardtanh, nn.MaxPool1d, nn.MaxPool2d)


def limits(unit: nn.Module) -> tuple[float, ...]:
    return (unit.min_val, unit.max_val) if isinstance(unit, nn.Hardtanh) else (0.0,)


def layered(module: nn.Sequential) -> Iterator[tuple[nn.Sequential, nn.Sequential, nn.Module]]:
    """For every layer of units: what leads to what feeds it, the affine modules in between, and the units."""
    start = 0
    for place, unit in enumerate(module):
        if isinstance(unit, BENT):
            yield module[:start], module[start:place], unit
            start = place + 1


def by_autograd(module: nn.Sequential, latents: Tensor, space: DistanceSpace) -> list[list[Tensor]]:
    """By layer the distances of every latent to every hyperplane that is one."""
    found = []
    for before, affine, unit in layered(module):
        if isinstance(unit, nn.MaxPool1d | nn.MaxPool2d):
            continue
        distances = []
        for latent in latents:
            start = latent if space is DistanceSpace.LATENT else before(latent[None])[0]
            whole = nn.Sequential(*before, *affine) if space is DistanceSpace.LATENT else affine
            place = start.clone().requires_grad_()
            values = whole(place[None]).flatten()
            each = torch.eye(len(values), dtype=torch.float64)
            (jacobian,) = torch.autograd.grad(values, place, each, is_grads_batched=True)
            values, lengths = values.detach(), jacobian.flatten(1).norm(dim=1)
            real = lengths > 0
            distances += [((values - limit).abs() / lengths)[real] for limit in limits(unit)]
        found.append(distances)
    return found


@pytest.mark.parametrize("name", NETWORKS)
@each_space
def test_distances_are_those_of_autograd(name: str, space: DistanceSpace) -> None:
    family = by_name(name)
    module, latents = family.build(), family.latents(3)
    if family.latent_shape is not None:
        module = nn.Sequential(nn.Unflatten(1, family.latent_shape), *module)
    found = hyperplane_distances(generator_of(family), latents, space=space)
    expected = by_autograd(module, latents, space)
    assert len(found.layers) == len(expected)
    for place, distances in enumerate(expected):
        joined = torch.cat(distances)
        several = len(distances) // len(latents)
        assert int(found.counted[place]) == len(joined)
        assert int(found.without[place]) == several * len(latents) * found.units[place] - len(joined)
        assert float(found.mean[place]) == pytest.approx(float(joined.mean()), rel=1e-9)
        assert float(found.root_mean_square[place]) == pytest.approx(float(joined.square().mean().sqrt()), rel=1e-9)
    assert set(found.left_out) == {"max_pool1d" for _ in range(name == "sequence")}


def test_a_latent_moved_by_the_distance_along_the_gradient_is_on_the_hyperplane() -> None:
    # One unit behind a bent layer: the place itself shows the distance, with no gradient.
    source = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.3), nn.Linear(8, 1), nn.ReLU()).double()
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
    latent = torch.tensor([[0.1, 0.2, -0.1]], dtype=torch.float64)
    distance = float(hyperplane_distances(Generator.from_module(module, 3), latent).mean[1])
    angles = torch.randn(200_000, 3, generator=source, dtype=torch.float64)
    step = 1e-4
    with torch.no_grad():
        inside = module[:3](latent + step * angles / angles.norm(dim=1, keepdim=True))
        value = float(module[:3](latent).detach())
        # The steepest descent over small steps in all directions reaches 0 after the distance.
        steepest = float((inside - value).abs().max()) / step
    assert distance == pytest.approx(abs(value) / steepest, rel=1e-3)


def test_squared_weights_and_columns_give_the_same_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("batch_norm", "dcgan", "grouped", "deconv_vae", "clamp")
    families = [by_name(name) for name in names]

    def answers() -> list[Tensor]:
        return [
            hyperplane_distances(generator_of(family), family.latents(4), space="layer").mean for family in families
        ]

    quick = answers()
    monkeypatch.setattr(affine_chain, "by_squared_weights", lambda generator, chain: None)
    for found, wanted in zip(quick, answers(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_layers_that_several_values_feed_are_left_out_of_their_own_space_alone() -> None:
    family = by_name("residual")
    own = hyperplane_distances(generator_of(family), family.latents(4), space="layer")
    assert own.layers == ("relu", "relu_1")
    assert list(own.left_out) == ["relu_"]
    assert "several values feed it" in own.left_out["relu_"]
    latent = hyperplane_distances(generator_of(family), family.latents(4))
    assert latent.layers == ("relu", "relu_1", "relu_")
    assert latent.left_out == {}
    torch.testing.assert_close(own.mean[:1], latent.mean[:1], rtol=1e-12, atol=0)


def test_maps_too_large_to_look_at_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    family = by_name("wgan_upsampling")
    monkeypatch.setattr(affine_chain, "MOST_ENTRIES", 100)
    found = hyperplane_distances(generator_of(family), family.latents(2), space="layer")
    assert found.layers == ()
    assert "too large" in found.left_out["leaky_relu"]


def test_units_without_a_gradient_are_left_out_and_counted() -> None:
    module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU()).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [1.0, 1.0]]))
        module[0].bias.copy_(torch.tensor([-5.0, -5.0, 3.0, -5.0]))
    latents = torch.tensor([[1.0, 1.0], [9.0, 1.0]], dtype=torch.float64)
    found = hyperplane_distances(Generator.from_module(module, 2), latents)
    # At the first latent only the unit with weight 0 is active: the next layer is constant there.
    assert found.without.tolist() == [2, 3]
    assert found.counted.tolist() == [6, 3]
    first = torch.tensor([[4.0, 1.5, 3 / 2**0.5], [4.0, 1.5, 5 / 2**0.5]])
    assert float(found.mean[0]) == pytest.approx(float(first.mean()))
    assert float(found.root_mean_square[0]) == pytest.approx(float(first.square().mean().sqrt()))
    none = hyperplane_distances(Generator.from_module(module, 2), latents[:1])
    assert math.isnan(float(none.mean[1]))
    assert math.isnan(float(none.root_mean_square[1]))


@each_space
def test_gradients_of_rounding_alone_count_as_none(space: DistanceSpace) -> None:
    # 0.1 + 0.2 - 0.3 is not 0 in binary.
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.ReLU()).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[0.1, 0.0], [0.2, 0.0], [0.3, 0.0]], dtype=torch.float64))
        module[1].weight.copy_(torch.tensor([[1.0, 1.0, -1.0], [1.0, 0.0, 0.0]]))
    found = hyperplane_distances(Generator.from_module(module, 2), torch.ones(3, 2), space=space)
    assert found.without.tolist() == [3]
    assert found.counted.tolist() == [3]


def star() -> Tensor:
    """Fifty points of a star in the plane, away from the origin."""
    angle = torch.arange(50, dtype=torch.float64) * 2 * math.pi / 50
    radius = 1 + 0.5 * torch.cos(5 * angle)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1) + torch.tensor([2.0, 1.0])


def three_ways(seed: int, depth: int = 4, width: int = 64) -> dict[str, nn.Sequential]:
    """The same weights with batch norm fitted on the star, with normal biases, and without biases."""
    source = torch.Generator().manual_seed(seed)
    weights = [
        torch.randn(width, inputs, generator=source, dtype=torch.float64) * (2 / inputs) ** 0.5
        for inputs in (2, *[width] * (depth - 1))
    ]
    biases = [torch.randn(width, generator=source, dtype=torch.float64) for _ in weights]
    made = {}
    for name in ("batch norm", "random", "zero"):
        layers: list[nn.Module] = []
        for weight, bias in zip(weights, biases, strict=True):
            layer = nn.Linear(weight.shape[1], width, dtype=torch.float64)
            with torch.no_grad():
                layer.weight.copy_(weight)
                layer.bias.copy_(bias if name == "random" else torch.zeros(width))
            norm = [nn.BatchNorm1d(width, momentum=None, dtype=torch.float64)] if name == "batch norm" else []
            layers += [layer, *norm, nn.ReLU()]
        module = nn.Sequential(*layers, nn.Linear(width, 1, dtype=torch.float64))
        module.train()(star())  # one pass: the statistics are those of the star
        made[name] = module.eval().requires_grad_(False)
    return made


@pytest.mark.parametrize("seed", [0, 1])
@each_space
def test_batch_norm_brings_hyperplanes_to_the_data(seed: int, space: DistanceSpace) -> None:
    # L5
    found = {
        name: hyperplane_distances(Generator.from_module(module, 2), star(), space=space)
        for name, module in three_ways(seed).items()
    }
    norm, random = found["batch norm"], found["random"]
    assert (norm.mean[0], norm.root_mean_square[0]) < (random.mean[0], random.root_mean_square[0])
    if space is DistanceSpace.LATENT:
        # Deeper layers are measured in one space only here: their own are scaled anew by each norm.
        for rival in (random, found["zero"]):
            assert (norm.mean < 0.7 * rival.mean).all()


def test_statistics_of_the_data_are_the_least_squares_offsets() -> None:
    # No other offset of any unit of any layer is nearer in the mean square: total least squares with normals given.
    module = three_ways(3, depth=3, width=16)["batch norm"]

    def squares() -> Tensor:
        return hyperplane_distances(Generator.from_module(module, 2), star(), space="layer").root_mean_square

    best = squares()
    norms = [layer for layer in module if isinstance(layer, nn.BatchNorm1d)]
    for place, norm in enumerate(norms):
        mean = norm.running_mean.clone()
        for move in (-0.05, 0.05):
            norm.running_mean[place] += move
            assert squares()[place] > best[place]
            norm.running_mean.copy_(mean)


@each_space
def test_without_biases_all_first_lines_meet_at_the_origin(space: DistanceSpace) -> None:
    # L5
    origin = torch.zeros(1, 2)
    found = {
        name: hyperplane_distances(Generator.from_module(module, 2), origin, space=space)
        for name, module in three_ways(4).items()
    }
    assert float(found["zero"].mean[0]) == 0.0
    assert int(found["zero"].counted[0]) == 64
    assert float(found["random"].mean[0]) > 0.1
    assert float(found["batch norm"].mean[0]) > 0.1


@each_space
def test_a_tight_bound_on_memory_measures_the_same(space: DistanceSpace) -> None:
    for name in ("dcgan", "wgan_upsampling"):
        family = by_name(name)
        generator, latents = generator_of(family), family.latents(7)
        free = hyperplane_distances(generator, latents, space=space)
        with pytest.raises(OutOfMemory) as caught:
            hyperplane_distances(generator, latents, space=space, max_memory=100)
        least = int(caught.value.metadata["needed_bytes"])
        for bound in (least, 5 * least):
            found = hyperplane_distances(generator, latents, space=space, max_memory=bound)
            torch.testing.assert_close(found.mean, free.mean, rtol=1e-12, atol=0)
            assert torch.equal(found.counted, free.counted)


@each_space
def test_no_latents_and_no_units_have_no_mean(space: DistanceSpace) -> None:
    found = hyperplane_distances(generator_of(by_name("mlp")), torch.zeros(0, 6), space=space)
    assert found.mean.isnan().all()
    assert found.counted.tolist() == [0, 0]
    assert hyperplane_distances(generator_of(by_name("linear")), torch.zeros(2, 6), space=space).layers == ()


@each_space
def test_it_stops_when_asked_to(space: DistanceSpace) -> None:
    with pytest.raises(Cancelled):
        hyperplane_distances(generator_of(by_name("mlp")), torch.zeros(2, 6), space=space, should_stop=lambda: True)


def test_smooth_operations_inside_are_refused() -> None:
    with pytest.raises(Refused) as caught:
        hyperplane_distances(generator_of(by_name("smooth_inside")), torch.zeros(2, 6))
    assert caught.value.reason == "NOT_PIECEWISE_AFFINE"


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("space", {"space": "pixel"}),
        ("latents", {"latents": torch.zeros(2, 3)}),
        ("latents", {"latents": torch.full((2, 2), math.nan)}),
    ],
)
def test_what_cannot_be_is_refused_by_field(field: str, given: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"latents": torch.zeros(2, 2), **given}
    with pytest.raises(InvalidInput) as caught:
        hyperplane_distances(Generator.from_module(dense(2, 4, 3, seed=1), 2), **arguments)
    assert caught.value.field == field


def test_float32_latents_are_taken() -> None:
    generator = Generator.from_module(dense(2, 4, 3, seed=1), 2)
    latents = random_latents(1, 5, 2)
    single, double = (hyperplane_distances(generator, given) for given in (latents, latents.double()))
    assert torch.equal(single.mean, double.mean)
