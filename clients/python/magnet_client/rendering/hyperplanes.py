"""Density of boundaries as a picture, one panel a layer."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from magnet_client.errors import InvalidInput
from magnet_client.hyperplanes import HyperplaneDensity
from magnet_client.rendering.canvas import DECISION, headline, new_figure, suffix_of, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_hyperplanes"]

_ACROSS = 4
_PANEL = 3.6
"""Inches of a panel, unless told otherwise."""


def draw_hyperplanes(
    found: HyperplaneDensity, path: str | os.PathLike[str] | None, width: float | None, dpi: float
) -> Figure:
    """Draw the panels; as `HyperplaneDensity.render`."""
    suffix_of(path)
    count = len(found.layers)
    if not count:
        raise InvalidInput(
            "there is no layer to draw: the budget ended the slice before the first, or there is none",
            field="layers",
            reason="INVALID_INPUT",
        )
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    left, right, bottom, top = found.extent
    width = _PANEL * across if width is None else width
    figure = new_figure(width, max(1.2, (width / across - 1.1) * (top - bottom) / (right - left) + 0.45) * down + 0.75)
    title = f"{headline(found.header)}\nlength of boundary over area of a cell"
    figure.suptitle(title, color=DECISION if found.header.truncated else "black", fontsize="medium")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    for axes, layer, densities in zip(panels.flat, found.layers, found.densities, strict=False):
        high = float(np.quantile(densities, 0.999)) or float(densities.max()) or 1.0
        image = axes.imshow(
            densities, origin="lower", extent=found.extent, cmap="magma", vmin=0.0, vmax=high, interpolation="nearest"
        )
        axes.set_title(f"{layer.name}: {layer.bending:,} of {layer.units:,} units", fontsize="small")
        axes.tick_params(labelsize="small")
        beyond = "max" if densities.max() > high else "neither"
        figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02, extend=beyond).ax.tick_params(labelsize="small")
        if found.header.through is not None:
            inside = [(x, y) for x, y in found.header.through.tolist() if left <= x <= right and bottom <= y <= top]
            axes.plot(*zip(*inside, strict=True) if inside else ((), ()), "o", color="white", markeredgecolor="black")
            axes.set(xlim=(left, right), ylim=(bottom, top))
    figure.supxlabel("first axis of the slice", fontsize="small")
    figure.supylabel("second axis of the slice", fontsize="small")
    return written(figure, path, dpi)
