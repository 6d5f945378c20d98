"""Intervals of a line as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from magnet_client.rendering.canvas import DECISION, headline, layer_colours, new_figure, readable, suffix_of, written
from magnet_client.tessellation import Tessellation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_line"]

_MANY = 20_000
"""Shapes of an .svg above which they become pixels."""

_NAMED = 30
"""Layers above which rows have no names."""


def draw_line(found: Tessellation, path: str | os.PathLike[str] | None, width: float, dpi: float) -> Figure:
    """Draw the norm over the segment and where units bend; as `Tessellation.render`."""
    suffix_of(path)
    count = max(len(found.layers), 1)
    below = min(0.3 * count + 0.3, 6.0)
    figure = new_figure(width, 3.4 + below)
    above, rows = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, below])
    places = found.points[found.ends, 0].min(axis=1)
    grid = np.append(places, found.points[:, 0].max())
    above.set_title(headline(found.header), color=DECISION if found.truncated else "black", fontsize="medium")
    values = found.areas if found.truncated else found.spectral_norms
    above.stairs(np.where(values > 0, values, np.nan), grid, baseline=None, color="#0b3c5d", linewidth=1.0)
    above.set(yscale="log", xlim=(grid[0], grid[-1]))
    if (values > 0).any():
        readable(above.yaxis, float(values[values > 0].min()), float(values[values > 0].max()))
    above.set_ylabel("length of interval" if found.truncated else "norm of the affine map")
    above.grid(axis="y", alpha=0.25)
    layers, points = found.labels[:, 0], found.points[:, 0]
    crowd = float(np.clip(np.sqrt(500 / max(len(points), 1)), 0.1, 1.0))
    for layer, colour in enumerate(layer_colours(len(found.layers))):
        bends = points[layers == layer]
        rows.vlines(bends, layer - 0.4, layer + 0.4, colors=[colour], linewidths=crowd, rasterized=len(bends) > _MANY)
    for place in points[found.decision].tolist():
        for axes in (above, rows):
            axes.axvline(place, color=DECISION, linewidth=1.2)
    rows.set(ylim=(count - 0.4, -0.6), xlabel="coordinate on the line, in the latent's units")
    if len(found.layers) <= _NAMED:
        rows.set_yticks(range(len(found.layers)), [layer.name for layer in found.layers])
    else:
        rows.set_ylabel("layer")
    if found.header.through is not None:
        for number, (place,) in enumerate(found.header.through.tolist(), start=1):
            if grid[0] <= place <= grid[-1]:
                above.axvline(place, color="black", linestyle="--", linewidth=1.0)
                above.annotate(
                    str(number), (place, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -12),
                    textcoords="offset points",
                )  # fmt: skip
    return written(figure, path, dpi)
