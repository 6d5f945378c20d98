"""Tiles, edges and vertices of a slice, written for the wire in parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from magnet.v1 import geometry_pb2
from magnet_service.geometry import TileMasses, Volumes
from magnet_service.registry import Sliced, spans
from magnet_service.rpc.wire.tensors import tensor_from

__all__ = ["structure_messages", "tile_bytes", "tile_spans", "tiles_message"]

Response = geometry_pb2.SliceResponse

_MEASURED_TILES = 64
"""Tiles of a message with volumes: a turn of the worker that others wait for is short."""


def tile_bytes(found: Sliced, patterns: bool) -> int:
    """Bytes that one tile of middling size takes on the wire, patterns in the larger of their types."""
    tessellation = found.tessellation
    columns = 0 if found.engine is None else found.held.generator.latent_dim + 1
    around = 4 * -(-len(tessellation.cycle) // tessellation.tiles)
    return 8 * (7 + tessellation.slice.axes + columns) + 8 + around + 4 * found.units * patterns


def tile_spans(found: Sliced, patterns: bool, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    """Cuts the tiles into parts near a size.

    Arguments:
        found: the slice.
        patterns: whether they have patterns.
        chunk_bytes: the size.

    Yields:
        First tile and number of tiles of each part; where volumes are computed, whole tiles of rows, and few of them.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    rows, step = max(1, chunk_bytes // tile_bytes(found, patterns)), 1
    if found.engine is not None:
        step = found.engine.tile_rows
        rows = min(rows, _MEASURED_TILES)
    return spans(0, found.tessellation.tiles, rows, step)


def tiles_message(
    found: Sliced,
    first: int,
    count: int,
    patterns: npt.NDArray[np.integer] | None = None,
    volumes: Volumes | None = None,
    log_prior: npt.NDArray[np.float64] | None = None,
    masses: TileMasses | None = None,
) -> Response:
    """Writes tiles first to first + count - 1.

    Arguments:
        found: the slice.
        first: number of the first.
        count: tiles.
        patterns: theirs, [count, units] uint8 or int32; None if not asked for.
        volumes: theirs; None if not asked for.
        log_prior: at their centroids; None if not asked for, or where there is none.
        masses: of all tiles; None if not asked for.

    Returns:
        The message.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    tessellation, some = found.tessellation, slice(first, first + count)
    starts = tessellation.starts[first : first + count + 1]
    tiles = Response.Tiles(
        first=first,
        areas=tensor_from(tessellation.areas[some]),
        centroids=tensor_from(tessellation.centroids[some]),
        spreads=tensor_from(tessellation.spreads[some]),
        spectral_norms=tensor_from(tessellation.spectral_norms[some]),
        frobenius_norms=tensor_from(tessellation.frobenius_norms[some]),
        stretches=tensor_from(tessellation.stretches[some]),
        sizes=tensor_from(np.diff(starts).astype(np.int32)),
        cycle=tensor_from(tessellation.cycle[starts[0] : starts[-1]]),
        patterns=None if patterns is None else tensor_from(patterns),
        log_singular_values=None if volumes is None else tensor_from(volumes.log_singular_values.numpy()),
        rank=None if volumes is None else tensor_from(volumes.rank.numpy().astype(np.int32)),
        log_prior=None if log_prior is None else tensor_from(log_prior),
        masses=None if masses is None else tensor_from(masses.masses[some]),
    )
    return Response(tiles=tiles)


def structure_messages(found: Sliced, chunk_bytes: int) -> Iterator[Response]:
    """Writes what follows the tiles: edges, vertices and the trailer.

    Arguments:
        found: the slice.
        chunk_bytes: size of a part.

    Yields:
        The messages.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    tessellation = found.tessellation
    line, nothing = tessellation.slice.axes == 1, tensor_from(tessellation.labels[:0])
    edges, vertices = len(tessellation.ends), len(tessellation.points)
    for first, count in spans(0, edges, chunk_bytes // (8 if line else 28), 1):
        some = slice(first, first + count)
        yield Response(
            edges=Response.Edges(
                first=first,
                ends=tensor_from(tessellation.ends[some]),
                sides=tensor_from(tessellation.sides[some]),
                labels=nothing if line else tensor_from(tessellation.labels[some]),
            )
        )
    for first, count in spans(0, vertices, chunk_bytes // (20 if line else 16), 1):
        some = slice(first, first + count)
        yield Response(
            vertices=Response.Vertices(
                first=first,
                points=tensor_from(tessellation.points[some]),
                labels=tensor_from(tessellation.labels[some]) if line else nothing,
            )
        )
    yield Response(trailer=Response.Trailer(tiles=tessellation.tiles, edges=edges, vertices=vertices))
