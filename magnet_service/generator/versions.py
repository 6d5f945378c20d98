"""Versions of the generators in a repository folder: listed, loaded and verified."""

from __future__ import annotations

import re
from pathlib import Path

from magnet_service.errors import DamagedData, InvalidInput, UnknownResource
from magnet_service.generator.card import GeneratorCard
from magnet_service.generator.card_file import CARD_FILE, read_card
from magnet_service.generator.feature_file import compose, feature_path
from magnet_service.generator.formats import ARCHIVE_FILE, ONNX_FILE, PROBE_FILE, read_file, version_file
from magnet_service.generator.generator import Generator
from magnet_service.generator.onnx_runtime import runtime_reference
from magnet_service.generator.probe import read_probe
from magnet_service.generator.verify import Verification
from magnet_service.generator.verify_composition import verify_composition
from magnet_service.generator.verify_conditions import check_condition, verify_all

__all__ = [
    "check_fit",
    "generator_names",
    "load_version",
    "verify_version",
    "versions",
]

_VERSION = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def generator_names(repository: Path) -> tuple[str, ...]:
    """Return the names of all generators in a repository, sorted; those of a folder that does not exist are none.

    Arguments:
        repository: the folder above the generators' own.

    Returns:
        Names of the folders that hold a `generator.toml`.

    Raises:
        OSError: the folder cannot be listed.

    Accuracy: exact.
    """
    if not repository.is_dir():
        return ()
    return tuple(
        sorted(
            entry.name
            for entry in repository.iterdir()
            if not entry.name.startswith(".") and (entry / CARD_FILE).is_file()
        )
    )


def versions(folder: Path) -> tuple[int, ...]:
    """Return the versions of one generator, ascending.

    Arguments:
        folder: `generators/NAME`.

    Returns:
        The numbers of the folders in it that hold a generator's file.

    Raises:
        UnknownResource: there is no such folder.

    Accuracy: exact.
    """
    if not folder.is_dir():
        raise UnknownResource(f"There is no generator in {folder}.")
    return tuple(
        sorted(
            int(entry.name)
            for entry in folder.iterdir()
            if _VERSION.fullmatch(entry.name) and any((entry / name).is_file() for name in (ARCHIVE_FILE, ONNX_FILE))
        )
    )


def load_version(folder: Path, version: int | None = None) -> tuple[Generator, GeneratorCard, int]:
    """Read one version of a generator and verify it.

    Arguments:
        folder: `generators/NAME`.
        version: its number; the newest unless given.

    Returns:
        The generator (float32, CPU), its card, and the version taken.

    Raises:
        UnknownResource: no such generator or version.
        InvalidInput: `generator.toml` is wrong or does not fit the network; `field` names the key.
        Refused, DamagedData: as `read_file`, `Generator.from_program` and `verify` raise them.

    Accuracy: as `verify` says.
    """
    generator, card, chosen, _ = _load(folder, version, thorough=False)
    return generator, card, chosen


def verify_version(folder: Path, version: int | None = None) -> tuple[Verification, GeneratorCard, int]:
    """Verify one version of a generator as `add_generator` does, and say what was found.

    Arguments:
        folder: `generators/NAME`.
        version: its number; the newest unless given.

    Returns:
        The verification, the card, and the version taken.

    Raises:
        The same as `load_version`.

    Accuracy: as `verify` says.
    """
    _, card, chosen, verification = _load(folder, version, thorough=True)
    return verification, card, chosen


def check_fit(card: GeneratorCard, generator: Generator) -> None:
    """Compare a card with the network that it describes.

    Arguments:
        card: what generator.toml says.
        generator: the network.

    Returns:
        Nothing.

    Raises:
        InvalidInput: `latent_dim`, `output.layout` or `condition` do not fit.

    Accuracy: exact.
    """
    if card.latent_dim != generator.latent_dim:
        raise InvalidInput(
            f"The card of {card.name!r} says latent_dim = {card.latent_dim}, its archive takes {generator.latent_dim}.",
            field="latent_dim",
        )
    card.check_output(generator.output_shape)
    check_condition(card.condition, generator)


def _load(folder: Path, version: int | None, *, thorough: bool) -> tuple[Generator, GeneratorCard, int, Verification]:
    card = read_card(folder)
    found = versions(folder)
    chosen = max(found, default=None) if version is None else version
    if chosen not in found or chosen is None:
        listed = ", ".join(map(str, found)) or "none"
        raise UnknownResource(f"Generator {card.name!r} has no version {chosen}; it has: {listed}.")
    home = folder / str(chosen)
    file = version_file(home)
    if file is None:
        raise UnknownResource(f"{home} holds neither {ARCHIVE_FILE} nor {ONNX_FILE} any more.")
    program = read_file(file)
    plain = Generator.from_program(program)
    composed = compose(plain, card.latent_node, feature_path(card, home))
    generator = composed.generator
    check_fit(card, generator)
    probe = read_probe(home / PROBE_FILE)
    if probe is not None and not probe.belongs_to(file):
        raise DamagedData(
            f"{home / PROBE_FILE} was written for another archive than the {file.name} beside it: one of them was "
            f"replaced. Add the generator again."
        )
    runtime = None
    if file.name == ONNX_FILE and (thorough or probe is None or probe.source == "interpreter"):
        runtime = runtime_reference(file, program)
    found_by = verify_all(plain, program, probe, card.condition, runtime=runtime, thorough=thorough)
    found_by = verify_composition(found_by, generator, program, composed.features)
    return generator, card, chosen, found_by
