"""Packed patterns: what is packed comes back, and equal codes mean equal states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from magnet_service.errors import Cancelled, InvalidInput, OutOfMemory, Refused
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern
from magnet_service.geometry import Engine, Layer, layers_of, pack_patterns, patterns_of, unpack_patterns
from magnet_service.geometry.patterns import planes_of
from tests.generator.families import FAMILIES, Family, by_name, generator_of

pytestmark = pytest.mark.usefixtures("one_thread")

STRAIGHT = [family for family in FAMILIES if family.piecewise_affine]


def layers_with(states: list[tuple[int, int]]) -> tuple[Layer, ...]:
    """Layers of some units with so many states each."""
    made, first = [], 0
    for node, (units, count) in enumerate(states):
        made.append(Layer(node, f"layer_{node}", "extremum", first, units, (), count))
        first += units
    return tuple(made)


@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.integers(1, 150), st.integers(1, 70)), max_size=5),
    st.integers(0, 7),
    st.integers(0, 10**6),
)
def test_what_is_packed_comes_back(states: list[tuple[int, int]], rows: int, seed: int) -> None:
    source = np.random.default_rng(seed)
    columns = [source.integers(0, count, (rows, units)) for units, count in states]
    codes = torch.from_numpy(np.concatenate([np.zeros((rows, 0), np.int64), *columns], 1))
    packed = pack_patterns(codes, layers_with(states))
    assert torch.equal(unpack_patterns(packed).long(), codes)
    assert packed.words.shape == (rows, sum(-(-units // 64) * (count - 1).bit_length() for units, count in states))


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_codes_tell_apart_what_states_tell_apart(family: Family) -> None:
    generator = generator_of(family)
    latents = family.latents(1) + torch.logspace(-3, 0.5, 30, dtype=torch.float64)[:, None] * family.latents(30, seed=8)
    packed = patterns_of(generator, latents, engine=Engine(tile_rows=30))
    codes = unpack_patterns(packed)
    states = activation_pattern(generator.to(precision=Precision.FLOAT64), latents)
    assert codes.shape == states.shape
    assert torch.equal(codes[:, None] == codes[None], states[:, None] == states[None])
    for layer in packed.layers:
        own = slice(layer.first, layer.first + layer.units)
        assert int(codes[:, own].max()) < layer.states <= 2 ** planes_of(layer)
        if layer.breakpoints:
            assert torch.equal(codes[:, own], states[:, own].int())


def test_the_layout_of_a_known_network() -> None:
    module = nn.Sequential(nn.Hardtanh(), nn.Unflatten(1, (1, 70)), nn.MaxPool1d(2), nn.Flatten(), nn.ReLU())
    layers = layers_of(Generator.from_module(module, 70))
    assert [(layer.operation, layer.first, layer.units, layer.states) for layer in layers] == [
        ("clamp", 0, 70, 3),
        ("max_pool", 70, 35, 2),
        ("relu", 105, 35, 2),
    ]
    latent = torch.zeros(1, 70)
    latent[0, 0], latent[0, 1], latent[0, 69] = -2.0, 0.5, 5.0
    words = patterns_of(Generator.from_module(module, 70), latent).words[0].tolist()
    low, high = ((1 << 64) - 1) & ~1, 0  # units 0 to 63: digit by digit
    assert words[:4] == [low, 0b011111, high, 0b100000]
    assert words[4:] == [1 | 1 << 34, 1 | 1 << 34]


def test_patterns_of_no_units_and_no_rows() -> None:
    linear = patterns_of(generator_of(by_name("linear")), torch.zeros(3, 6))
    assert linear.words.shape == (3, 0)
    assert linear.units == 0
    assert unpack_patterns(linear).shape == (3, 0)
    assert len(patterns_of(generator_of(by_name("mlp")), torch.zeros(0, 6))) == 0


def test_rows_do_not_depend_on_their_neighbours() -> None:
    family = by_name("mlp")
    generator, latents = generator_of(family), family.latents(40)
    whole = patterns_of(generator, latents)
    assert np.array_equal(whole.words[16:20], patterns_of(generator, latents[16:20]).words)
    assert np.array_equal(whole.chosen(slice(3, 5)).words, whole.words[3:5])
    assert np.array_equal(whole.chosen(np.array([7, 1])).words, whole.words[[7, 1]])


def test_refusals() -> None:
    mlp = generator_of(by_name("mlp"))
    layers = layers_of(mlp)
    with pytest.raises(InvalidInput, match="those of 36"):
        pack_patterns(torch.zeros(2, 35, dtype=torch.int8), layers)
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        pack_patterns(torch.full((2, 36), 2), layers)
    with pytest.raises(Refused):
        patterns_of(generator_of(by_name("vae")), torch.zeros(1, 6), manifold=Manifold.OUTPUT)
    with pytest.raises(OutOfMemory, match="fewer tile rows"):
        patterns_of(mlp, torch.zeros(1, 6), engine=Engine(max_memory=100))
    with pytest.raises(Cancelled):
        patterns_of(mlp, torch.zeros(1, 6), should_stop=lambda: True)


def test_a_conditional_generator_has_patterns_for_each_condition() -> None:
    class Shifted(nn.Module):
        def forward(self, z: Tensor, label: Tensor) -> Tensor:
            return torch.relu(z + label)

    generator = Generator.from_module(Shifted(), 2, condition=torch.eye(2))
    at = torch.tensor([[-0.5, -0.5]])
    found = [patterns_of(generator.conditioned(label), at).words.tolist() for label in range(2)]
    assert found == [[[1]], [[2]]]
