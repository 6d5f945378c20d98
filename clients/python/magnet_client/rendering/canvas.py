"""Figures: made without global state, written as PNG or SVG, with the colours that all pictures share."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from magnet_client.errors import InvalidInput, Refused
from magnet_client.slices import SliceHeader

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = [
    "DECISION",
    "fitted",
    "headline",
    "layer_colours",
    "new_figure",
    "png_of",
    "readable",
    "suffix_of",
    "tile_colours",
    "written",
]

DECISION = "#e3120b"
"""Of the decision boundary; no layer has it."""

_LAYERS = ("#0b3c5d", "#d98200", "#1b8a5a", "#8e44ad", "#00a6d6", "#7f5539", "#f032a0", "#6b7280")
"""Of the first layers, told apart by eyes that see no red or no green too."""

_FITS = 6
"""Times that a layout is made at most to find a height."""

_LOWEST, _NEAR = 3.0, 0.02
"""Inches: the least height, and what two heights may differ by."""


def suffix_of(path: str | os.PathLike[str] | None) -> str | None:
    """Return `png` or `svg`, None for no path; InvalidInput (field `path`) for another suffix."""
    if path is None:
        return None
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".svg"):
        raise InvalidInput(
            f"render writes .png and .svg, and save .npz; not {suffix or 'no suffix'!r}",
            field="path",
            reason="INVALID_INPUT",
        )
    return suffix[1:]


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure.

    Arguments:
        width, height: in inches.

    Returns:
        The figure; pyplot does not know of it.

    Raises:
        InvalidInput: a width or height that is not above 0, or that is too large to draw.
        Refused: matplotlib is not installed.
    """
    if not (0 < width <= 100 and 0 < height <= 1000):
        raise InvalidInput(f"width is {width:g} inches; write 0 to 100", field="width", reason="INVALID_INPUT")
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise Refused(
            "pictures need matplotlib: pip install 'magnet-service[pictures]'", reason="PICTURES_MISSING"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def fitted(figure: Figure, axes: Axes) -> None:
    """Give a figure the height at which axes fill, with equal scales, the room that labels and legends leave them."""
    # Where equal scales leave some of it empty, a layout takes that for room that labels do not need.
    axes.set_aspect("auto")
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    # The scale of colours beside higher axes is wider and leaves less room: secants find the height, not one step.
    slope, before = -1.0, None
    for _ in range(_FITS):
        figure.draw_without_rendering()
        room, (width, height) = axes.get_position(original=True), figure.get_size_inches()
        lacking = room.width * width * (top - bottom) / (right - left) - room.height * height
        if before is not None and height != before[0]:
            slope = min(-0.5, (lacking - before[1]) / (height - before[0]))
        if abs(lacking) < _NEAR:
            break
        before = (height, lacking)
        figure.set_figheight(max(_LOWEST, height - lacking / slope))
    figure.draw_without_rendering()
    # Left on, the engine moves everything a little every time that the figure is written.
    figure.set_layout_engine("none")
    axes.set_aspect("equal")


def written(figure: Figure, path: str | os.PathLike[str] | None, dpi: float) -> Figure:
    """Write a figure where there is a path, and return it."""
    kind = suffix_of(path)
    if path is not None:
        # No date and no version: equal pictures are equal files.
        if kind == "png":
            figure.savefig(path, format=kind, dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})
        else:
            figure.savefig(path, format=kind, dpi=dpi, metadata={"Date": None, "Creator": None})
    return figure


def png_of(figure: Figure, dpi: float = 100.0) -> bytes:
    """Return a figure as the bytes of a PNG file, as notebooks show it."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=dpi, metadata={"Software": None})
    return sink.getvalue()


def layer_colours(count: int) -> list[str]:
    """Return a colour for each layer: distinct ones for a few, else a scale from the first to the last."""
    if count <= len(_LAYERS):
        return list(_LAYERS[:count])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    scale = colormaps["viridis"]
    return [to_hex(scale(layer / (count - 1))) for layer in range(count)]


def tile_colours(*, pale: bool) -> Colormap:
    """Return the scale of colours of tiles; pale where edges are drawn on them. Values that are none are grey."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    scale = colormaps["YlGnBu"]
    shades = scale(np.linspace(0.0, 1.0, 256))
    if pale:
        shades[:, :3] += (1.0 - shades[:, :3]) * 0.45
    return ListedColormap(shades).with_extremes(bad="#bdbdbd")


def readable(axis: Axis, low: float, high: float) -> None:
    """Write the numbers of a logarithmic axis that spans less than three powers of ten as they are."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    if not 0 < low < high < 1000 * low:
        return
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    if sum(low <= tick <= high for tick in ticks) < 4:
        ticks = list(MaxNLocator(6).tick_values(low, high))
        axis.set_minor_locator(NullLocator())
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def headline(header: SliceHeader) -> str:
    """Return the title of a picture; a second line says where a budget ended it."""
    what = ("interval" if header.axes == 1 else "tile") + ("s" if header.tiles != 1 else "")
    title = f"{header.generator}, {header.tiles:,} {what} up to "
    if not header.truncated:
        return title + header.target
    title += header.layers[-1].name if header.layers else "the first layer"
    return f"{title}\nTRUNCATED before {header.stopped_at}: beyond {header.max_tiles:,} tiles, or the server's memory"
