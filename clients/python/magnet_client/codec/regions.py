"""Regions, activation patterns and rows of affine maps on the wire: arguments to requests, answers to results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from magnet.v1 import regions_pb2
from magnet_client.codec.conditions import condition_to_wire
from magnet_client.codec.neighbourhoods import decode_computed, decode_units, optional_array
from magnet_client.codec.scalars import MANIFOLDS, bank_id, finite, integer, word_to_enum
from magnet_client.codec.tensors import floats_to_tensor, from_tensor, latents_to_tensor
from magnet_client.errors import InvalidInput, ServerFault
from magnet_client.patterns import Hamming, NearestPatterns, Patterns
from magnet_client.regions import AffineRows, Region, Wall
from magnet_client.words import ConditionLike, ManifoldWord

__all__ = [
    "affine_rows_request",
    "decode_affine_rows",
    "decode_hamming",
    "decode_nearest",
    "decode_patterns",
    "decode_region",
    "hamming_request",
    "nearest_request",
    "patterns_request",
    "region_request",
]


def region_request(
    generator: str,
    latent: ArrayLike,
    condition: ConditionLike | None,
    box: tuple[float, float] | None,
    manifold: ManifoldWord,
    affine_map: bool,
    half_spaces: bool,
    minimal: bool,
    ball: bool,
    others: ArrayLike | None,
) -> regions_pb2.RegionRequest:
    """Pack the arguments of `Client.region`; InvalidInput, naming the field, for what can never be right."""
    bounds = None
    if box is not None:
        if len(box) != 2:
            raise InvalidInput(f"a box is (low, high); not {box!r}", field="box", reason="INVALID_INPUT")
        bounds = regions_pb2.RegionRequest.Box(low=finite(box[0], "box"), high=finite(box[1], "box"))
    return regions_pb2.RegionRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latent=floats_to_tensor(latent, "latent", "[d]", "of rows take one, as z[0]"),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
        map=affine_map,
        half_spaces=half_spaces,
        minimal=minimal,
        ball=ball,
        box=bounds,
        others=None if others is None else _others(others),
    )


def decode_region(answer: regions_pb2.RegionResponse) -> Region:
    """Unpack a region; ServerFault if an array is malformed."""
    latent: Any = from_tensor(answer.latent)
    pattern: Any = from_tensor(answer.pattern)
    near = answer.nearest
    same = optional_array(answer, "same_region")
    return Region(
        latent=latent,
        pattern=pattern,
        layers=decode_units(answer.layers),
        radius=answer.radius,
        nearest=Wall(layer=near.layer, unit=near.unit, side=near.side, contender=near.contender)
        if answer.HasField("nearest")
        else None,
        count=answer.count,
        unconstrained=answer.unconstrained,
        minimal=answer.minimal,
        output_shape=tuple(answer.output_shape),
        layout=answer.layout,
        matrix=optional_array(answer.map, "matrix"),
        shift=optional_array(answer.map, "shift"),
        normals=optional_array(answer.half_spaces, "normals"),
        offsets=optional_array(answer.half_spaces, "offsets"),
        distances=optional_array(answer.half_spaces, "distances"),
        walls=optional_array(answer.half_spaces, "walls"),
        ball_radius=answer.ball.radius if answer.HasField("ball") else None,
        ball_centre=optional_array(answer.ball, "centre"),
        same_region=None if same is None else same.astype(bool),
        computed=decode_computed(answer.computed),
    )


def patterns_request(
    generator: str, latents: ArrayLike, condition: ConditionLike | None, manifold: ManifoldWord
) -> regions_pb2.PatternsRequest:
    """Pack the arguments of `Client.patterns`; InvalidInput, naming the field, for what can never be right."""
    return regions_pb2.PatternsRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latents=latents_to_tensor(latents),
        patterns=True,
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
    )


def decode_patterns(answer: regions_pb2.PatternsResponse) -> Patterns:
    """Unpack patterns; ServerFault if an array is missing or malformed."""
    packed = _present(optional_array(answer, "patterns"), "patterns")
    return Patterns(packed=packed, layers=decode_units(answer.layers), computed=decode_computed(answer.computed))


def hamming_request(
    generator: str,
    latents: ArrayLike,
    others: ArrayLike | None,
    condition: ConditionLike | None,
    manifold: ManifoldWord,
    paired: bool,
) -> regions_pb2.PatternsRequest:
    """Pack the arguments of `Client.hamming`; InvalidInput, naming the field, for what can never be right."""
    kinds = regions_pb2.PatternsRequest
    return regions_pb2.PatternsRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latents=latents_to_tensor(latents),
        others=None if others is None else _others(others),
        distances=kinds.DISTANCES_PAIRED if paired else kinds.DISTANCES_MATRIX,
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
    )


def decode_hamming(answer: regions_pb2.PatternsResponse) -> Hamming:
    """Unpack distances; ServerFault if an array is missing or malformed."""
    found = _present(optional_array(answer, "distances"), "distances")
    return Hamming(by_layer=found, layers=decode_units(answer.layers), computed=decode_computed(answer.computed))


def nearest_request(
    generator: str,
    latents: ArrayLike,
    count: int,
    bank: str,
    condition: ConditionLike | None,
    manifold: ManifoldWord,
    bank_revision: int | None,
) -> regions_pb2.NearestPatternsRequest:
    """Pack the arguments of `Client.nearest_patterns`; InvalidInput, naming the field, for what can never be right."""
    return regions_pb2.NearestPatternsRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latents=latents_to_tensor(latents),
        bank_id=bank_id(bank),
        bank_revision=integer(bank_revision or 0, "bank_revision", 0),
        count=integer(count, "count", 1, 2**31 - 1),
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
    )


def decode_nearest(answer: regions_pb2.NearestPatternsResponse) -> NearestPatterns:
    """Unpack neighbours; ServerFault if an array is malformed."""
    arrays: dict[str, Any] = {name: from_tensor(getattr(answer, name)) for name in ("rows", "distances", "latents")}
    return NearestPatterns(
        units=answer.units,
        bank=answer.bank_id,
        bank_revision=answer.bank_revision,
        computed=decode_computed(answer.computed),
        **arrays,
    )


def affine_rows_request(
    generator: str,
    latents: ArrayLike,
    outputs: Sequence[int],
    condition: ConditionLike | None,
    manifold: ManifoldWord,
    lipschitz: bool,
) -> regions_pb2.AffineRowsRequest:
    """Pack the arguments of `Client.affine_rows`; InvalidInput, naming the field, for what can never be right."""
    return regions_pb2.AffineRowsRequest(
        generator=generator,
        condition=condition_to_wire(condition),
        latents=latents_to_tensor(latents),
        outputs=[integer(output, "outputs", 0) for output in outputs],
        lipschitz=lipschitz,
        manifold=word_to_enum(manifold, MANIFOLDS, "manifold"),
    )


def decode_affine_rows(answer: regions_pb2.AffineRowsResponse) -> AffineRows:
    """Unpack rows of affine maps; ServerFault if an array is malformed."""
    rows: Any = from_tensor(answer.rows)
    return AffineRows(
        rows=rows,
        outputs=tuple(answer.outputs),
        lipschitz=optional_array(answer, "lipschitz"),
        computed=decode_computed(answer.computed),
    )


def _others(others: ArrayLike) -> Any:
    return floats_to_tensor(others, "others", "[rows, d]", "one latent is z[None, :]")


def _present(array: Any, name: str) -> Any:
    if array is None:
        raise ServerFault(
            f"the answer holds no {name}: client and server are of different versions", reason="MALFORMED_ANSWER"
        )
    return array
