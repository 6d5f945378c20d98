"""The answer to a question for tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from magnet_service.geometry.slice import Slice
from magnet_service.geometry.tessellation.blocks import United
from magnet_service.geometry.tessellation.measured import Norms, shapes
from magnet_service.geometry.tessellation.result import Extent, LayerTiles, Tessellation
from magnet_service.geometry.tessellation.workers import Workers

__all__ = ["finished"]


def finished(
    united: United,
    workers: Workers,
    *,
    where: Slice,
    target: str,
    layers: Sequence[tuple[str, str, int]],
    stopped_at: str,
) -> Tessellation:
    """The answer: the tiles with their measures.

    Arguments:
        united: the tiles.
        workers: to work with.
        where, target, stopped_at: as `Tessellation` has them.
        layers: name, operation and units of each nonlinearity.

    Returns:
        The tessellation.

    Raises:
        Nothing.

    Accuracy: as `shapes` and `norms`.
    """
    subdivision = united.subdivision
    line, tiles = subdivision.line, subdivision.tiles
    shape = shapes(subdivision, workers)
    order = np.argsort(shape.centroids[:, 0], kind="stable") if line else np.arange(tiles)
    nothing = np.full(tiles, np.nan)
    known = united.norms if united.norms is not None else Norms(nothing, nothing.copy(), nothing.copy())
    starts, corners = subdivision.around
    done = zip(layers, united.bending, united.tiles, strict=False)
    return Tessellation(
        slice=where,
        target=target,
        layers=tuple(LayerTiles(*layer, bending, count) for layer, bending, count in done),
        extent=Extent.TRUNCATED if stopped_at else Extent.COMPLETE,
        stopped_at=stopped_at,
        merged=united.merged,
        points=subdivision.points[:, : where.axes],
        ends=subdivision.ends[order] if line else subdivision.ends,
        sides=np.zeros((0, 2), np.int32) if line else subdivision.sides,
        labels=united.made_by if line else subdivision.labels,
        starts=starts,
        cycle=np.arange(tiles, dtype=np.int32).repeat(2) * 2 if line else subdivision.cycle,
        corners=corners.reshape(-1, 2)[order].ravel() if line else corners,
        areas=shape.areas[order],
        centroids=shape.centroids[order, : where.axes],
        spreads=shape.spreads[order],
        spectral_norms=known.spectral[order],
        frobenius_norms=known.frobenius[order],
        stretches=known.stretches[order],
    )
