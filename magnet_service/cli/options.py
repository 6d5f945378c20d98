"""Options that several commands share, named and ordered as the SDK's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from magnet_client.words import BaseWord, ManifoldWord, PrecisionWord
from magnet_service.errors import InvalidInput

__all__ = [
    "Address",
    "BallRadius",
    "Bank",
    "BankRevision",
    "Base",
    "Box",
    "GeneratorName",
    "Json",
    "Local",
    "Manifold",
    "MaybeGeneratorName",
    "Precision",
    "Repositories",
    "Seed",
    "Store",
    "Timeout",
    "Workers",
    "interval",
]

_CONNECTION = "Where to compute"
_LAW = "What to draw"

Address: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        envvar="MAGNET_ADDRESS",
        help="Server to ask; 127.0.0.1:50051 unless set.",
        rich_help_panel=_CONNECTION,
    ),
]
Local: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--local", help="Compute in this process instead; same bytes as a server here.", rich_help_panel=_CONNECTION
    ),
]
Repositories: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--repository",
        metavar="DIR",
        help="With --local: folder of generators; may be repeated.",
        rich_help_panel=_CONNECTION,
    ),
]
Store: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="PLACE", help="With --local: folder or URL of the banks.", rich_help_panel=_CONNECTION),
]
Workers: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WHO",
        help="Without a server, as --local, in other processes: N or local:N of this machine, or ray:HOST:PORT.",
        rich_help_panel=_CONNECTION,
    ),
]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Longest wait for an answer.", rich_help_panel=_CONNECTION),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
GeneratorName: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, help="Generator, as `name` or `name@version`.")
]
MaybeGeneratorName: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        show_default=False,
        help="Generator, as `name` or `name@version`; may be left out beside --bank.",
    ),
]
Seed: TypeAlias = Annotated[int | None, typer.Option(help="0 to 2^64 - 1.", rich_help_panel=_LAW)]
Base: TypeAlias = Annotated[
    BaseWord | None, typer.Option(help="Base law; the preset's, else prior.", rich_help_panel=_LAW)
]
BallRadius: TypeAlias = Annotated[
    float | None, typer.Option(metavar="R", help="Bounds a uniform base by a ball.", rich_help_panel=_LAW)
]
Box: TypeAlias = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Bounds a uniform base by a box.", rich_help_panel=_LAW)
]
Manifold: TypeAlias = Annotated[ManifoldWord, typer.Option(help="Where volumes are taken.", rich_help_panel=_LAW)]
Precision: TypeAlias = Annotated[
    PrecisionWord,
    typer.Option(help="Arithmetic; bfloat16 (of tangents) only where it is exact to 0.05 nats.", rich_help_panel=_LAW),
]
Bank: TypeAlias = Annotated[
    str | None, typer.Option(metavar="ID", help="Bank to draw from; chosen by the base if unset.", rich_help_panel=_LAW)
]
BankRevision: TypeAlias = Annotated[
    int | None, typer.Option(metavar="ROWS", help="Use only this many first rows of the bank.", rich_help_panel=_LAW)
]


def interval(text: str | None, field: str) -> tuple[float, float] | None:
    """Read `LOW,HIGH`.

    Arguments:
        text: as typed; None if the option was not given.
        field: the option's name, for the error.

    Returns:
        The two numbers, or None.

    Raises:
        InvalidInput: it is not two numbers with a comma between.

    Accuracy: exact.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        option = field.replace("_", "-")
        raise InvalidInput(f"write --{option}=LOW,HIGH, as --{option}=-1,1; not {text!r}", field=field) from None
    return low, high
