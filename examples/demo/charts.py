"""The demo's pictures: a labelled contact sheet, class shares, and ESS against rho."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.demo.shares import Figures

mpl.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["contact_sheet", "ess_chart", "share_chart"]

COLOURS = {
    "as_trained": "#737373",
    "uniform": "#2563eb",
    "mode": "#7c3aed",
    "anti_mode": "#dc2626",
    "balanced": "#059669",
}
_DPI = 100
_GAP, _TITLE = 8, 40  # pixels
_GREYS = 16 - len(COLOURS)  # 16 colours take four bits a pixel


def contact_sheet(path: Path, draws: Mapping[str, tuple[str, NDArray[np.uint8]]], columns: int = 10) -> None:
    """Writes the first images of every draw side by side, each block under its title.

    Arguments:
        path: PNG file to write.
        draws: by name, a second title line and images [rows, H, W] uint8.
        columns: images in a row of a block.
    """
    tiles = [_tile(images, columns) for _, images in draws.values()]
    width = _GAP + sum(tile.shape[1] + _GAP for tile in tiles)
    height = max(tile.shape[0] for tile in tiles) + _TITLE + _GAP
    figure = plt.figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    left = _GAP
    for tile, (name, (subtitle, _)) in zip(tiles, draws.items(), strict=True):
        # A pixel of an image is a pixel of the file: nothing is resampled, and the file stays small.
        bottom = height - _TITLE - tile.shape[0]
        axis = figure.add_axes(
            (left / width, bottom / height, tile.shape[1] / width, tile.shape[0] / height), frameon=False
        )
        axis.imshow(tile, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        axis.set_title(f"{name}\n{subtitle}", fontsize=9, color=COLOURS.get(name, "black"))
        axis.set_axis_off()
        left += tile.shape[1] + _GAP
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    plt.close(figure)
    with Image.open(drawn) as sheet:
        sheet.convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE).save(path, optimize=True)


def _palette() -> Image.Image:
    greys = [round(255 * step / (_GREYS - 1)) for step in range(_GREYS)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [
            *(value for grey in greys for value in (grey,) * 3),
            *bytes.fromhex("".join(COLOURS.values()).replace("#", "")),
        ]
    )
    return palette


def _tile(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    rows = -(-len(images) // columns)
    height, width = images.shape[1:]
    sheet = np.zeros((rows * columns, height, width), np.uint8)
    sheet[: len(images)] = images
    return sheet.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def share_chart(path: Path, labels: Sequence[str], training: Sequence[float], results: Mapping[str, Figures]) -> None:
    """Writes weighted class shares of every draw, with 95 % intervals, rarest training class last."""
    order = np.argsort(training)[::-1]
    figure, axis = plt.subplots(figsize=(10, 4.2), layout="constrained")
    width = 0.8 / len(results)
    for index, (name, result) in enumerate(results.items()):
        value = np.array([result.class_shares[c] for c in order])
        low = np.array([result.class_intervals[c].low for c in order])
        high = np.array([result.class_intervals[c].high for c in order])
        axis.bar(
            np.arange(len(order)) + (index - (len(results) - 1) / 2) * width,
            value,
            width,
            yerr=np.maximum([value - low, high - value], 0),
            error_kw={"elinewidth": 0.7, "ecolor": "#111827"},
            color=COLOURS.get(name),
            label=f"{name} (tv {result.tv.value:.2f}, rare {result.rare_share.value:.2f})",
        )
    for position, c in enumerate(order):
        axis.plot([position - 0.42, position + 0.42], [training[c]] * 2, color="black", linewidth=1.2, linestyle=":")
    axis.plot([], [], color="black", linestyle=":", label="training share")
    axis.axhline(1 / len(order), color="#9ca3af", linewidth=1, zorder=0, label="uniform")
    axis.set_xticks(range(len(order)), [labels[c] for c in order], rotation=20, ha="right")
    axis.set_ylabel("share of draws")
    axis.set_title("Class shares by recipe, importance-weighted over held-out bank rows (95 % bootstrap intervals)")
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def ess_chart(path: Path, rows: int, curves: Mapping[int, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Writes effective rows against rho, a line for each k.

    Arguments:
        path: PNG file to write.
        rows: rows of the bank.
        curves: by k, the values of rho and the ESS at each.
    """
    figure, axis = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    palette = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(curves)))
    for colour, (top_k, (rhos, ess)) in zip(palette, sorted(curves.items()), strict=True):
        axis.plot(rhos, ess, marker="o", markersize=3, color=colour, label=f"k = {top_k}")
    axis.axhline(200, color="#dc2626", linewidth=1, linestyle="--", label="200: least for presets")
    axis.set_yscale("log")
    axis.set_ylim(0.8, rows * 1.3)
    axis.set_xlabel("polarity rho")
    axis.set_ylabel(f"ESS of {rows:,} rows")
    axis.set_title("What a bank supports: effective sample size against rho")
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
