"""Slices along lines: breakpoints against a dense grid, and against what a plane's tiles say where the line passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from magnet_service.generator import Generator, Precision, activation_pattern
from magnet_service.geometry import (
    Extent,
    Tessellation,
    slice_along,
    slice_through,
    tessellate,
    tile_maps,
    tile_patterns,
)
from magnet_service.geometry.tessellation import BORDER, DECISION
from tests.geometry.oracles import dense
from tests.geometry.random_nets import KINDS, random_net
from tests.geometry.tilings import slice_of

pytestmark = pytest.mark.usefixtures("one_thread")


def built(kind: str, seed: int) -> tuple[Generator, object]:
    family = random_net(kind, seed)
    module = family.build(seed)
    return Generator.from_module(module, family.latent_dim, family.latent_shape), lambda z: family.outputs(module, z)


def breakpoints(found: Tessellation) -> np.ndarray:
    return np.sort(found.points[:, 0])


def check_line(generator: Generator, function: object, found: Tessellation) -> None:
    """Intervals in order that fill the segment, each with one pattern and the module's slope."""
    assert callable(function)
    low, high = found.slice.window.flatten().tolist()
    points = found.points[:, 0]
    assert found.tiles == len(points) - 1
    left, right = points[found.ends].min(axis=1), points[found.ends].max(axis=1)
    assert (left == breakpoints(found)[:-1]).all()
    assert (right == breakpoints(found)[1:]).all()
    assert left[0] == low
    assert right[-1] == high
    np.testing.assert_allclose(found.areas, right - left, rtol=1e-12)
    np.testing.assert_allclose(found.centroids[:, 0], (left + right) / 2, rtol=0, atol=1e-12 * found.slice.size)
    np.testing.assert_allclose(found.spreads, np.stack([right - left] * 2, axis=1), rtol=1e-12)
    assert (found.corners.reshape(-1, 2) == found.ends).all()
    inner = (points > low) & (points < high)
    assert (found.labels[~inner, 0] == BORDER).all()
    assert ((found.labels[inner, 0] >= 0) | (found.labels[inner, 0] == DECISION)).all()
    wide = np.flatnonzero(found.areas > 1e-6 * found.slice.size)
    places = torch.from_numpy(left[wide, None] + np.array([0.03, 0.5, 0.91]) * (right - left)[wide, None])
    exact = generator.to(precision=Precision.FLOAT64)
    latents = found.slice.lift(places.reshape(-1, 1))
    patterns = activation_pattern(exact, latents).reshape(len(wide), 3, -1)
    assert bool((patterns == patterns[:, :1]).all())
    assert bool((patterns[1:, 0] != patterns[:-1, 0]).any(dim=1).all())
    direction = found.slice.frame[0].expand_as(latents).contiguous()
    values, slopes = torch.autograd.functional.jvp(function, latents, direction)
    matrices, offsets = tile_maps(generator, found, wide)
    scale = max(1.0, float(slopes.abs().max()))
    assert float((slopes.reshape(len(wide), 3, -1) - matrices[:, None, :, 0]).abs().max()) <= 1e-10 * scale
    told = matrices[:, None, :, 0] * places[..., None] + offsets[:, None]
    assert float((told - values.reshape(len(wide), 3, -1)).abs().max()) <= 1e-9 * scale * found.slice.size
    norms = matrices[..., 0].norm(dim=1).numpy()
    rounding = 1e-12 * scale * found.slice.size / found.areas[wide]
    for name in ("spectral_norms", "frobenius_norms", "stretches"):
        assert (np.abs(getattr(found, name)[wide] - norms) <= rounding).all()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_line_through_a_network_of_each_kind(kind: str) -> None:
    generator, function = built(kind, 0)
    check_line(generator, function, tessellate(generator, slice_of(generator.latent_dim, 0, points=2)))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_lines_through_many_networks(kind: str, seed: int) -> None:
    generator, function = built(kind, seed)
    found = tessellate(generator, slice_of(generator.latent_dim, seed, points=2))
    check_line(generator, function, found)
    check_restriction(generator, seed)


@pytest.mark.parametrize("kind", ["relu", "hardtanh", "max_pool_overlapping", "maxout", "conv_transpose", "residual"])
def test_as_many_intervals_as_patterns_on_a_dense_grid(kind: str) -> None:
    generator, _ = built(kind, 1)
    line = slice_of(generator.latent_dim, 1, points=2)
    found = tessellate(generator, line)
    low, high = line.window.flatten().tolist()
    grid = torch.linspace(low, high, 100_001, dtype=torch.float64)[:, None]
    exact = generator.to(precision=Precision.FLOAT64)
    patterns = torch.cat([activation_pattern(exact, line.lift(part)) for part in grid.split(10_000)])
    changes = np.flatnonzero((patterns[1:] != patterns[:-1]).any(dim=1).numpy())
    wide = found.areas.min() > (high - low) / 100_000
    assert wide, "the grid is too coarse for this network"
    assert found.tiles == len(changes) + 1
    inner = breakpoints(found)[1:-1]
    assert ((grid[changes, 0].numpy() <= inner) & (inner <= grid[changes + 1, 0].numpy())).all()


