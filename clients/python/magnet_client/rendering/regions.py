"""Regions and rows of affine maps as pictures."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magnet_client.errors import InvalidInput
from magnet_client.regions import AffineRows, Region, Wall
from magnet_client.rendering.canvas import DECISION, layer_colours, new_figure, suffix_of, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["draw_region", "draw_rows"]

_DIVERGING = "RdBu_r"
_COLUMNS = 64
_LATENTS, _OUTPUTS = 8, 16
_ACROSS = 8
_LISTED = 8
_NAMED = 0.08
"""Share of a polygon's extent above which a side carries its name."""

_ON = 1e-9
"""Share of a polygon's extent within which a side lies on a line."""


def draw_region(found: Region, path: str | os.PathLike[str] | None, width: float | None, dpi: float) -> Figure:
    """Draw a region; as `Region.render`."""
    suffix_of(path)
    if len(found.latent) == 2 and found.normals is not None:
        return written(_polygon(found, 6.8 if width is None else width), path, dpi)
    if found.matrix is not None:
        return written(_map(found, found.matrix, width), path, dpi)
    if found.distances is not None:
        return written(_distances(found, found.distances, 6.8 if width is None else width), path, dpi)
    raise InvalidInput(
        "there is nothing to draw: ask for half_spaces=True or affine_map=True",
        field="half_spaces",
        reason="INVALID_INPUT",
    )


