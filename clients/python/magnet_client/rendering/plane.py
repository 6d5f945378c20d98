"""Tiles of a plane as a picture."""

from __future__ import annotations

import os
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from magnet_client.errors import InvalidInput
from magnet_client.rendering.canvas import (
    DECISION,
    fitted,
    headline,
    layer_colours,
    new_figure,
    readable,
    suffix_of,
    tile_colours,
    written,
)
from magnet_client.tessellation import Tessellation
from magnet_client.tile_densities import tile_log_volumes
from magnet_client.words import ColorWord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

__all__ = ["draw_plane"]

_MANY = 20_000
"""Shapes of an .svg above which they become pixels."""

_CROWDED = 30_000
"""Edges above which they would hide the tiles."""

_LISTED = 8
"""Layers above which a scale takes the legend's place."""

_INNER = (0.005, 0.995)
"""Shares of the window's area at which the scale of colours ends."""

_LABELS = {
    "stretch": "stretching of areas of the slice",
    "norm": "spectral norm of the affine map of the slice",
    "area": "area",
}
_OF_K = ("log_volume", "log_density", "mass")
"""What depends on k."""

_LINEAR = ("log_volume", "log_density")
"""Logarithms already."""

_LOW, _SHORT = 3.0, 26
"""Inches of height below which labels beside a window have lines of no more than so many characters."""


def draw_plane(
    found: Tessellation,
    path: str | os.PathLike[str] | None,
    color: ColorWord | None,
    top_k: int,
    rho: float,
    edges: bool | None,
    width: float,
    dpi: float,
) -> Figure:
    """Draw tiles and edges; as `Tessellation.render`."""
    kind = suffix_of(path)
    values, chosen, label = _values(found, color, top_k, rho)
    left, bottom = found.window.min(axis=0)
    right, top = found.window.max(axis=0)
    drawn = edges if edges is not None else values is None or len(found.ends) <= _CROWDED
    scale = _scale(chosen, values, found.areas) if values is not None else None
    height = (width - 1.6) * (top - bottom) / (right - left)
    figure = new_figure(width, max(2.5, height + 1.2))
    axes = figure.add_subplot()
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.set_xlabel("first axis of the slice")
    axes.set_ylabel("second axis of the slice")
    axes.set_title(headline(found.header), color=DECISION if found.truncated else "black", fontsize="medium")
    colours = tile_colours(pale=drawn)
    if values is not None and scale is not None:
        _scale_bar(figure, axes, scale, colours, label if height >= _LOW else fill(label, _SHORT), values)
    _legend(figure, axes, found, drawn)
    fitted(figure, axes)
    if values is not None and scale is not None:
        _fill(axes, found, values, scale, colours, smooth=False)
        if not drawn and kind != "svg":
            # Smoothed borders over tiles without: nothing but the neighbour's colour shines through.
            _fill(axes, found, values, scale, colours, smooth=True)
    if drawn:
        _edges(axes, found)
    _decision(axes, found)
    _through(axes, found)
    return written(figure, path, dpi)


def _values(
    found: Tessellation, color: ColorWord | None, top_k: int, rho: float
) -> tuple[NDArray[np.float64] | None, str, str]:
    """What tiles are coloured by, its word and its label; nothing for `none`."""
    held: dict[str, NDArray[np.float64] | None] = {
        "log_volume": found.log_volumes,
        "stretch": None if found.truncated else found.stretches,
        "norm": None if found.truncated else found.spectral_norms,
        "area": found.areas,
        "log_density": found.log_volumes,
        "mass": found.masses,
    }
    word = next(word for word, values in held.items() if values is not None) if color is None else color
    if word not in held and word != "none":
        words = ", ".join(map(repr, (*held, "none")))
        raise _invalid("color", f"color must be one of {words}; not {color!r}")
    if rho and word != "mass":
        raise _invalid("rho", f"rho goes with color 'mass'; not with {word!r}")
    if top_k and word not in _OF_K:
        raise _invalid("top_k", f"top_k goes with color {', '.join(map(repr, _OF_K))}; not with {word!r}")
    if word == "none":
        return None, word, ""
    values = held[word]
    if values is None:
        why = "a TRUNCATED slice has no affine map on its tiles" if found.truncated else "ask for volumes=True"
        why = "ask for masses=True" if word == "mass" else why
        raise _invalid("color", f"there is no {word} of these tiles: {why}; area is always there")
    if word == "log_volume":
        values, k = tile_log_volumes(found, top_k)
        which = "" if k == found.header.frame.shape[1] else f", top {k}"
        return values, word, f"log-volume of the Jacobian{which}, nats"
    if word == "log_density":
        density = found.log_density(top_k)
        what = "log density of one preimage" if density.top_k == density.columns else density.label
        return density.values, word, f"{what} at the centroid, nats"
    if word == "mass":
        masses = found.masses_at(rho, top_k)
        return masses.masses, word, f"probability of a tile: {masses.law}"
    return values, word, _LABELS[word]


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, reason="INVALID_INPUT")


