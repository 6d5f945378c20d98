"""Largest balls: inside, and as large as brute force finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from magnet_service.errors import Cancelled
from magnet_service.generator import Generator
from magnet_service.geometry import chebyshev, region_at
from magnet_service.geometry.inscribed import inscribed
from tests.geometry.oracles import dense
from tests.geometry.polytopes import largest_ball_in_the_plane

pytestmark = pytest.mark.usefixtures("one_thread")


def random_half_spaces(seed: int, rows: int, d: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    normals = source.standard_normal((rows, d))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    return normals, 10.0 ** source.uniform(-spread, 0, rows)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), rows=st.integers(3, 14), spread=st.sampled_from([0.0, 1.0, 4.0]))
def test_no_ball_in_the_plane_is_larger(seed: int, rows: int, spread: float) -> None:
    normals, distances = random_half_spaces(seed, rows, 2, spread)
    box = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    normals, distances = np.concatenate([normals, box]), np.concatenate([distances, np.full(4, 2.0)])
    found = inscribed(normals, distances)
    assert not found.unlimited
    assert (normals @ found.move + found.radius <= distances + 1e-12).all()
    assert found.radius == pytest.approx(largest_ball_in_the_plane(normals, distances), rel=1e-8)


@pytest.mark.parametrize("d", [1, 3, 10, 40])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_simplex_of_any_size_off_the_centre(d: int, scale: float) -> None:
    normals = np.concatenate([-np.eye(d), np.full((1, d), d**-0.5)])
    corner = np.full(d, 1e-3 / d)
    # z_i >= 0 and sum z_i <= 1, whose inscribed ball has radius 1 / (d + sqrt d), from a point near the corner.
    distances = (np.append(np.zeros(d), d**-0.5) - normals @ corner) * scale
    found = inscribed(normals, distances)
    assert found.radius == pytest.approx(scale / (d + math.sqrt(d)), rel=1e-8)
    np.testing.assert_allclose(found.move / scale + corner, np.full(d, 1 / (d + math.sqrt(d))), rtol=1e-6)


def test_a_needle_has_its_thickness() -> None:
    normals = np.array([[1.0, 1e-6], [-1.0, 1e-6], [0.0, -1.0]])
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    distances = np.array([1e-6, 1e-6, 0.25])
    found = inscribed(normals, distances)
    assert found.radius == pytest.approx(1.25e-6, rel=1e-5)


def test_the_ball_of_a_region() -> None:
    generator = Generator.from_module(dense(3, 20, 20, 4, seed=1, gain=2.0), 3)
    region = region_at(generator, torch.tensor([0.3, 0.1, -0.2]), box=(-2.0, 2.0))
    ball = chebyshev(region)
    assert ball.centre is not None
    assert ball.radius >= region.half_spaces.distances.min()
    left = region.half_spaces.offsets - region.half_spaces.normals @ ball.centre
    assert left.min() >= ball.radius * (1 - 1e-9)
    # Any set of weights on the walls with w N = 0 and sum w = 1 bounds all radii by w h: the touching walls have one.
    touching = (left < ball.radius * (1 + 1e-7)).nonzero().flatten()
    matrix = torch.cat([region.half_spaces.normals[touching], torch.ones(len(touching), 1, dtype=torch.float64)], 1)
    weights = torch.linalg.lstsq(matrix.mT, torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)[:, None]).solution
    assert (weights > -1e-9).all()
    assert float(weights[:, 0] @ region.half_spaces.offsets[touching]) == pytest.approx(ball.radius, rel=1e-7)


def test_a_cone_has_no_largest_ball_and_a_slab_many() -> None:
    cone = chebyshev(region_at(Generator.from_module(nn.ReLU(), 2), torch.tensor([1.0, -1.0])))
    assert cone.centre is None
    assert cone.radius == math.inf
    whole = chebyshev(region_at(Generator.from_module(nn.Linear(2, 2), 2), torch.zeros(2)))
    assert whole.centre is None
    assert whole.radius == math.inf

    class Slab(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return nn.functional.hardtanh(z[:, :1], -2.0, 3.0)

    slab = chebyshev(region_at(Generator.from_module(Slab(), 3), torch.tensor([1.0, 2.0, 3.0])))
    assert slab.radius == pytest.approx(2.5, rel=1e-12)
    assert slab.centre is not None
    assert slab.centre[0] == pytest.approx(0.5, abs=1e-12)


def test_a_region_without_inside_has_radius_zero() -> None:
    class Pinched(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.relu(z) + torch.relu(-z)

    region = region_at(Generator.from_module(Pinched(), 2), torch.tensor([0.0, 2.0]))
    ball = chebyshev(region)
    assert ball.radius == 0.0
    assert ball.centre is not None
    assert region.contains(ball.centre[None]).all()


def test_it_stops_when_asked() -> None:
    region = region_at(Generator.from_module(nn.Hardtanh(), 2), torch.zeros(2))
    with pytest.raises(Cancelled):
        chebyshev(region, should_stop=lambda: True)
