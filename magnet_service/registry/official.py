"""Published volume files beside the generators of a repository: whose they are, under which law and condition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from magnet_service.errors import InvalidInput, MagnetError, UnknownResource
from magnet_service.generator import Manifold
from magnet_service.generator.condition import Condition
from magnet_service.registry.conditions import named
from magnet_service.registry.generators import GeneratorShelf, HeldGenerator
from magnet_service.sampling import (
    BankSpec,
    ExportedFile,
    ImportedBank,
    Law,
    OfficialFile,
    Store,
    export_official,
    import_official,
    parse_law,
    read_official,
)

__all__ = ["Imports", "export_banks", "import_banks", "reference_of"]

_DEFAULT_LAW = "normal"


@dataclass(frozen=True)
class Imports:
    """What became of a file.

    Attributes:
        banks: one, or one for each class that has rows.
        held: the generator; None where none of that name is at hand.
        law: of the latents.
    """

    banks: tuple[ImportedBank, ...]
    held: HeldGenerator | None
    law: Law


def import_banks(
    generators: GeneratorShelf,
    store: Store,
    path: str | Path,
    generator: str,
    *,
    law: str | None = None,
    condition: Condition | None = None,
    manifold: Manifold = Manifold.OUTPUT,
    max_memory: int | None = None,
) -> Imports:
    """Reads a volume file into the store, as banks of a generator that may be held or not.

    Arguments:
        generators: where the generator is looked for.
        store: where the banks go.
        path: of the file.
        generator: `name` or `name@version`. Of one that is held the banks keep the digest, so that they are of that
            version alone; of one that is not, the name.
        law: of the latents, as `normal` or `truncated_normal(bound=2)`; where None that of the generator held, and
            `normal` where none is.
        condition: the condition of a file without labels, or the one class wanted of a file with them; by index where
            the generator is not held.
        manifold: whose volumes they are.
        max_memory: bytes that the import may take; where None a share of what is free now.

    Returns:
        The banks.

    Raises:
        InvalidInput: no such form of a name, latents of another width than the generator's (field `generator`), labels
            of other classes, a condition that is missing, unknown or not wanted (field `condition`), or as
            `read_official`, `parse_law` and `import_official`.
        UnknownResource: the name is held, that version is not.
        Refused, DamagedData, OutOfMemory, OutOfSpace, Unreachable: as `read_official`, `import_official` and
            `GeneratorShelf.get`.

    Accuracy: as `import_official`.
    """
    held = _held(generators, generator)
    file = read_official(path, max_memory=max_memory)
    if held is not None:
        held.generator.plan(manifold)  # refuses a manifold that it has not
        _check_width(file, held)
    of_latents = _law(file, held, law)
    banks = import_official(
        store,
        file,
        generator_name=generator,
        generator_digest="" if held is None else held.generator.digest,
        law=of_latents,
        condition=_condition(file, held, condition),
        manifold=manifold,
    )
    return Imports(banks, held, of_latents)


def export_banks(generators: GeneratorShelf, store: Store, bank_ids: list[str], path: str | Path) -> ExportedFile:
    """Writes banks of a store as one volume file; raises as `Store.open` and `export_official`."""
    banks = [store.open(bank_id) for bank_id in bank_ids]
    classes = 0
    if banks and banks[0].spec.condition.isdigit():
        reference = reference_of(generators, banks[0].spec)
        card = generators.get(reference).card.conditions if reference else None
        classes = 0 if card is None else card.classes
    return export_official(banks, path, classes=classes)


def reference_of(generators: GeneratorShelf, spec: BankSpec) -> str:
    """The generator of a bank, `name@version`: by digest, else by name if its latents fit; empty if there is none."""
    if spec.generator_digest:
        return generators.reference_of(spec.generator_digest)
    if not spec.generator_name:
        return ""
    try:
        held = generators.get(spec.generator_name)
    except MagnetError:
        return ""
    return held.reference if held.generator.latent_dim == spec.base_law.dim else ""


def _held(generators: GeneratorShelf, reference: str) -> HeldGenerator | None:
    try:
        return generators.get(reference)
    except UnknownResource:
        if reference.partition("@")[0] in generators.names():
            raise
        return None


def _check_width(file: OfficialFile, held: HeldGenerator) -> None:
    width, own = file.latents.shape[1], held.generator.latent_dim
    if width != own:
        raise InvalidInput(
            f"the latents of {file.name} are {width} numbers wide, {held.reference} takes {own}: name another",
            field="generator",
        )


def _law(file: OfficialFile, held: HeldGenerator | None, text: str | None) -> Law:
    if text is None and held is not None:
        return held.prior
    try:
        return parse_law(text or _DEFAULT_LAW, file.latents.shape[1])
    except InvalidInput as error:
        raise InvalidInput(error.message, field="law") from error


def _condition(file: OfficialFile, held: HeldGenerator | None, asked: Condition | None) -> Condition | None:
    """The condition of all rows, or the one class wanted; None for none, and for all classes of the labels."""
    if held is None:
        if asked is not None and asked.label is not None:
            raise InvalidInput(
                f"condition {asked.label!r} is a label, and the generator that knows it is not held: write an index",
                field="condition",
            )
        if asked is not None and file.labels is not None and asked.index is None:
            raise InvalidInput(f"{file.name} has labels of classes: write an index, or leave it out", field="condition")
        return asked
    card = held.card.conditions
    if file.labels is not None and (card is None or card.classes != file.classes):
        classes = 0 if card is None else card.classes
        raise InvalidInput(
            f"{file.name} has labels of {file.classes} classes, {held.reference} has {classes or 'none'}: name "
            "another generator",
            field="generator",
        )
    if file.labels is not None and asked is None:
        return None
    return named(held, asked).condition
