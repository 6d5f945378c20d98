"""`magnet bank import|export`: MaGNET's volume files in and out of a store, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magnet_client import codec
from magnet_client.words import ManifoldWord
from magnet_service.cli.bank_sheet import facts, table
from magnet_service.cli.conditions import read_condition
from magnet_service.cli.connection import settings
from magnet_service.cli.failures import needs_server_parts
from magnet_service.cli.options import Json, Repositories
from magnet_service.cli.terminal import STDOUT, number, print_json

if TYPE_CHECKING:
    from magnet_service.generator.condition import Condition

__all__ = ["export_banks", "import_file"]

_WHERE = "Where it is done"

_Store = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Folder or URL of the banks; that of the settings unless set. Servers on it see the bank at once.",
        rich_help_panel=_WHERE,
    ),
]


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", show_default=False, help="Of `latents` and `svds`.")],
    generator: Annotated[
        str, typer.Option(metavar="NAME", show_default=False, help="Whose volumes they are; it need not be held here.")
    ],
    law: Annotated[
        str | None,
        typer.Option(metavar="LAW", help="Of the latents, as truncated_normal(bound=2); the generator's, else normal."),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(metavar="LABEL|INDEX|X,Y,..", help="Condition of all rows; of a file with labels, the one class."),
    ] = None,
    manifold: Annotated[ManifoldWord, typer.Option(help="Where the volumes were taken.")] = "output",
    repository: Repositories = None,
    store: _Store = None,
    json: Json = False,
) -> None:
    """Makes a bank of a published volume file, or one of each class that its labels name.

    Example: magnet bank import ffhq.npz --generator ffhq
    """
    try:
        from magnet_service.generator import Manifold
        from magnet_service.registry import import_banks
        from magnet_service.registry.generators import GeneratorShelf
        from magnet_service.rpc.wire.banks import bank_message
        from magnet_service.sampling import Store
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error
    here = settings(repositories=repository or None, store=store)
    shelf = GeneratorShelf(here.generator_folders)
    found = import_banks(
        shelf,
        Store(here.store),
        file,
        generator,
        law=law,
        condition=None if condition is None else _condition(condition, shelf.labels_of(generator)),
        manifold=Manifold(manifold),
    )
    reference = "" if found.held is None else found.held.reference
    labels = shelf.labels_of(reference) if reference else ()
    banks = [codec.decode_bank(bank_message(one.bank, reference, labels)) for one in found.banks]
    notes = _notes(
        zero=sum(one.zero_rows for one in found.banks),
        unsorted=sum(one.unsorted_rows for one in found.banks),
        doubt=found.banks[0].doubt,
        missing=generator if found.held is None else "",
        law="" if law else found.law.to_text(),
    )
    if json:
        print_json({"banks": banks, "notes": notes})
        return
    STDOUT.print(facts(banks[0]) if len(banks) == 1 else table(banks))
    for note in notes:
        STDOUT.print(note, markup=False, soft_wrap=True)


def export_banks(
    banks: Annotated[
        list[str],
        typer.Argument(metavar="ID...", show_default=False, help="A bank, or the banks of several classes."),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", show_default=False, help="Replaced if it is there.")],
    repository: Repositories = None,
    store: _Store = None,
    json: Json = False,
) -> None:
    """Writes a bank as a volume file, or the banks of several classes as one with labels."""
    try:
        from magnet_service.registry import export_banks as written
        from magnet_service.registry.generators import GeneratorShelf
        from magnet_service.sampling import Store
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error
    here = settings(repositories=repository or None, store=store)
    told = written(GeneratorShelf(here.generator_folders), Store(here.store), banks, file)
    if json:
        print_json(told)
        return
    arrays = f"latents float32, svds {told.type} [{told.rows:,}, {told.columns}]"
    labels = f", labels of {told.classes} classes" if told.classes else ""
    STDOUT.print(f"wrote {told.path}: {arrays}{labels}", markup=False, soft_wrap=True)
    if told.left_out:
        STDOUT.print(f"{number(told.left_out)} rows that are not finite are left out", markup=False)
    if told.zero_rows:
        STDOUT.print(f"{number(told.zero_rows)} rows have rank 0: readers of such files drop them", markup=False)


def _condition(text: str, labels: tuple[str, ...]) -> Condition:
    from magnet_service.generator.condition import Condition

    read = text if text in labels else read_condition(text)
    if isinstance(read, str):
        return Condition(label=read)
    return Condition(index=read) if isinstance(read, int) else Condition(vector=tuple(read))


def _notes(*, zero: int, unsorted: int, doubt: str, missing: str, law: str) -> list[str]:
    notes = []
    if zero:
        notes.append(f"{zero:,} rows without a singular value above 0 are left out")
    if unsorted:
        notes.append(f"{unsorted:,} rows had their singular values in another order, and have them sorted")
    if missing:
        notes.append(f"no generator {missing} here: draws give latents and diagnostics, images once it is added")
    if law:
        notes.append(f"latents are taken for draws of {law}; --law names another")
    if doubt:
        notes.append(f"doubtful: {doubt}")
    return notes
