"""Densities on the manifold: against masses over lengths and areas, normalised, laws V5, and rows that have none."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import Cancelled, InvalidInput
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, log_density, log_volume, volumes
from tests.geometry.oracles import dense, linear_generator, random_latents

EXACT = Engine(precision=Precision.FLOAT64)


class Graph(nn.Module):
    """G(z) = (z, f(z)): injective and of full rank whatever f is."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, latents: Tensor) -> Tensor:
        return torch.cat([latents, self.inner(latents)], dim=1)


def normal(latents: Tensor) -> Tensor:
    latents = latents.double()
    return -latents.square().sum(1) / 2 - latents.shape[1] / 2 * math.log(2 * math.pi)


def graph(dim: int, seed: int) -> Graph:
    return Graph(dense(dim, 20, 20, 6, seed=seed)).double().requires_grad_(False)


def test_on_a_curve_it_is_the_mass_of_an_arc_over_its_length() -> None:
    module = graph(1, 1)
    latents = random_latents(2, 200, 1, torch.float64)
    found = log_density(Generator.from_module(module, 1), latents, normal(latents), engine=EXACT)
    step = 1e-6
    mass = torch.special.ndtr(latents + step) - torch.special.ndtr(latents - step)
    left, middle, right = (module(latents + move) for move in (-step, 0, step))
    length = (right - middle).norm(dim=1) + (middle - left).norm(dim=1)
    torch.testing.assert_close(found.values, (mass[:, 0] / length).log(), rtol=0, atol=1e-6)
    assert found.is_density.all()
    assert found.label == "density of one preimage"
    assert (found.k, found.columns) == (1, 1)


def test_over_a_whole_curve_it_is_normalised() -> None:
    module = graph(1, 3)
    ends = torch.linspace(-8, 8, 8_001, dtype=torch.float64)[:, None]
    places = module(ends)
    middles = (ends[1:] + ends[:-1]) / 2
    found = log_density(Generator.from_module(module, 1), middles, normal(middles), engine=EXACT)
    lengths = (places[1:] - places[:-1]).norm(dim=1)
    # Arcs with a kink inside, some forty, are taken for straight ones.
    assert float((found.values.exp() * lengths).sum()) == pytest.approx(1, abs=1e-3)


def test_on_a_surface_it_is_the_mass_of_a_triangle_over_its_area() -> None:
    module = graph(2, 4)
    latents = random_latents(5, 200, 2, torch.float64)
    prior = normal(latents)
    found = log_density(Generator.from_module(module, 2), latents, prior, engine=EXACT)
    size = 1e-6
    corners = [latents + size * torch.tensor(move, dtype=torch.float64) for move in ((-1, -1), (2, -1), (-1, 2))]
    images = [module(corner) for corner in corners]
    # Heron's formula: the area of the image without a Jacobian. In the latent space it is 9/2 size^2.
    sides = [(images[i] - images[i - 1]).norm(dim=1) for i in range(3)]
    half = sum(sides) / 2
    area = (half * (half - sides[0]) * (half - sides[1]) * (half - sides[2])).sqrt()
    expected = prior + math.log(4.5 * size**2) - area.log()
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-6)


def test_on_a_sphere_it_is_the_mass_of_an_arc_over_its_length() -> None:
    # Two dimensions: a circle of radius 3, uniform with respect to its length.
    module = graph(2, 6)
    angles = random_latents(7, 100, 1, torch.float64)[:, 0]
    step = 1e-6

    def on(angle: Tensor) -> Tensor:
        return 3 * torch.stack([angle.cos(), angle.sin()], dim=1)

    prior = torch.full((100,), -math.log(2 * math.pi * 3), dtype=torch.float64)
    found = log_density(Generator.from_module(module, 2), on(angles), prior, engine=EXACT, tangent_space=True)
    lengths = (module(on(angles + step)) - module(on(angles - step))).norm(dim=1)
    expected = (2 * step / (2 * math.pi) / lengths).log()
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-6)
    assert (found.k, found.columns) == (1, 1)
    assert found.is_density.all()


