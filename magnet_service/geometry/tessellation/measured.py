"""What is measured of finished tiles: areas, centroids, and norms of their affine maps."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from magnet_service.geometry.planar.measures import add_gradients, measure_tiles
from magnet_service.geometry.slice import Slice
from magnet_service.geometry.tessellation.result import Extent, LayerTiles, Tessellation
from magnet_service.geometry.tessellation.sheet import Live, Sheet
from magnet_service.geometry.tessellation.subdivision import Subdivision

__all__ = ["measured"]

Floats = NDArray[np.float64]

_COLUMNS = 256
"""Columns of values at work at once."""


def measured(
    subdivision: Subdivision,
    sheet: Sheet,
    value: Live | None,
    *,
    where: Slice,
    target: str,
    layers: tuple[LayerTiles, ...],
    stopped_at: str,
    merged: int,
    made_by: NDArray[np.int32],
) -> Tessellation:
    """The answer: the subdivision with its measures.

    Arguments:
        subdivision: finished.
        sheet: columns at its vertices.
        value: whose affine maps are measured; None for none, whose norms are NaN.
        where, target, layers, stopped_at, merged: as `Tessellation` has them.
        made_by: labels of the vertices of a line.

    Returns:
        The tessellation.

    Raises:
        Nothing.

    Accuracy: areas and norms are those of the corners: relative errors are eps times the window's size over the tile's
        width.
    """
    line = subdivision.line
    starts, corners = subdivision.around
    tiles, points = subdivision.tiles, subdivision.points
    areas, centroids, spreads = np.empty(tiles), np.empty((tiles, 2)), np.empty((tiles, 2))
    triangles = np.empty((tiles, 3), np.int32)
    measure = (starts, corners, points, areas, centroids, triangles, spreads)
    sheet.workers.over(lambda at, end: measure_tiles(at, end, *measure), tiles)
    if line:
        areas = spreads[:, 0]
    spectral, frobenius, stretches = norms(subdivision, sheet, value, triangles)
    order = np.argsort(centroids[:, 0], kind="stable") if line else np.arange(tiles)
    return Tessellation(
        slice=where,
        target=target,
        layers=layers,
        extent=Extent.TRUNCATED if stopped_at else Extent.COMPLETE,
        stopped_at=stopped_at,
        merged=merged,
        points=points[:, : where.axes],
        ends=subdivision.ends[order] if line else subdivision.ends,
        sides=subdivision.sides if not line else np.zeros((0, 2), np.int32),
        labels=made_by if line else subdivision.labels,
        starts=starts,
        cycle=subdivision.cycle if not line else np.arange(tiles, dtype=np.int32).repeat(2) * 2,
        corners=corners.reshape(-1, 2)[order].ravel() if line else corners,
        areas=areas[order],
        centroids=centroids[order, : where.axes],
        spreads=spreads[order],
        spectral_norms=spectral[order],
        frobenius_norms=frobenius[order],
        stretches=stretches[order],
    )


def norms(
    subdivision: Subdivision, sheet: Sheet, value: Live | None, triangles: NDArray[np.int32]
) -> tuple[Floats, Floats, Floats]:
    """2-norm, Frobenius norm and volume factor of each tile's affine map of the slice."""
    tiles, points = subdivision.tiles, subdivision.points
    if value is None:
        nothing = np.full(tiles, np.nan)
        return nothing, nothing.copy(), nothing.copy()
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
        return found, found.copy(), found.copy()
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
    return np.sqrt(np.maximum(largest, 0)), np.sqrt(np.maximum(xx + yy, 0)), stretches


def added(triangles: NDArray[np.int32], rows: Floats, grams: Floats, first: int, last: int) -> None:
    """Add to the Gram matrices of some tiles."""
    add_gradients(first, last, triangles, rows, grams)
