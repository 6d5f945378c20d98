"""Half-spaces that a region needs: as an enumeration of vertices finds them, and by what their removal does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor

from magnet_service.errors import Cancelled
from magnet_service.generator import Generator
from magnet_service.geometry import HalfSpaces, chebyshev, region_at
from magnet_service.geometry.redundancy import irredundant
from tests.generator.families import by_name, generator_of
from tests.geometry.oracles import dense
from tests.geometry.polytopes import walls_by_vertices

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(normals: Tensor, distances: Tensor) -> HalfSpaces:
    zeros = torch.zeros(len(normals), dtype=torch.int64)
    return HalfSpaces(normals, distances.clone(), distances, zeros, zeros, zeros, zeros)


def walls(normals: Tensor, distances: Tensor) -> list[int]:
    found = irredundant(plain(normals, distances))
    assert found is not None
    return found.tolist()


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), d=st.integers(2, 4), rows=st.integers(1, 40))
def test_walls_are_those_on_which_vertices_lie(seed: int, d: int, rows: int) -> None:
    source = torch.Generator().manual_seed(seed)
    normals = torch.nn.functional.normalize(torch.randn(rows, d, generator=source, dtype=torch.float64), dim=1)
    distances = 0.2 + torch.rand(rows, generator=source, dtype=torch.float64)
    normals = torch.cat([normals, torch.eye(d, dtype=torch.float64), -torch.eye(d, dtype=torch.float64)])
    distances = torch.cat([distances, torch.full((2 * d,), 1.5, dtype=torch.float64)])
    assert set(walls(normals, distances)) == walls_by_vertices(normals, distances, torch.zeros(d, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(6))
def test_walls_of_regions_in_the_plane(seed: int) -> None:
    generator = Generator.from_module(dense(2, 24, 24, 24, 3, seed=seed, gain=1.5), 2)
    latent = torch.randn(2, generator=torch.Generator().manual_seed(seed)).clamp(-1.9, 1.9)
    every = region_at(generator, latent, box=(-2.0, 2.0))
    region = region_at(generator, latent, box=(-2.0, 2.0), minimal=True)
    assert region.minimal
    assert not every.minimal
    centre = chebyshev(every).centre
    assert centre is not None
    expected = walls_by_vertices(every.half_spaces.normals, every.half_spaces.offsets, centre)
    assert torch.equal(region.half_spaces.offsets, every.half_spaces.offsets[sorted(expected)])
    assert torch.equal(region.half_spaces.units, every.half_spaces.units[sorted(expected)])
    assert region.radius == every.radius


@pytest.mark.parametrize("name", ["mlp", "hardtanh", "extrema"])
def test_walls_of_unbounded_regions(name: str) -> None:
    family = by_name(name)
    every = region_at(generator_of(family), family.latents(1)[0])
    kept = irredundant(every.half_spaces)
    assert kept is not None
    normals, distances = every.half_spaces.normals.numpy(), every.half_spaces.distances.numpy()
    scale = np.median(distances)
    expected = [row for row in range(len(normals)) if reaches_beyond(normals, distances / scale, row)]
    assert kept.tolist() == expected


def reaches_beyond(normals: np.ndarray, distances: np.ndarray, row: int) -> bool:
    """One plain linear program over all the others."""
    loose = distances + np.eye(len(distances))[row]
    found = linprog(-normals[row], A_ub=normals, b_ub=loose, bounds=(None, None))
    assert found.status == 0
    return bool(-found.fun > distances[row] + 1e-6)


def test_of_equal_hyperplanes_one_stays() -> None:
    square = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    corner = torch.tensor([[0.5**0.5, 0.5**0.5]], dtype=torch.float64)
    normals = torch.cat([square, square, corner])
    # The last line touches the square in a corner only, the second four repeat the first.
    distances = torch.cat([torch.ones(8, dtype=torch.float64), torch.tensor([2**0.5], dtype=torch.float64)])
    found = walls(normals, distances)
    assert len(found) == 4
    assert sorted(row % 4 for row in found) == [0, 1, 2, 3]


def test_a_slab_and_one_half_space() -> None:
    slab = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert walls(slab, torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)) == [0, 1]
    assert walls(slab[:1], torch.tensor([0.0], dtype=torch.float64)) == [0]
    assert walls(slab[:0], torch.zeros(0, dtype=torch.float64)) == []


def test_a_point_has_no_inside() -> None:
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert irredundant(plain(opposite, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))) is None


def test_it_stops_when_asked() -> None:
    calls = iter([False, False, True])
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double())
    with pytest.raises(Cancelled):
        irredundant(plain(normals, torch.ones(50, dtype=torch.float64)), should_stop=lambda: next(calls))
