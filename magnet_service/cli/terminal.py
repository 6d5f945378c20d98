"""What commands print: tables and text for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

__all__ = ["STDERR", "STDOUT", "grid", "number", "print_json", "sheet_of", "short_law", "size"]

_PIPED_WIDTH = 200

# A file or a pipe has no width: wide enough there that no cell is folded.
STDOUT = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH)
STDERR = Console(stderr=True)


def print_json(value: object) -> None:
    """Print a value as JSON on stdout.

    Arguments:
        value: frozen dataclasses, mappings, sequences, arrays, text and numbers; NaN and infinities become null.
    """
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def grid(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Lay out a table; a column whose name ends in `>` is set flush right, its texts are printed as they are."""
    table = Table(
        title=title or None,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for place, column in enumerate(columns):
        right = column.endswith(">")
        name = column.removesuffix(">")
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=right or place == 0,
            overflow="fold",
            min_width=len(name),
        )
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def sheet_of(pairs: Iterable[tuple[str, object]]) -> RenderableType:
    """Lay out named facts, one a line; those that are empty are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if str(value):
            table.add_row(name, escape(str(value)))
    return table


def number(value: float | None, digits: int = 2) -> str:
    """Write a number for a table, `-` for none."""
    return "-" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def short_law(text: str) -> str:
    """Write a law for a column of a table: spaces after commas, so that it can be folded there, and five digits."""
    rounded = re.sub(r"\d+\.\d+(e[-+]?\d+)?", lambda match: f"{float(match.group()):.5g}", text)
    return re.sub(r",(?=\S)", ", ", rounded)


def size(count: int) -> str:
    """Write a number of bytes."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