def crossings(plane: Tessellation, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distances from the start at which a segment crosses edges between tiles, by every edge in turn."""
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]])
    inner = (plane.sides >= 0).all(axis=1)
    one, other = (plane.points[plane.ends[inner, side]] - start for side in (0, 1))
    heights, far = one @ across, other @ across
    crossed = (heights > 0) != (far > 0)
    share = heights[crossed] / (heights[crossed] - far[crossed])
    places = (1 - share) * (one[crossed] @ along) + share * (other[crossed] @ along)
    return np.sort(places[(places > 0) & (places < np.linalg.norm(end - start))])


def check_restriction(generator: Generator, seed: int) -> None:
    points = 2 * torch.randn(3, generator.latent_dim, generator=torch.Generator().manual_seed(seed))
    plane = tessellate(generator, slice_through(points))
    source = np.random.default_rng(seed)
    window = plane.slice.window.numpy()
    start, end = source.dirichlet(np.ones(len(window)), size=2) @ window
    places = crossings(plane, start, end)
    first, last = plane.slice.lift(torch.from_numpy(np.stack([start, end])))
    length = float(np.linalg.norm(end - start))
    line = tessellate(generator, slice_along(first, (last - first)[None], (0.0, length)))
    assert line.tiles == len(places) + 1
    np.testing.assert_allclose(breakpoints(line)[1:-1], places, rtol=0, atol=1e-9 * plane.slice.size)


@pytest.mark.parametrize("kind", ["leaky_relu", "abs", "max_pool_after_relu", "batch_norm", "larger_of_two"])
def test_a_line_in_a_plane_meets_the_planes_edges(kind: str) -> None:
    generator, _ = built(kind, 2)
    check_restriction(generator, 2)


@pytest.mark.parametrize("outputs", [1, 5])
def test_the_decision_boundary_of_a_line(outputs: int) -> None:
    generator = Generator.from_module(dense(4, 14, 14, outputs, seed=6), 4)
    line = slice_along(torch.zeros(4), torch.tensor([[1.0, -2.0, 0.5, 1.0]]), (-9.0, 9.0))
    plain, found = (tessellate(generator, line, boundary=boundary) for boundary in (False, True))
    added = found.tiles - plain.tiles
    decided = found.labels[:, 0] == DECISION
    assert decided.sum() == added > 0
    exact = generator.to(precision=Precision.FLOAT64)

    def classes(points: np.ndarray) -> Tensor:
        values = exact.forward(line.lift(torch.from_numpy(points))).flatten(1)
        return values.argmax(1) if values.shape[1] > 1 else (values[:, 0] > 0).long()

    at = found.points[decided]
    step = 1e-6 * line.size
    assert bool((classes(at - step) != classes(at + step)).all())
    beside = found.centroids
    changes = (classes(beside)[1:] != classes(beside)[:-1]).numpy()
    assert changes.sum() == added


def test_units_of_breakpoints_are_named() -> None:
    generator, _ = built("relu", 4)
    found = tessellate(generator, slice_of(generator.latent_dim, 4, points=2))
    patterns = tile_patterns(generator, found)
    first = np.cumsum([0, *(layer.units for layer in found.layers)])
    for at in range(found.tiles - 1):
        vertex = found.ends[at][found.points[found.ends[at], 0].argmax()]
        layer, unit, _ = found.labels[vertex]
        flipped = (patterns[at] != patterns[at + 1]).nonzero().flatten().tolist()
        assert int(first[layer] + unit) in flipped
        assert len(flipped) == 1


def test_a_budget_ends_a_line_too() -> None:
    generator, _ = built("relu", 4)
    line = slice_of(generator.latent_dim, 4, points=2)
    whole = tessellate(generator, line)
    counts = [layer.tiles for layer in whole.layers]
    assert counts[-1] == whole.tiles > counts[0] > 1
    cut = tessellate(generator, line, max_tiles=counts[-1] - 1)
    assert cut.extent is Extent.TRUNCATED
    assert cut.tiles == counts[len(cut.layers) - 1]
    assert cut.stopped_at == whole.layers[len(cut.layers)].name
