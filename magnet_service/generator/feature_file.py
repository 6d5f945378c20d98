"""The feature network that a card names: where its file lies, and the composition that the card states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from magnet_service.errors import InvalidInput, UnknownResource
from magnet_service.generator.card import GeneratorCard
from magnet_service.generator.composition import Composition
from magnet_service.generator.formats import read_file
from magnet_service.generator.generator import Generator
from magnet_service.generator.lowering import lower
from magnet_service.generator.program import Program

__all__ = ["Composed", "compose", "feature_path"]


@dataclass(frozen=True)
class Composed:
    """A generator as its card composes it.

    Attributes:
        generator: with the card's latent node and features.
        features: the parsed file of the feature network; None for none.
    """

    generator: Generator
    features: Program | None


def feature_path(card: GeneratorCard, home: Path) -> Path | None:
    """Where the file of a version's feature network lies.

    Arguments:
        card: of the generator.
        home: the version's folder, `generators/NAME/1`.

    Returns:
        The file in that folder, else the one in the generator's; None where the card names none.

    Raises:
        UnknownResource: neither folder holds it (field `features`).

    Accuracy: exact.
    """
    if not card.features:
        return None
    for folder in (home, home.parent):
        if (folder / card.features).is_file():
            return folder / card.features
    raise UnknownResource(
        f"The card of {card.name!r} says features = {card.features!r}, and neither {home} nor {home.parent} holds that "
        f"file; put it there, or give it with the version (--features).",
        field="features",
    )


def compose(generator: Generator, latent_node: str, file: Path | None) -> Composed:
    """What a latent node and a feature network make of a generator.

    Arguments:
        generator: the network of its file.
        latent_node: name of the inner value that is the latent; empty for the file's own.
        file: of the feature network, read as a generator's is; None for none.

    Returns:
        The composed generator; the same one where nothing is to be composed.

    Raises:
        InvalidInput: the feature network takes other shapes than the outputs, or a condition (field `features`).
        UnknownResource, Refused: as `Composition.parts`.
        The same as `read_file` and `lower` for the feature network.

    Accuracy: exact.
    """
    if not latent_node and file is None:
        return Composed(generator, None)
    program = None if file is None else read_file(file)
    if program is not None and program.condition is not None:
        raise InvalidInput(f"The feature network {file} takes a condition; export it without.", field="features")
    composition = Composition(latent_node, None if program is None else lower(program))
    return Composed(generator.composed(composition), program)
