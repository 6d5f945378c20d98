"""Tiles, folded lines and grids drawn on axes of matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import NDArray

from magnet_service.generator import Generator
from magnet_service.geometry.tessellation import Tessellation, tile_patterns

__all__ = ["BOUNDARY", "GREY", "draw_edges", "fill_tiles", "pattern_colours", "plane", "polygons"]

BOUNDARY = "#dc2626"
GREY = "#9ca3af"


def polygons(tessellation: Tessellation) -> list[NDArray[np.float64]]:
    """Corners of each tile, [corners, 2], in coordinates of the slice."""
    return np.split(tessellation.points[tessellation.corners], tessellation.starts[1:-1])


def pattern_colours(generator: Generator, tessellation: Tessellation, seed: int = 0) -> NDArray[np.float64]:
    """A light colour for each tile that depends on its activation pattern alone.

    A unit that flips moves the colour a step, so that neighbours differ and tiles that share most units look alike.

    Arguments:
        generator: the one that was tessellated.
        tessellation: of it.
        seed: of the steps.

    Returns:
        [tiles, 3], red, green, blue.
    """
    states = tile_patterns(generator, tessellation).double().numpy() - 0.5
    steps = np.random.default_rng(seed).normal(size=(states.shape[1], 3)) / max(1, states.shape[1]) ** 0.5
    colours: NDArray[np.float64] = 0.84 + 0.15 * np.tanh(2.2 * states @ steps)
    return colours


def fill_tiles(axes: Axes, tessellation: Tessellation, colours: Any) -> PolyCollection:
    """Fill the tiles, without lines between them.

    Arguments:
        axes: where.
        tessellation: of a plane.
        colours: a colour for each tile, or numbers for the collection's colour map.

    Returns:
        The collection, for a colour map, limits or a colour bar.
    """
    tiles = PolyCollection(polygons(tessellation), linewidths=0.3, rasterized=True)
    if np.ndim(colours) == 1 and np.asarray(colours).dtype.kind == "f":
        tiles.set_array(colours)
        tiles.set_edgecolor("face")
    else:
        tiles.set_facecolor(colours)
        tiles.set_edgecolor(colours)
    axes.add_collection(tiles)
    return tiles


def draw_edges(axes: Axes, tessellation: Tessellation, which: NDArray[np.bool_], colour: Any, width: float) -> None:
    """Draw some edges.

    Arguments:
        axes: where.
        tessellation: of a plane.
        which: [edges].
        colour: of all of them, or one each.
        width: in points.
    """
    if which.any():
        lines = LineCollection(
            list(tessellation.points[tessellation.ends[which]]), colors=colour, linewidths=width, capstyle="round"
        )
        axes.add_collection(lines)


def plane(axes: Axes, window: torch.Tensor, title: str = "") -> None:
    """Axes of a window: equal scales, no ticks, a title."""
    low, high = window.min(dim=0).values.tolist(), window.max(dim=0).values.tolist()
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    if title:
        axes.set_title(title, fontsize=9)
