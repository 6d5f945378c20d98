"""What is measured of tiles: areas, centroids, and norms of their affine maps."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from magnet_service.geometry.planar.measures import add_gradients, measure_tiles
from magnet_service.geometry.tessellation.live import Live
from magnet_service.geometry.tessellation.sheet import Sheet
from magnet_service.geometry.tessellation.subdivision import Subdivision
from magnet_service.geometry.tessellation.workers import Workers

__all__ = ["Norms", "Shapes", "norms", "shapes"]

Floats = NDArray[np.float64]

_SHAPE = 256
"""Additions and multiplications that measuring a tile takes the time of."""

_COLUMNS = 256
"""Columns of values at work at once."""


class Norms(NamedTuple):
    """Norms of the affine maps of tiles, restricted to the slice.

    Attributes:
        spectral, frobenius: [tiles].
        stretches: [tiles], by which they stretch areas, or lengths on a line.
    """

    spectral: Floats
    frobenius: Floats
    stretches: Floats


class Shapes(NamedTuple):
    """Shapes of tiles.

    Attributes:
        areas: [tiles]; lengths on a line.
        centroids: [tiles, 2].
        triangles: [tiles, 3], vertices far from one line.
        spreads: [tiles, 2], longest and shortest distance of two corners.
    """

    areas: Floats
    centroids: Floats
    triangles: NDArray[np.int32]
    spreads: Floats


def shapes(subdivision: Subdivision, workers: Workers) -> Shapes:
    """Measure the shapes of all tiles.

    Arguments:
        subdivision: the tiles.
        workers: to work with.

    Returns:
        The shapes, float64.

    Raises:
        Nothing.

    Accuracy: that of the corners.
    """
    tiles = subdivision.tiles
    found = Shapes(np.empty(tiles), np.empty((tiles, 2)), np.empty((tiles, 3), np.int32), np.empty((tiles, 2)))
    starts, corners = subdivision.around
    workers.over(lambda at, end: measure_tiles(at, end, starts, corners, subdivision.points, *found), tiles, _SHAPE)
    return found._replace(areas=found.spreads[:, 0]) if subdivision.line else found


def norms(subdivision: Subdivision, sheet: Sheet, value: Live) -> Norms:
    """Norms of each tile's affine map of the slice.

    Arguments:
        subdivision: the tiles.
        sheet: columns at their vertices.
        value: what is affine on them.

    Returns:
        The norms, float64.

    Raises:
        Nothing.

    Accuracy: that of the corners: relative errors are eps times the window's size over the tile's width. Norms above
        1e154, whose squares no float64 holds, come out infinite, and their stretches as NaN.
    """
    tiles, points = subdivision.tiles, subdivision.points
    triangles = shapes(subdivision, sheet.workers).triangles
    _, matrix = value.flat()
    if matrix.shape[1] > len(matrix):
        # Lengths in the value's space are those in the space of its rows.
        matrix = torch.linalg.qr(matrix.T, mode="r").R.T.contiguous()
    grams, steps = np.zeros((tiles, 3)), steps_of(points, triangles)
    for at in range(0, matrix.shape[1], _COLUMNS):
        some = matrix[:, at : at + _COLUMNS].contiguous()
        rows = sheet.values(some.new_zeros(some.shape[1]), some).numpy()
        sheet.workers.over(partial(added, triangles, steps, rows, grams), tiles, 8 * some.shape[1])
    xx, xy, yy = grams.T
    if subdivision.line:
        found = np.sqrt(xx)
        return Norms(found, found.copy(), found.copy())
    with np.errstate(over="ignore", invalid="ignore"):
        largest = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)
        return Norms(np.sqrt(largest), np.sqrt(xx + yy), np.sqrt(np.maximum(xx * yy - xy * xy, 0)))


def steps_of(points: Floats, triangles: NDArray[np.int32]) -> Floats:
    """[tiles, 3]: 1 / length of a triangle's first side, the second side's share of it, 1 / height over it.

    The slopes along a side and across it are those of the affine map in an orthonormal frame; the sum of products of
    two sides that are nearly parallel would lose twice as many digits.
    """
    sides = points[triangles[:, 1:]] - points[triangles[:, :1]]
    (ax, ay), (bx, by) = sides[:, 0].T, sides[:, 1].T
    length = np.hypot(ax, ay)
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.abs(ax * by - ay * bx) / length
        slope = np.where(height > 0, 1 / height, 0.0)  # no direction across a line, or a tile without area
        return np.stack([1 / length, (ax * bx + ay * by) / length**2, slope], axis=1)


def added(triangles: NDArray[np.int32], steps: Floats, rows: Floats, grams: Floats, first: int, last: int) -> None:
    """Add to the Gram matrices of some tiles."""
    add_gradients(first, last, triangles, steps, rows, grams)
