"""Generators and their geometry on the wire."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import ArrayLike

from magnet.v1 import generator_pb2, geometry_pb2, sampling_pb2
from magnet_client.codec.accuracy import decode_error
from magnet_client.codec.conditions import condition_to_wire
from magnet_client.codec.sampling import stamp_to_dict
from magnet_client.codec.scalars import (
    IMAGES,
    MANIFOLDS,
    PRECISIONS,
    integer,
    manifold_word,
    precision_word,
    word_to_enum,
)
from magnet_client.codec.tensors import from_tensor, latents_to_tensor
from magnet_client.errors import InvalidInput
from magnet_client.generators import AutoTopK, Conditions, GeneratorInfo, GeneratorSummary, Operation, RankStatistics
from magnet_client.pictures import decode_png
from magnet_client.results import Generated, Volumes
from magnet_client.words import ConditionLike, ImagesWord, ManifoldWord, PrecisionWord

__all__ = [
    "decode_generated",
    "decode_generator",
    "decode_summary",
    "decode_volumes",
    "generate_request",
    "generator_request",
    "volume_request",
]


def generator_request(generator: str, rank_latents: int, auto_top_k: bool) -> generator_pb2.GetGeneratorRequest:
    """Pack the arguments of `Client.generator`; InvalidInput for what can never be right."""
    return generator_pb2.GetGeneratorRequest(
        generator=generator, rank_latents=integer(rank_latents, "rank_latents", 0, 1024), auto_top_k=auto_top_k
    )


def generate_request(
    generator: str,
    latents: ArrayLike,
    condition: ConditionLike | None,
    top_k: int,
    manifold: ManifoldWord,
    precision: PrecisionWord,
    images: ImagesWord | None,
    log_volumes: bool,
) -> sampling_pb2.GenerateRequest:
    """Pack the arguments of `Client.generate`; InvalidInput for what can never be right."""
    if images is None and not log_volumes:
        raise InvalidInput("nothing is asked for: set images or log_volumes", field="images", reason="INVALID_INPUT")
    return sampling_pb2.GenerateRequest(
        generator=generator,
        latents=latents_to_tensor(latents),
        condition=condition_to_wire(condition),
        outputs=sampling_pb2.Outputs(images=word_to_enum(images, IMAGES, "images"), log_volumes=log_volumes),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        precision=word_to_enum(precision, PRECISIONS, "precision"),
        top_k=integer(top_k, "top_k", 0, 2**31 - 1),
    )


def volume_request(
    generator: str,
    latents: ArrayLike,
    condition: ConditionLike | None,
    top_k: int,
    manifold: ManifoldWord,
    precision: PrecisionWord,
) -> geometry_pb2.LogVolumeRequest:
    """Pack the arguments of `Client.log_volume`; InvalidInput for what can never be right."""
    return geometry_pb2.LogVolumeRequest(
        generator=generator,
        latents=latents_to_tensor(latents),
        condition=condition_to_wire(condition),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        precision=word_to_enum(precision, PRECISIONS, "precision"),
        top_k=integer(top_k, "top_k", 0, 2**31 - 1),
    )


def decode_summary(summary: generator_pb2.GeneratorSummary) -> GeneratorSummary:
    """Unpack a generator in one line."""
    return GeneratorSummary(**_summary(summary))


def _summary(summary: generator_pb2.GeneratorSummary) -> dict[str, Any]:
    return {
        "name": summary.name,
        "version": summary.version,
        "versions": tuple(summary.versions),
        "latent_dim": summary.latent_dim,
        "output_shape": tuple(summary.output_shape),
        "prior": summary.prior,
        "digest": summary.digest,
        "description": summary.description,
        "problem": summary.problem,
    }


def decode_generator(response: generator_pb2.GetGeneratorResponse) -> GeneratorInfo:
    """Unpack a generator in full."""
    rank = None
    if response.HasField("rank"):
        rank = RankStatistics(
            latents=response.rank.latents,
            rank_min=response.rank.rank_min,
            rank_median=response.rank.rank_median,
            rank_max=response.rank.rank_max,
            log_volume_sd=tuple(response.rank.log_volume_sd),
            log_singular_value_mean=tuple(response.rank.log_singular_value_mean),
            rank_counts={entry.rank: entry.latents for entry in response.rank.rank_counts},
            quantile_levels=tuple(response.rank.quantile_levels),
            log_sigma_first=tuple(response.rank.log_sigma_first),
            log_sigma_last=tuple(response.rank.log_sigma_last),
            log_condition=tuple(response.rank.log_condition),
        )
    return GeneratorInfo(
        **_summary(response.summary),
        layout=response.layout,
        value_range=(response.output_low, response.output_high),
        labels=tuple(response.labels),
        training_shares=tuple(response.training_shares),
        licence=response.licence,
        source=response.source,
        operations=tuple(
            Operation(
                name=node.name, operation=node.operation, kind=node.kind, shape=tuple(node.shape), units=node.units
            )
            for node in response.operations
        ),
        units=response.units,
        parameters=response.parameters,
        piecewise_affine=response.piecewise_affine,
        piecewise_affine_until=response.piecewise_affine_until,
        smooth_inside=tuple(response.smooth_inside),
        verified_against=response.verified_against,
        forward_error=response.forward_error,
        jacobian_error=response.jacobian_error,
        rank=rank,
        auto_top_k=tuple(map(_auto_top_k, response.auto_top_k)),
        verified_rows=response.verified_rows,
        bits_depend_on_position=_optional(response, "bits_depend_on_position"),
        bits_depend_on_neighbours=_optional(response, "bits_depend_on_neighbours"),
        format=response.format,
        conditions=_conditions(response),
        latent_node=response.latent_node,
        features=response.features,
    )


def _auto_top_k(entry: generator_pb2.AutoTopK) -> AutoTopK:
    return AutoTopK(
        base=entry.base,
        law=entry.law,
        manifold=manifold_word(entry.manifold),
        precision=precision_word(entry.precision),
        condition=entry.condition,
        bank_id=entry.bank_id,
        bank_revision=entry.bank_revision,
        bank_reason=entry.bank_reason,
        top_k=entry.top_k,
        supported=entry.supported,
        reason=entry.reason,
    )


def _conditions(response: generator_pb2.GetGeneratorResponse) -> Conditions | None:
    if not response.HasField("conditions"):
        return None
    given = response.conditions
    return Conditions(kind=given.kind, width=given.width, labels=tuple(given.labels))


def _optional(
    response: generator_pb2.GetGeneratorResponse,
    name: Literal["bits_depend_on_position", "bits_depend_on_neighbours"],
) -> bool | None:
    return bool(getattr(response, name)) if response.HasField(name) else None


def decode_generated(response: sampling_pb2.GenerateResponse) -> Generated:
    """Unpack outputs at the caller's latents; ServerFault if an array is malformed."""
    rows = response.rows
    images: Any = decode_png(rows.png) if rows.png else from_tensor(rows.images) if rows.HasField("images") else None
    volumes: Any = from_tensor(rows.log_volumes) if rows.HasField("log_volumes") else None
    return Generated(
        images=images,
        log_volumes=volumes,
        generator_digest=response.generator_digest,
        stamp=stamp_to_dict(response.stamp),
    )


def decode_volumes(response: geometry_pb2.LogVolumeResponse) -> Volumes:
    """Unpack log-volumes; ServerFault if an array is malformed."""
    volumes: Any = from_tensor(response.log_volumes)
    singular: Any = from_tensor(response.log_singular_values)
    rank: Any = from_tensor(response.rank)
    return Volumes(
        log_volumes=volumes,
        log_singular_values=singular,
        rank=rank,
        top_k=response.top_k,
        manifold=manifold_word(response.manifold),
        precision=precision_word(response.precision),
        error=decode_error(response.error) if response.HasField("error") else None,
        generator_digest=response.generator_digest,
        stamp=stamp_to_dict(response.stamp),
    )
