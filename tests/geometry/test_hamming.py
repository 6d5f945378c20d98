"""Hamming distances: a naive count, the axioms of a metric, and neighbours by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from magnet_service.errors import Cancelled, InvalidInput, Refused
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern
from magnet_service.geometry import (
    Engine,
    Patterns,
    hamming,
    nearest,
    neighbours,
    pack_patterns,
    packed_hamming,
    patterns_of,
    region_at,
    same_region,
)
from tests.generator.families import FAMILIES, Family, by_name, generator_of
from tests.geometry.test_patterns import layers_with

pytestmark = pytest.mark.usefixtures("one_thread")

STRAIGHT = [family for family in FAMILIES if family.piecewise_affine]
LAYOUTS = st.lists(st.tuples(st.integers(1, 150), st.sampled_from([1, 2, 2, 3, 4, 9])), min_size=1, max_size=5)


def drawn(states: list[tuple[int, int]], rows: int, seed: int) -> tuple[np.ndarray, Patterns]:
    """Random codes, most of them alike so that distances tie often, and the same packed."""
    source = np.random.default_rng(seed)
    parts = []
    for units, count in states:
        centre = source.integers(0, count, (1, units))
        other = source.integers(0, count, (rows, units))
        parts.append(np.where(source.random((rows, units)) < 0.05, other, centre))
    codes = np.concatenate(parts, 1)
    return codes, pack_patterns(torch.from_numpy(codes), layers_with(states))


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_the_distance_is_the_number_of_states_that_differ(family: Family) -> None:
    generator = generator_of(family)
    left = family.latents(12)
    right = left + torch.logspace(-4, 0.5, 12, dtype=torch.float64)[:, None] * family.latents(12, seed=8)
    found = hamming(generator, left, right, engine=Engine(tile_rows=12))
    exact = generator.to(precision=Precision.FLOAT64)
    differ = activation_pattern(exact, left) != activation_pattern(exact, right)
    assert torch.equal(found.total, differ.sum(1))
    for column, layer in enumerate(found.layers):
        assert torch.equal(found.by_layer[:, column], differ[:, layer.first : layer.first + layer.units].sum(1))
    torch.testing.assert_close(found.share, differ.double().sum(1) / max(1, differ.shape[1]))
    engine = Engine(tile_rows=12)
    packed = [patterns_of(generator, side, engine=engine) for side in (left, right)]
    assert torch.equal(packed_hamming(*packed), found.total)
    assert torch.equal(found.total == 0, same_region(generator, left, right, engine=engine))


@settings(max_examples=60)
@given(LAYOUTS, st.integers(0, 10**6))
def test_the_distance_is_a_metric(states: list[tuple[int, int]], seed: int) -> None:
    codes, packed = drawn(states, 9, seed)
    rows = np.arange(9)
    pairs = [(one, other) for one in rows for other in rows]
    left, right = (packed.chosen(np.array(side)) for side in zip(*pairs, strict=True))
    distances = packed_hamming(left, right).reshape(9, 9)
    assert torch.equal(distances, torch.from_numpy((codes[:, None] != codes[None]).sum(2)))
    assert torch.equal(distances, distances.mT)
    assert (distances[:, None] <= distances[:, :, None] + distances[None]).all()
    assert torch.equal(distances == 0, torch.from_numpy((codes[:, None] == codes[None]).all(2)))


@settings(max_examples=60)
@given(LAYOUTS, st.integers(1, 90), st.integers(1, 20), st.integers(1, 4), st.integers(0, 10**6), st.data())
def test_neighbours_are_those_of_a_stable_sort(
    states: list[tuple[int, int]], rows: int, queries: int, threads: int, seed: int, data: st.DataObject
) -> None:
    codes, packed = drawn(states, rows + queries, seed)
    count = data.draw(st.integers(1, rows))
    found = nearest(packed.chosen(slice(0, rows)), packed.chosen(slice(rows, None)), count, threads=threads)
    distances = (codes[rows:, None] != codes[None, :rows]).sum(2)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :count]
    assert found.rows.tolist() == expected.tolist()
    assert found.distances.tolist() == np.take_along_axis(distances, expected, 1).tolist()


def test_many_rows_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, packed = drawn([(300, 2)], 3000, 0)
    queries = packed.chosen(slice(0, 50))
    whole = nearest(packed, queries, 40, threads=3)
    monkeypatch.setattr(neighbours, "CACHED_BYTES", 1000)
    monkeypatch.setattr(neighbours, "QUERIES", 7)
    pieces = nearest(packed, queries, 40, threads=1)
    assert torch.equal(whole.rows, pieces.rows)
    assert torch.equal(whole.distances, pieces.distances)
    assert torch.equal(whole.distances[:, 0], torch.zeros(50, dtype=torch.int64))
    distances = (codes[:50, None] != codes[None]).sum(2)
    assert whole.rows.tolist() == np.argsort(distances, axis=1, kind="stable")[:, :40].tolist()


def test_one_latent_or_a_grid_of_them() -> None:
    sign = Generator.from_module(nn.ReLU(), 3)
    one = hamming(sign, torch.tensor([1.0, -1.0, 1.0]), torch.tensor([-1.0, -2.0, 3.0]))
    assert one.by_layer.tolist() == [1]
    assert one.total.shape == ()
    grid = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    found = hamming(sign, grid, -grid)
    assert found.by_layer.shape == (2, 5, 1)
    assert (found.total == 3).all()
    assert (found.share == 1.0).all()
    assert hamming(sign, torch.zeros(0, 3), torch.zeros(0, 3)).total.shape == (0,)
    assert hamming(generator_of(by_name("linear")), torch.zeros(6), torch.ones(6)).share == 0.0


def test_a_unit_counts_once_however_many_breakpoints_are_crossed() -> None:
    clamp = Generator.from_module(nn.Hardtanh(), 1)
    ends = torch.tensor([[-2.0], [0.0], [2.0]])
    assert hamming(clamp, ends[[0, 0, 1]], ends[[1, 2, 2]]).total.tolist() == [1, 1, 1]


def test_across_its_nearest_wall_a_region_has_a_neighbour_at_distance_one() -> None:
    family = by_name("mlp")
    generator = generator_of(family)
    for latent in family.latents(5, seed=3):
        region = region_at(generator, latent)
        row = region.nearest
        assert row is not None
        beyond = region.latent + region.half_spaces.normals[row] * (region.radius * (1 + 1e-9))
        assert hamming(generator, region.latent, beyond).total.item() == 1


def test_inputs_of_a_classifier() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 4, 3), nn.Linear(4 * 3 * 3, 10)

        def forward(self, images: Tensor) -> Tensor:
            return self.out(torch.relu(nn.functional.max_pool2d(self.conv(images), 2)).flatten(1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Classifier()
    generator = Generator.from_module(network, 64, (1, 8, 8))
    images = torch.randn(6, 64, generator=torch.Generator().manual_seed(1))
    found = hamming(generator, images[:3], images[3:])
    with torch.no_grad():
        maps = network.conv.double()(images.double().reshape(6, 1, 8, 8))
        pooled, places = nn.functional.max_pool2d(maps, 2, return_indices=True)
    expected = [(states[:3] != states[3:]).flatten(1).sum(1) for states in (places, pooled > 0)]
    assert torch.equal(found.by_layer, torch.stack(expected, 1))


def test_refusals() -> None:
    mlp = generator_of(by_name("mlp"))
    bank = patterns_of(mlp, torch.zeros(3, 6))
    other = patterns_of(generator_of(by_name("leaky")), torch.zeros(3, 6))
    with pytest.raises(InvalidInput, match="one generator") as invalid:
        nearest(bank, other, 1)
    assert invalid.value.field == "queries"
    with pytest.raises(InvalidInput, match="one generator"):
        packed_hamming(bank, other)
    with pytest.raises(InvalidInput, match="as many"):
        packed_hamming(bank, bank.chosen(slice(0, 2)))
    for count in (0, 4):
        with pytest.raises(InvalidInput, match="from 1 to the bank's rows, 3"):
            nearest(bank, bank, count)
    with pytest.raises(InvalidInput, match="threads"):
        nearest(bank, bank, 1, threads=0)
    with pytest.raises(InvalidInput, match="as many"):
        hamming(mlp, torch.zeros(2, 6), torch.zeros(3, 6))
    with pytest.raises(Refused):
        hamming(generator_of(by_name("mlp_tanh")), torch.zeros(6), torch.zeros(6), manifold=Manifold.OUTPUT)
    with pytest.raises(Cancelled):
        nearest(bank, bank, 1, should_stop=lambda: True)
    with pytest.raises(Cancelled):
        hamming(mlp, torch.zeros(6), torch.zeros(6), should_stop=lambda: True)
