"""Pieces of a window that are done, and all of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.planar.merging import count_tiles
from magnet_service.geometry.tessellation.live import Live
from magnet_service.geometry.tessellation.measured import Norms, norms
from magnet_service.geometry.tessellation.merging import without
from magnet_service.geometry.tessellation.pieces import Piece
from magnet_service.geometry.tessellation.progress import Progress
from magnet_service.geometry.tessellation.result import DECISION
from magnet_service.geometry.tessellation.seams import SEAM, joined
from magnet_service.geometry.tessellation.subdivision import Subdivision

__all__ = ["Block", "United", "united"]


@dataclass(frozen=True)
class Block:
    """A piece of a window with its tiles.

    Attributes:
        piece: of the window.
        subdivision: its tiles.
        norms: of the affine maps on them; None where a budget ended it before.
        tiles, bending: after each nonlinearity taken into account, the tiles, and the units that cut.
        merged: how often the tie rule took two for one.
        made_by: labels of the vertices of a line.
    """

    piece: Piece
    subdivision: Subdivision
    norms: Norms | None
    tiles: tuple[int, ...]
    bending: tuple[NDArray[np.int32], ...]
    merged: int
    made_by: NDArray[np.int32]

    @staticmethod
    def of(piece: Piece, progress: Progress, value: Live | None) -> Block:
        """What is left of a piece at work; `value` is the one wanted where it was reached."""
        return Block(
            piece,
            progress.subdivision,
            None if value is None else norms(progress.subdivision, progress.sheet, value),
            tuple(progress.tiles),
            tuple(progress.bending),
            progress.merged,
            progress.made_by,
        )


@dataclass(frozen=True)
class United:
    """All pieces as one.

    Attributes:
        subdivision: the tiles of the window.
        norms: of the affine maps on them; None where a budget ended it before.
        done: nonlinearities taken into account everywhere.
        tiles, bending: after each of them, the tiles, and how many units cut.
        merged: how often the tie rule took two for one.
        made_by: labels of the vertices of a line.
    """

    subdivision: Subdivision
    norms: Norms | None
    done: int
    tiles: tuple[int, ...]
    bending: tuple[int, ...]
    merged: int
    made_by: NDArray[np.int32]


def united(blocks: Sequence[Block], layers: int, size: float) -> United:
    """Put the pieces together, and leave out what was not done in all of them.

    Arguments:
        blocks: all pieces of the window.
        layers: nonlinearities asked for, the decision boundary as one behind all others.
        size: of the window.

    Returns:
        The tiles of the layers done everywhere.

    Raises:
        Nothing.

    Accuracy: as `joined`; of tiles on both sides of a seam the measures of one are taken, which are equal.
    """
    done = min(len(block.tiles) for block in blocks)
    first = blocks[0]
    bending = tuple(len(np.unique(np.concatenate([block.bending[at] for block in blocks]))) for at in range(done))
    merged = sum(block.merged for block in blocks)
    if len(blocks) == 1:
        return United(first.subdivision, first.norms, done, first.tiles, bending, merged, first.made_by)
    together = joined([(block.piece, block.subdivision) for block in blocks], size)
    layer = together.labels[:, 0]
    removed = (layer == SEAM) | (layer >= done) | ((layer == DECISION) & (done < layers))
    # Nothing but the corners of the window is needed where no two lines meet.
    loose = np.ones(len(together.points), bool)
    for block in blocks:
        seams = block.piece.seams
        for number, corner in enumerate(block.piece.corners):
            if seams[number] < 0 and seams[number - 1] < 0:
                loose &= (together.points != corner).any(axis=1)
    found = without(together, removed, loose)
    parts = [block.norms for block in blocks if block.norms is not None]
    kept = None
    if len(parts) == len(blocks) and done == layers:
        kept = Norms(*(np.concatenate(arrays)[found.members] for arrays in zip(*parts, strict=True)))
    order = found.subdivision.labels[:, 0]
    numbers = np.where(order == DECISION, layers - 1, order).astype(np.int64)
    tiles = np.empty(done, np.int64)
    count_tiles(found.subdivision.sides, numbers, found.subdivision.faces, tiles)
    return United(found.subdivision, kept, done, tuple(tiles.tolist()), bending, merged, first.made_by)
