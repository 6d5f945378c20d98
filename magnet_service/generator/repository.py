"""The folder form of a repository, `NAME/generator.toml` and `NAME/1/generator.pt2` or `.onnx`: added whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from magnet_service.errors import DuplicateResource, InvalidInput, Refused, UnknownResource
from magnet_service.generator.card import GeneratorCard, check_name, infer_layout
from magnet_service.generator.card_file import CARD_FILE, read_card, render_card
from magnet_service.generator.condition import ConditionCard
from magnet_service.generator.feature_file import compose, feature_path
from magnet_service.generator.formats import ARCHIVE_FILE, ONNX_FILE, PROBE_FILE, copy_into, read_file
from magnet_service.generator.generator import Generator
from magnet_service.generator.interpreter import interpret
from magnet_service.generator.onnx_runtime import runtime_reference
from magnet_service.generator.probe import ProbeSource, probe_beside, probe_latents, read_probe, write_probe
from magnet_service.generator.program import Program
from magnet_service.generator.staging import publish, staging
from magnet_service.generator.verify import Verification
from magnet_service.generator.verify_composition import verify_composition
from magnet_service.generator.verify_conditions import implied_condition, probe_conditions, verify_all
from magnet_service.generator.versions import (
    check_fit,
    generator_names,
    load_version,
    verify_version,
    versions,
)

__all__ = [
    "add_generator",
    "generator_names",
    "load_version",
    "read_card",
    "verify_version",
    "versions",
]


def add_generator(
    repository: Path,
    name: str,
    file: Path,
    *,
    prior: str | None = None,
    output_range: tuple[float, float] | None = None,
    layout: str | None = None,
    labels: tuple[str, ...] | None = None,
    training_shares: tuple[float, ...] | None = None,
    condition: ConditionCard | None = None,
    description: str | None = None,
    licence: str | None = None,
    source: str | None = None,
    latent_node: str | None = None,
    features: Path | None = None,
    new_version: bool = False,
    check: Callable[[GeneratorCard], None] | None = None,
) -> tuple[GeneratorCard, int, Verification]:
    """Verify a copy of a `.pt2` or `.onnx` file and make it a generator of a repository, at once or not at all.

    The probe beside the file, `a.probe.npz` for `a.pt2` or a version's `probe.npz`, is taken along where it was written
    for that very file; else the outputs of onnxruntime, for an `.onnx` file where it is installed, or the interpreter's
    are stored in its place. Data files that an `.onnx` file names are taken along too.

    Arguments:
        repository: the folder above the generators' own; it is made if missing.
        name: of the generator.
        file: a `.pt2` archive, or a file whose name ends in `.onnx`.
        prior: law of the latents, `normal` unless given.
        output_range: smallest and largest output, (-1, 1) unless given.
        layout: of one output; inferred from its shape unless given.
        labels: names of the classes of the training set.
        training_shares: their shares in it.
        condition: the conditions that it takes; of a conditional file without, one-hot of its input's width. An
            index must be described, or have labels, since its file does not say how many classes there are.
        description: free text.
        licence: of the weights.
        source: where they come from.
        latent_node: name of the inner value that shall be the latent, as the list of its operations has it.
        features: file of a feature network that takes its outputs; copied beside `generator.toml`, or, with a new
            version, into that version's folder.
        new_version: add the next version of a generator that exists; then all fields that are given must be those of
            its card.
        check: called with the card before anything is published; what it raises stops the addition.

    Returns:
        The card, the number of the version, and what was verified.

    Raises:
        InvalidInput: the name or a field of the card is wrong; there is no such file.
        DuplicateResource: the name is taken and `new_version` was not asked for.
        UnknownResource: `new_version` of a generator that does not exist.
        Refused: reason CARD_CONFLICT where a new version contradicts the card; else as `read_file` and `verify`.
        DamagedData: the file or its probe is damaged.
        OutOfSpace: the device is full; nothing is left behind.
        Whatever `check` raises; nothing is left behind.

    Accuracy: as `verify` says.
    """
    folder = repository / check_name(name)
    existing = _existing_card(folder, new_version)
    given: dict[str, Any] = {
        "prior": prior,
        "value_range": None if output_range is None else tuple(float(bound) for bound in output_range),
        "layout": layout,
        "labels": labels,
        "training_shares": training_shares,
        "condition": condition,
        "description": description,
        "licence": licence,
        "source": source,
        "latent_node": latent_node,
        "features": None if features is None else features.name,
    }
    wanted = {field: value for field, value in given.items() if value is not None}
    read_file(file)  # refuse it before anything is written, by the name that the user knows
    with staging(repository if existing is None else folder) as stage:
        home = stage / "1"
        home.mkdir()
        copy = copy_into(file, home)
        program = read_file(copy)  # what is verified is the copy that stays
        plain = Generator.from_program(program)
        node = latent_node or ("" if existing is None else existing.latent_node)
        composed = compose(plain, node, _features(features, existing, folder, stage, home))
        generator = composed.generator
        card = _card(existing, name, generator, wanted)
        if check is not None:
            check(card)
        verification = _verify_new(plain, program, card.condition, file, copy)
        verification = verify_composition(verification, generator, program, composed.features)
        if existing is not None:
            version = max(versions(folder), default=0) + 1
            publish(home, folder / str(version))
            return card, version, verification
        (stage / CARD_FILE).write_text(render_card(card), encoding="utf-8")
        publish(stage, folder)
        return card, 1, verification


def _features(given: Path | None, existing: GeneratorCard | None, folder: Path, stage: Path, home: Path) -> Path | None:
    if given is None:
        # A version that has no file of its own reads the one beside generator.toml.
        return None if existing is None else feature_path(existing, folder / "NEW_VERSION")
    target = (stage if existing is None else home) / given.name
    try:
        shutil.copyfile(given, target)
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {given}.", field="features") from error
    return target


def _existing_card(folder: Path, new_version: bool) -> GeneratorCard | None:
    if not folder.exists():
        if new_version:
            raise UnknownResource(f"There is no generator {folder.name!r} to add a version to; leave out new_version.")
        return None
    if not new_version:
        raise DuplicateResource(
            f"The name {folder.name!r} is taken in {folder.parent}; choose another, or ask for a new version of it "
            f"(new_version, --new-version).",
            field="name",
        )
    return read_card(folder)


def _card(existing: GeneratorCard | None, name: str, generator: Generator, wanted: dict[str, Any]) -> GeneratorCard:
    if existing is None:
        layout = infer_layout(generator.output_shape) if "layout" not in wanted else wanted["layout"]
        condition = wanted.get("condition", implied_condition(generator, wanted.get("labels", ())))
        card = GeneratorCard(name, generator.latent_dim, **{**wanted, "layout": layout, "condition": condition})
    else:
        card = existing
        for field, value in wanted.items():
            if value != getattr(existing, field):
                raise Refused(
                    f"The card of {name!r} says {field} = {getattr(existing, field)!r}, not {value!r}: a version "
                    f"cannot change it. Add the file under another name.",
                    field=field,
                    reason="CARD_CONFLICT",
                )
    check_fit(card, generator)
    return card


def _verify_new(
    generator: Generator, program: Program, condition: ConditionCard | None, file: Path, copy: Path
) -> Verification:
    beside = probe_beside(file)
    if file.name in (ARCHIVE_FILE, ONNX_FILE) and not beside.is_file():
        beside = file.with_name(PROBE_FILE)  # the file is a version of another repository
    probe = read_probe(beside)
    kept = copy.with_name(PROBE_FILE)
    runtime = runtime_reference(copy, program) if copy.name == ONNX_FILE else None
    if probe is not None and probe.belongs_to(copy):
        shutil.copyfile(beside, kept)
        return verify_all(generator, program, probe, condition, runtime=runtime)
    latents = probe_latents(generator.latent_dim)
    rows = probe_conditions(generator, condition, len(latents))
    outputs = None if runtime is None else runtime(latents, rows)
    source: ProbeSource = "interpreter" if outputs is None else "onnxruntime"
    if outputs is None:
        outputs = interpret(program, latents, rows).detach()
    probe = write_probe(kept, copy, latents, outputs, source, rows)
    return verify_all(generator, program, probe, condition, runtime=runtime)
