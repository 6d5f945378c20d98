"""Distances to hyperplanes on the wire: arguments to a request, an answer to the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from magnet.v1 import regions_pb2
from magnet_client.codec.conditions import condition_to_wire
from magnet_client.codec.neighbourhoods import decode_computed, decode_units
from magnet_client.codec.scalars import MANIFOLDS, word_to_enum
from magnet_client.codec.tensors import from_tensor, latents_to_tensor
from magnet_client.distances import HyperplaneDistances
from magnet_client.words import ConditionLike, ManifoldWord, SpaceWord

__all__ = ["decode_distances", "distances_request"]

_SPACES: Mapping[SpaceWord, regions_pb2.DistanceSpace.ValueType] = {
    "latent": regions_pb2.DISTANCE_SPACE_LATENT,
    "layer": regions_pb2.DISTANCE_SPACE_LAYER,
}
_SPACE_WORDS: dict[int, SpaceWord] = {value: word for word, value in _SPACES.items()}


def distances_request(
    generator: str, latents: ArrayLike, condition: ConditionLike | None, manifold: ManifoldWord, space: SpaceWord
) -> regions_pb2.HyperplaneDistancesRequest:
    """Pack the arguments of `Client.hyperplane_distances`; InvalidInput, naming the field, for what is never right."""
    return regions_pb2.HyperplaneDistancesRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latents=latents_to_tensor(latents),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        space=word_to_enum(space, _SPACES, "space"),
    )


def decode_distances(answer: regions_pb2.HyperplaneDistancesResponse) -> HyperplaneDistances:
    """Unpack distances; ServerFault if an array is malformed."""
    arrays: dict[str, Any] = {
        name: from_tensor(getattr(answer, name)) for name in ("mean", "root_mean_square", "counted", "without")
    }
    return HyperplaneDistances(
        layers=decode_units(answer.layers),
        left_out={one.name: one.reason for one in answer.left_out},
        space=_SPACE_WORDS.get(answer.space, "latent"),
        rows=answer.rows,
        computed=decode_computed(answer.computed),
        **arrays,
    )
