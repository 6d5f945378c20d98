"""The command line that every figure shares."""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

__all__ = ["options", "run", "save", "write"]

_DPI = 150
_COLOURS = 256
_MEANS = 5
"""K-means ends when fewer colours than so many change the entry that stands for them."""


def run(number: int, picture: Callable[[], tuple[Figure, list[str]]], description: str | None) -> None:
    """Read the options, make a figure, write it, and print what was measured.

    Arguments:
        number: of the survey's figure.
        picture: computes and draws; gives the figure, and what was measured, a line each.
        description: the module's docstring, for `--help`.
    """
    parser = options(f"examples.survey.figure_{number}", description)
    parser.add_argument("--out", type=Path, default=Path(f"build/survey/figure_{number}.png"), help="PNG file to write")
    given = parser.parse_args()
    write(picture, given.out, given.width)


def options(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of one figure and of all, but for `--out`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, help=f"pixels across, for a small file of {_COLOURS} colours")
    return parser


def write(picture: Callable[[], tuple[Figure, list[str]]], path: Path, width: int | None = None) -> None:
    """Make a figure, write it, and print what was measured and how long it took."""
    began = time.monotonic()
    figure, facts = picture()
    save(figure, path, width)
    for fact in facts:
        print(fact)
    print(f"wrote {path} in {time.monotonic() - began:.0f} s", flush=True)


def save(figure: Figure, path: Path, width: int | None = None) -> None:
    """Write a figure as PNG, its folder made where it is missing.

    Arguments:
        figure: the figure.
        path: of the file.
        width: pixels across of a picture in few colours; where None, it is as large and as colourful as drawn.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if width is None:
        figure.savefig(path, dpi=_DPI)
        return
    drawn = io.BytesIO()
    # Twice as fine, then averaged: thin lines stay even.
    figure.savefig(drawn, format="png", dpi=2 * width / figure.get_figwidth())
    with Image.open(drawn) as image:
        height = round(width * image.height / image.width)
        reduced = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    # Maximum coverage gives thin lines of rare colours entries of their own, where a median cut mixes them with others;
    # k-means then halves the errors, which are half of an octree's.
    small = reduced.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=_MEANS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
