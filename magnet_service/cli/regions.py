"""`magnet region` and `magnet rows`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from magnet_client import AffineRows, Client, Region
from magnet_client.words import ConditionLike
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
from magnet_service.cli.options import Address, GeneratorName, Json, Local, Repositories, Store, Timeout, interval
from magnet_service.cli.slice_options import numbers_of
from magnet_service.cli.terminal import STDOUT, grid, print_json, sheet_of
from magnet_service.errors import InvalidInput

__all__ = ["region", "rows"]

_WHERE = "Which latents"
_WHAT = "What of them"
_LISTED = 12


def region(
    generator: GeneratorName,
    latent: Annotated[
        str,
        typer.Option(
            metavar="I|X,Y,..|FILE.npy",
            help="A row of the prior's draw with --seed, counted from 0, numbers with commas, or a .npy file of one.",
            rich_help_panel=_WHERE,
        ),
    ] = "0",
    others: Others = None,
    seed: Seed = 0,
    condition: One = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Bounds of every coordinate, added as walls.", rich_help_panel=_WHAT),
    ] = None,
    manifold: AffineManifold = "pre_activation",
    affine_map: Annotated[bool, typer.Option("--map", help="The affine map.", rich_help_panel=_WHAT)] = False,
    half_spaces: Annotated[bool, typer.Option("--half-spaces", help="Half-spaces.", rich_help_panel=_WHAT)] = False,
    minimal: Annotated[
        bool,
        typer.Option("--minimal", help="Leave out redundant half-spaces: linear programs.", rich_help_panel=_WHAT),
    ] = False,
    ball: Annotated[bool, typer.Option(help="Look for the largest ball inside.", rich_help_panel=_WHAT)] = True,
    out: Out = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Describes the region of a latent: how far its boundary is, which unit it belongs to, what bounds it.

    A picture shows the region of a latent of two numbers, columns of the affine map with --map, else distances.

    Example: magnet region fashion --latent 1 --map --out region.png
    """
    picture, bounds = check_out(out), interval(box, "box")
    with connected(address, local, repository, store, timeout) as client:
        held = condition_of(client, generator, condition)
        at, words = _one(client, generator, latent, seed, held)
        beside = None if others is None else rows_named(client, generator, others, seed, held, "others")[0]
        found = client.region(
            generator,
            at,
            condition=held,
            box=bounds,
            manifold=manifold,
            affine_map=affine_map,
            half_spaces=half_spaces or (picture and (len(at) == 2 or not affine_map)),
            minimal=minimal,
            ball=ball,
            others=beside,
            timeout=waiting(timeout),
        )
    keep(found, out)
    if json:
        print_json(_region_json(found, out))
    else:
        _print_region(found, words, out)


