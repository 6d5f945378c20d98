"""Tiles of a fixed number of rows, the unit in which forwards and tangents run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["packed_by_place", "tiles"]


def tiles(latents: Float[Tensor, "rows latent"], tile_rows: int) -> Iterator[Float[Tensor, "tile latent"]]:
    """The rows in order, `tile_rows` at a time; the last tile is filled with copies of its last row.

    Row i stands at place i mod tile_rows. A product's last bits depend on how many rows it has and, on some builds, on
    where a row stands, so this is what makes a row's bytes a function of the row and its place alone.

    Arguments:
        latents: any number of rows.
        tile_rows: rows of a tile.

    Returns:
        ceil(rows / tile_rows) tiles of exactly `tile_rows` rows, each in memory of its own.

    Raises:
        Nothing.

    Accuracy: exact copies.
    """
    for start in range(0, len(latents), tile_rows):
        # A copy, never a view: kernels may round differently on memory that starts elsewhere.
        tile = latents[start : start + tile_rows].clone()
        missing = tile_rows - len(tile)
        yield torch.cat([tile, tile[-1:].expand(missing, -1)]) if missing else tile


def packed_by_place(rows: Sequence[int], tile_rows: int) -> Int[Tensor, "tiles tile"]:
    """Packs chosen rows into few tiles, each row kept at its own place i mod tile_rows.

    Arguments:
        rows: row numbers, ascending.
        tile_rows: rows of a tile.

    Returns:
        Row numbers by tile and place, int64; a place that no chosen row needs repeats one of the tile's own rows.

    Raises:
        Nothing.

    Accuracy: exact.

    Example:
        >>> packed_by_place([1, 2, 5], 4).tolist()
        [[1, 1, 2, 1], [5, 5, 5, 5]]
    """
    packed: list[list[int]] = []
    depth = [0] * tile_rows
    for row in rows:
        place = row % tile_rows
        if depth[place] == len(packed):
            packed.append([row] * tile_rows)
        packed[depth[place]][place] = row
        depth[place] += 1
    return torch.tensor(packed, dtype=torch.int64).reshape(-1, tile_rows)
