"""The exact tessellation of [-1, 1]^2 by a plane MLP of Linear and ReLU, slow and obvious, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

__all__ = ["Tessellation", "tessellate"]

Matrix = NDArray[np.float64]

SQUARE: Matrix = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
# Pieces below this area are rounding of a line that only touches a corner.
SMALLEST_AREA = 1e-14


@dataclass(frozen=True)
class Tessellation:
    """Every tile of the square with its area and the singular values of its Jacobian.

    Arguments:
        areas: (tiles,), they sum to 4.
        singular: (tiles, 2), descending.
    """

    areas: Matrix
    singular: Matrix

    def full_rank(self) -> bool:
        """Return whether sigma_2 > 2 eps sigma_1 on every tile, eps of float64."""
        return bool((self.singular[:, 1] > 2 * np.finfo(np.float64).eps * self.singular[:, 0]).all())

    def log_volumes(self) -> Matrix:
        """Return log v = log sigma_1 + log sigma_2 of each tile, (tiles,), nats."""
        found: Matrix = np.log(self.singular).sum(1)
        return found

    def spread(self) -> float:
        """Return the standard deviation of log v over the domain, each tile weighted by its area, nats."""
        weights = self.areas / self.areas.sum()
        logs = self.log_volumes()
        mean = weights @ logs
        return float(np.sqrt(weights @ (logs - mean) ** 2))

    def summary(self) -> str:
        """Return the figures of the model card in one line."""
        ratio = self.singular[:, 1] / self.singular[:, 0]
        return (
            f"tiles {len(self.areas)} area {self.areas.sum():.12f} full rank {self.full_rank()} "
            f"smallest sigma_2 {self.singular[:, 1].min():.3g} smallest ratio {ratio.min():.3g} "
            f"sd of log v {self.spread():.3f} nats, extremes {self.log_volumes().min():.2f} "
            f"{self.log_volumes().max():.2f}"
        )


def area(polygon: Matrix) -> float:
    """Return the area of a convex polygon, vertices (n, 2) in counter-clockwise order."""
    ahead = np.roll(polygon, -1, axis=0)
    return float(0.5 * (polygon[:, 0] * ahead[:, 1] - polygon[:, 1] * ahead[:, 0]).sum())


def kept(polygon: Matrix, heights: Matrix) -> Matrix:
    """Return the part of a convex polygon where an affine function, given at its vertices, is not negative."""
    corners: list[Matrix] = []
    for index in range(len(polygon)):
        ahead = (index + 1) % len(polygon)
        here, there = heights[index], heights[ahead]
        if here >= 0:
            corners.append(polygon[index])
        if (here > 0 > there) or (here < 0 < there):
            corners.append(polygon[index] + here / (here - there) * (polygon[ahead] - polygon[index]))
    return np.array(corners).reshape(-1, 2)


def split(polygon: Matrix, normal: Matrix, offset: float) -> list[tuple[Matrix, bool]]:
    """Return the pieces of a polygon on either side of a line, each with whether the unit is on there."""
    heights = polygon @ normal + offset
    if heights.min() >= 0:
        return [(polygon, True)]
    if heights.max() <= 0:
        return [(polygon, False)]
    pieces = [(kept(polygon, heights), True), (kept(polygon, -heights), False)]
    return [(piece, on) for piece, on in pieces if len(piece) > 2 and area(piece) > SMALLEST_AREA]


def tessellate(generator: nn.Sequential) -> Tessellation:
    """Return every tile of [-1, 1]^2, by cutting each polygon at each unit of each layer in turn.

    Raises:
        TypeError: a module is neither Linear nor ReLU, or the latent is not two-dimensional.

    Accuracy: float64 throughout; pieces smaller than 1e-14 are dropped.
    """
    layers = [module for module in generator if isinstance(module, nn.Linear)]
    if len(layers) + sum(isinstance(module, nn.ReLU) for module in generator) != len(generator):
        raise TypeError("tessellate takes a Sequential of Linear and ReLU only")
    tiles: list[tuple[Matrix, Matrix, Matrix]] = [(SQUARE, np.eye(2), np.zeros(2))]
    for index, layer in enumerate(layers):
        weight = layer.weight.detach().double().numpy()
        bias = layer.bias.detach().double().numpy()
        last = index == len(layers) - 1
        grown: list[tuple[Matrix, Matrix, Matrix]] = []
        for polygon, slope, shift in tiles:
            slopes, shifts = weight @ slope, weight @ shift + bias
            pieces: list[tuple[Matrix, list[bool]]] = [(polygon, [])]
            for unit in range(0 if last else len(bias)):
                pieces = [
                    (part, [*states, on])
                    for piece, states in pieces
                    for part, on in split(piece, slopes[unit], shifts[unit])
                ]
            for piece, states in pieces:
                mask = np.ones(len(bias)) if last else np.array(states, dtype=np.float64)
                grown.append((piece, mask[:, None] * slopes, mask * shifts))
        tiles = grown
    return Tessellation(
        areas=np.array([area(polygon) for polygon, _, _ in tiles]),
        singular=np.array([np.linalg.svd(slope, compute_uv=False) for _, slope, _ in tiles]),
    )