def rows(
    generator: GeneratorName,
    latents: Latents = None,
    outputs: Annotated[
        str,
        typer.Option(metavar="I,J,..", help="Numbers of outputs, of the value flattened.", rich_help_panel=_WHAT),
    ] = "",
    seed: Seed = 0,
    condition: One = None,
    manifold: AffineManifold = "pre_activation",
    lipschitz: Annotated[bool, typer.Option(help="Local Lipschitz constants.", rich_help_panel=_WHAT)] = True,
    out: Out = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Computes rows of the affine map on the regions of latents (matched filters), and Lipschitz constants.

    Example: magnet rows fashion --latents 0,1 --outputs 402,403,404 --out rows.png
    """
    check_out(out)
    try:
        wanted = [int(part) for part in outputs.split(",")] if outputs else []
    except ValueError:
        raise InvalidInput(f"write --outputs=I,J,..; not {outputs!r}", field="outputs") from None
    with connected(address, local, repository, store, timeout) as client:
        held = condition_of(client, generator, condition)
        places, words = rows_named(client, generator, latents, seed, held, "latents")
        found = client.affine_rows(
            generator,
            places,
            wanted,
            condition=held,
            manifold=manifold,
            lipschitz=lipschitz,
            timeout=waiting(timeout),
        )
    keep(found, out)
    if json:
        print_json(
            {
                "outputs": found.outputs,
                "rows": found.rows.tolist(),
                "lipschitz": None if found.lipschitz is None else found.lipschitz.tolist(),
                "computed": found.computed,
                "out": None if out is None else str(out),
            }
        )
    else:
        _print_rows(found, words, out)


def _one(
    client: Client, generator: str, text: str, seed: int, condition: ConditionLike | None
) -> tuple[NDArray[np.float64], str]:
    """One latent by number, coordinates or file, and in words where it comes from."""
    if text.isdecimal():
        found, words = rows_named(client, generator, text, seed, condition, "latent")
        return found[0], words
    found = numbers_of(text, "latent")
    if found.ndim != 1:
        raise InvalidInput(f"--latent {text}: shape {list(found.shape)}, where one latent is needed.", field="latent")
    return found, text


def _region_json(found: Region, out: Path | None) -> dict[str, object]:
    listed = ("latent", "pattern", "matrix", "shift", "normals", "offsets", "distances", "walls", "ball_centre")
    arrays = {name: getattr(found, name) for name in (*listed, "same_region")}
    return {
        "radius": found.radius,
        "nearest": found.nearest,
        "nearest_name": None if found.nearest is None else found.name_of(found.nearest),
        "count": found.count,
        "unconstrained": found.unconstrained,
        "minimal": found.minimal,
        "ball_radius": found.ball_radius,
        "layers": found.layers,
        "computed": found.computed,
        **{name: None if array is None else array.tolist() for name, array in arrays.items()},
        "out": None if out is None else str(out),
    }


def _print_region(found: Region, words: str, out: Path | None) -> None:
    near = "no other region" if found.nearest is None else f"{found.radius:.4g}, to {found.name_of(found.nearest)}"
    ball = "" if found.ball_radius is None else f"{found.ball_radius:.4g}"
    same = "" if found.same_region is None else ", ".join("yes" if one else "no" for one in found.same_region)
    idle = f", {found.unconstrained:,} more without a gradient" if found.unconstrained else ""
    norm = "" if found.matrix is None else f"{'x'.join(map(str, found.matrix.shape))}, {_norm(found.matrix)}"
    STDOUT.print(
        sheet_of(
            [
                *facts_of(found.computed, 1, words),
                ("radius", near),
                ("largest ball", ball if found.ball_radius != np.inf else "of any radius: the region goes on"),
                ("walls" if found.minimal else "half-spaces", f"{found.count:,}{idle}"),
                ("map", norm),
                ("others in it", same),
            ]
        )
    )
    active = [
        (found.pattern[layer.first : layer.first + layer.units] > 0).mean() if layer.units else 0.0
        for layer in found.layers
    ]
    walls = found.walls
    counted = [() if walls is None else (f"{(walls[:, 0] == place).sum():,}",) for place in range(len(active))]
    last = () if walls is None else ("walls>" if found.minimal else "half-spaces>",)
    columns = ("layer", "operation", "units>", "above lowest>", *last)
    table = [
        (layer.name, layer.operation, f"{layer.units:,}", f"{share:.1%}", *more)
        for layer, share, more in zip(found.layers, active, counted, strict=True)
    ]
    if table:
        STDOUT.print(grid("", columns, table))
    say_written(out)


def _norm(matrix: NDArray[np.float64]) -> str:
    return f"spectral norm {np.linalg.norm(matrix, 2):.4g}"


def _print_rows(found: AffineRows, words: str, out: Path | None) -> None:
    STDOUT.print(
        sheet_of(
            [
                *facts_of(found.computed, len(found.rows), words),
                (
                    "outputs",
                    ", ".join(map(str, found.outputs[:_LISTED])) + (", .." if len(found.outputs) > _LISTED else ""),
                ),
            ]
        )
    )
    lengths = np.sqrt((found.rows**2).sum(axis=tuple(range(2, found.rows.ndim))))
    constants = [""] * len(lengths) if found.lipschitz is None else [f"{one:.4g}" for one in found.lipschitz]
    shown = found.outputs[:6]
    table = [
        (latent, constant, *(f"{length:.4g}" for length in line[: len(shown)]))
        for latent, (constant, line) in enumerate(zip(constants, lengths.tolist(), strict=True))
    ]
    STDOUT.print(grid("", ("latent", "Lipschitz>", *(f"|row {output}|>" for output in shown)), table))
    say_written(out)
