"""`magnet sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from magnet_client import Draw, DrawHeader, Result
from magnet_client.words import ImagesWord, MethodWord, PresetWord
from magnet_service.cli.conditions import Condition, condition_of
from magnet_service.cli.connection import connected
from magnet_service.cli.options import (
    Address,
    BallRadius,
    Bank,
    BankRevision,
    Base,
    Box,
    Json,
    Local,
    Manifold,
    MaybeGeneratorName,
    Precision,
    Repositories,
    Seed,
    Store,
    Timeout,
    interval,
)
from magnet_service.cli.terminal import STDOUT, number, print_json, sheet_of
from magnet_service.errors import InvalidInput

__all__ = ["sample"]

_TARGET = "What to draw"
_ANSWER = "What to write"


def sample(
    generator: MaybeGeneratorName = None,
    count: Annotated[int, typer.Option(help="Rows.", rich_help_panel=_TARGET)] = 100,
    preset: Annotated[
        PresetWord | None, typer.Option(help="Named recipe. Exactly one of these three.", rich_help_panel=_TARGET)
    ] = None,
    rho: Annotated[
        float | None, typer.Option(help="Exponent of v_k: 0 base, 1 uniform, < 0 modes.", rich_help_panel=_TARGET)
    ] = None,
    det_rho: Annotated[
        float | None, typer.Option(help="Exponent of det(A^T A): rho / 2.", rich_help_panel=_TARGET)
    ] = None,
    condition: Condition = None,
    seed: Seed = None,
    offset: Annotated[int, typer.Option(help="Rows to skip first.", rich_help_panel=_TARGET)] = 0,
    base: Base = None,
    ball_radius: BallRadius = None,
    box: Box = None,
    top_k: Annotated[int, typer.Option(help="k of v_k; 0 lets the server choose.", rich_help_panel=_TARGET)] = 0,
    manifold: Manifold = "output",
    bank: Bank = None,
    bank_revision: BankRevision = None,
    replacement: Annotated[bool, typer.Option(help="Draw with replacement.", rich_help_panel=_TARGET)] = True,
    truncation_psi: Annotated[
        float | None, typer.Option(help="Scales the prior, in (0, 1].", rich_help_panel=_TARGET)
    ] = None,
    truncation_norm: Annotated[
        float | None, typer.Option(help="Conditions a normal prior on |z| <= this.", rich_help_panel=_TARGET)
    ] = None,
    precision: Precision = "float32",
    method: Annotated[
        MethodWord,
        typer.Option(help="From the bank, or by a surrogate where its ESS is too low.", rich_help_panel=_TARGET),
    ] = "resample",
    evaluations: Annotated[
        float, typer.Option(help="What a screened draw may compute; 0 for 4000.", rich_help_panel=_TARGET)
    ] = 0.0,
    min_ess: Annotated[
        float, typer.Option(help="Least ESS: a screened draw grows towards it.", rich_help_panel=_TARGET)
    ] = 0.0,
    images: Annotated[
        ImagesWord | None, typer.Option(help="How images are sent; uint8 unless set.", rich_help_panel=_ANSWER)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help=".png: a contact sheet; .npz: all arrays.", rich_help_panel=_ANSWER),
    ] = None,
    columns: Annotated[
        int | None, typer.Option(help="Images in one row of the sheet.", rich_help_panel=_ANSWER)
    ] = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Draws rows of a generator where you want them on its manifold.

    Example: magnet sample fashion --preset uniform --count 100 --seed 0 --out uniform.png
    """
    if out is not None and out.suffix.lower() not in (".png", ".npz"):
        raise InvalidInput(f"--out ends in .png (a contact sheet) or .npz (all arrays); not {out.name!r}", field="out")
    if generator is None and out is not None and out.suffix.lower() == ".png":
        raise InvalidInput("a sheet needs images: write the generator's NAME, or --out rows.npz", field="out")
    domain = interval(box, "box")
    arrays = out is not None and out.suffix.lower() == ".npz"  # a sheet needs none, and volumes can be costly
    with connected(address, local, repository, store, timeout) as client:
        draw = client.sample(
            generator,
            count,
            preset=preset,
            rho=rho,
            det_rho=det_rho,
            condition=condition_of(client, generator, condition),
            seed=seed,
            offset=offset,
            base=base,
            ball_radius=ball_radius,
            box=domain,
            top_k=top_k,
            manifold=manifold,
            bank=bank,
            bank_revision=bank_revision,
            replacement=replacement,
            truncation_psi=truncation_psi,
            truncation_norm=truncation_norm,
            precision=precision,
            method=method,
            evaluations=evaluations,
            min_ess=min_ess,
            images=images or (None if generator is None else "uint8") if out is not None else None,
            latents=arrays or out is None,
            log_volumes=arrays,
            weights=arrays,
        )
    written = None if out is None else draw.save(out, columns=columns)
    if json:
        print_json({"rows": len(draw), "out": None if written is None else str(written), "header": draw.header})
    else:
        _print(draw, written)


