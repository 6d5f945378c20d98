"""Options of the commands about latents: which ones, on which plane, what to write."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Protocol, TypeAlias

import numpy as np
import typer
from numpy.typing import NDArray

from magnet_client import Client, Computed, LatentGrid, latent_grid
from magnet_client.words import ConditionLike, ManifoldWord
from magnet_service.cli.slice_options import latents_of, numbers_of
from magnet_service.cli.terminal import STDOUT
from magnet_service.errors import InvalidInput

__all__ = [
    "AffineManifold",
    "Cells",
    "Latents",
    "One",
    "Others",
    "Out",
    "Seed",
    "Through",
    "Window",
    "check_out",
    "facts_of",
    "keep",
    "latents_or_grid",
    "rows_named",
    "say_written",
    "waiting",
]

_WHERE = "Which latents"
_WHAT = "What of them"
_ANSWER = "What to write"

Latents: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="I,J,..|I:J|FILE.npy",
        help="Rows of the prior's draw with --seed, counted from 0 (0:256 for the first 256), or a .npy file of rows.",
        rich_help_panel=_WHERE,
    ),
]
Through: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="I,J,K|FILE.npy",
        help="Instead: a grid over the plane through three of them, which is drawn as a map.",
        rich_help_panel=_WHERE,
    ),
]
Window: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="L,R,B,T",
        help="Of that plane: left, right, bottom, top. If not given what bounds the three, and more.",
        rich_help_panel=_WHERE,
    ),
]
Cells: TypeAlias = Annotated[str, typer.Option(metavar="COLUMNS,ROWS", help="Of that grid.", rich_help_panel=_WHERE)]
Seed: TypeAlias = Annotated[int, typer.Option(help="Of the draw whose rows are named.", rich_help_panel=_WHERE)]
One: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL|INDEX|X,Y,..",
        help="Condition, where the generator takes one: a label, an index, numbers with commas, or a .npy file.",
        rich_help_panel=_WHERE,
    ),
]
Others: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="I,J,..|FILE.npy", help="Other latents, to compare with.", rich_help_panel=_WHERE),
]
AffineManifold: TypeAlias = Annotated[
    ManifoldWord, typer.Option(help="Whose units count; which value is affine.", rich_help_panel=_WHAT)
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="PATH", help=".png, .svg or .npz.", rich_help_panel=_ANSWER)
]

_SUFFIXES = (".png", ".svg", ".npz")


class Kept(Protocol):
    """An answer that can be drawn, and kept as arrays."""

    def render(self, path: Path) -> object: ...
    def save(self, path: Path) -> object: ...


def check_out(out: Path | None) -> bool:
    """Whether a picture is to be written; InvalidInput (field `out`) for another suffix."""
    if out is None:
        return False
    if out.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"--out ends in .png, .svg (pictures) or .npz (all arrays); not {out.name!r}", field="out")
    return out.suffix.lower() != ".npz"


def keep(found: Kept, out: Path | None) -> None:
    """Write an answer as its file's suffix says, if one was named."""
    if out is not None:
        found.render(out) if check_out(out) else found.save(out)


def waiting(timeout: float | None) -> float:
    """Seconds to wait for an answer that takes long: as asked, else without limit."""
    return math.inf if timeout is None else timeout


def rows_named(
    client: Client, generator: str, text: str | None, seed: int, condition: ConditionLike | None, field: str
) -> tuple[NDArray[np.float64], str]:
    """Latents by number or file, and in words where they come from; InvalidInput where none are named."""
    if text is None:
        raise InvalidInput(f"write --{field}=1,2,3 (rows of the prior's draw) or a .npy file", field=field)
    return latents_of(client, generator, text, seed, condition, field=field, counts=())


def latents_or_grid(
    client: Client,
    generator: str,
    latents: str | None,
    through: str | None,
    window: str | None,
    cells: str,
    seed: int,
    condition: ConditionLike | None,
) -> tuple[NDArray[np.float64] | LatentGrid, str]:
    """The latents of a command that also draws maps.

    Arguments:
        client: asked for rows of the prior's draw.
        generator: `name` or `name@version`.
        latents, through, window, cells, seed: as written.
        condition: of that draw.

    Returns:
        Latents or a grid, and in words where they come from.

    Raises:
        InvalidInput: neither latents nor a plane, or both, or as `latent_grid`; the field names the option.
        As `Client.sample`.

    Accuracy: exact for rows and files, rounding of float64 for a grid.
    """
    if (latents is None) == (through is None):
        said = "neither is" if latents is None else "both are"
        raise InvalidInput(
            f"write --through=1,2,3 (a plane) or --latents=0,1,.. (rows or a .npy file): {said} given", field="through"
        )
    if through is None:
        return rows_named(client, generator, latents, seed, condition, "latents")
    points, words = latents_of(client, generator, through, seed, condition, counts=(3,))
    try:
        columns, rows = (int(part) for part in cells.split(","))
    except ValueError:
        raise InvalidInput(f"write --cells=COLUMNS,ROWS, as --cells=64,64; not {cells!r}", field="cells") from None
    bounds = None if window is None else numbers_of(window, "window")
    if bounds is not None and bounds.shape != (4,):
        raise InvalidInput("write --window=LEFT,RIGHT,BOTTOM,TOP", field="window")
    left_right = None if bounds is None else (bounds[0], bounds[1], bounds[2], bounds[3])
    return latent_grid(
        points, window=left_right, cells=(columns, rows)
    ), f"{columns} x {rows} of the plane through {words}"


def facts_of(computed: Computed, count: int, words: str) -> list[tuple[str, object]]:
    """The first lines of a sheet: whose latents these are."""
    return [
        ("generator", computed.generator),
        ("latents", f"{count:,}: {words}"),
        ("condition", "" if computed.condition is None else computed.condition),
        ("manifold", computed.manifold),
    ]


def say_written(out: Path | None) -> None:
    """Print which file was written, if one was."""
    if out is not None:
        STDOUT.print(f"wrote {out}", markup=False, soft_wrap=True)
