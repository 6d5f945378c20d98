"""Slices on the wire: arguments to requests, parts of a stream to a tessellation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magnet.v1 import geometry_pb2
from magnet_client.codec.conditions import condition_to_wire, condition_word
from magnet_client.codec.sampling import stamp_to_dict
from magnet_client.codec.scalars import PRECISIONS, integer, precision_word, word_to_enum
from magnet_client.codec.tensors import floats_to_tensor, from_tensor
from magnet_client.errors import InvalidInput, ServerFault
from magnet_client.hyperplanes import HyperplaneDensity
from magnet_client.slices import Extent, SliceHeader, SliceLayer, SliceMasses, SliceStatistics
from magnet_client.tessellation import Tessellation
from magnet_client.words import ConditionLike, PrecisionWord

__all__ = ["SliceAssembly", "decode_hyperplane_density", "hyperplane_density_request", "slice_request"]

Request = geometry_pb2.SliceRequest

_EXTENTS = {
    geometry_pb2.EXTENT_COMPLETE: Extent.COMPLETE,
    geometry_pb2.EXTENT_TRUNCATED: Extent.TRUNCATED,
}
_TILES = (
    "areas", "centroids", "spreads", "spectral_norms", "frobenius_norms", "stretches", "sizes", "cycle",
    "patterns", "log_singular_values", "rank", "log_prior", "masses",
)  # fmt: skip
_ARRAYS = {"tiles": _TILES, "edges": ("ends", "sides", "labels"), "vertices": ("points", "labels")}
_LONGEST = 1000


def slice_request(
    generator: str,
    points: ArrayLike | None,
    origin: ArrayLike | None,
    directions: ArrayLike | None,
    window: ArrayLike | None,
    condition: ConditionLike | None,
    up_to: str | None,
    boundary: bool,
    max_tiles: int | None,
    patterns: bool,
    volumes: bool,
    masses: bool,
    precision: PrecisionWord,
) -> geometry_pb2.SliceRequest:
    """Check the arguments of `Client.slice` and pack them.

    Arguments:
        generator, points, origin, directions, window, condition, up_to, boundary, max_tiles, patterns, volumes,
            masses, precision: as there.

    Returns:
        The message.

    Raises:
        InvalidInput: naming the field, for what can never be right.

    Accuracy: exact.
    """
    if up_to is not None and not 0 < len(up_to) <= _LONGEST:
        raise _invalid("up_to", f"up_to is the name of a node, of 1 to {_LONGEST} characters; not of {len(up_to)}")
    request = Request(
        generator=generator,
        condition=condition_to_wire(condition),
        up_to=up_to or "",
        boundary=boundary,
        max_tiles=0 if max_tiles is None else integer(max_tiles, "max_tiles", 1),
        patterns=patterns,
        volumes=volumes,
        masses=masses,
        precision=word_to_enum(precision, PRECISIONS, "precision"),
    )
    if points is not None:
        if origin is not None or directions is not None:
            raise _invalid("points", "write either points, or an origin and directions: both are given")
        request.points.CopyFrom(floats_to_tensor(points, "points", "[2 or 3, d]", "np.stack([z1, z2, z3])"))
    elif origin is None or directions is None:
        raise _invalid("points", "write points (three latents, or two of a line), or an origin and directions")
    else:
        request.along.origin.CopyFrom(floats_to_tensor(origin, "origin", "[d]", "one latent"))
        request.along.directions.CopyFrom(
            floats_to_tensor(directions, "directions", "[1 or 2, d]", "np.stack([u1, u2])")
        )
        if window is None:
            raise _invalid("window", "without points a window is needed: (left, right, bottom, top), or (low, high)")
    if window is not None:
        _write_window(request, window)
    return request


def hyperplane_density_request(
    sliced: geometry_pb2.SliceRequest, cells: tuple[int, int]
) -> geometry_pb2.HyperplaneDensityRequest:
    """Pack the arguments of `Client.hyperplane_density`; InvalidInput (field `cells`) for what can never be right."""
    if not isinstance(cells, Sequence) or len(cells) != 2:
        raise _invalid("cells", f"cells are (columns, rows), as (128, 128); not {cells!r}")
    columns, rows = (integer(count, "cells", 1, 4096) for count in cells)
    grid = geometry_pb2.HyperplaneDensityRequest.Grid(columns=columns, rows=rows)
    return geometry_pb2.HyperplaneDensityRequest(slice=sliced, cells=grid)


class SliceAssembly:
    """Puts the parts of a stream together.

    Arguments:
        points: the latents that were asked for; None for an origin and directions.
    """

    def __init__(self, points: ArrayLike | None) -> None:
        self._points = points
        self._header: geometry_pb2.SliceHeader | None = None
        self._trailer: geometry_pb2.SliceResponse.Trailer | None = None
        self._found: dict[tuple[str, str], list[NDArray[Any]]] = {}
        self._counts = {"tiles": 0, "edges": 0, "vertices": 0}

    def add(self, part: geometry_pb2.SliceResponse) -> None:
        """Take the next part; ServerFault where it is not one that can follow."""
        kind = part.WhichOneof("part")
        if self._trailer is not None or (kind == "header") == (self._header is not None):
            raise _malformed(f"a {kind or 'nameless part'} where none can be")
        if kind == "header":
            self._header = part.header
        elif kind == "trailer":
            self._trailer = part.trailer
        elif kind is not None:
            self._take(kind, getattr(part, kind))

    def finish(self) -> Tessellation:
        """Return the whole.

        Returns:
            The tessellation.

        Raises:
            ServerFault: parts are missing, or do not belong together.

        Accuracy: exact.
        """
        header, trailer = self._header, self._trailer
        if header is None or trailer is None:
            raise _malformed("it ended before its trailer")
        for kind, count in self._counts.items():
            if not count == getattr(header, kind) == getattr(trailer, kind):
                raise _malformed(f"{count:,} {kind} of {getattr(header, kind):,} came")
        joined: dict[tuple[str, str], Any] = {name: np.concatenate(arrays) for name, arrays in self._found.items()}
        tiles = {name: joined.get(("tiles", name)) for name in _TILES}
        sizes = tiles.pop("sizes")
        points, ends = joined["vertices", "points"], joined["edges", "ends"]
        kept = {name: array for name, array in tiles.items() if array is not None}
        if sizes is None or not len(kept.get("cycle", ())) == sizes.sum() == header.cycle:
            raise _malformed("edges around tiles are missing")
        line = points.shape[1] == 1
        return Tessellation(
            header=decode_slice_header(header, self._points),
            points=points,
            ends=ends,
            sides=joined["edges", "sides"],
            labels=joined["vertices" if line else "edges", "labels"],
            starts=np.concatenate([[0], sizes.cumsum(dtype=np.int64)]),
            **kept,
        )

    def _take(self, kind: str, part: Any) -> None:
        arrays: dict[str, Any] = {
            name: from_tensor(getattr(part, name)) for name in _ARRAYS[kind] if part.HasField(name)
        }
        count = len(arrays.get({"tiles": "areas", "edges": "ends", "vertices": "points"}[kind], ()))
        if part.first != self._counts[kind] or not count:
            raise _malformed(f"{kind} from {part.first:,} on came where those from {self._counts[kind]:,} were due")
        self._counts[kind] += count
        for name, array in arrays.items():
            self._found.setdefault((kind, name), []).append(array)


def decode_slice_header(header: geometry_pb2.SliceHeader, points: ArrayLike | None) -> SliceHeader:
    """Unpack a slice as it was taken.

    Arguments:
        header: as answered.
        points: the latents that were asked for; None for an origin and directions.

    Returns:
        The same, frozen.

    Raises:
        ServerFault: if its extent is none that this client knows.

    Accuracy: exact.
    """
    extent = _EXTENTS.get(header.extent)
    if extent is None:
        raise _malformed(f"its extent {header.extent} is unknown")
    origin: Any = from_tensor(header.origin)
    frame: Any = from_tensor(header.frame)
    window: Any = from_tensor(header.window)
    figures = header.statistics
    return SliceHeader(
        generator=header.generator,
        generator_digest=header.generator_digest,
        condition=condition_word(header.condition),
        origin=origin,
        frame=frame,
        window=window,
        through=None if points is None else (np.asarray(points, dtype=np.float64) - origin) @ frame.T,
        target=header.target,
        layers=tuple(
            SliceLayer(name=one.name, operation=one.operation, units=one.units, bending=one.bending, tiles=one.tiles)
            for one in header.layers
        ),
        extent=extent,
        stopped_at=header.stopped_at,
        merged=header.merged,
        tiles=header.tiles,
        edges=header.edges,
        vertices=header.vertices,
        statistics=SliceStatistics(
            area_mean=figures.area_mean,
            area_sd=figures.area_sd,
            corners_mean=figures.corners_mean,
            eccentricity_mean=figures.eccentricity_mean,
            added=tuple(figures.added),
        ),
        max_tiles=header.max_tiles,
        precision=precision_word(header.precision) if header.HasField("precision") else None,
        prior=header.prior,
        masses=_masses(header.masses) if header.HasField("masses") else None,
        stamp=stamp_to_dict(header.stamp),
    )


def decode_hyperplane_density(
    answer: geometry_pb2.HyperplaneDensityResponse, points: ArrayLike | None
) -> HyperplaneDensity:
    """Unpack where boundaries lie; raises as `decode_slice_header`."""
    lengths: Any = from_tensor(answer.lengths)
    return HyperplaneDensity(header=decode_slice_header(answer.header, points), lengths=lengths)


def _masses(message: geometry_pb2.SliceMasses) -> SliceMasses:
    window = message.window if message.HasField("window") else None
    return SliceMasses(law=message.law, window=window, error=message.error)


def _write_window(request: geometry_pb2.SliceRequest, window: ArrayLike) -> None:
    shape = np.shape(window)
    if len(shape) == 2:
        request.polygon.CopyFrom(floats_to_tensor(window, "window", "[corners, 2]", "a polygon"))
        return
    if shape not in ((2,), (4,)):
        raise _invalid(
            "window", f"a window is (left, right, bottom, top), (low, high) of a line, or [corners, 2]; not {window!r}"
        )
    floats_to_tensor(window, "window", "[numbers]", "four numbers")
    numbers = np.asarray(window, dtype=np.float64).tolist()
    if len(numbers) == 2:
        request.segment.CopyFrom(Request.Segment(low=numbers[0], high=numbers[1]))
    else:
        left, right, bottom, top = numbers
        request.rectangle.CopyFrom(Request.Rectangle(left=left, right=right, bottom=bottom, top=top))


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, reason="INVALID_INPUT")


def _malformed(what: str) -> ServerFault:
    return ServerFault(f"the slice's stream is not whole: {what}", reason="MALFORMED_ANSWER")
