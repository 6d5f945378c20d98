"""`magnet complexity` and `magnet density`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from magnet_client import LatentGrid, LocalComplexity, LogDensity
from magnet_client.words import EstimatorWord
from magnet_service.cli.conditions import condition_of
from magnet_service.cli.connection import connected
from magnet_service.cli.latent_options import (
    AffineManifold,
    Cells,
    Latents,
    One,
    Out,
    Seed,
    Through,
    Window,
    check_out,
    facts_of,
    keep,
    latents_or_grid,
    say_written,
    waiting,
)
from magnet_service.cli.options import (
    Address,
    GeneratorName,
    Json,
    Local,
    Manifold,
    Precision,
    Repositories,
    Store,
    Timeout,
)
from magnet_service.cli.terminal import STDOUT, grid, print_json, sheet_of
from magnet_service.errors import InvalidInput

__all__ = ["complexity", "density"]

_WHAT = "What of them"


def complexity(
    generator: GeneratorName,
    through: Through = None,
    latents: Latents = None,
    seed: Seed = 0,
    window: Window = None,
    cells: Cells = "32,32",
    condition: One = None,
    manifold: AffineManifold = "pre_activation",
    radius: Annotated[
        float, typer.Option(help="r of the cross-polytope, in the latent's units.", rich_help_panel=_WHAT)
    ] = 0.1,
    directions: Annotated[
        int | None, typer.Option(help="P, 1 to d; min(25, d) if not given.", rich_help_panel=_WHAT)
    ] = None,
    frame_seed: Annotated[int, typer.Option(help="Of the directions drawn.", rich_help_panel=_WHAT)] = 0,
    frame_per_latent: Annotated[
        bool, typer.Option("--frame-per-latent", help="Draw directions for each latent.", rich_help_panel=_WHAT)
    ] = False,
    in_plane: Annotated[
        bool,
        typer.Option("--in-plane", help="With --through: the plane's own two directions.", rich_help_panel=_WHAT),
    ] = False,
    estimator: Annotated[
        EstimatorWord, typer.Option(help="How units are counted.", rich_help_panel=_WHAT)
    ] = "vertices",
    out: Out = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Counts the units whose state changes around latents, layer by layer, and draws a map of it over a plane.

    Example: magnet complexity fashion --through 1,2,3 --in-plane --out complexity.png
    """
    check_out(out)
    with connected(address, local, repository, store, timeout) as client:
        held = condition_of(client, generator, condition)
        places, words = latents_or_grid(client, generator, latents, through, window, cells, seed, held)
        if in_plane and not isinstance(places, LatentGrid):
            raise InvalidInput("--in-plane goes with --through: without a plane it has no directions", field="in_plane")
        found = client.local_complexity(
            generator,
            places,
            radius=radius,
            condition=held,
            seed=frame_seed,
            manifold=manifold,
            directions=directions,
            frame_per_latent=frame_per_latent,
            frame=places.frame if in_plane and isinstance(places, LatentGrid) else None,
            estimator=estimator,
            timeout=waiting(timeout),
        )
    keep(found, out)
    if json:
        print_json(_complexity_json(found, out))
    else:
        _print_complexity(found, words, out)


def density(
    generator: GeneratorName,
    through: Through = None,
    latents: Latents = None,
    seed: Seed = 0,
    window: Window = None,
    cells: Cells = "64,64",
    condition: One = None,
    top_k: Annotated[int, typer.Option(help="k of log v_k; 0 for all.", rich_help_panel=_WHAT)] = 0,
    manifold: Manifold = "output",
    precision: Precision = "float32",
    out: Out = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Computes the log density of latents' images under the generator's prior, and draws a map of it over a plane.

    Example: magnet density fashion --through 1,2,3 --out density.png
    """
    check_out(out)
    with connected(address, local, repository, store, timeout) as client:
        held = condition_of(client, generator, condition)
        places, words = latents_or_grid(client, generator, latents, through, window, cells, seed, held)
        found = client.log_density(
            generator,
            places,
            condition=held,
            top_k=top_k,
            manifold=manifold,
            precision=precision,
            timeout=waiting(timeout),
        )
    keep(found, out)
    if json:
        print_json(_density_json(found, out))
    else:
        _print_density(found, words, out)


def _complexity_json(found: LocalComplexity, out: Path | None) -> dict[str, object]:
    return {
        "total": found.total.tolist(),
        "by_layer": found.by_layer.tolist(),
        "layers": found.layers,
        "estimator": found.estimator,
        "radius": found.radius,
        "directions": found.directions,
        "computed": found.computed,
        "out": None if out is None else str(out),
    }


def _print_complexity(found: LocalComplexity, words: str, out: Path | None) -> None:
    ways = "" if found.estimator == "ball" else f", {found.directions} directions"
    STDOUT.print(
        sheet_of(
            [
                *facts_of(found.computed, len(found.total), words),
                ("neighbourhood", f"radius {found.radius:g}{ways}{' (default)' if found.default_directions else ''}"),
                ("estimator", found.estimator),
                ("complexity", f"mean {found.total.mean():,.2f}, {found.total.min():,} to {found.total.max():,} units"),
            ]
        )
    )
    rows = [
        (layer.name, layer.operation, f"{layer.units:,}", f"{own.mean():,.2f}", f"{own.min():,}", f"{own.max():,}")
        for layer, own in zip(found.layers, found.by_layer.T, strict=True)
    ]
    if rows:
        STDOUT.print(grid("", ("layer", "operation", "units>", "mean>", "least>", "most>"), rows))
    say_written(out)


def _density_json(found: LogDensity, out: Path | None) -> dict[str, object]:
    return {
        "values": found.values.tolist(),
        "is_density": found.is_density.tolist(),
        "label": found.label,
        "top_k": found.top_k,
        "rank": found.rank.tolist(),
        "log_prior": found.log_prior.tolist(),
        "log_volumes": found.log_volumes.tolist(),
        "prior": found.prior,
        "precision": found.precision,
        "computed": found.computed,
        "out": None if out is None else str(out),
    }


def _print_density(found: LogDensity, words: str, out: Path | None) -> None:
    finite = found.values[np.isfinite(found.values)]
    values = "none" if not len(finite) else f"mean {finite.mean():.4g}, {finite.min():.4g} to {finite.max():.4g} nats"
    low, outside = int((found.rank < found.top_k).sum()), int(np.isneginf(found.log_prior).sum())
    STDOUT.print(
        sheet_of(
            [
                *facts_of(found.computed, len(found.values), words),
                ("prior", found.prior),
                ("value", f"{found.label}, k = {found.top_k} of {found.columns}"),
                ("log density" if found.top_k == found.columns else found.label, values),
                ("rank", f"{found.rank.min()} to {found.rank.max()} of {found.columns}"),
                ("rank below k", f"{low:,} latents, without a value" if low else ""),
                ("outside", f"{outside:,} latents, outside of the prior's support" if outside else ""),
            ]
        )
    )
    say_written(out)
