"""Advice as a picture: spectrum and ranks, the spread of log v_k, and what each rho and k is worth."""

from __future__ import annotations

import math
import os
from bisect import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from magnet_client.advice import Advice, PresetOutlook, Spectrum
from magnet_client.rendering.canvas import new_figure, suffix_of, tile_colours, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["draw_advice"]

_INK, _BAND, _RANK = "#0b3c5d", "#4f86a8", "#b35900"
_MARKS = {"as_trained": "o", "uniform": "D", "mode": "v", "anti_mode": "^"}
_PRESET = "#d01c8b"
_NUMBERED = (20, 24)
"""Most k and most rho at which a number fits into each cell."""

_KHAT_LIMIT = 0.7

_TICKS, _WIDTH = 8.3, 12.5
"""Points of numbers beside axes, and inches of the figure: in a narrower one letters take the same share of it."""


def draw_advice(found: Advice, path: str | os.PathLike[str] | None, width: float | None, dpi: float) -> Figure:
    """Draw the panels; as `Advice.render`."""
    suffix_of(path)
    width = _WIDTH if width is None else width
    figure = new_figure(width, 0.6 * width)
    figure.suptitle(_title(found), fontsize="medium")
    parts: Any = figure.subfigures(1, 2, width_ratios=(1.0, 1.55))
    left, right = parts
    above, below = left.subplots(2, 1, height_ratios=(1.5, 1.0), sharex=True)
    _spectrum(above, found.spectrum)
    _spread(below, found.spectrum)
    axes = right.subplots()
    _worth(axes, found)
    _support(axes, found)
    handles = [_preset(axes, found, preset) for preset in found.presets]
    if handles:
        right.legend(
            handles=handles, loc="outside lower center", ncols=1, fontsize="small", frameon=False, handletextpad=0.6
        )
    _shrink(figure, width / _WIDTH)
    return written(figure, path, dpi)


def _shrink(figure: Figure, scale: float) -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text) if scale < 1.0 else ():
        text.set_fontsize(float(text.get_fontsize()) * scale)
    for axes in figure.axes:  # their own after all others: numbers that come later have that size too
        axes.tick_params(labelsize=_TICKS * min(1.0, scale))


def _title(found: Advice) -> str:
    whose = f"{found.generator}, " if found.generator else ""
    rows = f"{found.bank_revision:,} rows, {'imported, ' if found.imported else ''}base {_short(found.base)}"
    return f"{whose}{found.manifold.replace('_', ' ')}: what bank {found.bank_id} supports ({rows})"


def _short(law: str) -> str:
    """A law with five digits of each number."""
    name, _, rest = law.partition("(")
    parts = (part.partition("=") for part in rest.rstrip(")").split(","))
    return f"{name}({', '.join(f'{key}={_five(value)}' for key, _, value in parts)})" if rest.count("(") == 0 else law


def _five(text: str) -> str:
    try:
        return f"{float(text):.5g}"
    except ValueError:
        return text


