"""Exact tiles of a 2-d ReLU network: slow, obvious, and sharing no code with the package.

Every polygon is cut by one line after another: for each unit of each layer, in float64, by the unit's affine
pre-activation on the polygon at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Corners within this of a line lie on it: a piece that small would have no area to speak of.
_ON = 1e-12


@dataclass(frozen=True)
class Tile:
    """A convex polygon (counter-clockwise corners) with the network's affine map A z + c on it."""

    corners: np.ndarray
    a: np.ndarray
    c: np.ndarray

    @property
    def area(self) -> float:
        return polygon_area(self.corners)

    @property
    def log_volume(self) -> float:
        return float(np.log(np.linalg.svd(self.a, compute_uv=False)).sum())


def polygon_area(corners: np.ndarray) -> float:
    x, y = corners[:, 0], corners[:, 1]
    return float(0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def clip(corners: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """The part of a convex polygon where normal . z + offset >= 0."""
    values = corners @ normal + offset
    kept = []
    for i in range(len(corners)):
        j = (i + 1) % len(corners)
        if values[i] >= 0.0:
            kept.append(corners[i])
        if (values[i] > 0.0 > values[j]) or (values[i] < 0.0 < values[j]):
            t = values[i] / (values[i] - values[j])
            kept.append(corners[i] + t * (corners[j] - corners[i]))
    return np.array(kept).reshape(-1, 2)


def square(low: float, high: float) -> np.ndarray:
    return np.array([[low, low], [high, low], [high, high], [low, high]], dtype=np.float64)


def disc(radius: float, corners: int) -> np.ndarray:
    """A regular polygon of the disc's area."""
    angle = 2.0 * np.pi * np.arange(corners) / corners
    scale = np.sqrt(2.0 * np.pi / (corners * np.sin(2.0 * np.pi / corners)))
    return radius * scale * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def exact_tiles(layers: Sequence[tuple[np.ndarray, np.ndarray]], window: np.ndarray) -> list[Tile]:
    """All tiles of x -> W_L relu(... relu(W_1 x + b_1) ...) + b_L inside a convex window."""
    tiles = [Tile(window, np.eye(2), np.zeros(2))]
    for index, (weight, bias) in enumerate(layers):
        entered = [Tile(t.corners, weight @ t.a, weight @ t.c + bias) for t in tiles]
        if index == len(layers) - 1:
            return entered
        tiles = []
        for tile in entered:
            pieces = [tile.corners]
            for normal, offset in zip(tile.a, tile.c, strict=True):
                pieces = [part for piece in pieces for part in _split(piece, normal, offset)]
            for piece in pieces:
                inside = piece.mean(axis=0)
                active = (tile.a @ inside + tile.c > 0.0).astype(np.float64)
                tiles.append(Tile(piece, active[:, None] * tile.a, active * tile.c))
    raise AssertionError("a network has at least one layer")


def _split(piece: np.ndarray, normal: np.ndarray, offset: float) -> list[np.ndarray]:
    values = piece @ normal + offset
    if values.min() >= -_ON or values.max() <= _ON:
        return [piece]
    return [clip(piece, normal, offset), clip(piece, -normal, -offset)]