def _scale(color: str, values: NDArray[np.float64], areas: NDArray[np.float64]) -> Normalize:
    """The scale of colours, between quantiles by area: slivers have the most extreme values and cannot be seen."""
    from matplotlib.colors import LogNorm, Normalize

    logs = color not in _LINEAR
    good = np.isfinite(values) & (values > 0 if logs else True)
    if not good.any():
        return Normalize(0.0, 1.0)
    order = np.argsort(values[good])
    shares = areas[good][order].cumsum()
    low, high = (float(values[good][order][np.searchsorted(shares, share * shares[-1])]) for share in _INNER)
    if not logs:
        return Normalize(low, high) if low < high else Normalize(low - 0.5, low + 0.5)
    return LogNorm(low, high) if low < high else LogNorm(low / 2, low * 2)


def _fill(
    axes: Axes, found: Tessellation, values: NDArray[np.float64], scale: Normalize, colours: Colormap, *, smooth: bool
) -> None:
    from matplotlib.collections import PolyCollection

    sizes = np.diff(found.starts)
    for corners in np.unique(sizes):  # polygons of equal size are one array
        some = np.flatnonzero(sizes == corners)
        places = found.starts[some, None] + np.arange(corners)
        corners_of: Any = found.points[found.corners[places]]
        shapes = PolyCollection(
            corners_of,
            array=np.ma.masked_invalid(np.where(np.isneginf(values[some]), np.nan, values[some])),
            cmap=colours,
            norm=scale,
            edgecolors="none",
            # Smoothed borders alone would let the ground shine through between neighbours.
            antialiaseds=smooth,
            rasterized=found.tiles > _MANY,
        )
        axes.add_collection(shapes, autolim=False)


def _scale_bar(
    figure: Figure, axes: Axes, scale: Normalize, colours: Colormap, label: str, values: NDArray[np.float64]
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    low, high = values[np.isfinite(values)].min(initial=np.inf), values[np.isfinite(values)].max(initial=-np.inf)
    assert scale.vmin is not None
    assert scale.vmax is not None
    ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
    beyond = ends.get((bool(low < scale.vmin), bool(high > scale.vmax)), "neither")
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes, label=label, extend=beyond, pad=0.02)
    if isinstance(scale, LogNorm):
        readable(bar.ax.yaxis, scale.vmin, scale.vmax)


def _edges(axes: Axes, found: Tessellation) -> None:
    """Edges of each layer in its colour, the first layer's on top and widest."""
    from matplotlib.collections import LineCollection

    count = len(found.layers)
    crowd = float(np.clip(np.sqrt(2000 / max(len(found.ends), 1)), 0.15, 1.0))
    segments: Any = found.points[found.ends]
    layers = found.labels[:, 0]
    for layer, colour in reversed(list(enumerate(layer_colours(count)))):
        lines = LineCollection(
            segments[layers == layer],
            colors=[colour],
            linewidths=crowd * (1.5 - 0.9 * layer / max(count - 1, 1)),
            rasterized=len(segments) > _MANY,
            capstyle="round",
        )
        axes.add_collection(lines, autolim=False)


def _legend(figure: Figure, axes: Axes, found: Tessellation, drawn: bool) -> None:
    """What the colours of lines mean: layers in a legend, or on a scale where there are many; the decision boundary."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.lines import Line2D

    count = len(found.layers) if drawn else 0
    colours = layer_colours(count)
    handles = []
    if count > _LISTED:
        scale = BoundaryNorm(np.arange(count + 1) - 0.5, count)
        bar = figure.colorbar(ScalarMappable(scale, ListedColormap(colours)), ax=axes, label="layer", pad=0.02)
        bar.set_ticks(np.unique(np.linspace(0, count - 1, min(count, 10)).round()).astype(int).tolist())
    elif drawn:
        for layer, colour in zip(found.layers, colours, strict=True):
            label = f"{layer.name} ({layer.bending:,} of {layer.units:,} units)"
            handles.append(Line2D([], [], color=colour, linewidth=2, label=label))
    if found.decision.any():
        handles.append(Line2D([], [], color=DECISION, linewidth=2, label="decision boundary"))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")


def _decision(axes: Axes, found: Tessellation) -> None:
    from matplotlib.collections import LineCollection

    if found.decision.any():
        segments: Any = found.points[found.ends[found.decision]]
        axes.add_collection(
            LineCollection(segments, colors=[DECISION], linewidths=2.0, capstyle="round"), autolim=False
        )


def _through(axes: Axes, found: Tessellation) -> None:
    points = found.header.through
    if points is None:
        return
    left, bottom = found.window.min(axis=0)
    right, top = found.window.max(axis=0)
    for number, (x, y) in enumerate(points.tolist(), start=1):
        if left <= x <= right and bottom <= y <= top:
            axes.plot([x], [y], "o", color="black", markeredgecolor="white", markersize=8, zorder=5)
            axes.annotate(
                str(number),
                (x, y),
                xytext=(7, 7),
                textcoords="offset points",
                zorder=6,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )
