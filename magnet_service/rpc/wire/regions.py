"""Regions, activation patterns and rows of affine maps, read from the wire and written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from magnet.v1 import regions_pb2
from magnet_service.generator import Manifold
from magnet_service.geometry import HalfSpaces, InscribedBall, Layer, Patterns, Region, layers_of
from magnet_service.geometry.half_spaces import OF_BOX
from magnet_service.registry import HeldGenerator
from magnet_service.registry.patterns import BankNeighbours
from magnet_service.registry.regions import Described, RegionRequest, bounds_of
from magnet_service.rpc.wire.neighbourhoods import affine_manifold_from, computed, units_to
from magnet_service.rpc.wire.tensors import tensor_from

__all__ = [
    "affine_rows_message",
    "neighbours_message",
    "patterns_message",
    "region_bytes",
    "region_from",
    "region_message",
]


def region_from(message: regions_pb2.RegionRequest) -> RegionRequest:
    """Reads what to know of a latent's region."""
    return RegionRequest(
        manifold=affine_manifold_from(message.manifold),
        minimal=message.minimal,
        box=(message.box.low, message.box.high) if message.HasField("box") else None,
        ball=message.ball,
    )


def region_bytes(message: regions_pb2.RegionRequest, held: HeldGenerator) -> int:
    """Largest size of a region on the wire, but for redundant half-spaces where only minimal ones are asked for."""
    width, manifold = held.generator.latent_dim, affine_manifold_from(message.manifold)
    size = 4 * sum(layer.units for layer in layers_of(held.generator, manifold)) + 16 * width + len(message.others.data)
    if message.map:
        size += 8 * held.generator.output_dim_of(manifold) * (width + 1)
    if message.half_spaces and not message.minimal:
        size += 8 * (width + 6) * bounds_of(held, manifold, message.HasField("box"))
    return size


def region_message(
    found: Described, request: regions_pb2.RegionRequest, stamp: Mapping[str, str]
) -> regions_pb2.RegionResponse:
    """Writes a region.

    Arguments:
        found: the region and what was asked of it.
        request: which parts are wanted.
        stamp: how the numbers were computed.

    Returns:
        The message.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    region, held = found.region, found.held
    # Before a head and behind it the numbers stand for the same places, whichever reshaping is between.
    like_output = len(region.shift) == prod(held.generator.output_shape)
    message = regions_pb2.RegionResponse(
        latent=tensor_from(region.latent.numpy()),
        pattern=tensor_from(region.pattern.numpy().astype(np.int32)),
        layers=units_to(region.layers),
        radius=region.radius,
        count=len(region.half_spaces),
        unconstrained=region.unconstrained,
        minimal=region.minimal,
        output_shape=held.generator.output_shape if like_output else (len(region.shift),),
        layout=held.card.layout if like_output else "vector",
        ball=None if found.ball is None else _ball(found.ball),
        same_region=None if found.same is None else tensor_from(found.same.numpy().astype(np.uint8)),
        computed=computed(held, region.manifold, stamp),
    )
    if region.nearest is not None:
        layer, unit, side, contender = _walls(region.half_spaces, region.layers)[region.nearest].tolist()
        message.nearest.CopyFrom(regions_pb2.Wall(layer=layer, unit=unit, side=side, contender=contender))
    if request.map:
        message.map.matrix.CopyFrom(tensor_from(region.matrix.numpy()))
        message.map.shift.CopyFrom(tensor_from(region.shift.numpy()))
    if request.half_spaces:
        message.half_spaces.CopyFrom(_half_spaces(region))
    return message


def patterns_message(
    held: HeldGenerator,
    found: Patterns | None,
    distances: Int[Tensor, "*pairs layers"] | None,
    manifold: Manifold,
    stamp: Mapping[str, str],
) -> regions_pb2.PatternsResponse:
    """Writes activation patterns and how far they are apart."""
    return regions_pb2.PatternsResponse(
        layers=units_to(layers_of(held.generator, manifold)),
        patterns=None if found is None else tensor_from(found.words.astype("<u8", copy=False).view(np.uint8)),
        distances=None if distances is None else tensor_from(distances.numpy()),
        computed=computed(held, manifold, stamp),
    )


def neighbours_message(
    held: HeldGenerator, found: BankNeighbours, manifold: Manifold, stamp: Mapping[str, str]
) -> regions_pb2.NearestPatternsResponse:
    """Writes the nearest rows of a bank."""
    return regions_pb2.NearestPatternsResponse(
        rows=tensor_from(found.neighbours.rows.numpy()),
        distances=tensor_from(found.neighbours.distances.numpy()),
        latents=tensor_from(found.latents),
        units=found.units,
        bank_id=found.bank_id,
        bank_revision=found.rows,
        computed=computed(held, manifold, stamp),
    )


def affine_rows_message(
    held: HeldGenerator,
    rows: Float[Tensor, "rows outputs ..."],
    outputs: Sequence[int],
    lipschitz: Float[Tensor, " rows"] | None,
    manifold: Manifold,
    stamp: Mapping[str, str],
) -> regions_pb2.AffineRowsResponse:
    """Writes rows of affine maps."""
    return regions_pb2.AffineRowsResponse(
        rows=tensor_from(rows.numpy()),
        outputs=outputs,
        lipschitz=None if lipschitz is None else tensor_from(lipschitz.numpy()),
        computed=computed(held, manifold, stamp),
    )


def _half_spaces(region: Region) -> regions_pb2.RegionResponse.HalfSpaces:
    found = region.half_spaces
    return regions_pb2.RegionResponse.HalfSpaces(
        normals=tensor_from(found.normals.numpy()),
        offsets=tensor_from(found.offsets.numpy()),
        distances=tensor_from(found.distances.numpy()),
        walls=tensor_from(_walls(found, region.layers)),
    )


def _walls(found: HalfSpaces, layers: Sequence[Layer]) -> np.ndarray:
    """Layer, unit, side and contender of each half-space."""
    places = {layer.node: place for place, layer in enumerate(layers)} | {OF_BOX: -1}
    layer = np.array([places[node] for node in found.nodes.tolist()], np.int64)
    return np.stack([layer, *(part.numpy() for part in (found.units, found.sides, found.contenders))], axis=1)


def _ball(ball: InscribedBall) -> regions_pb2.RegionResponse.Ball:
    centre = None if ball.centre is None else tensor_from(ball.centre.numpy())
    return regions_pb2.RegionResponse.Ball(centre=centre, radius=ball.radius)
