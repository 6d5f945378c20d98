"""`magnet distances`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magnet_client import HyperplaneDistances
from magnet_client.words import SpaceWord
from magnet_service.cli.conditions import condition_of
from magnet_service.cli.connection import connected
from magnet_service.cli.latent_options import (
    AffineManifold,
    Latents,
    One,
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
from magnet_service.cli.terminal import STDOUT, grid, number, print_json, sheet_of

__all__ = ["distances"]


def distances(
    generator: GeneratorName,
    latents: Latents = None,
    seed: Seed = 0,
    condition: One = None,
    manifold: AffineManifold = "pre_activation",
    space: Annotated[
        SpaceWord,
        typer.Option(
            help="Where distances are measured: among latents, or in what feeds each layer.",
            rich_help_panel="What of them",
        ),
    ] = "latent",
    out: Out = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Measures how far latents, or data of a classifier, are from the hyperplanes of each layer's units in the mean.

    Example: magnet distances fashion --latents 0:256 --out distances.png
    """
    check_out(out)
    with connected(address, local, repository, store, timeout) as client:
        held = condition_of(client, generator, condition)
        places, words = rows_named(client, generator, latents, seed, held, "latents")
        found = client.hyperplane_distances(
            generator, places, condition=held, manifold=manifold, space=space, timeout=waiting(timeout)
        )
    keep(found, out)
    if json:
        print_json(_json(found, out))
    else:
        _print(found, words, out)


def _json(found: HyperplaneDistances, out: Path | None) -> dict[str, object]:
    figures = {name: getattr(found, name).tolist() for name in ("mean", "root_mean_square", "counted", "without")}
    return {
        "layers": found.layers,
        **figures,
        "left_out": found.left_out,
        "space": found.space,
        "rows": found.rows,
        "computed": found.computed,
        "out": None if out is None else str(out),
    }


def _print(found: HyperplaneDistances, words: str, out: Path | None) -> None:
    space = "latent" if found.space == "latent" else "what feeds each layer"
    left_out = [("left out", f"{name}: {reason}") for name, reason in found.left_out.items()]
    STDOUT.print(sheet_of([*facts_of(found.computed, found.rows, words), ("space", space), *left_out]))
    rows = [
        (
            layer.name,
            layer.operation,
            f"{layer.units:,}",
            number(float(found.mean[place]), 4),
            number(float(found.root_mean_square[place]), 4),
            f"{found.without[place]:,}",
        )
        for place, layer in enumerate(found.layers)
    ]
    if rows:
        STDOUT.print(grid("", ("layer", "operation", "units>", "mean>", "rms>", "without>"), rows))
    say_written(out)
