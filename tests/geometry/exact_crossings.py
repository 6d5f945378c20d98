"""How many units of a dense ReLU network bend anywhere inside a convex polygon: slow, and without the package.

The polygon is cut layer by layer. On every piece the layers so far are one affine map, so that a unit of the next
layer takes its extremes at corners of pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["crossing_units", "frame_polygon"]

# Corners within this of a line lie on it.
ON = 1e-12


def frame_polygon(centre: np.ndarray, frame: np.ndarray, radius: float) -> np.ndarray:
    """Corners of the cross-polytope of a 2 x 2 frame, in order."""
    return centre + radius * np.stack([frame[0], frame[1], -frame[0], -frame[1]])


def crossing_units(layers: Sequence[tuple[np.ndarray, np.ndarray]], polygon: np.ndarray) -> list[int]:
    """For each layer x -> relu(W x + b) how many units take both states inside the polygon."""
    pieces = [(polygon, np.eye(2), np.zeros(2))]
    counts = []
    for weight, bias in layers:
        low, high = np.full(len(bias), np.inf), np.full(len(bias), -np.inf)
        bent = []
        for corners, matrix, shift in pieces:
            matrix, shift = weight @ matrix, weight @ shift + bias
            values = corners @ matrix.T + shift
            low, high = np.minimum(low, values.min(0)), np.maximum(high, values.max(0))
            cutting = np.flatnonzero((values.min(0) < -ON) & (values.max(0) > ON))
            for part in cut(corners, matrix[cutting], shift[cutting]):
                active = part.mean(0) @ matrix.T + shift > 0
                bent.append((part, active[:, None] * matrix, active * shift))
        counts.append(int(((low <= 0) & (high > 0)).sum()))
        pieces = bent
    return counts


def cut(corners: np.ndarray, normals: np.ndarray, offsets: np.ndarray) -> Iterator[np.ndarray]:
    """The convex pieces into which lines cut a convex polygon."""
    if not len(normals):
        yield corners
        return
    values = corners @ normals[0] + offsets[0]
    if values.min() >= -ON or values.max() <= ON:
        yield from cut(corners, normals[1:], offsets[1:])
        return
    for sign in (1.0, -1.0):
        yield from cut(half(corners, sign * values), normals[1:], offsets[1:])


def half(corners: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The part of a convex polygon where an affine function, given at its corners, is not negative."""
    kept = []
    for place in range(len(corners)):
        after = (place + 1) % len(corners)
        if values[place] >= 0:
            kept.append(corners[place])
        if values[place] * values[after] < 0:
            share = values[place] / (values[place] - values[after])
            kept.append(corners[place] + share * (corners[after] - corners[place]))
    return np.array(kept)
