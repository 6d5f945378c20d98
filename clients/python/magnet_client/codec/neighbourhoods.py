"""Local complexity and log densities on the wire: arguments to requests, answers to results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from magnet.v1 import regions_pb2, types_pb2
from magnet_client.codec.accuracy import decode_error
from magnet_client.codec.conditions import condition_to_wire, condition_word
from magnet_client.codec.sampling import stamp_to_dict
from magnet_client.codec.scalars import (
    MANIFOLDS,
    PRECISIONS,
    finite,
    integer,
    manifold_word,
    precision_word,
    word_to_enum,
)
from magnet_client.codec.tensors import floats_to_tensor, from_tensor, latents_to_tensor
from magnet_client.errors import InvalidInput
from magnet_client.grids import LatentGrid
from magnet_client.neighbourhoods import Computed, LocalComplexity, LogDensity, UnitLayer
from magnet_client.words import ConditionLike, EstimatorWord, ManifoldWord, PrecisionWord

__all__ = [
    "complexity_request",
    "decode_complexity",
    "decode_computed",
    "decode_log_density",
    "decode_units",
    "log_density_request",
    "optional_array",
]

_ESTIMATORS: Mapping[EstimatorWord, regions_pb2.ComplexityEstimator.ValueType] = {
    "vertices": regions_pb2.COMPLEXITY_ESTIMATOR_VERTICES,
    "frame": regions_pb2.COMPLEXITY_ESTIMATOR_FRAME,
    "ball": regions_pb2.COMPLEXITY_ESTIMATOR_BALL,
}
_ESTIMATOR_WORDS: dict[int, EstimatorWord] = {value: word for word, value in _ESTIMATORS.items()}


def complexity_request(
    generator: str,
    latents: ArrayLike,
    radius: float,
    condition: ConditionLike | None,
    seed: int,
    manifold: ManifoldWord,
    directions: int | None,
    frame_per_latent: bool,
    start: int,
    frame: ArrayLike | None,
    estimator: EstimatorWord,
) -> regions_pb2.LocalComplexityRequest:
    """Pack the arguments of `Client.local_complexity`; InvalidInput, naming the field, for what can never be right."""
    return regions_pb2.LocalComplexityRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latents=latents_to_tensor(latents),
        radius=finite(radius, "radius", 0),
        directions=0 if directions is None else integer(directions, "directions", 1, 2**31 - 1),
        frame_per_latent=frame_per_latent,
        seed=integer(seed, "seed", 0, 2**64 - 1),
        start=integer(start, "start", 0),
        frame=None if frame is None else _frame(frame),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        estimator=word_to_enum(estimator, _ESTIMATORS, "estimator"),
    )


def decode_complexity(answer: regions_pb2.LocalComplexityResponse, latents: ArrayLike) -> LocalComplexity:
    """Unpack counts; ServerFault if an array is malformed."""
    total: Any = from_tensor(answer.total)
    by_layer: Any = from_tensor(answer.by_layer)
    return LocalComplexity(
        total=total,
        by_layer=by_layer,
        layers=decode_units(answer.layers),
        estimator=_ESTIMATOR_WORDS.get(answer.estimator, "vertices"),
        radius=answer.radius,
        directions=answer.directions,
        default_directions=answer.default_directions,
        frame=optional_array(answer, "frame"),
        grid=latents if isinstance(latents, LatentGrid) else None,
        computed=decode_computed(answer.computed),
    )


def log_density_request(
    generator: str,
    latents: ArrayLike,
    condition: ConditionLike | None,
    top_k: int,
    manifold: ManifoldWord,
    precision: PrecisionWord,
) -> regions_pb2.LogDensityRequest:
    """Pack the arguments of `Client.log_density`; InvalidInput, naming the field, for what can never be right."""
    return regions_pb2.LogDensityRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latents=latents_to_tensor(latents),
        top_k=integer(top_k, "top_k", 0, 2**31 - 1),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        precision=word_to_enum(precision, PRECISIONS, "precision"),
    )


def decode_log_density(answer: regions_pb2.LogDensityResponse, latents: ArrayLike) -> LogDensity:
    """Unpack densities; ServerFault if an array is malformed."""
    arrays: dict[str, Any] = {
        name: from_tensor(getattr(answer, name)) for name in ("values", "rank", "log_prior", "log_volumes")
    }
    return LogDensity(
        is_density=from_tensor(answer.is_density).astype(bool),
        label=answer.label,
        top_k=answer.top_k,
        columns=answer.columns,
        prior=answer.prior,
        precision=precision_word(answer.precision),
        error=decode_error(answer.error) if answer.HasField("error") else None,
        grid=latents if isinstance(latents, LatentGrid) else None,
        computed=decode_computed(answer.computed),
        **arrays,
    )


def decode_computed(message: regions_pb2.Computed) -> Computed:
    """Unpack how an answer was computed."""
    return Computed(
        generator=message.generator,
        generator_digest=message.generator_digest,
        manifold=manifold_word(message.manifold),
        condition=condition_word(message.condition),
        stamp=stamp_to_dict(message.stamp),
    )


def decode_units(layers: Any) -> tuple[UnitLayer, ...]:
    """Unpack layers of units."""
    return tuple(
        UnitLayer(name=one.name, operation=one.operation, first=one.first, units=one.units, states=one.states)
        for one in layers
    )


def optional_array(message: Any, name: str) -> Any:
    """Return the array of a field, None where it is not set; ServerFault if it is malformed."""
    return from_tensor(getattr(message, name)) if message.HasField(name) else None


def _frame(frame: ArrayLike) -> types_pb2.Tensor:
    try:
        axes = np.ndim(frame)
    except ValueError as error:
        raise InvalidInput(
            f"frame must be an array of numbers: {error}", field="frame", reason="INVALID_FRAME"
        ) from error
    shape = "[rows, P, d]" if axes == 3 else "[P, d]"
    return floats_to_tensor(frame, "frame", shape, "orthonormal directions in rows")
