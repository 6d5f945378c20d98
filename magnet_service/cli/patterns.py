"""`magnet patterns`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magnet_client import Hamming, NearestPatterns
from magnet_service.cli.conditions import condition_of
from magnet_service.cli.connection import connected
from magnet_service.cli.latent_options import (
    AffineManifold,
    Latents,
    One,
    Others,
    Out,
    Seed,
    check_out,
    facts_of,
    keep,
    rows_named,
    say_written,
    waiting,
)
from magnet_service.cli.options import Address, GeneratorName, Json, Local, Repositories, Store, Timeout
from magnet_service.cli.terminal import STDOUT, grid, print_json, sheet_of
from magnet_service.errors import InvalidInput

__all__ = ["patterns"]

_WHAT = "What of them"
_LISTED = 12


def patterns(
    generator: GeneratorName,
    latents: Latents = None,
    others: Others = None,
    seed: Seed = 0,
    condition: One = None,
    manifold: AffineManifold = "pre_activation",
    paired: Annotated[
        bool, typer.Option("--paired", help="Compare latent i with other i only.", rich_help_panel=_WHAT)
    ] = False,
    bank: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Instead: the nearest rows of this bank.", rich_help_panel=_WHAT),
    ] = None,
    count: Annotated[int, typer.Option(help="With --bank: how many of them.", rich_help_panel=_WHAT)] = 10,
    bank_revision: Annotated[
        int | None, typer.Option(metavar="ROWS", help="Only this many first rows of it.", rich_help_panel=_WHAT)
    ] = None,
    out: Out = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Counts in how many units the activation patterns of latents differ, or finds the nearest rows of a bank.

    Example: magnet patterns fashion --latents 0,1,2,3 --out hamming.png
    """
    check_out(out)
    if bank is not None and (others is not None or paired):
        raise InvalidInput("write either --bank, or --others and --paired: both are given", field="bank")
    with connected(address, local, repository, store, timeout) as client:
        held = condition_of(client, generator, condition)
        places, words = rows_named(client, generator, latents, seed, held, "latents")
        beside = None if others is None else rows_named(client, generator, others, seed, held, "others")[0]
        found: Hamming | NearestPatterns
        if bank is None:
            found = client.hamming(
                generator,
                places,
                beside,
                condition=held,
                manifold=manifold,
                paired=paired,
                timeout=waiting(timeout),
            )
        else:
            found = client.nearest_patterns(
                generator,
                places,
                count,
                condition=held,
                manifold=manifold,
                bank=bank,
                bank_revision=bank_revision,
                timeout=waiting(timeout),
            )
    keep(found, out)
    if json:
        print_json(_patterns_json(found, out))
    elif isinstance(found, Hamming):
        _print_hamming(found, len(places), words, out)
    else:
        _print_nearest(found, words, out)


def _patterns_json(found: Hamming | NearestPatterns, out: Path | None) -> dict[str, object]:
    names = ("total", "by_layer") if isinstance(found, Hamming) else ("rows", "distances")
    figures: dict[str, object] = {name: getattr(found, name).tolist() for name in names}
    if isinstance(found, Hamming):
        figures["layers"] = found.layers
    else:
        figures |= {"units": found.units, "bank": found.bank, "bank_revision": found.bank_revision}
    return {**figures, "computed": found.computed, "out": None if out is None else str(out)}


def _print_hamming(found: Hamming, count: int, words: str, out: Path | None) -> None:
    total, units = found.total, sum(layer.units for layer in found.layers)
    pairs = "pairs" if total.ndim == 1 else f"{total.shape[0]} x {total.shape[1]} pairs"
    apart = total[total > 0] if (total > 0).any() else total
    mean = f"{apart.mean() / max(1, units):.1%} of all in the mean"
    STDOUT.print(
        sheet_of(
            [
                *facts_of(found.computed, count, words),
                ("units", f"{units:,}"),
                ("compared", pairs),
                ("one region", f"{int((total == 0).sum()):,} of {total.size:,} pairs"),
                ("apart", f"{apart.min():,} to {apart.max():,} units where not in one region, {mean}"),
            ]
        )
    )
    if total.ndim == 2 and max(total.shape) <= _LISTED:
        heads = [f"{column}>" for column in range(total.shape[1])]
        STDOUT.print(
            grid("", ("latent", *heads), [(row, *map("{:,}".format, line)) for row, line in enumerate(total.tolist())])
        )
    say_written(out)


def _print_nearest(found: NearestPatterns, words: str, out: Path | None) -> None:
    STDOUT.print(
        sheet_of(
            [
                *facts_of(found.computed, len(found.rows), words),
                ("bank", f"{found.bank}, {found.bank_revision:,} rows"),
                ("units", f"{found.units:,}"),
            ]
        )
    )
    table = [
        (latent, place + 1, f"{row:,}", f"{distance:,}", f"{distance / max(1, found.units):.2%}")
        for latent, (line, far) in enumerate(zip(found.rows.tolist(), found.distances.tolist(), strict=True))
        for place, (row, distance) in enumerate(zip(line, far, strict=True))
    ]
    STDOUT.print(grid("", ("latent", "place>", "row>", "units apart>", "share>"), table))
    say_written(out)
