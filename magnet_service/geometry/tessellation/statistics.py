"""Figures of a tessellation, and where its edges lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from magnet_service.errors import InvalidInput
from magnet_service.geometry.planar.cells import add_lengths
from magnet_service.geometry.tessellation.result import Tessellation

__all__ = ["TessellationStatistics", "hyperplane_density", "statistics"]


@dataclass(frozen=True)
class TessellationStatistics:
    """Figures of the tiles of a slice.

    Attributes:
        tiles: how many.
        area_mean, area_sd: of a tile, in squares of the latent's units; lengths on a line.
        corners_mean: corners of a tile.
        eccentricity_mean: longest distance of two corners over the shortest, over the tiles of which no two corners are
            the same numbers; 1 on a line.
        added: tiles that each layer adds, in order of the tessellation's layers.
    """

    tiles: int
    area_mean: float
    area_sd: float
    corners_mean: float
    eccentricity_mean: float
    added: tuple[int, ...]


def statistics(tessellation: Tessellation) -> TessellationStatistics:
    """Figures of the tiles, as SplineCam reports them.

    Arguments:
        tessellation: of a plane or a line.

    Returns:
        The figures, float64; the standard deviation is that of the tiles there are.

    Raises:
        Nothing.

    Accuracy: rounding of float64.

    References: SplineCam, arXiv 2302.12828.
    """
    found = tessellation
    tiles = [1, *(layer.tiles for layer in found.layers)]
    longest, shortest = found.spreads[found.spreads[:, 1] > 0].T
    return TessellationStatistics(
        found.tiles,
        float(found.areas.mean()),
        float(found.areas.std()),
        float(np.diff(found.starts).mean()),
        float((longest / shortest).mean()) if len(longest) else math.inf,
        tuple(after - before for before, after in pairwise(tiles)),
    )


def hyperplane_density(tessellation: Tessellation, cells: tuple[int, int]) -> NDArray[np.float64]:
    """Length of the units' boundaries in each cell of a grid, layer by layer.

    The grid divides the smallest rectangle of the slice's axes around the window.

    Arguments:
        tessellation: of a plane.
        cells: columns and rows of the grid.

    Returns:
        [layers, rows, columns], in the latent's units; the first row at the bottom. Divided by a cell's area it is
        a density.

    Raises:
        InvalidInput: a line, or no cells.

    Accuracy: exact; rounding of float64. Where lines of several units fall together their length counts once.

    References: survey, arXiv 2408.04809, Figures 7 and 8; Batch Normalization Explained, arXiv 2209.14778.
    """
    columns, rows = cells
    if tessellation.slice.axes != 2:
        raise InvalidInput("a line has no cells; take a plane.", field="slice")
    if columns < 1 or rows < 1:
        raise InvalidInput(f"{columns} x {rows} cells; write at least 1 x 1.", field="cells")
    window = tessellation.slice.window.numpy()
    low, high = window.min(axis=0), window.max(axis=0)
    scaled = (tessellation.points - low) / (high - low) * (columns, rows)
    found = np.zeros((len(tessellation.layers), rows, columns))
    add_lengths(tessellation.ends, tessellation.labels[:, 0], scaled, tessellation.lengths, found)
    return found
