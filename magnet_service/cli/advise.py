"""`magnet advise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magnet_client.words import BaseWord, EffectiveRankWord
from magnet_service.cli.advice_sheet import advice_sheets
from magnet_service.cli.conditions import Condition, condition_of
from magnet_service.cli.connection import connected
from magnet_service.cli.options import (
    Address,
    BallRadius,
    Bank,
    BankRevision,
    Box,
    Json,
    Local,
    Manifold,
    MaybeGeneratorName,
    Precision,
    Repositories,
    Store,
    Timeout,
    interval,
)
from magnet_service.cli.terminal import STDOUT, print_json
from magnet_service.errors import InvalidInput

__all__ = ["advise"]

_LAW = "What to draw"
_ANSWER = "What to write"
_PATIENCE = 300.0  # seconds: a few hundred passes over a bank, and a sort of each of its columns


def advise(
    generator: MaybeGeneratorName = None,
    rhos: Annotated[
        list[float] | None,
        typer.Option("--rho", help="Exponent of v_k; may be repeated. A grid if not given.", rich_help_panel=_LAW),
    ] = None,
    top_ks: Annotated[
        list[int] | None,
        typer.Option("--top-k", help="k; may be repeated. A selection if not given.", rich_help_panel=_LAW),
    ] = None,
    condition: Condition = None,
    base: Annotated[BaseWord, typer.Option(help="Law of the latents.", rich_help_panel=_LAW)] = "prior",
    ball_radius: BallRadius = None,
    box: Box = None,
    manifold: Manifold = "output",
    bank: Bank = None,
    bank_revision: BankRevision = None,
    precision: Precision = "float32",
    effective_rank: Annotated[
        EffectiveRankWord,
        typer.Option(help="What the effective rank is the entropy of: shares of sigma, or of sigma^2."),
    ] = "singular_values",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PATH", help="Picture to write, .png or .svg.", rich_help_panel=_ANSWER),
    ] = None,
    dpi: Annotated[float, typer.Option(help="Pixels an inch of a picture.", rich_help_panel=_ANSWER)] = 150.0,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Tells all there is to know of a bank before drawing: spectrum, ranks, what each rho and k is worth, presets.

    Where the bank does not support a pair it says what would: rows, another method, or a smaller k.

    Example: magnet advise fashion --out advice.png
    """
    if out is not None and out.suffix.lower() not in (".png", ".svg"):
        raise InvalidInput(f"--out writes .png and .svg; not {out.suffix or 'no suffix'!r}", field="out")
    domain = interval(box, "box")
    with connected(address, local, repository, store, _PATIENCE if timeout is None else timeout) as client:
        found = client.advise(
            generator,
            rhos,
            top_ks,
            condition=condition_of(client, generator, condition),
            base=base,
            ball_radius=ball_radius,
            box=domain,
            manifold=manifold,
            bank=bank,
            bank_revision=bank_revision,
            precision=precision,
            effective_rank=effective_rank,
        )
    if out is not None:
        found.render(out, dpi=dpi)
    if json:
        print_json(found)
        return
    for sheet in advice_sheets(found):
        STDOUT.print(sheet)
        STDOUT.print()
    if out is not None:
        STDOUT.print(f"wrote {out}", markup=False, soft_wrap=True)
