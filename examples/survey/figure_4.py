"""After Figure 4: on each tile the network is one affine map, and the pieces join without a gap.

Left: the graph of a network from the plane to numbers over its tessellation, which lies on the floor below; each tile
of the floor and the flat piece above it share a colour. Middle and right: a network from the plane to space; its tiles,
and their images under their own maps A x + c, coloured by log v, the log of the factor by which A stretches areas.
Corners of the drawn pieces are values of exact maps, not samples of the network.

Differs from the survey: networks and functions are our own. The first is trained on two waves, the second on a sheet
rolled up, more tightly towards one end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from mpl_toolkits.mplot3d.axes3d import Axes3D
from numpy.typing import NDArray
from torch import Tensor, nn

from examples.survey.command import run
from examples.survey.drawing import draw_edges, fill_tiles, pattern_colours, plane, polygons
from examples.survey.fitting import fit
from examples.survey.networks import mlp
from examples.survey.toys import square
from magnet_service.generator import Generator
from magnet_service.geometry.slice import slice_along
from magnet_service.geometry.tessellation import Tessellation, tessellate, tile_maps

__all__ = ["Surface", "draw", "make", "picture"]

DARK = "#1f2937"


@dataclass(frozen=True)
class Surface:
    """A network over the square [-1, 1]^2.

    Attributes:
        generator: the trained network.
        tessellation: of the square.
        pieces: the image of each tile, [corners, values], in the order of the tile's corners.
    """

    generator: Generator
    tessellation: Tessellation
    pieces: list[NDArray[np.float64]]


def waves(points: Tensor) -> Tensor:
    """What the first network is trained on, [rows, 1]."""
    x, y = points.T
    height: Tensor = torch.sin(2.6 * x) * torch.cos(2.2 * y) + 0.3 * x
    return height[:, None]


def roll(points: Tensor) -> Tensor:
    """What the second network is trained on, [rows, 3]: a sheet rolled up, tighter towards one end."""
    x, y = points.T
    angle = math.pi * (0.25 + 1.1 * (x + 1))
    radius = 1.1 - 0.35 * x
    return torch.stack([radius * angle.cos(), 1.2 * y, radius * angle.sin()], dim=1)


def make(width: int = 14, steps: int = 2500, seed: int = 1) -> tuple[Surface, Surface]:
    """Train both networks, of two layers each.

    Arguments:
        width: units of each layer.
        steps: updates.
        seed: of weights and points.

    Returns:
        The graph's network, and that of the sheet.
    """
    points = 2 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(seed)) - 1
    found = []
    for target, values in ((waves, 1), (roll, 3)):
        network = mlp((2, width, width, values), seed=seed)
        fit(network, points, target(points), nn.functional.mse_loss, steps=steps, rate=0.01)
        found.append(surface(Generator.from_module(network, 2)))
    return found[0], found[1]


def surface(generator: Generator) -> Surface:
    """The exact pieces of a network's graph or image."""
    tessellation = tessellate(generator, slice_along(torch.zeros(2), torch.eye(2), square(1.0)))
    matrices, offsets = (part.numpy() for part in tile_maps(generator, tessellation, range(tessellation.tiles)))
    pieces = [
        corners @ matrix.T + offset
        for corners, matrix, offset in zip(polygons(tessellation), matrices, offsets, strict=True)
    ]
    return Surface(generator, tessellation, pieces)


def draw(graph: Surface, sheet: Surface) -> Figure:
    """The figure: a graph over its tiles; tiles and their images."""
    figure = Figure(figsize=(12.4, 4.6))
    left = figure.add_axes((-0.005, 0.03, 0.37, 0.92), projection="3d")
    over_its_tiles(left, graph)
    with np.errstate(divide="ignore"):
        logs = np.log(sheet.tessellation.stretches)
    scale = Normalize(*np.quantile(logs[np.isfinite(logs)], (0.02, 0.98)))
    colours = colormaps["viridis"](scale(logs))
    middle = figure.add_axes((0.37, 0.08, 0.29, 0.29 * 12.4 / 4.6))
    fill_tiles(middle, sheet.tessellation, colours)
    draw_edges(middle, sheet.tessellation, ~sheet.tessellation.border, "white", 0.5)
    plane(middle, sheet.tessellation.slice.window)
    right = figure.add_axes((0.655, 0.0, 0.29, 0.92), projection="3d")
    in_space(right, sheet, colours)
    bar = figure.colorbar(ScalarMappable(scale, "viridis"), cax=figure.add_axes((0.945, 0.22, 0.01, 0.5)))
    bar.set_label("log v, nats", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    titles = (
        (0.18, f"graph of a network over its {graph.tessellation.tiles} tiles"),
        (0.515, f"{len(logs)} tiles of another network's input"),
        (0.80, "their images in space, one affine map each"),
    )
    for at, title in titles:
        figure.text(at, 0.94, title, fontsize=10, ha="center")
    return figure


def over_its_tiles(axes: Axes3D, graph: Surface) -> None:
    """The graph above, the tiles on the floor."""
    found = graph.tessellation
    colours = pattern_colours(graph.generator, found)
    values = np.concatenate(graph.pieces)
    floor = float(values.min()) - 1.6
    above = [np.hstack([corners, piece]) for corners, piece in zip(polygons(found), graph.pieces, strict=True)]
    below = [np.hstack([corners, np.full((len(corners), 1), floor)]) for corners in polygons(found)]
    for pieces in (below, above):
        axes.add_collection3d(Poly3DCollection(pieces, facecolors=colours, edgecolors=DARK, linewidths=0.35))
    bound(axes, np.array([[-1, -1, floor], [1, 1, values.max()]]), (1, 1, 0.95), zoom=1.08)
    axes.view_init(26, -58)


def in_space(axes: Axes3D, sheet: Surface, colours: NDArray[np.float64]) -> None:
    """The images of the tiles."""
    axes.add_collection3d(Poly3DCollection(sheet.pieces, facecolors=colours, edgecolors="white", linewidths=0.3))
    ends = np.concatenate(sheet.pieces)
    low, high = ends.min(axis=0), ends.max(axis=0)
    bound(axes, np.array([low, high]), tuple(high - low), zoom=1.2)
    axes.view_init(22, -62)


def bound(axes: Axes3D, ends: NDArray[np.float64], aspect: tuple[float, ...], zoom: float) -> None:
    """Axes of a box, which are not drawn."""
    (x0, y0, z0), (x1, y1, z1) = ends
    axes.set(xlim=(x0, x1), ylim=(y0, y1), zlim=(z0, z1))
    axes.set_box_aspect(aspect, zoom=zoom)
    axes.set_axis_off()
    # It would cover its neighbours.
    axes.patch.set_visible(False)


def picture() -> tuple[Figure, list[str]]:
    """The figure at full size, and its facts."""
    graph, sheet = make()
    found = sheet.tessellation
    area = float((found.areas * found.stretches).sum())
    return draw(graph, sheet), [
        f"tiles of the graph: {graph.tessellation.tiles}, of the sheet: {found.tiles}",
        f"area of the sheet: {area:.3f}, of the square: {found.areas.sum():.3f}",
    ]


if __name__ == "__main__":
    run(4, picture, __doc__)
