"""`magnet slice`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from magnet_client import HyperplaneDensity, SliceHeader, Tessellation
from magnet_client.words import ColorWord
from magnet_service.cli.conditions import condition_of
from magnet_service.cli.connection import connected
from magnet_service.cli.options import Address, GeneratorName, Json, Local, Repositories, Store, Timeout
from magnet_service.cli.slice_options import grid_of, latents_of, numbers_of, rows_of, window_of
from magnet_service.cli.terminal import STDOUT, grid, print_json, sheet_of
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
            help="Log singular values of the whole Jacobian on each tile; --color log_volume asks for them too.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
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
    if out is not None and out.suffix.lower() not in (".png", ".svg", ".npz"):
        raise InvalidInput(f"--out ends in .png, .svg (pictures) or .npz (all arrays); not {out.name!r}", field="out")
    cells, chosen = grid_of(density), window_of(window)
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
                limit = math.inf if timeout is None else timeout
                return client.hyperplane_density(generator, **asked, cells=cells, timeout=limit)
            return client.slice(
                generator,
                **asked,
                boundary=boundary,
                patterns=patterns,
                volumes=volumes or color == "log_volume",
                precision=precision,
                timeout=timeout,
            )

        found, halvings = _fitted(take, chosen, max_tiles, bool(through))
    if out is not None:
        _write(found, out, color, edges, dpi)
    if json:
        figures = {"header": found.header, "halvings": halvings, "out": None if out is None else str(out)}
        print_json(figures)
    else:
        _print(found, words, halvings, out)


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


def _write(found: Found, out: Path, color: ColorWord | None, edges: bool | None, dpi: float) -> None:
    if out.suffix.lower() == ".npz":
        found.save(out)
    elif isinstance(found, Tessellation):
        found.render(out, color=color, edges=edges, dpi=dpi)
    else:
        found.render(out, dpi=dpi)


def _print(found: Found, words: str, halvings: int, out: Path | None) -> None:
    header = found.header
    figures, tiles = header.statistics, "intervals" if header.axes == 1 else "tiles"
    size = "lengths" if header.axes == 1 else "areas"
    STDOUT.print(
        sheet_of(
            [
                ("slice", f"{'line' if header.axes == 1 else 'plane'} of {header.generator} {words}"),
                ("condition", "" if header.condition is None else header.condition),
                ("latents at", _points(header)),
                ("window", _window(header) + _shrunk(halvings)),
                (tiles, f"{header.tiles:,}" + _structure(header)),
                ("extent", _extent(header)),
                (size, f"mean {figures.area_mean:.4g}, sd {figures.area_sd:.4g}"),
                ("corners", "" if header.axes == 1 else f"mean {figures.corners_mean:.2f}"),
                ("eccentricity", "" if header.axes == 1 else f"mean {figures.eccentricity_mean:.4g}"),
                *(_norms(found) if isinstance(found, Tessellation) else []),
                ("merged", f"{header.merged:,} by the tie rule" if header.merged else ""),
            ]
        )
    )
    rows = [
        (layer.name, layer.operation, f"{layer.units:,}", f"{layer.bending:,}", f"{layer.tiles:,}", f"{added:,}")
        for layer, added in zip(header.layers, figures.added, strict=True)
    ]
    cut = header.tiles - (header.layers[-1].tiles if header.layers else 1)
    if cut:
        rows.append(("decision boundary", "", "", "", f"{header.tiles:,}", f"{cut:,}"))
    if rows:
        STDOUT.print(grid("", ("layer", "operation", "units>", "bending>", f"{tiles}>", "added>"), rows))
    if out is not None:
        STDOUT.print(f"wrote {out}", markup=False, soft_wrap=True)


def _structure(header: SliceHeader) -> str:
    return "" if header.axes == 1 else f", {header.edges:,} edges, {header.vertices:,} vertices"


def _extent(header: SliceHeader) -> str:
    if not header.truncated:
        return f"COMPLETE, up to {header.target}"
    return (
        f"TRUNCATED before {header.stopped_at}: it would make more than {header.max_tiles:,} tiles, or need more "
        "memory than the server gives; take a smaller --window, or raise --max-tiles"
    )


def _norms(found: Tessellation) -> list[tuple[str, str]]:
    if found.truncated:
        return []
    facts = [("norm", f"{found.spectral_norms.min():.4g} to {found.spectral_norms.max():.4g}")]
    if found.axes == 2:
        facts.append(("stretch", f"{found.stretches.min():.4g} to {found.stretches.max():.4g}"))
    logs = found.log_volumes
    if logs is not None:
        facts.append(("log-volume", f"{logs.min():.4g} to {logs.max():.4g} nats ({found.header.precision})"))
    return facts


def _points(header: SliceHeader) -> str:
    if header.through is None:
        return ""
    return "; ".join(", ".join(f"{round(number, 12):.4g}" for number in point) for point in header.through.tolist())


def _window(header: SliceHeader) -> str:
    corners = header.window
    low, high = corners.min(axis=0), corners.max(axis=0)
    spans = [f"{left:.4g} to {right:.4g}" for left, right in zip(low.tolist(), high.tolist(), strict=True)]
    plain = len(corners) == 2**header.axes and ((corners == low) | (corners == high)).all()
    return ("" if plain else f"{len(corners)} corners within ") + " by ".join(spans)


def _shrunk(halvings: int) -> str:
    if not halvings:
        return ""
    return f"; 1/{2**halvings} of what bounds the latents, about the first, so that the tiles are few enough"
