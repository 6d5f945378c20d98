"""Fields over a grid as pictures: local complexity and log densities; summaries where there is no grid."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from magnet_client.grids import LatentGrid
from magnet_client.neighbourhoods import LocalComplexity, LogDensity
from magnet_client.rendering.canvas import layer_colours, new_figure, suffix_of, tile_colours, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["draw_complexity", "draw_log_density"]

_ACROSS = 4
_PANEL = 3.6
_INNER = (0.01, 0.99)
"""Shares of finite values at which a scale of log densities ends."""

_WAYS = {
    "vertices": "vertices of the cross-polytope",
    "frame": "the cross-polytope, first layers",
    "ball": "the ball, first layers",
}


def draw_complexity(
    found: LocalComplexity, path: str | os.PathLike[str] | None, width: float | None, dpi: float
) -> Figure:
    """Draw the panels; as `LocalComplexity.render`."""
    suffix_of(path)
    title = f"{found.computed.generator}, local complexity, r = {found.radius:g}"
    title += "" if found.estimator == "ball" else f", P = {found.directions}"
    if found.grid is None:
        return written(_layer_bars(found, title, width), path, dpi)
    count = len(found.layers) + 1
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    figure, panels = _panels(found.grid, across, down, width)
    figure.suptitle(f"{title}\ncolour: units that change over {_WAYS[found.estimator]}", fontsize="medium")
    fields = np.concatenate([found.total[:, None], found.by_layer], axis=1)
    names = [f"all layers: {sum(layer.units for layer in found.layers):,} units"]
    names += [f"{layer.name}: {layer.units:,} units" for layer in found.layers]
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    for place, (axes, name) in enumerate(zip(panels.flat, names, strict=False)):
        image = _field(axes, found.grid, fields[:, place], "magma")
        axes.set_title(name, fontsize="small")
        figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02).ax.tick_params(labelsize="small")
    figure.supxlabel("first axis of the plane", fontsize="small")
    figure.supylabel("second axis of the plane", fontsize="small")
    return written(figure, path, dpi)


def draw_log_density(found: LogDensity, path: str | os.PathLike[str] | None, width: float | None, dpi: float) -> Figure:
    """Draw the field; as `LogDensity.render`."""
    suffix_of(path)
    finite = found.values[np.isfinite(found.values)]
    low, high = np.quantile(finite, _INNER).tolist() if len(finite) else (0.0, 1.0)
    low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
    what = "log density" if found.top_k == found.columns else f"log {found.label}"
    label = f"log p(z) - log v{'' if found.top_k == found.columns else f'_{found.top_k}'}(z), nats"
    title = f"{found.computed.generator}, {what} on {found.computed.manifold.replace('_', ' ')}"
    if found.top_k == found.columns:
        title += f", {found.is_density.mean():.1%} of full rank" if not found.is_density.all() else ""
    if found.grid is None:
        figure = new_figure(6.4 if width is None else width, 4.0)
        axes = figure.add_subplot()
        axes.hist(finite, bins=min(60, max(5, len(finite) // 8)), color="#0b3c5d")
        axes.set(title=title, xlabel=label, ylabel="latents")
        return written(figure, path, dpi)
    figure, panels = _panels(found.grid, 1, 1, 6.8 if width is None else width)
    axes = panels[0, 0]
    axes.set_title(title, fontsize="medium")
    image = _field(axes, found.grid, np.where(np.isfinite(found.values), found.values, np.nan), None)
    image.set_clim(low, high)
    ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
    beyond = ends.get((bool((finite < low).any()), bool((finite > high).any())), "neither")
    figure.colorbar(image, ax=axes, label=label, extend=beyond, pad=0.02)
    axes.set(xlabel="first axis of the plane", ylabel="second axis of the plane")
    return written(figure, path, dpi)


def _panels(grid: LatentGrid, across: int, down: int, width: float | None) -> tuple[Figure, Any]:
    left, right, bottom, top = grid.window
    width = _PANEL * across if width is None else width
    beside = 1.7 if across == 1 else 1.1  # a scale of colours, with a label where there is one panel only
    panel = max(1.2, (width / across - beside) * (top - bottom) / (right - left) + 0.6)
    figure = new_figure(width, panel * down + (0.3 if across == 1 else 0.8))
    return figure, figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)


def _field(axes: Axes, grid: LatentGrid, values: NDArray[np.generic], colours: str | None) -> AxesImage:
    """A field and the points that the plane goes through."""
    left, right, bottom, top = grid.window
    image = axes.imshow(
        np.ma.masked_invalid(grid.field(values)), origin="lower", extent=(left, right, bottom, top),
        cmap=tile_colours(pale=False) if colours is None else colours, interpolation="nearest",
    )  # fmt: skip
    axes.tick_params(labelsize="small")
    for number, (x, y) in enumerate(() if grid.through is None else grid.through.tolist(), start=1):
        if left <= x <= right and bottom <= y <= top:
            axes.plot([x], [y], "o", color="black", markeredgecolor="white", markersize=6, zorder=5)
            axes.annotate(
                str(number), (x, y), xytext=(5, 5), textcoords="offset points", fontsize="small", zorder=6,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )  # fmt: skip
    axes.set(xlim=(left, right), ylim=(bottom, top))
    return image


def _layer_bars(found: LocalComplexity, title: str, width: float | None) -> Figure:
    """Mean count of each layer, and the range over the latents."""
    figure = new_figure(6.4 if width is None else width, 4.0)
    axes = figure.add_subplot()
    means = found.by_layer.mean(axis=0)
    places = np.arange(len(found.layers))
    reach = np.stack([means - found.by_layer.min(axis=0), found.by_layer.max(axis=0) - means])
    axes.bar(places, means, yerr=reach, color=layer_colours(len(found.layers)), capsize=4, ecolor="#555555")
    axes.set_xticks(places, [f"{layer.name}\n{layer.units:,} units" for layer in found.layers], fontsize="small")
    axes.set_ylabel("units that change: mean, least and most")
    fact = f"mean of all layers {found.total.mean():,.1f} at {len(found.total):,} latents"
    axes.set_title(f"{title}\n{fact}", fontsize="medium")
    return figure
