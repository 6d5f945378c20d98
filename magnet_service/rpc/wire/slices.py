"""Slices read from the wire, and what there is of them written for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from magnet.v1 import geometry_pb2, types_pb2
from magnet_service.errors import InvalidInput
from magnet_service.generator import Precision
from magnet_service.geometry.tessellation import Extent, LayerTiles, TessellationStatistics, TileMasses
from magnet_service.registry import Sliced, SlicePlace, SliceRequest
from magnet_service.rpc.wire.conditions import condition_from, condition_to
from magnet_service.rpc.wire.draws import precision_to, stamp_entries
from magnet_service.rpc.wire.requests import precision_from
from magnet_service.rpc.wire.tensors import floats_from, tensor_from

__all__ = ["hyperplane_density_message", "slice_from", "slice_header"]

_EXTENTS: Mapping[Extent, geometry_pb2.Extent.ValueType] = MappingProxyType(
    {Extent.COMPLETE: geometry_pb2.EXTENT_COMPLETE, Extent.TRUNCATED: geometry_pb2.EXTENT_TRUNCATED}
)


def slice_from(message: geometry_pb2.SliceRequest) -> SliceRequest:
    """Reads which slice to take.

    Arguments:
        message: one that passed the rules of its proto.

    Returns:
        The registry's request.

    Raises:
        InvalidInput: arrays that are no floats of the right number of axes (fields `points`, `origin`, `directions`,
            `window`), or an arithmetic that rounds tiles away (field `precision`).

    Accuracy: exact.
    """
    return SliceRequest(
        place=_place_from(message),
        condition=condition_from(message.condition),
        up_to=message.up_to or None,
        boundary=message.boundary,
        max_tiles=message.max_tiles,
        volumes=message.volumes,
        precision=_precision_from(message.precision),
    )


def slice_header(found: Sliced, stamp: Mapping[str, str], masses: TileMasses | None = None) -> geometry_pb2.SliceHeader:
    """Writes the slice as it was taken, and what there is of it.

    Arguments:
        found: the slice.
        stamp: how the numbers were computed.
        masses: of its tiles; None if not asked for.

    Returns:
        The message.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    tessellation, place = found.tessellation, found.tessellation.slice
    return geometry_pb2.SliceHeader(
        generator=found.held.reference,
        generator_digest=found.held.generator.digest,
        condition=condition_to(found.held.condition),
        origin=tensor_from(place.origin.numpy()),
        frame=tensor_from(place.frame.numpy()),
        window=tensor_from(place.window.numpy()),
        target=tessellation.target,
        layers=map(_layer, tessellation.layers),
        extent=_EXTENTS[tessellation.extent],
        stopped_at=tessellation.stopped_at,
        merged=tessellation.merged,
        statistics=_statistics(found.statistics),
        max_tiles=found.max_tiles,
        tiles=tessellation.tiles,
        edges=len(tessellation.ends),
        vertices=len(tessellation.points),
        cycle=len(tessellation.cycle),
        precision=None if found.engine is None else precision_to(found.engine.precision),
        stamp=stamp_entries(stamp),
        prior=found.held.prior.to_text(),
        masses=None if masses is None else _masses(masses),
    )


def hyperplane_density_message(
    found: Sliced, lengths: npt.NDArray[np.float64], stamp: Mapping[str, str]
) -> geometry_pb2.HyperplaneDensityResponse:
    """Writes where the boundaries of each layer's units lie."""
    return geometry_pb2.HyperplaneDensityResponse(header=slice_header(found, stamp), lengths=tensor_from(lengths))


def _place_from(message: geometry_pb2.SliceRequest) -> SlicePlace:
    window = _window_from(message)
    if message.WhichOneof("placement") == "points":
        return SlicePlace(points=floats_from(message.points, 2, "points"), window=window)
    origin = floats_from(message.along.origin, 1, "origin")
    return SlicePlace(origin=origin, directions=floats_from(message.along.directions, 2, "directions"), window=window)


def _window_from(message: geometry_pb2.SliceRequest) -> tuple[float, ...] | npt.NDArray[np.floating] | None:
    match message.WhichOneof("window"):
        case "rectangle":
            given = message.rectangle
            return (given.left, given.right, given.bottom, given.top)
        case "segment":
            return (message.segment.low, message.segment.high)
        case "polygon":
            return floats_from(message.polygon, 2, "window")
    return None


def _precision_from(value: types_pb2.Precision.ValueType) -> Precision:
    if value == types_pb2.PRECISION_UNSPECIFIED:
        return Precision.FLOAT64
    found = precision_from(value)
    if found is Precision.BFLOAT16:
        raise InvalidInput(
            "log-volumes of tiles are computed in FLOAT64 or FLOAT32; write one of them.", field="precision"
        )
    return found


def _masses(found: TileMasses) -> geometry_pb2.SliceMasses:
    window = None if math.isnan(found.window) else found.window
    return geometry_pb2.SliceMasses(law=found.law, window=window, error=found.error)


def _layer(layer: LayerTiles) -> geometry_pb2.SliceLayer:
    return geometry_pb2.SliceLayer(
        name=layer.name, operation=layer.operation, units=layer.units, bending=layer.bending, tiles=layer.tiles
    )


def _statistics(found: TessellationStatistics) -> geometry_pb2.SliceStatistics:
    return geometry_pb2.SliceStatistics(
        area_mean=found.area_mean,
        area_sd=found.area_sd,
        corners_mean=found.corners_mean,
        eccentricity_mean=found.eccentricity_mean,
        added=found.added,
    )
