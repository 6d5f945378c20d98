"""Where a worker reads a generator from: a folder of its machine, or files that came with the recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from magnet_service.errors import UnknownResource
from magnet_service.generator import Generator, GeneratorCard, load_version, read_card
from magnet_service.generator.card_file import CARD_FILE
from magnet_service.generator.feature_file import feature_path
from magnet_service.generator.formats import PROBE_FILE, version_file
from magnet_service.generator.onnx_reader import data_files

__all__ = ["Carried", "Kept"]


@dataclass(frozen=True)
class Kept:
    """A version of a generator in a repository that the worker reads too.

    Attributes:
        folder: `REPOSITORY/NAME`.
        version: its number.
    """

    folder: Path
    version: int

    def load(self) -> tuple[Generator, GeneratorCard]:
        """The generator and its card; raises as `load_version`."""
        generator, card, _ = load_version(self.folder, self.version)
        return generator, card

    def carried(self) -> Carried:
        """The same version as bytes.

        Returns:
            The card, the archive with its data files, its probe, and the file of its feature network.

        Raises:
            UnknownResource: there is no such generator or version, or its feature network is missing.
            Refused, DamagedData: an `.onnx` file that names data files which are not there.

        Accuracy: bit for bit.
        """
        card = read_card(self.folder)
        home = self.folder / str(self.version)
        archive = version_file(home)
        if archive is None:
            raise UnknownResource(f"Generator {card.name!r} has no version {self.version}.", field="generator")
        features = feature_path(card, home)
        files = {self.folder / CARD_FILE, *_with_data(archive), *([] if features is None else _with_data(features))}
        if (home / PROBE_FILE).is_file():
            files.add(home / PROBE_FILE)
        held = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in sorted(files)}
        return Carried(self.folder.name, self.version, held)


@dataclass(frozen=True)
class Carried:
    """A version of a generator whose files travel with the recipe, to machines that share no disk.

    Attributes:
        name: of the generator.
        version: its number.
        files: by their paths in the generator's folder.
    """

    name: str
    version: int
    files: dict[str, bytes]

    def load(self) -> tuple[Generator, GeneratorCard]:
        """The generator and its card, read from a temporary folder by the loader of all others.

        Returns:
            The generator, float32 on the CPU, and the card.

        Raises:
            The same as `load_version`; OSError: there is no room for the files.

        Accuracy: as `load_version`.
        """
        with tempfile.TemporaryDirectory(prefix="magnet-generator-") as place:
            folder = Path(place) / self.name
            for name, data in self.files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return Kept(folder, self.version).load()

    def carried(self) -> Carried:
        """Itself."""
        return self


def _with_data(file: Path) -> Iterator[Path]:
    yield file
    if file.suffix.lower() == ".onnx":
        yield from (file.parent / name for name in data_files(file))