def _print(draw: Draw, written: Path | None) -> None:
    header = draw.header
    colour = {Result.OK: "green", Result.LOW_ESS: "yellow", Result.DEGENERATE: "red"}[header.result]
    k = _because(str(header.top_k or "not used"), header.top_k_reason)
    rho = _because(f"{header.rho:g}, det_rho {header.det_rho:g}", header.rho_reason)
    low_rank = f"{header.low_rank_share:.2%} of the base law's rows" if header.low_rank_share else ""
    STDOUT.print(
        sheet_of(
            [
                ("draw", f"{len(draw)} rows of {draw.source}, seed {header.resolved.seed}"),
                ("condition", _condition(draw)),
                ("law", header.law),
                ("rho", rho),
                ("k", k),
                ("manifold", header.manifold),
                ("precision", _precision(header)),
                ("base", header.base),
                ("method", _because(header.method, header.method_reason)),
                ("screening", _screening(header)),
                ("bank", _bank(header)),
                ("ESS", f"{number(header.ess, 0)} rows, largest weight {header.largest_weight:.4f}{_weakest(header)}"),
                ("k-hat", number(header.khat)),
                ("distinct", f"{header.distinct} of {len(draw)}"),
                ("rank below k", low_rank),
            ]
        )
    )
    STDOUT.print(f"[bold {colour}]{header.result}[/] {escape(header.advice)}".rstrip())
    if written is not None:
        STDOUT.print(f"wrote {written}", markup=False, soft_wrap=True)


def _screening(header: DrawHeader) -> str:
    screening = header.screening
    if screening is None:
        return ""
    parts = [f"{screening.exact:,} exact evaluations, {screening.forwards:,} forwards"]
    parts.append(f"surrogate {header.resolved.surrogate} off by {screening.residual:.2f} nats")
    if screening.pool_ess is not None:
        parts.append(f"ESS of the pool {number(screening.pool_ess, 0)}")
    if screening.autocorrelation is not None:
        parts.append(f"{number(screening.autocorrelation, 1)} states for one draw")
    if not screening.kept:
        parts.append("volumes not kept: this server only reads banks")
    return "; ".join(parts)


def _condition(draw: Draw) -> str:
    resolved = draw.header.resolved
    if resolved.condition is None:
        return "" if draw.classes is None else "all classes in equal shares, row i of class i mod C"
    if isinstance(resolved.condition, tuple):
        return ", ".join(f"{number:g}" for number in resolved.condition)
    labels = draw.header.class_labels
    index = resolved.condition
    return labels[index] if isinstance(index, int) and index < len(labels) else str(index)


def _bank(header: DrawHeader) -> str:
    if header.resolved.class_banks:
        return header.bank_reason
    return f"{header.resolved.bank}, {header.bank_reason}" if header.resolved.bank else ""


def _weakest(header: DrawHeader) -> str:
    index = header.weakest_class
    if index is None or header.weakest_ess is None:
        return ""
    label = header.class_labels[index] if index < len(header.class_labels) else str(index)
    return f"; of the weakest class, {label}, {number(header.weakest_ess, 0)}"


def _precision(header: DrawHeader) -> str:
    asked = header.resolved.precision
    if header.precision_used != asked:
        return f"{header.precision_used} instead of {asked} ({header.precision_reason})"
    # What nobody asked for needs no line: it is float32, and its error is far below any figure here.
    return "" if asked == "float32" else _because(asked, _off(header))


def _off(header: DrawHeader) -> str:
    return "" if header.volume_error is None else f"log v_k off by up to {header.volume_error:.1g} nats"


def _because(fact: str, reason: str) -> str:
    return f"{fact} ({reason})" if reason else fact