@pytest.mark.parametrize("manifold", [Manifold.OUTPUT, Manifold.PRE_ACTIVATION])
def test_scales_take_d_logs_away_and_orthogonal_maps_and_zeros_nothing(manifold: Manifold) -> None:
    # V5
    inner = dense(4, 30, 30, 12, seed=8).double()
    turn = nn.Linear(12, 12, bias=False).double()
    scale = nn.Linear(12, 12, bias=False).double()
    with torch.no_grad():
        turn.weight.copy_(torch.linalg.qr(random_latents(9, 12, 12, torch.float64)).Q)
        scale.weight.copy_(2.5 * torch.eye(12))
    latents = random_latents(10, 40, 4, torch.float64)

    def values(*more: nn.Module, top_k: int = 0) -> Tensor:
        generator = Generator.from_module(nn.Sequential(*inner, *more), 4)
        return log_density(generator, latents, normal(latents), top_k=top_k, manifold=manifold, engine=EXACT).values

    plain = values()
    torch.testing.assert_close(values(scale), plain - 4 * math.log(2.5), rtol=0, atol=1e-9)
    torch.testing.assert_close(values(scale, top_k=3), values(top_k=3) - 3 * math.log(2.5), rtol=0, atol=1e-9)
    torch.testing.assert_close(values(turn), plain, rtol=0, atol=1e-9)
    torch.testing.assert_close(values(nn.ConstantPad1d((0, 5), 0.0)), plain, rtol=0, atol=1e-9)


def test_fewer_singular_values_make_a_score() -> None:
    generator = Generator.from_module(graph(5, 11), 5)
    latents = random_latents(12, 30, 5, torch.float64)
    found = volumes(generator, latents, engine=EXACT)
    for k in range(1, 6):
        score = log_density(generator, latents, normal(latents), top_k=k, engine=EXACT)
        torch.testing.assert_close(score.values, normal(latents) - log_volume(found, k), rtol=0, atol=1e-12)
        assert score.label == ("density of one preimage" if k == 5 else f"score_{k}")
        assert bool(score.is_density.all()) == bool(score.is_density.any()) == (k == 5)
        assert score.k == k


def test_rows_below_the_rank_have_no_value() -> None:
    # Five units at the first layer: the rank is that of the active ones, never eight.
    generator = Generator.from_module(dense(8, 5, 40, 60, seed=1), 8)
    latents = random_latents(2, 50, 8)
    whole = log_density(generator, latents, normal(latents), engine=EXACT)
    assert whole.values.isnan().all()
    assert not whole.is_density.any()
    assert (whole.log_volume == -torch.inf).all()
    assert torch.equal(whole.log_prior, normal(latents))
    score = log_density(generator, latents, normal(latents), top_k=3, engine=EXACT)
    assert torch.equal(score.values.isfinite(), score.rank >= 3)
    assert torch.equal(score.values.isnan(), score.rank < 3)
    assert 0 < int((score.rank >= 3).sum()) < 50
    assert not score.is_density.any()


def test_outside_of_the_support_the_density_is_zero() -> None:
    prior = torch.tensor([0.0, -torch.inf], dtype=torch.float64)
    generator = linear_generator(2 * torch.eye(3, dtype=torch.float64)[:, :2])
    found = log_density(generator, torch.zeros(2, 2), prior, engine=EXACT)
    assert found.values[1] == -torch.inf
    assert float(found.values[0]) == pytest.approx(-2 * math.log(2))
    assert found.is_density.all()


def test_rows_that_are_not_finite_have_no_value() -> None:
    generator = linear_generator(torch.full((3, 2), 1e308, dtype=torch.float64))
    found = log_density(generator, torch.full((2, 2), 1e5), torch.zeros(2), engine=EXACT)
    assert found.values.isnan().all()
    assert found.rank.tolist() == [0, 0]


def test_no_latents_have_no_values() -> None:
    found = log_density(linear_generator(torch.eye(3)), torch.zeros(0, 3), torch.zeros(0))
    assert found.values.shape == found.is_density.shape == (0,)


def test_it_stops_when_asked_to() -> None:
    with pytest.raises(Cancelled):
        log_density(linear_generator(torch.eye(3)), torch.zeros(5, 3), torch.zeros(5), should_stop=lambda: True)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("top_k", {"top_k": -1}),
        ("top_k", {"top_k": 4}),
        ("top_k", {"top_k": 3, "tangent_space": True}),
        ("log_prior", {"log_prior": torch.zeros(3)}),
        ("log_prior", {"log_prior": torch.zeros(2, 1)}),
        ("log_prior", {"log_prior": torch.tensor([0.0, math.nan])}),
        ("log_prior", {"log_prior": torch.tensor([0.0, math.inf])}),
        ("latents", {"latents": torch.zeros(2, 4)}),
    ],
)
def test_what_cannot_be_is_refused_by_field(field: str, given: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"latents": torch.ones(2, 3), "log_prior": torch.zeros(2), **given}
    with pytest.raises(InvalidInput) as caught:
        log_density(linear_generator(torch.eye(3)), **arguments)
    assert caught.value.field == field