def _spectrum(axes: Axes, found: Spectrum) -> None:
    places = np.arange(1, len(found.rank_share) + 1)
    quantiles = np.where(np.isfinite(found.log_sigma), found.log_sigma, np.nan)
    count = len(found.levels)
    for step in range(count // 2):
        low, high = found.levels[step], found.levels[-1 - step]
        axes.fill_between(
            places, quantiles[step], quantiles[-1 - step], step=None, color=_BAND, alpha=0.25 + 0.2 * step, linewidth=0,
            label=f"{100 * low:g} % to {100 * high:g} %",
        )  # fmt: skip
    axes.plot(places, quantiles[count // 2], color=_INK, label="median")
    axes.plot(places, found.log_sigma_mean, ".", color=_INK, markersize=5, label="mean, rank $\\geq$ i")
    kind = "$\\sigma_i$" if found.definition == "singular_values" else "$\\sigma_i^2$"
    low, high = found.effective_rank[0], found.effective_rank[-1]
    axes.axvspan(low, high, color=_RANK, alpha=0.12, linewidth=0)
    axes.axvline(
        found.effective_rank_mean, color=_RANK, linestyle="--", linewidth=1.2,
        label=f"effective rank of {kind}: {found.effective_rank_mean:.1f} ({low:.1f} to {high:.1f})",
    )  # fmt: skip
    axes.set_ylabel("log $\\sigma_i$, nats")
    share = axes.twinx()
    (line,) = share.plot(places, found.rank_share, drawstyle="steps-mid", color="black", linewidth=1.2, linestyle=":")
    line.set_label("share of rank $\\geq$ i")
    share.set(ylim=(0.0, 1.04), ylabel="share of rows with rank $\\geq$ i")
    axes.figure.legend(
        handles=[*axes.get_legend_handles_labels()[0], line], loc="outside lower center", ncols=2, fontsize="small",
        frameon=False,
    )  # fmt: skip
    axes.set_title(f"Singular values, {found.rows:,} rows", fontsize="medium")
    axes.grid(alpha=0.25)


def _spread(axes: Axes, found: Spectrum) -> None:
    places = np.arange(1, len(found.log_volume_sd) + 1)
    axes.plot(places, found.log_volume_sd, ".-", color=_INK, markersize=5)
    axes.set(xlabel="i, k", ylabel="sd of log $v_k$, nats")
    axes.set_ylim(bottom=0.0)
    axes.set_title("Spread of log-volumes", fontsize="medium")
    axes.text(
        0.97, 0.06, "were log $v_k$ normal: ESS / N = exp(-rho$^2$ sd$^2$)", transform=axes.transAxes, ha="right",
        fontsize="small", color="#444444",
    )  # fmt: skip
    axes.grid(alpha=0.25)


def _table(found: Advice, name: str) -> NDArray[np.float64]:
    """A figure of every cell, [rho, k]; NaN for none."""
    values = {(cell.rho, cell.top_k): getattr(cell, name) for cell in found.cells}
    rows = [[values[rho, top_k] for top_k in found.top_ks] for rho in found.rhos]
    return np.array([[math.nan if value is None else float(value) for value in row] for row in rows])


def _worth(axes: Axes, found: Advice) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ess, khat = _table(found, "ess"), _table(found, "khat")
    rhos, top_ks = found.rhos, found.top_ks
    with np.errstate(divide="ignore"):
        shown = np.where(ess > 0, np.log10(ess), np.nan)
    most = max(1.0, math.log10(max(found.bank_revision, 1)))
    image = axes.imshow(
        np.ma.masked_invalid(shown), origin="lower", aspect="auto", cmap=tile_colours(pale=False), vmin=0.0, vmax=most,
        interpolation="nearest",
    )  # fmt: skip
    bar = axes.figure.colorbar(image, ax=axes, pad=0.015, aspect=35, label="effective rows (ESS)")
    bar.locator = MaxNLocator(integer=True)
    bar.formatter = FuncFormatter(lambda value, _: f"{10.0**value:,.0f}")
    bar.update_ticks()
    heavy = [
        Rectangle((column - 0.5, row - 0.5), 1.0, 1.0)
        for row, column in zip(*np.nonzero(khat >= _KHAT_LIMIT), strict=True)
    ]
    axes.add_collection(
        PatchCollection(heavy, facecolor="none", edgecolor="#7a7a7a", hatch="////", linewidth=0.0, alpha=0.45)
    )
    if len(top_ks) <= _NUMBERED[0] and len(rhos) <= _NUMBERED[1]:
        for (row, column), value in np.ndenumerate(ess):
            dark = shown[row, column] > 0.6 * most
            axes.text(
                column, row, _compact(value), ha="center", va="center", fontsize=6.5, color="white" if dark else "black"
            )
    axes.set_xticks(range(len(top_ks)), [str(top_k) for top_k in top_ks])
    axes.set_yticks(range(len(rhos)), [f"{rho:g}" for rho in rhos])
    axes.set(xlabel="k, singular values counted", ylabel="rho, exponent of $v_k$")
    axes.set_title("Effective rows; inside the black line supported, hatched: k-hat $\\geq$ 0.7", fontsize="medium")


def _compact(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.{0 if value >= 9.95 * size else 1}f}{letter}"
    return f"{value:.0f}"


def _support(axes: Axes, found: Advice) -> None:
    """The border of the supported cells."""
    inside = np.pad(_table(found, "supported") > 0.5, 1)
    lines = []
    for row, column in zip(*np.nonzero(inside), strict=True):
        x, y = column - 1.5, row - 1.5
        sides = (
            ((-1, 0), ((x, y), (x + 1, y))),
            ((1, 0), ((x, y + 1), (x + 1, y + 1))),
            ((0, -1), ((x, y), (x, y + 1))),
            ((0, 1), ((x + 1, y), (x + 1, y + 1))),
        )
        lines += [ends for (down, across), ends in sides if not inside[row + down, column + across]]
    from matplotlib.collections import LineCollection

    axes.add_collection(LineCollection(lines, colors="black", linewidths=1.8, capstyle="projecting", clip_on=False))


def _preset(axes: Axes, found: Advice, preset: PresetOutlook) -> Line2D:
    """A mark where a preset draws, and what stands beside it in the legend; hollow over another base."""
    from matplotlib.lines import Line2D

    same = not preset.problem and preset.base == found.base
    look: dict[str, Any] = {
        "marker": _MARKS[preset.preset], "color": _PRESET, "linestyle": "none", "markersize": 6.5,
        "markerfacecolor": _PRESET if same else "white", "markeredgecolor": _PRESET if not same else "white",
        "markeredgewidth": 1.5 if not same else 0.8,
    }  # fmt: skip
    if not preset.problem and preset.rho:
        x, y = _place(preset.top_k, found.top_ks, 0.34), _place(preset.rho, found.rhos, 0.33)
        if x is not None and y is not None:
            axes.plot([x], [y], zorder=6, clip_on=False, **look)
    return Line2D([], [], label=_told(preset, same), **look)


def _place(value: float, values: Sequence[float], aside: float) -> float | None:
    """In the corner of its own cell, on the border of two that it lies between, or nowhere."""
    if value in values:
        return values.index(value) + aside
    if list(values) != sorted(values) or not values[0] < value < values[-1]:
        return None
    return bisect(values, value) - 0.5


def _told(preset: PresetOutlook, same: bool) -> str:
    name = preset.preset
    if preset.problem:
        return f"{name}: refused" + (f"; {preset.command}" if preset.command else "")
    if not preset.rho:
        return f"{name}: {'rows of the bank as they are' if preset.bank else f'fresh draws of {_short(preset.base)}'}"
    tail = "" if preset.khat is None else f", k-hat {preset.khat:.2f}"
    over = "" if same else f" over {_short(preset.base)}"
    return f"{name}: rho {preset.rho:g}, k = {preset.top_k}{over}; ESS {preset.ess:,.0f}{tail}, {preset.result}"