def draw_rows(found: AffineRows, path: str | os.PathLike[str] | None, width: float | None, dpi: float) -> Figure:
    """Draw rows of affine maps; as `AffineRows.render`."""
    suffix_of(path)
    if not found.rows.size:
        raise InvalidInput("there are no rows to draw: ask for outputs", field="outputs", reason="INVALID_INPUT")
    rows = found.rows[:_LATENTS, :_OUTPUTS]
    latents, outputs = rows.shape[:2]
    title = f"{found.computed.generator}, rows of the affine map, {found.computed.manifold.replace('_', ' ')}"
    if rows.shape[:2] != found.rows.shape[:2]:
        title += f"\nthe first {latents} of {len(found.rows)} latents, {outputs} of {len(found.outputs)} outputs"
    reach = float(np.abs(rows).max()) or 1.0
    if rows.ndim == 3:  # latents of numbers
        across = min(latents, 4)
        down = math.ceil(latents / across)
        width = 3.4 * across + 1.0 if width is None else width
        figure = new_figure(width, (1.2 + 0.22 * outputs) * down + 0.7)
        figure.suptitle(title, fontsize="medium")
        panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes in panels.flat[latents:]:
            axes.set_visible(False)
        for place, (axes, own) in enumerate(zip(panels.flat, rows, strict=False)):
            image = axes.imshow(own, cmap=_DIVERGING, vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
            axes.set_title(_named(found, place), fontsize="small")
            axes.set_yticks(range(outputs), [str(output) for output in found.outputs[:outputs]], fontsize="x-small")
            axes.tick_params(labelsize="small")
        figure.colorbar(image, ax=panels, shrink=0.8, pad=0.02, label="entry of A")
        figure.supxlabel("coordinate of the latent", fontsize="small")
        figure.supylabel("output", fontsize="small")
        return written(figure, path, dpi)
    width = 1.3 * outputs + 1.4 if width is None else width
    figure = new_figure(width, (width - 1.2) / outputs * latents + 1.0)
    figure.suptitle(title, fontsize="medium")
    panels = figure.subplots(latents, outputs, squeeze=False)
    for place, line in enumerate(panels):
        for column, axes in enumerate(line):
            image = _image(axes, _drawn(rows[place, column], "CHW"), reach)
            if place == 0:
                axes.set_title(f"output {found.outputs[column]}", fontsize="small")
        line[0].set_ylabel(_named(found, place), fontsize="small")
    figure.colorbar(image, ax=panels, shrink=0.8, pad=0.02, label="entry of A")
    return written(figure, path, dpi)


def _named(found: AffineRows, place: int) -> str:
    return f"latent {place}" + ("" if found.lipschitz is None else f", L = {found.lipschitz[place]:.3g}")


def _facts(found: Region) -> str:
    facts = [f"radius {found.radius:.3g}"]
    if found.nearest is not None:
        facts[0] += f" to {found.name_of(found.nearest)}"
    if found.ball_radius is not None:
        facts.append(f"largest ball inside {found.ball_radius:.3g}")
    facts.append(f"{found.count:,} {'walls' if found.minimal else 'half-spaces'}")
    return f"{found.computed.generator}, region of a latent\n" + ", ".join(facts)


def _map(found: Region, matrix: NDArray[np.float64], width: float | None) -> Figure:
    """Columns of A, each as an image where the value is one, else as a table."""
    lengths = np.linalg.norm(matrix, axis=0)
    shown = np.sort(np.argsort(-lengths, kind="stable")[:_COLUMNS])
    reach = float(np.quantile(np.abs(matrix), 0.999)) or float(np.abs(matrix).max()) or 1.0
    title = _facts(found)
    if len(shown) < len(lengths):
        title += f"\nthe {len(shown)} longest of {len(lengths)} columns of A"
    if found.layout == "vector":
        figure = new_figure(6.8 if width is None else width, 5.0)
        axes = figure.add_subplot()
        image = axes.imshow(
            matrix[:, shown], cmap=_DIVERGING, vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest"
        )
        axes.set(xlabel="coordinate of the latent", ylabel="output")
        axes.set_title(title, fontsize="medium")
        figure.colorbar(image, ax=axes, label="entry of A", pad=0.02)
        return figure
    across = min(len(shown), _ACROSS)
    down = math.ceil(len(shown) / across)
    width = 1.25 * across + 1.2 if width is None else width
    figure = new_figure(width, ((width - 1.2) / across + 0.25) * down + 0.8)
    figure.suptitle(title, fontsize="medium")
    panels = figure.subplots(down, across, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, column in zip(panels.flat, shown.tolist(), strict=False):
        image = _image(axes, _drawn(matrix[:, column].reshape(found.output_shape), found.layout), reach)
        axes.set_title(f"z{column}, length {lengths[column]:.3g}", fontsize="x-small")
    figure.colorbar(
        image, ax=panels, shrink=0.8, pad=0.02, label="change by a step along the coordinate", extend="both"
    )
    return figure


def _image(axes: Axes, values: NDArray[np.float64], reach: float) -> AxesImage:
    axes.set(xticks=[], yticks=[])
    return axes.imshow(values, cmap=_DIVERGING, vmin=-reach, vmax=reach, interpolation="nearest")


def _drawn(values: NDArray[np.float64], layout: str) -> NDArray[np.float64]:
    """One number a pixel: of several channels the mean."""
    if values.ndim < 3:
        return np.atleast_2d(values)
    found: NDArray[np.float64] = values.mean(axis=-1 if layout == "HWC" else 0)
    return found


def _distances(found: Region, distances: NDArray[np.float64], width: float) -> Figure:
    """How far the latent is from the hyperplanes of each layer."""
    figure = new_figure(width, 4.2)
    axes = figure.add_subplot()
    positive = distances[distances > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (0.1, 1.0)
    edges = np.geomspace(low, high * 1.0001, 50).tolist()
    layers = found.walls[:, 0] if found.walls is not None else np.zeros(len(distances), np.int64)
    for place, (layer, colour) in enumerate(zip(found.layers, layer_colours(len(found.layers)), strict=True)):
        axes.hist(distances[layers == place], edges, histtype="step", color=colour, linewidth=1.5, label=layer.name)
    if (layers < 0).any():
        axes.hist(distances[layers < 0], edges, histtype="step", color="#555555", linewidth=1.5, label="box")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="distance from the latent",
        ylabel="walls" if found.minimal else "half-spaces",
    )
    axes.axvline(found.radius, color=DECISION, linewidth=1.2)
    axes.set_title(_facts(found), fontsize="medium")
    if len(found.layers) <= _LISTED:
        axes.legend(frameon=False, fontsize="small")
    return figure


def _polygon(found: Region, width: float) -> Figure:
    """The region of a latent of two numbers, what bounds it coloured by layer."""
    from matplotlib.patches import Circle, Polygon

    corners, open_sides = _corners(found)
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = 0.08 * float((high - low).max())
    figure = new_figure(width, max(3.0, width * float((high - low)[1] / (high - low)[0])) if len(corners) else width)
    axes = figure.add_subplot()
    axes.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin), aspect="equal")
    axes.add_patch(Polygon(corners, facecolor="#dbe9f4", edgecolor="none"))
    colours = {-1: "#555555", **dict(enumerate(layer_colours(len(found.layers))))}
    named: set[str] = set()
    for start, end, row in _sides(found, corners):
        layer = -2 if row is None or found.walls is None else int(found.walls[row, 0])
        name = "goes on" if layer == -2 else "box" if layer == -1 else found.layers[layer].name
        axes.plot(
            *zip(start, end, strict=True), color=colours.get(layer, "#aaaaaa"), linewidth=2,
            linestyle=":" if layer == -2 else "-", label=None if name in named else name,
        )  # fmt: skip
        named.add(name)
        long = np.linalg.norm(end - start) > _NAMED * float((high - low).max())
        if long and layer >= -1 and found.walls is not None and row is not None:
            wall = Wall(**dict(zip(("layer", "unit", "side", "contender"), found.walls[row].tolist(), strict=True)))
            across, up = ((start + end) / 2).tolist()
            axes.annotate(
                found.name_of(wall), (across, up), fontsize="x-small", ha="center", va="center",
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )  # fmt: skip
    if found.ball_centre is not None and found.ball_radius:
        axes.add_patch(Circle(found.ball_centre.tolist(), found.ball_radius, fill=False, linestyle="--", color="black"))
    axes.plot(*found.latent, "o", color="black", markeredgecolor="white", markersize=8)
    axes.set_title(_facts(found) + (", goes on beyond the picture" if open_sides else ""), fontsize="medium")
    axes.set(xlabel="first coordinate", ylabel="second coordinate")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


def _corners(found: Region) -> tuple[NDArray[np.float64], bool]:
    """The polygon of a region, cut off where it goes on for ever."""
    assert found.normals is not None
    assert found.distances is not None
    near = np.sort(found.distances[np.isfinite(found.distances)])
    size = 1e3 * float(near[-1]) if len(near) and near[-1] > 0 else 1.0
    polygon = _cut(found, size)
    reach = float(np.abs(polygon - found.latent).max()) if len(polygon) else 0.0
    if reach < 0.999 * size:
        return polygon, False
    middle = float(np.median(near)) if len(near) and near[-1] > 0 else 1.0
    return _cut(found, 4.0 * middle), True


def _cut(found: Region, size: float) -> NDArray[np.float64]:
    """The square of that half-width around the latent, cut by every half-space."""
    assert found.normals is not None
    assert found.distances is not None
    corners = found.latent + size * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    for normal, distance in zip(found.normals, found.distances, strict=True):
        beyond = (corners - found.latent) @ normal - distance
        kept: list[NDArray[np.float64]] = []
        for place in range(len(corners)):
            here, there = beyond[place - 1], beyond[place]
            if (here <= 0) != (there <= 0):
                kept.append(corners[place - 1] + here / (here - there) * (corners[place] - corners[place - 1]))
            if there <= 0:
                kept.append(corners[place])
        if len(kept) < 3:
            break
        corners = np.array(kept)
    return corners


def _sides(
    found: Region, corners: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], int | None]]:
    """Sides of the polygon, each with the half-space whose line it lies on; None where the picture ends."""
    assert found.normals is not None
    assert found.distances is not None
    size = float(np.ptp(corners, axis=0).max())
    sides: list[tuple[NDArray[np.float64], NDArray[np.float64], int | None]] = []
    for place in range(len(corners)):
        start, end = corners[place - 1], corners[place]
        off = np.abs((np.stack([start, end]) - found.latent) @ found.normals.T - found.distances).max(axis=0)
        row = int(off.argmin()) if len(off) else None
        sides.append((start, end, row if row is not None and off[row] <= _ON * size + 1e-12 else None))
    return sides
