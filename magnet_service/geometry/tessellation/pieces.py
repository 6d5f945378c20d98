"""Pieces of a window that are tessellated one after another where one does not fit into memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Piece", "halves", "whole_window"]

_SHARE = 0.5309
"""Where a piece is cut, as a share of its longer extent: where a network is not likely to have a line of its own."""

_DEPTH = 16


@dataclass(frozen=True)
class Piece:
    """A convex part of a window.

    Attributes:
        corners: [corners, 2], counterclockwise; the two ends [2, 1] of a part of a line.
        seams: [corners], the number of the seam on which the side behind each corner lies; -1 - s for side s of the
            window.
        depth: cuts that made it.
    """

    corners: NDArray[np.float64]
    seams: tuple[int, ...]
    depth: int = 0

    @property
    def divisible(self) -> bool:
        """Whether it may be cut again."""
        return self.depth < _DEPTH and self.corners.shape[1] == 2


def whole_window(corners: NDArray[np.float64]) -> Piece:
    """A window in one piece."""
    return Piece(corners, tuple(-1 - side for side in range(len(corners))))


def halves(piece: Piece, seam: int) -> tuple[Piece, Piece]:
    """Cut a piece across its longer extent.

    Arguments:
        piece: of a plane.
        seam: number of the new seam.

    Returns:
        Both sides; the corners on the seam are the same numbers in both.

    Raises:
        Nothing.
    """
    low, high = piece.corners.min(axis=0), piece.corners.max(axis=0)
    axis = int(np.argmax(high - low))
    value = low[axis] + _SHARE * (high - low)[axis]
    below: tuple[list[NDArray[np.float64]], list[int]] = ([], [])
    above: tuple[list[NDArray[np.float64]], list[int]] = ([], [])
    count = len(piece.corners)
    for number in range(count):
        corner, after = piece.corners[number], piece.corners[(number + 1) % count]
        here, there = (below, above) if corner[axis] < value else (above, below)
        here[0].append(corner)
        here[1].append(piece.seams[number])
        if (corner[axis] < value) != (after[axis] < value):
            share = (value - corner[axis]) / (after[axis] - corner[axis])
            crossing = corner + share * (after - corner)
            crossing[axis] = value
            # The half that is left goes on along the seam, the other one along the side.
            here[0].append(crossing)
            here[1].append(seam)
            there[0].append(crossing)
            there[1].append(piece.seams[number])
    first, second = (Piece(np.array(corners), tuple(seams), piece.depth + 1) for corners, seams in (below, above))
    return first, second
