"""Generators by name and version: found in the repositories, verified when loaded, kept."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from magnet_service.errors import InvalidInput, MagnetError, Refused, UnknownResource
from magnet_service.generator import Generator
from magnet_service.generator.card import GeneratorCard
from magnet_service.generator.condition import Condition
from magnet_service.generator.formats import version_file
from magnet_service.generator.repository import generator_names, load_version, verify_version, versions
from magnet_service.generator.verify import Verification
from magnet_service.sampling import Law, prior_law

__all__ = ["GeneratorShelf", "HeldGenerator", "Listing"]

_REFERENCE = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})(?:@([1-9]\d{0,8}))?", re.ASCII)


@dataclass(frozen=True)
class HeldGenerator:
    """A generator in memory.

    Attributes:
        name: as its folder is called.
        version: its number.
        versions: all versions on disk when it was asked for, ascending.
        card: what its `generator.toml` says.
        generator: the network, float32 on the CPU.
        prior: its own law of latents.
        folder: `REPOSITORY/NAME`.
        format: of the version's file, `pt2` or `onnx`.
        condition: the one that `generator` computes for; None where it takes none, or where it is open.
    """

    name: str
    version: int
    versions: tuple[int, ...]
    card: GeneratorCard
    generator: Generator
    prior: Law
    folder: Path
    format: str
    condition: Condition | None = None

    @property
    def reference(self) -> str:
        """`name@version`, as a request writes it."""
        return f"{self.name}@{self.version}"

    def check_top_k(self, top_k: int) -> None:
        """InvalidInput for a k above the Jacobian's columns; field `top_k`."""
        columns = self.prior.columns
        if top_k > columns:
            raise InvalidInput(f"top_k is {top_k}; write 1 to {columns}, or 0 for the default.", field="top_k")


@dataclass(frozen=True)
class Listing:
    """A name in a repository, and its newest version or why it cannot be used."""

    name: str
    held: HeldGenerator | None
    problem: str


class GeneratorShelf:
    """Finds generators in several repositories, the first that has a name wins, and keeps what it has loaded.

    A version's files do not change; where its archive or card was replaced all the same, it is loaded again.

    Arguments:
        repositories: folders, the ones looked at first coming first.
    """

    def __init__(self, repositories: Sequence[Path]) -> None:
        self._repositories = tuple(repositories)
        self._held: dict[tuple[Path, int], tuple[tuple[int, ...], Generator, GeneratorCard]] = {}
        self._verified: dict[tuple[Path, int], tuple[tuple[int, ...], Verification]] = {}

    def names(self) -> tuple[str, ...]:
        """All names, sorted; nothing is loaded."""
        return tuple(sorted({name for repository in self._repositories for name in generator_names(repository)}))

    def listings(self) -> tuple[Listing, ...]:
        """Every name with its newest version loaded; one that does not load says why and hinders no other."""
        return tuple(self._listing(name) for name in self.names())

    def get(self, reference: str) -> HeldGenerator:
        """Loads a generator, or finds it loaded.

        Arguments:
            reference: `name` or `name@version`.

        Returns:
            That version, the newest one where none is written.

        Raises:
            InvalidInput: no such form of a name; `field` is `generator`.
            UnknownResource: no such generator or version.
            Refused: it does not pass its verification, holds what is never read, or its card is wrong (BAD_CARD).
            DamagedData: its files are damaged.

        Accuracy: as `verify` says of what it compared.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise InvalidInput(
                f"generator is {reference[:80]!r}; write `name` or `name@version`, the name of a-z, 0-9, - and _.",
                field="generator",
            )
        name = match.group(1)
        folder = self._folder(name)
        found = versions(folder)
        if not found:
            raise UnknownResource(f"Generator {name} has no version.", field="generator", metadata={"name": reference})
        version = int(match.group(2) or found[-1])
        if version not in found:
            listed = ", ".join(f"{name}@{number}" for number in found)
            raise UnknownResource(
                f"There is no generator {reference}; there are: {listed}.",
                field="generator",
                metadata={"name": reference},
            )
        generator, card = self._load(folder, version)
        prior = prior_law(card.prior, generator)
        file = version_file(folder / str(version))
        form = "" if file is None else file.suffix.removeprefix(".")
        return HeldGenerator(name, version, found, card, generator, prior, folder, form)

    def reference_of(self, digest: str) -> str:
        """Finds a generator by its digest.

        Arguments:
            digest: as a bank has it.

        Returns:
            `name@version`, the newest versions looked at first; empty if there is none that loads.

        Raises:
            Nothing.

        Accuracy: exact.
        """
        newest = [listing.held for listing in self.listings() if listing.held is not None]
        for held in newest:
            if held.generator.digest == digest:
                return held.reference
        for reference in (f"{held.name}@{version}" for held in newest for version in reversed(held.versions)):
            with contextlib.suppress(MagnetError):  # an old version that does not load is not the one
                if self.get(reference).generator.digest == digest:
                    return reference
        return ""

    def labels_of(self, reference: str) -> tuple[str, ...]:
        """Labels of a generator's classes; none where it has none, or is not held here."""
        try:
            conditions = self.get(reference).card.conditions
        except MagnetError:
            return ()
        return () if conditions is None else conditions.labels

    def verification(self, held: HeldGenerator) -> Verification:
        """Verifies a generator in full, once.

        Arguments:
            held: from `get`.

        Returns:
            Against which reference, the errors found, and whether bits depend on place or neighbours.

        Raises:
            The same as `get`.

        Accuracy: as `verify` says.
        """
        key = (held.folder, held.version)
        marks = _marks(*key)
        known = self._verified.get(key)
        if known is None or known[0] != marks:
            known = (marks, verify_version(*key)[0])
            self._verified[key] = known
        return known[1]

    def _listing(self, name: str) -> Listing:
        try:
            return Listing(name, self.get(name), "")
        except MagnetError as error:
            return Listing(name, None, error.message)

    def _folder(self, name: str) -> Path:
        for repository in self._repositories:
            if name in generator_names(repository):
                return repository / name
        listed = ", ".join(self.names()) or "none"
        raise UnknownResource(
            f"There is no generator {name}; there are: {listed}.", field="generator", metadata={"name": name}
        )

    def _load(self, folder: Path, version: int) -> tuple[Generator, GeneratorCard]:
        marks = _marks(folder, version)
        known = self._held.get((folder, version))
        if known is None or known[0] != marks:
            try:
                generator, card, _ = load_version(folder, version)
                prior_law(card.prior, generator)
            except (InvalidInput, UnknownResource) as error:  # the card is at fault, not the request
                raise Refused(error.message, field="generator", reason="BAD_CARD") from error
            known = (marks, generator, card)
            self._held[folder, version] = known
        return known[1:]


def _marks(folder: Path, version: int) -> tuple[int, ...]:
    # Beside the card a feature network may lie, which all versions share.
    files = [*sorted(folder.glob("*.*")), *sorted((folder / str(version)).rglob("*"))]
    stats = [file.stat() for file in files if file.is_file()]
    return tuple(number for stat in stats for number in (stat.st_mtime_ns, stat.st_size))
