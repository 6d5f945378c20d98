"""The report's pictures, as bytes of PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image

from magnet_service.evaluation.fronts import PRECISION, Trade, front_of
from magnet_service.evaluation.intervals import Interval
from magnet_service.evaluation.request import Family
from magnet_service.evaluation.row import Row
from magnet_service.sampling import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["balance_plot", "contact_sheet", "pareto_plot", "share_plot"]

_COLOURS = {Family.POLARITY: "#2563eb", Family.PSI: "#dc2626", Family.NORM: "#059669", Family.REAL: "#111827"}
_NAMES = {
    Family.POLARITY: "polarity rho",
    Family.PSI: "truncation psi",
    Family.NORM: "Jacobian-norm truncation",
    Family.REAL: "real images held apart",
}
_MARKERS = {Family.POLARITY: "o", Family.PSI: "s", Family.NORM: "^", Family.REAL: "*"}
_DPI = 110
_LARGEST_TILE = 64  # pixels of an image in a contact sheet


def pareto_plot(rows: Sequence[Row], trade: Trade = PRECISION) -> bytes:
    """Precision against recall, or density against coverage: every row with its intervals, fronts as lines.

    Arguments:
        rows: of an evaluation.
        trade: the figures.

    Returns:
        A PNG file.

    Raises:
        Nothing.

    Accuracy: that of the rows; DEGENERATE ones are drawn hollow and are on no front.
    """
    figure, panel = _panel(7.2, 5.4)
    base = _base(rows)
    for family in _COLOURS:
        some = [row for row in rows if row.setting.family is family]
        if not some:
            continue
        _points(panel, some, trade.across, trade.up, family)
        if family is not Family.REAL:
            front = front_of([*some, *([] if base in some else [base])], trade).rows
            panel.plot(
                [trade.of(row)[0].value for row in front],
                [trade.of(row)[1].value for row in front],
                color=_COLOURS[family],
                linewidth=1.2,
                alpha=0.6,
                zorder=1,
            )
    panel.set_xlabel(trade.across)
    panel.set_ylabel(trade.up)
    panel.set_title(f"{trade.up} against {trade.across}, 95 % intervals; lines are fronts", fontsize=10)
    panel.legend(fontsize=8)
    return _png(figure)


def balance_plot(rows: Sequence[Row]) -> bytes:
    """Total variation to uniform against mean top probability; arguments and answer as `pareto_plot`."""
    figure, panel = _panel(7.2, 5.0)
    for family in _COLOURS:
        some = [row for row in rows if row.setting.family is family]
        if some:
            _points(panel, some, "tv", "top_probability", family)
            panel.plot(
                [row.tv.value for row in some],
                [row.top_probability.value for row in some],
                color=_COLOURS[family],
                linewidth=0.8,
                alpha=0.4,
                zorder=1,
            )
    panel.set_xlabel("total variation of class shares to uniform (less is more balanced)")
    panel.set_ylabel("mean top probability")
    panel.set_title("balance of classes against how sure the classifier is, 95 % intervals", fontsize=10)
    panel.legend(fontsize=8)
    return _png(figure)


def share_plot(rows: Sequence[Row], labels: Sequence[str]) -> bytes:
    """Class shares at every point of the grid, stacked; arguments and answer as `pareto_plot`."""
    import matplotlib as mpl

    figure, panel = _panel(9.5, 4.2)
    colours = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]  # the class of a listed map is not told
    bottom = np.zeros(len(rows))
    for index, label in enumerate(labels):
        values = np.array([row.shares[index].value for row in rows])
        panel.bar(range(len(rows)), values, 0.85, bottom=bottom, color=colours[index % len(colours)], label=label)
        bottom += values
    panel.set_xticks(range(len(rows)), [row.setting.name for row in rows], rotation=60, ha="right", fontsize=8)
    panel.set_ylabel("share of draws")
    panel.set_ylim(0.0, 1.0)
    panel.margins(x=0.01)
    if len(labels) <= 40:
        panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1 + len(labels) // 21)
    return _png(figure)


def contact_sheet(
    images: Float[np.ndarray, "rows ..."], layout: str, value_range: tuple[float, float], columns: int = 10
) -> bytes:
    """Images side by side.

    Arguments:
        images: as the generator gives them, in one of the layouts of images.
        layout: HW, CHW or HWC, as on the generator's card.
        value_range: smallest and largest value; others are cut off there.
        columns: images in a row.

    Returns:
        A PNG file; images larger than 64 pixels are made smaller.

    Raises:
        Nothing.

    Accuracy: bytes, rounded; grey ones to 16 levels, so that reports stay small.
    """
    low, high = value_range
    pixels = np.rint(np.clip((images - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
    tiles = [_tile(one, layout) for one in pixels]
    width, height = tiles[0].size
    sheet = Image.new(tiles[0].mode, (columns * width, -(-len(tiles) // columns) * height))
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % columns * width, place // columns * height))
    if sheet.mode == "L":
        sheet = sheet.quantize(16)
    file = io.BytesIO()
    sheet.save(file, format="png", optimize=True)
    return file.getvalue()


def _tile(pixels: NDArray[np.uint8], layout: str) -> Image.Image:
    if layout == "CHW":
        pixels = np.moveaxis(pixels, 0, -1)
    if layout == "HW":
        pixels = pixels.reshape(pixels.shape[-2:])
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        pixels = pixels[..., :3] if pixels.shape[2] > 3 else pixels[..., 0]
    tile = Image.fromarray(np.ascontiguousarray(pixels))
    tile.thumbnail((_LARGEST_TILE, _LARGEST_TILE))
    return tile


def _points(panel: Axes, rows: Sequence[Row], across: str, up: str, family: Family) -> None:
    for row in rows:
        x, y = getattr(row, across), getattr(row, up)
        hollow = row.result is Result.DEGENERATE
        panel.errorbar(
            x.value,
            y.value,
            xerr=_reach(x),
            yerr=_reach(y),
            fmt=_MARKERS[family],
            color=_COLOURS[family],
            markerfacecolor="white" if hollow else _COLOURS[family],
            markersize=9 if family is Family.REAL else 5,
            elinewidth=0.6,
            alpha=0.9,
            label=_NAMES[family] if row is rows[0] else None,
        )
        if family is not Family.REAL:
            panel.annotate(
                f"{row.setting.value:g}",
                (x.value, y.value),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7,
                color=_COLOURS[family],
            )


def _reach(interval: Interval) -> list[list[float]]:
    """What an interval reaches to both sides; nothing where it is not known, or ends beyond its value."""
    return [[np.fmax(interval.value - interval.low, 0.0)], [np.fmax(interval.high - interval.value, 0.0)]]


def _base(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if row.setting.family is Family.POLARITY and row.setting.value == 0.0)


def _panel(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    panel = figure.subplots()
    panel.grid(alpha=0.25, linewidth=0.5)
    panel.set_axisbelow(True)
    return figure, panel


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    # No version of the library among the metadata: equal figures are equal files.
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()
