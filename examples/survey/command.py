"""The command line that every figure shares."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

__all__ = ["run", "save", "write"]

_DPI = 150


def run(number: int, picture: Callable[[], tuple[Figure, list[str]]], description: str | None) -> None:
    """Read `--out`, make a figure, write it there, and print what was measured.

    Arguments:
        number: of the survey's figure.
        picture: computes and draws; gives the figure, and what was measured, a line each.
        description: the module's docstring, for `--help`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.survey.figure_{number}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path(f"build/survey/figure_{number}.png"), help="PNG file to write")
    write(picture, parser.parse_args().out)


def write(picture: Callable[[], tuple[Figure, list[str]]], path: Path) -> None:
    """Make a figure, write it, and print what was measured and how long it took."""
    began = time.monotonic()
    figure, facts = picture()
    save(figure, path)
    for fact in facts:
        print(fact)
    print(f"wrote {path} in {time.monotonic() - began:.0f} s", flush=True)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, its folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
