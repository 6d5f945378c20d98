"""Activation patterns and their distances as pictures."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from magnet_client.patterns import Hamming, NearestPatterns, Patterns
from magnet_client.rendering.canvas import layer_colours, new_figure, suffix_of, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_hamming", "draw_neighbours", "draw_patterns"]

_ACROSS = 4
_PANEL = 3.4
_LISTED = 12


def draw_patterns(found: Patterns, path: str | os.PathLike[str] | None, width: float | None, dpi: float) -> Figure:
    """Draw states of units; as `Patterns.render`."""
    suffix_of(path)
    count = max(1, len(found.layers))
    rows = len(found.packed)
    figure = new_figure(8.0 if width is None else width, count * min(2.4, 0.9 + 0.12 * rows) + 0.6)
    figure.suptitle(f"{found.computed.generator}, activation patterns of {rows:,} latents", fontsize="medium")
    codes = found.codes
    for axes, layer in zip(figure.subplots(count, 1, squeeze=False).flat, found.layers, strict=False):
        own = codes[:, layer.first : layer.first + layer.units]
        axes.imshow(own, aspect="auto", cmap="Greys", vmin=0, vmax=layer.states - 1, interpolation="nearest")
        axes.set_title(
            f"{layer.name}: {layer.units:,} units, {(own > 0).mean():.0%} above the lowest state", fontsize="small"
        )
        axes.tick_params(labelsize="small")
        axes.set_ylabel("latent", fontsize="small")
    figure.supxlabel("unit; the higher its state the darker", fontsize="small")
    return written(figure, path, dpi)


def draw_hamming(found: Hamming, path: str | os.PathLike[str] | None, width: float | None, dpi: float) -> Figure:
    """Draw distances; as `Hamming.render`."""
    suffix_of(path)
    total = sum(layer.units for layer in found.layers)
    title = f"{found.computed.generator}, units in another state"
    if found.by_layer.ndim == 2:
        figure = new_figure(6.8 if width is None else width, 4.2)
        axes = figure.add_subplot()
        below = np.zeros(len(found.by_layer))
        for place, (layer, colour) in enumerate(zip(found.layers, layer_colours(len(found.layers)), strict=True)):
            axes.bar(np.arange(len(below)), found.by_layer[:, place], bottom=below, color=colour, label=layer.name)
            below = below + found.by_layer[:, place]
        axes.set(title=f"{title}, of {total:,}", xlabel="pair", ylabel="units in another state")
        if 0 < len(found.layers) <= _LISTED:
            figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
        return written(figure, path, dpi)
    count = len(found.layers) + 1
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    width = _PANEL * across if width is None else width
    rows, columns = found.by_layer.shape[:2]
    tall = (width / across - 1.0) * min(3.0, max(0.3, rows / max(1, columns))) + 0.7
    figure = new_figure(width, tall * down + 0.6)
    figure.suptitle(title, fontsize="medium")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    names = [f"all layers: {total:,} units", *(f"{layer.name}: {layer.units:,} units" for layer in found.layers)]
    fields = [found.total, *np.moveaxis(found.by_layer, -1, 0)]
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    for axes, name, field in zip(panels.flat, names, fields, strict=False):
        image = axes.imshow(field, cmap="magma", vmin=0, interpolation="nearest", aspect="auto")
        axes.set_title(name, fontsize="small")
        axes.tick_params(labelsize="small")
        figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02).ax.tick_params(labelsize="small")
    figure.supxlabel("other latent", fontsize="small")
    figure.supylabel("latent", fontsize="small")
    return written(figure, path, dpi)


def draw_neighbours(
    found: NearestPatterns, path: str | os.PathLike[str] | None, width: float | None, dpi: float
) -> Figure:
    """Draw how far neighbours are; as `NearestPatterns.render`."""
    suffix_of(path)
    figure = new_figure(6.4 if width is None else width, 4.0)
    from matplotlib.ticker import MaxNLocator

    axes = figure.add_subplot()
    places = np.arange(1, found.distances.shape[1] + 1)
    colours = layer_colours(len(found.distances))
    for row, (line, colour) in enumerate(zip(found.distances, colours, strict=True)):
        axes.plot(places, line, marker="o", markersize=4, linewidth=1, color=colour, label=f"latent {row}")
    axes.set_title(
        f"{found.computed.generator}, nearest patterns among {found.bank_revision:,} rows of bank {found.bank}",
        fontsize="medium",
    )
    axes.set(xlabel="place of the neighbour", ylabel=f"units in another state, of {found.units:,}", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(found.distances) <= _LISTED:
        axes.legend(frameon=False, fontsize="small")
    return written(figure, path, dpi)
