"""How probable the tiles of a slice are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.geometry.tessellation.result import Tessellation

__all__ = ["TileMasses", "tile_masses"]

Floats = NDArray[np.float64]

_DEEPEST = 14
"""Times that a triangle is quartered at most."""

# Radon's rule of degree 5 with seven points, 1948: barycentric coordinates and weights.
_ROOT = 15**0.5
_NEAR = ((6 - _ROOT) / 21, (6 + _ROOT) / 21)
_CORNERS = np.eye(3)
_POINTS = np.concatenate([np.full((1, 3), 1 / 3), *(near + (1 - 3 * near) * _CORNERS for near in _NEAR)])
_WEIGHTS = np.array([9 / 40] + [(155 - _ROOT) / 1200] * 3 + [(155 + _ROOT) / 1200] * 3)


@dataclass(frozen=True)
class TileMasses:
    """Probabilities of tiles.

    Attributes:
        masses: [tiles].
        law: `latent law` where the slice is the whole latent plane: its tiles are regions, and their probabilities add
            up to that of the window. `conditional on the slice` for a slice of a larger latent space, in which the
            plane has no probability: those of the law restricted to the window, which add up to 1.
        window: probability of the window under the latent law; NaN for `conditional on the slice`.
        error: estimated error of their sum.
    """

    masses: Floats
    law: str
    window: float
    error: float


def tile_masses(
    tessellation: Tessellation, log_prior: Callable[[Tensor], Tensor], *, tolerance: float = 1e-9
) -> TileMasses:
    """Probabilities of the tiles of a plane under a law of latents.

        mass = integral of p(z) over the tile

    Arguments:
        tessellation: of a plane.
        log_prior: latents [rows, d] -> log density [rows] in nats, not normalised if need be for a slice of a larger
            space; -inf outside of its support.
        tolerance: error of all masses together, as a share of their sum.

    Returns:
        Masses, and under which law.

    Raises:
        InvalidInput: a line, or a window outside of the law's support.

    Accuracy: estimated; smooth densities reach the tolerance, the edge of a support is followed down to 2^-14
        of a tile.
    Cost: about ten densities a tile for smooth ones.

    References: Radon, Zur mechanischen Kubatur, Monatshefte fuer Mathematik 52, 1948.
    """
    if tessellation.slice.axes != 2:
        raise InvalidInput("a line has no masses of tiles; take a plane.", field="slice")
    corners = tessellation.points[tessellation.corners]
    starts, counts = tessellation.starts[:-1], np.diff(tessellation.starts)
    # Every tile as a fan of triangles around its first corner.
    tile = np.repeat(np.arange(tessellation.tiles), counts - 2)
    step = np.arange(len(tile)) - np.repeat(np.cumsum(counts - 2) - (counts - 2), counts - 2)
    first = starts[tile]
    triangles = np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)

    def density(points: Floats) -> Floats:
        latents = tessellation.slice.lift(torch.from_numpy(points.reshape(-1, 2)))
        found: Floats = np.exp(log_prior(latents).double().numpy()).reshape(points.shape[:-1])
        return found

    masses = np.zeros(tessellation.tiles)
    estimates = integrals(triangles, density)
    scale = float(estimates.sum())
    area = tessellation.slice.area
    error = 0.0
    for depth in range(_DEEPEST + 1):
        quarters = quartered(triangles)
        finer = integrals(quarters.reshape(-1, 3, 2), density).reshape(-1, 4)
        better = finer.sum(axis=1)
        scale = max(scale, float(better.sum()) + float(masses.sum()))
        off = np.abs(better - estimates)
        share = areas(triangles) / area
        enough = depth == _DEEPEST or error + float(off.sum()) <= tolerance * scale
        done = (off <= tolerance * scale * share) | enough
        np.add.at(masses, tile[done], better[done])
        error += float(off[done].sum())
        triangles, estimates, tile = quarters[~done].reshape(-1, 3, 2), finer[~done].ravel(), np.repeat(tile[~done], 4)
        if not len(tile):
            break
    total = float(masses.sum())
    if not total > 0:
        raise InvalidInput("the window has no probability under this law; take another window.", field="window")
    if len(tessellation.slice.origin) == 2:
        return TileMasses(masses, "latent law", total, error)
    return TileMasses(masses / total, "conditional on the slice", float("nan"), error / total)


def areas(triangles: Floats) -> Floats:
    """Areas of triangles."""
    one, other = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    found: Floats = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) / 2
    return found


def integrals(triangles: Floats, density: Callable[[Floats], Floats]) -> Floats:
    """Integrals over triangles by Radon's rule."""
    found: Floats = areas(triangles) * (density(_POINTS @ triangles) @ _WEIGHTS)
    return found


def quartered(triangles: Floats) -> Floats:
    """Four triangles for each, [triangles, 4, 3, 2]."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    return np.stack(
        [np.stack(corners, axis=1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))], axis=1
    )
