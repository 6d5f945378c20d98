"""`magnet bank build|list|show|delete|polarity`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from magnet_client import PolarityGrid
from magnet_client import Progress as BuildState
from magnet_client.words import BaseWord
from magnet_service.cli.bank_sheet import facts, table
from magnet_service.cli.conditions import AllConditions, Condition, condition_of
from magnet_service.cli.conditions import all_conditions as classes_of
from magnet_service.cli.connection import connected
from magnet_service.cli.options import (
    Address,
    BallRadius,
    Bank,
    BankRevision,
    Box,
    GeneratorName,
    Json,
    Local,
    Manifold,
    MaybeGeneratorName,
    Precision,
    Repositories,
    Store,
    Timeout,
    Workers,
    interval,
)
from magnet_service.cli.signals import Terminated, ended_by_sigterm
from magnet_service.cli.terminal import STDERR, STDOUT, grid, number, print_json, sheet_of
from magnet_service.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Banks: stored latents with their volumes, from which draws are made.")

_Law = Annotated[BaseWord, typer.Option(help="Law of the latents.", rich_help_panel="What to draw")]
_Id = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Bank, 16 hexadecimal digits.")]


@app.command()
def build(
    generator: GeneratorName,
    rows: Annotated[int, typer.Option(help="Rows that the bank shall have at the end.")] = 10_240,
    condition: Condition = None,
    all_conditions: AllConditions = False,
    seed: Annotated[int, typer.Option(help="Seed of the latents.", rich_help_panel="What to draw")] = 0,
    base: _Law = "prior",
    ball_radius: BallRadius = None,
    box: Box = None,
    manifold: Manifold = "output",
    precision: Precision = "float32",
    workers: Workers = None,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Builds a bank, or grows it, and shows how far it is.

    Stopped at any moment, rows that are complete stay, and the same command continues; a server goes on by itself.

    Example: magnet bank build fashion --rows 1000000 --workers 2 --store s3://bucket/banks
    """
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=json or not STDERR.is_terminal,
    )
    domain = interval(box, "box")
    if all_conditions and condition is not None:
        raise InvalidInput("--condition and --all-conditions are both given: write one of them.", field="condition")
    alone = local or workers is not None
    with ended_by_sigterm(), connected(address, alone, repository, store, workers=workers) as client, bar:
        task = bar.add_task(f"bank of {generator}", total=rows, rate="")

        def shown(label: str, state: BuildState) -> None:
            rate = f"{state.rows_per_second:,.0f} rows/s"
            told = f"bank of {generator}{label and f', {label}'}"
            bar.update(task, description=told, completed=state.rows_done, total=state.rows_total, rate=rate)

        each = classes_of(client, generator) if all_conditions else ((condition_of(client, generator, condition), ""),)
        try:
            banks = [
                client.build_bank(
                    generator,
                    rows,
                    condition=one,
                    seed=seed,
                    base=base,
                    ball_radius=ball_radius,
                    box=domain,
                    manifold=manifold,
                    precision=precision,
                    on_progress=partial(shown, label),
                )
                for one, label in each
            ]
        except (KeyboardInterrupt, Terminated):
            bar.stop()
            STDERR.print("stopped; rows that are complete stay, and the same command continues")
            raise
    if json:
        print_json(banks if all_conditions else banks[0])
    elif all_conditions:
        STDOUT.print(table(banks))
    else:
        STDOUT.print(facts(banks[0]))


@app.command("list")
def list_banks(
    generator: Annotated[str, typer.Option(metavar="NAME", help="Only those of this generator.")] = "",
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Lists the banks."""
    with connected(address, local, repository, store, timeout) as client:
        banks = client.banks(generator)
    if json:
        print_json(banks)
    elif not banks and not banks.unreadable:
        STDOUT.print("no banks yet: `magnet bank build NAME` makes one", markup=False)
    else:
        STDOUT.print(table(banks))
        for problem in banks.unreadable:
            STDOUT.print(f"unreadable: {problem}", markup=False, style="yellow")


@app.command()
def show(
    bank: _Id,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Describes one bank."""
    with connected(address, local, repository, store, timeout) as client:
        found = client.bank(bank)
    if json:
        print_json(found)
    else:
        STDOUT.print(facts(found))


@app.command()
def delete(
    bank: _Id,
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
) -> None:
    """Deletes a bank and its rows, for good."""
    with connected(address, local, repository, store, timeout) as client:
        client.delete_bank(bank)
    STDOUT.print(f"deleted {bank}", markup=False)


@app.command()
def polarity(
    generator: MaybeGeneratorName = None,
    rhos: Annotated[
        list[float] | None, typer.Option("--rho", help="Exponent of v_k; may be repeated. A grid if not given.")
    ] = None,
    top_ks: Annotated[
        list[int] | None, typer.Option("--top-k", help="k; may be repeated. A selection if not given.")
    ] = None,
    condition: Condition = None,
    base: _Law = "prior",
    ball_radius: BallRadius = None,
    box: Box = None,
    manifold: Manifold = "output",
    bank: Bank = None,
    bank_revision: BankRevision = None,
    precision: Precision = "float32",
    address: Address = None,
    local: Local = False,
    repository: Repositories = None,
    store: Store = None,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Tells which rho and k a bank supports: the ESS of each pair, marked where it is not to be trusted."""
    domain = interval(box, "box")
    with connected(address, local, repository, store, timeout) as client:
        found = client.describe_polarity(
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
        )
    if json:
        print_json(found)
    else:
        _print_polarity(found)


def _print_polarity(found: PolarityGrid) -> None:
    def cell(rho: float, top_k: int) -> str:
        one = found.cell(rho, top_k)
        mark = "!" if one.largest_weight > 0.2 or one.ess < 10 else "?" if (one.khat or 0.0) > 0.7 else " "
        return number(one.ess, 0) + mark

    columns = ("rho", *(f"k={top_k}>" for top_k in found.top_ks))
    STDOUT.print(
        sheet_of(
            [("base", found.base), ("bank", f"{found.bank_id}, {found.bank_revision:,} rows, {found.bank_reason}")]
        )
    )
    STDOUT.print(
        grid("", columns, ((f"{rho:g}", *(cell(rho, top_k) for top_k in found.top_ks)) for rho in found.rhos)), end=""
    )
    STDOUT.print("effective rows; ? k-hat above 0.7, ! nearly one sample repeated", style="dim")
    STDOUT.print(found.advice, markup=False)
