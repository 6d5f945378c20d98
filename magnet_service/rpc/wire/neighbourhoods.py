"""Local complexity, distances and log densities, read from the wire and written to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from magnet.v1 import regions_pb2, types_pb2
from magnet_service.generator import Manifold, Precision
from magnet_service.geometry import (
    ComplexityEstimator,
    DistanceSpace,
    HyperplaneDistances,
    Layer,
    LocalComplexity,
    LogDensity,
    MeasuredError,
)
from magnet_service.registry import HeldGenerator
from magnet_service.registry.neighbourhoods import ComplexityRequest, layers_named
from magnet_service.rpc.wire.conditions import condition_to
from magnet_service.rpc.wire.draws import error_message, manifold_to, precision_to, stamp_entries
from magnet_service.rpc.wire.requests import manifold_from
from magnet_service.rpc.wire.tensors import floats_from, tensor_from

__all__ = [
    "affine_manifold_from",
    "complexity_from",
    "complexity_message",
    "computed",
    "distances_message",
    "log_density_message",
    "space_from",
    "units_to",
]

_ESTIMATORS: Mapping[regions_pb2.ComplexityEstimator.ValueType, ComplexityEstimator] = MappingProxyType(
    {
        regions_pb2.COMPLEXITY_ESTIMATOR_UNSPECIFIED: ComplexityEstimator.VERTICES,
        regions_pb2.COMPLEXITY_ESTIMATOR_VERTICES: ComplexityEstimator.VERTICES,
        regions_pb2.COMPLEXITY_ESTIMATOR_FRAME: ComplexityEstimator.FRAME,
        regions_pb2.COMPLEXITY_ESTIMATOR_BALL: ComplexityEstimator.BALL,
    }
)
_ESTIMATOR_NAMES = {known: name for name, known in _ESTIMATORS.items()}
_SPACES: Mapping[regions_pb2.DistanceSpace.ValueType, DistanceSpace] = MappingProxyType(
    {
        regions_pb2.DISTANCE_SPACE_UNSPECIFIED: DistanceSpace.LATENT,
        regions_pb2.DISTANCE_SPACE_LATENT: DistanceSpace.LATENT,
        regions_pb2.DISTANCE_SPACE_LAYER: DistanceSpace.LAYER,
    }
)
_SPACE_NAMES = {known: name for name, known in _SPACES.items()}


def affine_manifold_from(value: types_pb2.Manifold.ValueType) -> Manifold:
    """Reads a manifold; PRE_ACTIVATION, which ends before what is smooth, where none is stated."""
    return Manifold.PRE_ACTIVATION if value == types_pb2.MANIFOLD_UNSPECIFIED else manifold_from(value)


def space_from(value: regions_pb2.DistanceSpace.ValueType) -> DistanceSpace:
    """Reads where distances are measured; LATENT where nothing is stated."""
    return _SPACES[value]


def complexity_from(message: regions_pb2.LocalComplexityRequest) -> ComplexityRequest:
    """Reads how to count units around latents.

    Arguments:
        message: one that passed the rules of its proto.

    Returns:
        The registry's request.

    Raises:
        InvalidInput: a frame that is no floats of two or three axes (field `frame`).

    Accuracy: exact.
    """
    frame = None
    if message.HasField("frame"):
        frame = floats_from(message.frame, 3 if len(message.frame.shape) == 3 else 2, "frame")
    return ComplexityRequest(
        radius=message.radius,
        directions=message.directions or None,
        frame_per_latent=message.frame_per_latent,
        seed=message.seed,
        start=message.start,
        frame=frame,
        manifold=affine_manifold_from(message.manifold),
        estimator=_ESTIMATORS[message.estimator],
    )


def computed(held: HeldGenerator, manifold: Manifold, stamp: Mapping[str, str]) -> regions_pb2.Computed:
    """Writes how an answer about latents was computed."""
    return regions_pb2.Computed(
        generator=held.reference,
        generator_digest=held.generator.digest,
        manifold=manifold_to(manifold),
        condition=condition_to(held.condition),
        stamp=stamp_entries(stamp),
    )


def units_to(layers: Iterable[Layer]) -> list[regions_pb2.UnitLayer]:
    """Writes layers of units."""
    return [
        regions_pb2.UnitLayer(
            name=layer.name, operation=layer.operation, first=layer.first, units=layer.units, states=layer.states
        )
        for layer in layers
    ]


def complexity_message(
    held: HeldGenerator, found: LocalComplexity, manifold: Manifold, stamp: Mapping[str, str]
) -> regions_pb2.LocalComplexityResponse:
    """Writes how many units change their state around latents."""
    return regions_pb2.LocalComplexityResponse(
        total=tensor_from(found.total.numpy()),
        by_layer=tensor_from(found.by_layer.numpy()),
        layers=units_to(layers_named(held, manifold, found.layers)),
        estimator=_ESTIMATOR_NAMES[found.estimator],
        radius=found.radius,
        directions=found.directions,
        default_directions=found.default_directions,
        frame=None if found.frame is None else tensor_from(found.frame.numpy()),
        computed=computed(held, manifold, stamp),
    )


def distances_message(
    held: HeldGenerator, found: HyperplaneDistances, rows: int, manifold: Manifold, stamp: Mapping[str, str]
) -> regions_pb2.HyperplaneDistancesResponse:
    """Writes how far latents are from hyperplanes."""
    left_out = regions_pb2.HyperplaneDistancesResponse.LeftOut
    return regions_pb2.HyperplaneDistancesResponse(
        layers=units_to(layers_named(held, manifold, found.layers)),
        mean=tensor_from(found.mean.numpy()),
        root_mean_square=tensor_from(found.root_mean_square.numpy()),
        counted=tensor_from(found.counted.numpy()),
        without=tensor_from(found.without.numpy()),
        left_out=[left_out(name=name, reason=reason) for name, reason in found.left_out.items()],
        space=_SPACE_NAMES[found.space],
        rows=rows,
        computed=computed(held, manifold, stamp),
    )


def log_density_message(
    held: HeldGenerator,
    found: LogDensity,
    manifold: Manifold,
    precision: Precision,
    error: MeasuredError | None,
    stamp: Mapping[str, str],
) -> regions_pb2.LogDensityResponse:
    """Writes how dense the images of latents lie."""
    return regions_pb2.LogDensityResponse(
        values=tensor_from(found.values.numpy()),
        is_density=tensor_from(found.is_density.numpy().astype(np.uint8)),
        label=found.label,
        top_k=found.k,
        columns=found.columns,
        rank=tensor_from(found.rank.numpy().astype(np.int32)),
        log_prior=tensor_from(found.log_prior.numpy()),
        log_volumes=tensor_from(found.log_volume.numpy()),
        prior=held.prior.to_text(),
        precision=precision_to(precision),
        error=None if error is None else error_message(error),
        computed=computed(held, manifold, stamp),
    )
