"""Generators in a repository folder: added and verified in this process, without a server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from magnet_client import GeneratorInfo, Operation, RankStatistics
from magnet_service.cli.connection import settings
from magnet_service.cli.failures import needs_server_parts
from magnet_service.errors import InvalidInput

__all__ = ["Verified", "add_file", "verify_name"]

_RANK_LATENTS = 64


@dataclass(frozen=True)
class Verified:
    """A generator that passed its verification.

    Attributes:
        info: everything known of it, rank over 64 prior latents included.
        folder: of that version.
        bits_depend_on_position: whether a row's bits depend on its place in a tile; None where not asked.
        bits_depend_on_neighbours: the same for the rows beside it.
    """

    info: GeneratorInfo
    folder: Path
    bits_depend_on_position: bool | None
    bits_depend_on_neighbours: bool | None


def add_file(
    repository: Path | None,
    name: str,
    file: Path,
    *,
    prior: str | None,
    output_range: tuple[float, float] | None,
    layout: str | None,
    labels: str | None,
    training_shares: str | None,
    description: str | None,
    licence: str | None,
    source: str | None,
    new_version: bool,
) -> Verified:
    """Verify a copy of a file and make it a generator of a repository.

    Arguments:
        repository: folder; the first of the settings when None.
        name: of the generator.
        file: the archive.
        labels, training_shares: with commas between.
        prior, output_range, layout, description, licence, source, new_version: as in `add_generator`.

    Returns:
        What is known of it now.

    Raises:
        InvalidInput, DuplicateResource, UnknownResource, Refused, DamagedData, OutOfSpace: as `add_generator`; nothing
            is left behind.

    Accuracy: as `verify` says.
    """
    target = settings(repositories=_listed(repository)).repositories[0]
    names = None if labels is None else tuple(label.strip() for label in labels.split(","))
    shares = None if training_shares is None else _numbers(training_shares)
    try:
        from magnet_service.generator import GeneratorCard, add_generator
        from magnet_service.sampling import parse_law
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error

    def check(card: GeneratorCard) -> None:
        # The card knows the form of a law only; a law that nothing can draw from must not be published.
        try:
            parse_law(card.prior, card.latent_dim)
        except InvalidInput as error:
            raise InvalidInput(error.message, field="prior") from error

    _, version, _ = add_generator(
        target,
        name,
        file,
        prior=prior,
        output_range=output_range,
        layout=layout,
        labels=names,
        training_shares=shares,
        description=description,
        licence=licence,
        source=source,
        new_version=new_version,
        check=check,
    )
    return verify_name(target, f"{name}@{version}")


def verify_name(repository: Path | None, reference: str) -> Verified:
    """Load a generator, verify it, and measure its rank.

    Arguments:
        repository: looked in first; the settings' folders when None. The bundled ones come last.
        reference: `name` or `name@version`.

    Returns:
        What is known of it.

    Raises:
        InvalidInput, UnknownResource, Refused, DamagedData: as `load_version`.

    Accuracy: as `verify` says; rank is an estimate from 64 latents.
    """
    here = settings(repositories=_listed(repository))
    try:
        from magnet_service.geometry import Engine
        from magnet_service.registry.generators import GeneratorShelf
        from magnet_service.registry.spectrum import rank_statistics
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error
    shelf = GeneratorShelf(here.generator_folders)
    held = shelf.get(reference)
    verification = shelf.verification(held)
    rank = rank_statistics(held, Engine(threads=here.threads, tile_rows=here.tile_rows), _RANK_LATENTS)
    card, generator = held.card, held.generator
    info = GeneratorInfo(
        name=held.name,
        version=held.version,
        versions=held.versions,
        latent_dim=generator.latent_dim,
        output_shape=generator.output_shape,
        prior=held.prior.to_text(),
        digest=generator.digest,
        description=card.description,
        problem="",
        layout=card.layout,
        value_range=card.value_range,
        labels=card.labels,
        training_shares=card.training_shares,
        licence=card.licence,
        source=card.source,
        operations=tuple(
            Operation(name=node.name, operation=node.operation, kind=str(node.kind), shape=node.shape, units=node.units)
            for node in generator.summary
        ),
        units=generator.units,
        parameters=generator.parameters,
        piecewise_affine=generator.piecewise_affine,
        piecewise_affine_until=generator.piecewise_affine_until,
        smooth_inside=generator.smooth_inside,
        verified_against=verification.reference,
        forward_error=verification.forward_error,
        jacobian_error=verification.jacobian_error,
        rank=RankStatistics(**vars(rank)),
    )
    return Verified(
        info=info,
        folder=held.folder / str(held.version),
        bits_depend_on_position=verification.bits_depend_on_position,
        bits_depend_on_neighbours=verification.bits_depend_on_neighbours,
    )


def _listed(repository: Path | None) -> list[Path] | None:
    return None if repository is None else [repository]


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in re.split(r"\s*,\s*", text.strip()))
    except ValueError:
        raise InvalidInput(
            f"write numbers with commas between, as --training-shares=0.5,0.3,0.2; not {text!r}",
            field="training_shares",
        ) from None
