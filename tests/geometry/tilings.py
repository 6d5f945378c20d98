"""What must hold of any tessellation, checked against the module itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from magnet_service.generator import Generator, Precision, activation_pattern
from magnet_service.geometry import Slice, Tessellation, slice_through, tile_maps, tile_patterns
from tests.geometry.planes import check_subdivision, expanded

__all__ = ["Tiling", "inner_points", "slice_of", "tile_of_points"]

Function = Callable[[Tensor], Tensor]
"""Latents [rows, d] to values [rows, outputs], float64."""


def slice_of(latent_dim: int, seed: int, points: int = 3) -> Slice:
    """The plane through three latents of a wide normal law, or the line through two."""
    return slice_through(2 * torch.randn(points, latent_dim, generator=torch.Generator().manual_seed(seed)))


def inner_points(found: Tessellation, tiles: np.ndarray, each: int, seed: int = 0) -> np.ndarray:
    """[tiles, each, 2] points drawn inside of tiles: convex combinations of all corners."""
    source = np.random.default_rng(seed)
    corners = list(expanded(found))
    points = np.empty((len(tiles), each, 2))
    for row, tile in enumerate(tiles):
        weights = source.dirichlet(np.ones(len(corners[tile])), size=each)
        points[row] = weights @ found.points[corners[tile]]
    return points


def tile_of_points(found: Tessellation, points: np.ndarray) -> np.ndarray:
    """The tile in which each point lies deepest, by brute force."""
    best, depth = np.full(len(points), -1), np.full(len(points), -np.inf)
    for tile, corners in enumerate(expanded(found)):
        polygon = found.points[corners]
        side = np.roll(polygon, -1, axis=0) - polygon
        inward = np.stack([-side[:, 1], side[:, 0]], axis=1) / np.linalg.norm(side, axis=1, keepdims=True)
        mine = (points @ inward.T - (polygon * inward).sum(axis=1)).min(axis=1)
        better = mine > depth
        best[better], depth[better] = tile, mine[better]
    return best


@dataclass(frozen=True)
class Tiling:
    """A tessellation and the function that it is of.

    Attributes:
        generator: that was tessellated.
        function: its module, up to the head.
        found: the tessellation.
        scale: largest Frobenius norm of a tile's map, or 1.
    """

    generator: Generator
    function: Function
    found: Tessellation

    @property
    def slice(self) -> Slice:
        return self.found.slice

    @property
    def scale(self) -> float:
        return max(1.0, float(self.found.frobenius_norms.max()))

    @property
    def sizeable(self) -> np.ndarray:
        """Tiles wide enough for numbers inside of them to mean something; thinner ones are few."""
        found = self.found
        wide = found.areas > 1e-6 * self.slice.size * found.spreads[:, 0]
        assert found.areas[~wide].sum() < 1e-3 * self.slice.area
        return np.flatnonzero(wide)

    def slopes(self, points: np.ndarray) -> tuple[Tensor, Tensor]:
        """Values [rows, outputs] and slopes [rows, outputs, 2] of the module, by autograd."""
        latents = self.slice.lift(torch.from_numpy(points))
        columns = []
        for direction in self.slice.frame:
            value, slope = self.pushed(latents, direction)
            columns.append(slope)
        return value, torch.stack(columns, dim=2)

    def pushed(self, latents: Tensor, move: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the module, and their derivatives along a direction."""
        return torch.autograd.functional.jvp(self.function, latents, move.expand_as(latents).contiguous())

    def check_subdivision(self) -> None:
        """T6."""
        check_subdivision(self.found, self.slice.window.numpy())
        areas = self.found.areas
        assert abs(areas.sum() - self.slice.area) <= 1e-9 * self.slice.area
        if self.found.layers and not self.found.decision.any():
            assert self.found.layers[-1].tiles == self.found.tiles

    def check_maps(self, each: int = 3) -> None:
        """T8: the module's slope is one at all inner points of a tile, and is what the tessellation says."""
        tiles = self.sizeable
        points = inner_points(self.found, tiles, each)
        values, slopes = self.slopes(points.reshape(-1, 2))
        matrices, offsets = tile_maps(self.generator, self.found, tiles)
        wanted = slopes.reshape(len(tiles), each, -1, 2)
        tolerance = 1e-10 * self.scale
        assert float((wanted - matrices[:, None]).abs().max()) <= tolerance
        told = (matrices[:, None] @ torch.from_numpy(points)[..., None])[..., 0] + offsets[:, None]
        size = max(1.0, float(values.abs().max()))
        assert float((told - values.reshape(len(tiles), each, -1)).abs().max()) <= 1e-10 * max(size, self.scale)
        frobenius = torch.linalg.matrix_norm(matrices)
        # Norms come from values at the corners: one rounding of them over the width of a tile.
        width = torch.from_numpy(self.found.areas[tiles] / self.found.spreads[tiles, 0])
        rounding = 1e-13 * (size + self.scale * self.slice.size) / width
        for name, expected in (
            ("frobenius_norms", frobenius),
            ("spectral_norms", torch.linalg.matrix_norm(matrices, 2)),
        ):
            error = (torch.from_numpy(getattr(self.found, name)[tiles]) - expected).abs()
            assert bool((error <= rounding).all()), name
        stretches = torch.from_numpy(self.found.stretches[tiles])
        squares = torch.linalg.det(matrices.mT @ matrices)
        assert bool(
            ((stretches**2 - squares).abs() <= 4 * rounding * (frobenius + rounding) ** 3 + 1e-12 * frobenius**4).all()
        )

    def check_patterns(self, each: int = 3) -> None:
        """T8, T7: patterns are constant on a tile, and differ from tile to tile; an edge's unit changes at it."""
        found, tiles = self.found, self.sizeable
        points = inner_points(found, tiles, each, seed=1)
        latents = self.slice.lift(torch.from_numpy(points.reshape(-1, 2)))
        exact = activation_pattern(self.generator.to(precision=Precision.FLOAT64), latents)
        patterns = exact.reshape(len(tiles), each, -1)
        assert bool((patterns == patterns[:, :1]).all())
        assert torch.equal(patterns[:, 0].long(), tile_patterns(self.generator, found, tiles).long())
        if not found.decision.any():
            assert len(torch.unique(patterns[:, 0], dim=0)) == len(tiles)
        self.check_labels(tiles, patterns[:, 0].numpy())

    def check_labels(self, tiles: np.ndarray, patterns: np.ndarray) -> None:
        """The unit that an edge names changes its state there."""
        found = self.found
        row_of = np.full(found.tiles, -1)
        row_of[tiles] = np.arange(len(tiles))
        first = np.cumsum([0, *(layer.units for layer in found.layers)])
        inner = np.flatnonzero((found.labels[:, 0] >= 0) & (row_of[found.sides] >= 0).all(axis=1))
        left, right = (patterns[row_of[found.sides[inner, side]]] for side in (0, 1))
        units = first[found.labels[inner, 0]] + found.labels[inner, 1]
        rows = np.arange(len(inner))
        assert (left[rows, units] != right[rows, units]).all()

    def check_neighbours(self, most: int = 400) -> None:
        """T7: neighbours agree on their edge."""
        found = self.found
        inner = np.flatnonzero((found.sides >= 0).all(axis=1))
        inner = inner[np.isin(found.sides[inner], self.sizeable).all(axis=1)]
        if not len(inner):
            return
        some = np.random.default_rng(2).permutation(inner)[:most]
        left, right = (tile_maps(self.generator, found, found.sides[some, side]) for side in (0, 1))
        for end in (0, 1):
            place = torch.from_numpy(found.points[found.ends[some, end]])[..., None]
            one, other = ((matrix @ place)[..., 0] + offset for matrix, offset in (left, right))
            assert float((one - other).abs().max()) <= 1e-10 * self.scale * max(1.0, self.slice.size)

    def check_jumps(self, most: int = 25) -> None:
        """T7: where one unit changes, the whole Jacobian jumps by a matrix of rank 1."""
        found, tiles = self.found, self.sizeable
        row_of = np.full(found.tiles, -1)
        row_of[tiles] = np.arange(len(tiles))
        patterns = tile_patterns(self.generator, found, tiles).numpy()
        inner = np.flatnonzero((found.labels[:, 0] >= 0) & (row_of[found.sides] >= 0).all(axis=1))
        rows = row_of[found.sides[inner]]
        alone = inner[(patterns[rows[:, 0]] != patterns[rows[:, 1]]).sum(axis=1) == 1]
        if not len(alone):
            return
        some = np.random.default_rng(3).permutation(alone)[:most]
        sides = [self.jacobians(found.centroids[found.sides[some, side]]) for side in (0, 1)]
        sigma = torch.linalg.svdvals(sides[0] - sides[1])
        size = max(1.0, float(torch.linalg.matrix_norm(sides[0]).max()))
        assert bool((sigma[:, 1:] <= 1e-10 * size).all())

    def jacobians(self, points: np.ndarray) -> Tensor:
        """[rows, outputs, d] of the module, one pass for every coordinate of the latent."""
        latents = self.slice.lift(torch.from_numpy(points))
        moves = torch.eye(latents.shape[1], dtype=torch.float64)
        return torch.stack([self.pushed(latents, move)[1] for move in moves], dim=2)
