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
    workers.over(lambda at, end: measure_tiles(at, end, starts, corners, subdivision.points, *found), tiles)
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

    Accuracy: that of the corners: relative errors are eps times the window's size over the tile's width.
    """
    tiles, points = subdivision.tiles, subdivision.points
    triangles = shapes(subdivision, sheet.workers).triangles
    _, matrix = value.flat()
    if matrix.shape[1] > len(matrix):
        # Lengths in the value's space are those in the space of its rows.
        matrix = torch.linalg.qr(matrix.T, mode="r").R.T.contiguous()
    grams = np.zeros((tiles, 3))
    for at in range(0, matrix.shape[1], _COLUMNS):
        some = matrix[:, at : at + _COLUMNS].contiguous()
        rows = sheet.values(some.new_zeros(some.shape[1]), some).numpy()
        sheet.workers.over(partial(added, triangles, rows, grams), tiles)
    first, both, second = grams.T
    if subdivision.line:
        found = np.sqrt(first) / np.abs(points[triangles[:, 1], 0] - points[triangles[:, 0], 0])
        return Norms(found, found.copy(), found.copy())
    edges = points[triangles[:, 1:]] - points[triangles[:, :1]]
    (ax, ay), (bx, by) = edges[:, 0].T, edges[:, 1].T
    # J P = E for the sides P of a triangle: J^T J = P^-T (E^T E) P^-1.
    with np.errstate(divide="ignore", invalid="ignore"):
        square = (ax * by - ay * bx) ** 2
        xx = (by * by * first - 2 * by * ay * both + ay * ay * second) / square
        xy = (-by * bx * first + (by * ax + ay * bx) * both - ay * ax * second) / square
        yy = (bx * bx * first - 2 * bx * ax * both + ax * ax * second) / square
        stretches = np.sqrt(np.maximum(first * second - both * both, 0) / square)
    largest = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)
    return Norms(np.sqrt(np.maximum(largest, 0)), np.sqrt(np.maximum(xx + yy, 0)), stretches)


def added(triangles: NDArray[np.int32], rows: Floats, grams: Floats, first: int, last: int) -> None:
    """Add to the Gram matrices of some tiles."""
    add_gradients(first, last, triangles, rows, grams)
