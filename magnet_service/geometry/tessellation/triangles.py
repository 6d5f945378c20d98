"""Triangles of tiles: fans, quarters, and what half-planes leave of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.tessellation.result import Tessellation

__all__ = ["areas", "clipped", "cut_near", "fan_of", "fans", "quartered"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_HALVINGS = 60
"""Times that a side can be halved before it is rounding."""

_REACH = 4.0
"""Radii around a point within which triangles are cut."""


def fans(tessellation: Tessellation) -> tuple[Floats, Numbers]:
    """Every tile of a plane as a fan of triangles around its first corner.

    Arguments:
        tessellation: of a plane.

    Returns:
        [triangles, 3, 2], and the tile of each.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    corners = tessellation.points[tessellation.corners]
    starts, counts = tessellation.starts[:-1], np.diff(tessellation.starts)
    tile = np.repeat(np.arange(tessellation.tiles), counts - 2)
    step = np.arange(len(tile)) - np.repeat(np.cumsum(counts - 2) - (counts - 2), counts - 2)
    first = starts[tile]
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1), tile


def fan_of(polygon: Floats) -> Floats:
    """A convex polygon [corners, 2] as a fan of triangles."""
    return np.stack([np.broadcast_to(polygon[0], polygon[1:-1].shape), polygon[1:-1], polygon[2:]], axis=1)


def areas(triangles: Floats) -> Floats:
    """Areas of triangles."""
    one, other = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    found: Floats = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) / 2
    return found


def quartered(triangles: Floats) -> Floats:
    """Four triangles for each, [4 triangles, 3, 2], those of one behind another."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    four = [np.stack(corners, axis=1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return np.stack(four, axis=1).reshape(-1, 3, 2)


def clipped(triangles: Floats, tile: Numbers, normal: Floats, offset: float) -> tuple[Floats, Numbers]:
    """What a half-plane normal . x <= offset leaves of triangles.

    Arguments:
        triangles: [triangles, 3, 2].
        tile: the tile of each.
        normal: [2].
        offset: of the half-plane.

    Returns:
        The triangles inside, those on its border cut into one or two, and the tile of each.

    Raises:
        Nothing.

    Accuracy: rounding of float64.
    """
    beyond = triangles @ normal - offset
    inside = beyond <= 0
    counts = inside.sum(axis=1)
    left, tiles = [triangles[counts == 3]], [tile[counts == 3]]
    for count in (1, 2):
        some = counts == count
        # First the corner that is alone on its side.
        alone = (inside[some] == (count == 1)).argmax(axis=1)
        order = (alone[:, None] + np.arange(3)) % 3
        heights = np.take_along_axis(beyond[some], order, 1)
        a, b, c = np.take_along_axis(triangles[some], order[..., None], 1).swapaxes(0, 1)
        ab, ac = (
            a + (heights[:, 0] / (heights[:, 0] - heights[:, place]))[:, None] * (corner - a)
            for place, corner in ((1, b), (2, c))
        )
        pieces = [(a, ab, ac)] if count == 1 else [(ab, b, c), (ab, c, ac)]
        left += [np.stack(piece, axis=1) for piece in pieces]
        tiles += [tile[some]] * count
    return np.concatenate(left), np.concatenate(tiles)


def cut_near(triangles: Floats, tile: Numbers, centre: Floats, radius: float) -> tuple[Floats, Numbers]:
    """Quarter the triangles near a point until none has a side longer than a radius.

    Arguments:
        triangles: [triangles, 3, 2].
        tile: the tile of each.
        centre: [2].
        radius: above 0.

    Returns:
        The triangles and their quarters, and the tile of each.

    Raises:
        Nothing.

    Accuracy: rounding of float64.
    """
    for _ in range(_HALVINGS):
        longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1)
        away = np.linalg.norm(triangles.mean(axis=1) - centre, axis=1) - longest
        large = (longest > radius) & (away <= _REACH * radius)
        if not large.any():
            break
        triangles = np.concatenate([triangles[~large], quartered(triangles[large])])
        tile = np.concatenate([tile[~large], np.repeat(tile[large], 4)])
    return triangles, tile
