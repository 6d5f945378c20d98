"""Activation patterns, and on random programs: one pattern, one affine map."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from magnet_service.generator import Generator, Manifold, Precision, activation_pattern, interpret
from tests.generator.families import FAMILIES, Family, by_name, generator_of
from tests.generator.random_programs import random_program

STRAIGHT = [family for family in FAMILIES if family.piecewise_affine]


def exact(family: Family) -> Generator:
    return generator_of(family).to(precision=Precision.FLOAT64)


def jacobian_of_interpreter(program_seed: int, smooth: bool, latents: Tensor) -> Tensor:
    program = random_program(program_seed, smooth)
    rows = [
        torch.autograd.functional.jacobian(lambda z: interpret(program, z[None])[0], latent).T for latent in latents
    ]
    return torch.stack(rows)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), smooth=st.booleans())
def test_random_programs_agree_with_the_interpreter_and_autograd(seed: int, smooth: bool) -> None:
    program = random_program(seed, smooth)
    generator = Generator.from_program(program).to(precision=Precision.FLOAT64)
    latents = torch.randn(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values, tangents = generator.push(latents)
    expected = interpret(program, latents)
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-12 * scale)
    wanted = jacobian_of_interpreter(seed, smooth, latents)
    scale = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(tangents, wanted, rtol=1e-10, atol=1e-10 * scale)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_one_pattern_is_one_affine_map(seed: int) -> None:
    generator = Generator.from_program(random_program(seed)).to(precision=Precision.FLOAT64)
    source = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 5, generator=source, dtype=torch.float64)
    steps = 10.0 ** torch.linspace(-8, 0.5, 12, dtype=torch.float64)
    latents = start + steps[:, None] * torch.randn(1, 5, generator=source, dtype=torch.float64)
    assert_one_map_a_pattern(generator, torch.cat([start, latents]))


def assert_one_map_a_pattern(generator: Generator, latents: Tensor) -> None:
    patterns = activation_pattern(generator, latents)
    values, tangents = generator.push(latents, manifold=Manifold.PRE_ACTIVATION)
    same = (patterns == patterns[0]).all(1)
    scale = max(1.0, float(tangents.abs().max()))
    torch.testing.assert_close(tangents[same], tangents[:1].expand_as(tangents[same]), rtol=1e-12, atol=1e-12 * scale)
    moved = torch.einsum("rl,lo->ro", latents - latents[0], tangents[0])
    torch.testing.assert_close(
        values[same], (values[0] + moved)[same], rtol=1e-10, atol=1e-11 * max(scale, float(values.abs().max()))
    )


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_one_pattern_is_one_affine_map_in_every_family(family: Family) -> None:
    generator, start = exact(family), family.latents(1)
    steps = 10.0 ** torch.linspace(-8, 0.5, 12, dtype=torch.float64)
    latents = torch.cat([start, start + steps[:, None] * family.latents(1, seed=9)])
    patterns = activation_pattern(generator, latents)
    assert (patterns[1] == patterns[0]).all()
    assert_one_map_a_pattern(generator, latents)


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_regions_are_convex(family: Family) -> None:
    generator, start = exact(family), family.latents(1)
    latents = torch.cat([start, start + 0.02 * family.latents(40, seed=9)])
    patterns = activation_pattern(generator, latents)
    inside = latents[(patterns == patterns[0]).all(1)]
    middles = (inside[:, None] + inside[None]).flatten(0, 1) / 2
    assert (activation_pattern(generator, middles) == patterns[0]).all()


def test_states_are_those_of_the_pre_activations() -> None:
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.Hardtanh(-0.1, 0.2), nn.Linear(4, 2))
    generator = Generator.from_module(module, 3)
    latents = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = module[0](latents)
        second = module[2](first.relu())
    expected = torch.cat([first > 0, (second > -0.1).int() + (second > 0.2)], 1)
    found = activation_pattern(generator, latents)
    assert found.dtype == torch.int8
    assert torch.equal(found.int(), expected.int())
    assert set(found[:, 5:].flatten().tolist()) == {0, 1, 2}


def test_a_pool_has_the_place_of_its_maximum_as_state() -> None:
    module = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.MaxPool1d(2), nn.Flatten())
    generator = Generator.from_module(module, 4)
    found = activation_pattern(generator, torch.tensor([[1.0, 2.0, 4.0, 3.0], [2.0, 1.0, 3.0, 4.0]]))
    assert found.dtype == torch.int32
    assert found.tolist() == [[1, 2], [0, 3]]


class Largest(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.relu(z.amax(1, keepdim=True)) + torch.relu(z.amax(1) - 2.5).unsqueeze(1)


def test_units_over_whole_rows_have_states() -> None:
    found = activation_pattern(Generator.from_module(Largest(), 3), torch.tensor([[1.0, 3.0, 2.0], [-1.0, -2.0, -3.0]]))
    assert found.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]


def test_a_linear_generator_has_one_empty_pattern() -> None:
    assert activation_pattern(generator_of(by_name("linear")), torch.zeros(3, 6)).shape == (3, 0)


def test_float32_and_float64_patterns_agree_but_for_units_within_rounding() -> None:
    family = by_name("dcgan")
    latents = family.latents(64).float()
    single = activation_pattern(generator_of(family), latents)
    double = activation_pattern(exact(family), latents)
    assert (single != double).float().mean() < 1e-4
