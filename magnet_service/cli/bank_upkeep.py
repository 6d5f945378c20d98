"""`magnet bank verify|compact|copy`: banks looked after where their store can be reached, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from magnet_service.cli.connection import settings
from magnet_service.cli.failures import needs_server_parts
from magnet_service.cli.options import Json
from magnet_service.cli.signals import ended_by_sigterm
from magnet_service.cli.terminal import STDERR, STDOUT, grid, print_json, size
from magnet_service.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from magnet_service.sampling import Bank, Store

__all__ = ["compact", "copy", "verify"]

_Banks = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", show_default=False, help="Banks; all of the store if none.")
]
_Bank = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Bank, 16 hexadecimal digits.")]
_Store = Annotated[
    str | None, typer.Option(metavar="PLACE", help="Folder or URL of the banks; the settings' if not given.")
]


def verify(
    banks: _Banks = None,
    repair: Annotated[bool, typer.Option("--repair", help="Compute damaged shards again.")] = False,
    repository: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="With --repair: folder of generators; may be repeated.")
    ] = None,
    store: _Store = None,
    json: Json = False,
) -> None:
    """Reads every shard of banks and checks it against its digests; exit code 1 if one is damaged and stays so,
    or cannot be opened.

    Example: magnet bank verify --store s3://bucket/banks
    """
    reports = []
    found, unreadable = _opened(_store(store), banks)
    with _bar("verifying", sum(bank.revision for bank in found)) as advance:
        for bank in found:
            problems = _problems(bank, advance)
            repaired = bool(problems) and repair
            if repaired:
                _repaired(bank, problems, repository, store)
            reports.append((bank, problems, repaired))
    if json:
        print_json([_report_json(*report) for report in reports])
    elif not reports:
        STDOUT.print("no banks here")
    else:
        STDOUT.print(grid("", ("id", "rows>", "shards>", "size>", "state"), (_row(*report) for report in reports)))
        for _, problems, _ in reports:
            for problem in problems.values():
                STDOUT.print(problem, markup=False, style="yellow", soft_wrap=True)
    if unreadable or any(problems and not repaired for _, problems, repaired in reports):
        raise typer.Exit(1)


def compact(
    bank: _Bank,
    shard_rows: Annotated[int, typer.Option(help="Rows of a shard afterwards, a multiple of the tile rows.")] = 2**20,
    store: _Store = None,
    json: Json = False,
) -> None:
    """Stores a bank's rows in larger shards: fewer objects, which object stores read faster. Its id and rows stay.

    Example: magnet bank compact 0123456789abcdef --shard-rows 1048576
    """
    from magnet_service.sampling.banks.transfer import compact as compacted

    found = _store(store).open(bank)
    with _bar("compacting", found.revision) as advance:
        after = compacted(found, shard_rows, on_rows=advance)
    facts = {"bank_id": after.id, "rows": after.revision, "shards": len(after.manifest.shards), "bytes": after.bytes}
    if json:
        print_json(facts)
    else:
        STDOUT.print(
            f"bank {after.id}: {after.revision:,} rows in {len(after.manifest.shards):,} shards, "
            f"{len(found.manifest.shards):,} before ({size(after.bytes)})"
        )


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", show_default=False, help="Store: a folder or a URL.")],
    target: Annotated[str, typer.Argument(metavar="TO", show_default=False, help="Store: a folder or a URL.")],
    bank: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this bank; may be repeated. All if none.")
    ] = None,
    json: Json = False,
) -> None:
    """Copies banks from one store to another, each shard checked on its way; stopped, the same command goes on.

    Exit code 1 if there are banks that cannot be opened; the others are copied.

    Example: magnet bank copy ./banks s3://bucket/banks
    """
    from_store, to_store = _store(source), _store(target)
    if from_store.place.url == to_store.place.url:
        raise InvalidInput(f"FROM and TO are both {source}: write two stores", field="to")
    from magnet_service.sampling.banks.transfer import copy_bank

    found, unreadable = _opened(from_store, bank)
    with _bar("copying", sum(one.revision for one in found)) as advance:
        copies = [copy_bank(one, to_store.place.child(one.id), on_rows=advance) for one in found]
    if json:
        print_json([{"bank_id": one.id, "rows": one.revision, "bytes": one.bytes} for one in copies])
    elif not copies:
        STDOUT.print("no banks here")
    else:
        STDOUT.print(
            grid("", ("id", "rows>", "size>"), ((one.id, f"{one.revision:,}", size(one.bytes)) for one in copies))
        )
    if unreadable:
        raise typer.Exit(1)


def _store(where: str | None) -> Store:
    here = settings(store=where)
    try:
        from magnet_service.sampling import Store
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error
    return Store(here.store)


def _opened(store: Store, banks: list[str] | None) -> tuple[list[Bank], bool]:
    """The banks named, or all; and whether there are others, which are told, that cannot be opened."""
    if banks:
        return [store.open(bank) for bank in banks], False
    found, unreadable = store.survey()
    for name, problem in unreadable.items():
        STDERR.print(f"unreadable: {name}: {problem.message}", markup=False, style="yellow", soft_wrap=True)
    return list(found), bool(unreadable)


def _problems(bank: Bank, advance: Callable[[int], object]) -> dict[str, str]:
    """What is wrong with each damaged shard, by its file."""
    from magnet_service.sampling.banks.inspection import inspect

    problems = {}
    for finding in inspect(bank):
        advance(finding.entry.count)
        if finding.problem:
            problems[finding.entry.file] = finding.problem
    return problems


def _repaired(bank: Bank, problems: dict[str, str], repositories: list[Path] | None, store: str | None) -> None:
    from magnet_service.registry import Registry

    here = settings(repositories=repositories or None, store=store)
    registry = Registry(
        here.generator_folders,
        here.store,
        device=here.device,
        threads=bank.spec.threads,
        tile_rows=bank.spec.tile_rows,
        max_memory=here.max_memory,
    )
    with _bar("repairing", sum(entry.count for entry in bank.manifest.shards if entry.file in problems)) as advance:
        registry.repair(bank, tuple(problems), on_rows=advance)


def _row(bank: Bank, problems: dict[str, str], repaired: bool) -> tuple[str, ...]:
    state = "whole"
    if problems:
        state = f"{len(problems)} damaged" + (", computed again" if repaired else "")
    shards = f"{len(bank.manifest.shards):,}"
    return bank.id, f"{bank.revision:,}", shards, size(bank.bytes), state


def _report_json(bank: Bank, problems: dict[str, str], repaired: bool) -> dict[str, object]:
    return {
        "bank_id": bank.id,
        "rows": bank.revision,
        "shards": len(bank.manifest.shards),
        "damaged": problems,
        "repaired": repaired,
    }


@contextmanager
def _bar(what: str, rows: int) -> Iterator[Callable[[int], object]]:
    """Shows how many rows are done, on a terminal; yields what is told of rows. SIGTERM ends it as Ctrl-C does."""
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=not STDERR.is_terminal,
    )
    with ended_by_sigterm(), bar:
        task = bar.add_task(what, total=rows)
        yield lambda count: bar.advance(task, count)
