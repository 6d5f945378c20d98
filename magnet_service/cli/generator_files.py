"""Generators in a repository folder: added and verified in this process, without a server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from magnet_client import GeneratorInfo
from magnet_client.codec import decode_generator
from magnet_service.cli.connection import settings
from magnet_service.cli.failures import needs_server_parts
from magnet_service.errors import InvalidInput

__all__ = ["RANK_LATENTS", "Verified", "add_file", "verify_name"]

RANK_LATENTS = 256
"""Latents of the prior at which rank and spectrum are measured unless told otherwise."""


@dataclass(frozen=True)
class Verified:
    """A generator that passed its verification.

    Attributes:
        info: everything known of it.
        folder: of that version.
    """

    info: GeneratorInfo
    folder: Path


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
    condition: str | None,
    condition_labels: str | None,
    description: str | None,
    licence: str | None,
    source: str | None,
    latent_node: str | None = None,
    features: Path | None = None,
    new_version: bool,
    rank_latents: int = RANK_LATENTS,
    store: str | None = None,
) -> Verified:
    """Verify a copy of a file and make it a generator of a repository.

    Arguments:
        repository: folder; the first of the settings when None.
        name: of the generator.
        file: the archive.
        labels, training_shares, condition_labels: with commas between.
        condition: kind and number of classes, as `one_hot:10`.
        prior, output_range, layout, description, licence, source, latent_node, features, new_version: as in
            `add_generator`.
        rank_latents, store: as in `verify_name`.

    Returns:
        What is known of it now.

    Raises:
        InvalidInput, DuplicateResource, UnknownResource, Refused, DamagedData, OutOfSpace: as `add_generator`; nothing
            is left behind.

    Accuracy: as `verify` says.
    """
    _check(rank_latents)
    target = settings(repositories=_listed(repository)).repositories[0]
    names = None if labels is None else _names(labels)
    shares = None if training_shares is None else _numbers(training_shares)
    try:
        from magnet_service.generator import GeneratorCard, add_generator
        from magnet_service.generator.condition import ConditionCard
        from magnet_service.sampling import parse_law
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error

    def check(card: GeneratorCard) -> None:
        # The card knows the form of a law only; a law that nothing can draw from must not be published.
        try:
            parse_law(card.prior, card.latent_dim)
        except InvalidInput as error:
            raise InvalidInput(error.message, field="prior") from error

    given = None
    if condition is not None:
        kind, width = _condition(condition)
        given = ConditionCard(kind, width, () if condition_labels is None else _names(condition_labels))
    elif condition_labels is not None:
        raise InvalidInput("write --condition beside the labels, as --condition=one_hot:10", field="condition.labels")
    _, version, _ = add_generator(
        target,
        name,
        file,
        prior=prior,
        output_range=output_range,
        layout=layout,
        labels=names,
        training_shares=shares,
        condition=given,
        description=description,
        licence=licence,
        source=source,
        latent_node=latent_node,
        features=features,
        new_version=new_version,
        check=check,
    )
    return verify_name(target, f"{name}@{version}", rank_latents=rank_latents, store=store)


def verify_name(
    repository: Path | None, reference: str, *, rank_latents: int = RANK_LATENTS, store: str | None = None
) -> Verified:
    """Load a generator, verify it, measure its rank, and look up AUTO's k over its banks.

    Arguments:
        repository: looked in first; the settings' folders when None. The bundled ones come last.
        reference: `name` or `name@version`.
        rank_latents: prior latents to measure rank and spectrum at; 0 for none.
        store: folder or URL of the banks; that of the settings when None.

    Returns:
        What is known of it.

    Raises:
        InvalidInput, UnknownResource, Refused, DamagedData: as `load_version`.

    Accuracy: as `verify` says; rank and spectrum are estimates from the latents measured.
    """
    _check(rank_latents)
    here = settings(repositories=_listed(repository), store=store)
    try:
        from magnet_service.registry import Registry
        from magnet_service.rpc.wire.generators import generator_message
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error
    registry = Registry(
        here.generator_folders, here.store, device=here.device, threads=here.threads, tile_rows=here.tile_rows
    )
    held = registry.generators.get(reference)
    verification = registry.generators.verification(held)
    message = generator_message(held, verification, registry.rank(held, rank_latents), registry.auto_top_k(held))
    return Verified(info=decode_generator(message), folder=held.folder / str(held.version))


def _check(rank_latents: int) -> None:
    if not 0 <= rank_latents <= 1024:
        raise InvalidInput(f"rank_latents is {rank_latents}: write 0 to 1024", field="rank_latents")


def _listed(repository: Path | None) -> list[Path] | None:
    return None if repository is None else [repository]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _condition(text: str) -> tuple[str, int]:
    kind, _, width = text.partition(":")
    if not (width.isascii() and width.isdigit()):
        raise InvalidInput(f"write KIND:N, as one_hot:10, index:10 or vector:3; not {text!r}", field="condition")
    return kind, int(width)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in re.split(r"\s*,\s*", text.strip()))
    except ValueError:
        raise InvalidInput(
            f"write numbers with commas between, as --training-shares=0.5,0.3,0.2; not {text!r}",
            field="training_shares",
        ) from None
