"""`magnet slice`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from magnet_client import HyperplaneDensity, Tessellation
from magnet_client.words import ColorWord
from magnet_service.cli.conditions import condition_of
from magnet_service.cli.connection import connected
from magnet_service.cli.latent_options import check_out, waiting
from magnet_service.cli.options import Address, GeneratorName, Json, Local, Repositories, Store, Timeout
from magnet_service.cli.slice_options import grid_of, latents_of, numbers_of, rows_of, window_of
from magnet_service.cli.slice_sheet import print_slice
from magnet_service.cli.terminal import print_json
from magnet_service.errors import InvalidInput

__all__ = ["slice_command"]

_WHERE = "Which slice"
_WHAT = "What of it"
_ANSWER = "What to write"

_TILES = 100_000
"""Tiles at most where the window is ours to choose: a picture shows no more."""

_HALVINGS = 40

Found = Tessellation | HyperplaneDensity


def slice_command(
    generator: GeneratorName,
    through: Annotated[
        str | None,
        typer.Option(
            metavar="I,J,K|FILE.npy",
            help="Three latents of a plane, two of a line: rows of the prior's draw with --seed, counted from 0, or a "
            "file of [2 or 3, d].",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw whose rows --through names.", rich_help_panel=_WHERE)] = 0,
    origin: Annotated[
        str | None,
        typer.Option(metavar="X,Y,..|FILE.npy", help="Instead: latent at coordinates 0.", rich_help_panel=_WHERE),
    ] = None,
    directions: Annotated[
        str | None,
        typer.Option(
            metavar="X,..;X,..|FILE.npy",
            help="With --origin: two of a plane, one of a line.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="L,R,B,T|FILE.npy",
            help="Coordinates on it: left, right, bottom, top; LOW,HIGH of a line; corners X,Y;X,Y;.. Around the "
            "latents if not given, halved about the first of them until its tiles are no more than --max-tiles.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL|INDEX|X,Y,..",
            help="Condition, where the generator takes one: a label, an index, numbers with commas, or a .npy file.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    up_to: Annotated[
        str | None,
        typer.Option(
            metavar="NODE",
            help="Value that is affine on every tile; what feeds the smooth head.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    boundary: Annotated[
        bool, typer.Option("--boundary", help="Cut along the decision boundary too.", rich_help_panel=_WHAT)
    ] = False,
    max_tiles: Annotated[
        int | None,
        typer.Option(
            help="Tiles at most; the server's limit with --window, else 100000. The layer whose cuts would make more "
            "is left out, with all behind it.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    patterns: Annotated[
        bool, typer.Option("--patterns", help="Activation pattern of each tile (.npz).", rich_help_panel=_WHAT)
    ] = False,
    volumes: Annotated[
        bool,
        typer.Option(
            "--volumes",
            help="Log singular values of the whole Jacobian on each tile, and the prior's log density there; --color "
            "log_volume and log_density ask for them too.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    masses: Annotated[
        bool,
        typer.Option(
            "--masses",
            help="Probability of each tile of a plane under the prior, conditional on the slice for d above 2; --color "
            "mass asks for it too.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    top_k: Annotated[
        int,
        typer.Option(
            help="k of log-volumes, log densities and weighted masses, 0 for all; asks for --volumes.",
            rich_help_panel=_WHAT,
        ),
    ] = 0,
    rho: Annotated[
        float,
        typer.Option(
            help="Power of v_k by which masses are weighted; asks for --volumes and --color mass.",
            rich_help_panel=_WHAT,
        ),
    ] = 0.0,
    precision: Annotated[
        Literal["float64", "float32"], typer.Option(help="Arithmetic of these volumes.", rich_help_panel=_WHAT)
    ] = "float64",
    density: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS,ROWS",
            help="Instead of tiles: length of boundary in the cells of a grid, layer by layer.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PATH", help=".png, .svg or .npz.", rich_help_panel=_ANSWER),
    ] = None,
    color: Annotated[
        ColorWord | None,
        typer.Option(help="What tiles are coloured by: the first of these that is there.", rich_help_panel=_ANSWER),
    ] = None,
    edges: Annotated[
        bool | None,
        typer.Option("--edges/--no-edges", help="Draw edges, coloured by layer: if few.", rich_help_panel=_ANSWER),
    ] = None,
    dpi: Annotated[float, typer.Option(help="Pixels an inch of a picture.", rich_help_panel=_ANSWER)] = 150.0,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Cuts a plane or a line through the latent space into the tiles on which the generator is affine, and draws them.

    Example: magnet slice fashion --through 1,2,3 --out slice.png
    """
    check_out(out)
    cells, chosen = grid_of(density), window_of(window)
    color = "mass" if rho and color is None else color
    if through is None and (origin is None or directions is None):
        raise InvalidInput("write --through=1,2,3, or --origin and --directions", field="through")
    if through is not None and (origin is not None or directions is not None):
        raise InvalidInput("write either --through, or --origin and --directions: both are given", field="through")
    with connected(address, local, repository, store, timeout) as client:
        held = condition_of(client, generator, condition)
        where: dict[str, Any] = {"condition": held, "up_to": up_to}
        if through is not None:
            where["points"], named = latents_of(client, generator, through, seed, held)
            words = f"through {named}"
        else:
            where["origin"] = numbers_of(origin or "", "origin")
            where["directions"], words = rows_of(directions or "", "directions"), "along directions from an origin"

        def take(window: Any, most: int | None) -> Found:
            asked = {**where, "window": window, "max_tiles": most}
            if cells is not None:
                # The wait for tiles is as long for a density, which comes in one answer.
                return client.hyperplane_density(generator, **asked, cells=cells, timeout=waiting(timeout))
            return client.slice(
                generator,
                **asked,
                boundary=boundary,
                patterns=patterns,
                volumes=volumes or color in ("log_volume", "log_density") or bool(top_k or rho),
                masses=masses or color == "mass" or bool(rho),
                precision=precision,
                timeout=timeout,
            )

        found, halvings = _fitted(take, chosen, max_tiles, bool(through))
    if out is not None:
        _write(found, out, color, top_k, rho, edges, dpi)
    if json:
        figures = {"header": found.header, "halvings": halvings, "out": None if out is None else str(out)}
        print_json(figures)
    else:
        print_slice(found, words, halvings, out, top_k, rho)


def _fitted(
    take: Callable[[Any, int | None], Found], window: Any, max_tiles: int | None, shrinks: bool
) -> tuple[Found, int]:
    """A slice, its window halved about the first latent until the tiles are few enough if it is ours to choose."""
    if window is not None or not shrinks:
        return take(window, max_tiles), 0
    most = _TILES if max_tiles is None else max_tiles
    found, halvings = take(None, most), 0
    whole = found.header.window
    low, high = whole.min(axis=0), whole.max(axis=0)
    while found.header.truncated and halvings < _HALVINGS:
        halvings += 1
        # The first latent has coordinates 0.
        found = take(np.stack([low, high], axis=1).ravel() / 2**halvings, most)
    return found, halvings


def _write(
    found: Found, out: Path, color: ColorWord | None, top_k: int, rho: float, edges: bool | None, dpi: float
) -> None:
    if not check_out(out):
        found.save(out)
    elif isinstance(found, Tessellation):
        found.render(out, color=color, top_k=top_k, rho=rho, edges=edges, dpi=dpi)
    else:
        found.render(out, dpi=dpi)
