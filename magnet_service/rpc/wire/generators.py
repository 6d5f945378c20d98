"""Generators and figures of their geometry written for the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from magnet.v1 import generator_pb2, geometry_pb2
from magnet_service.generator import Manifold, Precision, Verification
from magnet_service.generator.condition import ConditionCard
from magnet_service.geometry import MeasuredError, Volumes, log_volume
from magnet_service.registry import AutoTopK, HeldGenerator, Listing, RankStatistics
from magnet_service.rpc.wire.draws import error_message, manifold_to, precision_to, stamp_entries
from magnet_service.rpc.wire.tensors import tensor_from

__all__ = ["generator_message", "listing_message", "volumes_message"]


def listing_message(listing: Listing) -> generator_pb2.GeneratorSummary:
    """Writes one line of the list; a generator that does not load has its name and what is wrong."""
    if listing.held is None:
        return generator_pb2.GeneratorSummary(name=listing.name, problem=listing.problem)
    return _summary(listing.held)


def generator_message(
    held: HeldGenerator,
    verification: Verification,
    rank: RankStatistics | None = None,
    auto_top_k: Sequence[AutoTopK] = (),
) -> generator_pb2.GetGeneratorResponse:
    """Writes one generator in full.

    Arguments:
        held: the generator.
        verification: what loading it compared.
        rank: rank and spread of its volumes, if asked for.
        auto_top_k: AUTO's k over each base, if asked for.

    Returns:
        The message.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    card, generator = held.card, held.generator
    return generator_pb2.GetGeneratorResponse(
        summary=_summary(held),
        layout=card.layout,
        output_low=card.value_range[0],
        output_high=card.value_range[1],
        labels=card.labels,
        training_shares=card.training_shares,
        licence=card.licence,
        source=card.source,
        operations=[
            generator_pb2.Operation(
                name=node.name, operation=node.operation, kind=str(node.kind), shape=node.shape, units=node.units
            )
            for node in generator.summary
        ],
        units=generator.units,
        parameters=generator.parameters,
        piecewise_affine=generator.piecewise_affine,
        piecewise_affine_until=generator.piecewise_affine_until,
        smooth_inside=generator.smooth_inside,
        verified_against=verification.reference,
        forward_error=verification.forward_error,
        jacobian_error=verification.jacobian_error,
        rank=None if rank is None else _rank(rank),
        auto_top_k=map(_auto_top_k, auto_top_k),
        verified_rows=verification.rows,
        bits_depend_on_position=verification.bits_depend_on_position,
        bits_depend_on_neighbours=verification.bits_depend_on_neighbours,
        format=held.format,
        conditions=_conditions(card.conditions),
        latent_node=card.latent_node,
        features=card.features,
    )


def volumes_message(
    held: HeldGenerator,
    found: Volumes,
    top_k: int,
    manifold: Manifold,
    precision: Precision,
    error: MeasuredError | None,
    stamp: Mapping[str, str],
) -> geometry_pb2.LogVolumeResponse:
    """Writes the volumes of latents that a client sent.

    Arguments:
        held: the generator.
        found: its volumes.
        top_k: the k used, 1 or more.
        manifold: the manifold used.
        precision: the arithmetic used.
        error: that of this arithmetic, where it was measured.
        stamp: how the numbers were computed.

    Returns:
        The message.

    Raises:
        InvalidInput: top_k above the Jacobian's columns.

    Accuracy: exact.
    """
    return geometry_pb2.LogVolumeResponse(
        log_volumes=tensor_from(log_volume(found, top_k).numpy()),
        log_singular_values=tensor_from(found.log_singular_values.numpy()),
        rank=tensor_from(found.rank.numpy().astype(np.int32)),
        top_k=top_k,
        manifold=manifold_to(manifold),
        precision=precision_to(precision),
        generator_digest=held.generator.digest,
        stamp=stamp_entries(stamp),
        error=None if error is None else error_message(error),
    )


def _summary(held: HeldGenerator) -> generator_pb2.GeneratorSummary:
    return generator_pb2.GeneratorSummary(
        name=held.name,
        version=held.version,
        versions=held.versions,
        latent_dim=held.generator.latent_dim,
        output_shape=held.generator.output_shape,
        prior=held.prior.to_text(),
        digest=held.generator.digest,
        description=held.card.description,
    )


def _rank(rank: RankStatistics) -> generator_pb2.RankStatistics:
    return generator_pb2.RankStatistics(
        latents=rank.latents,
        rank_min=rank.rank_min,
        rank_median=rank.rank_median,
        rank_max=rank.rank_max,
        log_volume_sd=rank.log_volume_sd,
        log_singular_value_mean=rank.log_singular_value_mean,
        rank_counts=[generator_pb2.RankCount(rank=value, latents=count) for value, count in rank.rank_counts.items()],
        quantile_levels=rank.quantile_levels,
        log_sigma_first=rank.log_sigma_first,
        log_sigma_last=rank.log_sigma_last,
        log_condition=rank.log_condition,
    )


def _conditions(given: ConditionCard | None) -> generator_pb2.Conditions | None:
    if given is None:
        return None
    return generator_pb2.Conditions(kind=given.kind, width=given.width, labels=given.labels)


def _auto_top_k(entry: AutoTopK) -> generator_pb2.AutoTopK:
    choice = entry.top_k
    return generator_pb2.AutoTopK(
        base=str(entry.base),
        law=entry.law,
        manifold=manifold_to(entry.manifold),
        precision=precision_to(entry.precision),
        condition=entry.condition,
        bank_id=entry.bank_id,
        bank_revision=entry.bank_revision,
        bank_reason=entry.bank_reason,
        top_k=0 if choice is None else choice.k,
        supported=choice is not None and choice.supported,
        reason=entry.problem if choice is None else choice.reason,
    )
