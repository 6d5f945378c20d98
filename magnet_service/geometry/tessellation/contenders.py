"""Units that take the largest of several values: where they change over, and what they are afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.planar.envelopes import largest_at, ties_in_tiles
from magnet_service.geometry.tessellation.merging import without
from magnet_service.geometry.tessellation.sheet import Live, Sheet, with_columns
from magnet_service.geometry.tessellation.subdivision import Cuts, Split, Subdivision

__all__ = ["Contest", "prepare_contest"]


@dataclass(frozen=True)
class Contest:
    """Units about to split tiles where two contenders tie for the largest.

    Attributes:
        cuts: differences of two contenders; None for none.
        pairs: [functions, 3]: unit, and places of the two contenders.
        values: [vertices, contenders], of those that may be largest somewhere.
        starts, entries: contenders of each unit, columns of `values`.
        units: those that change over.
        straight: what the value is of the columns there were, without those units.
        sign: 1, or -1 where the smallest is taken.
    """

    cuts: Cuts | None
    pairs: NDArray[np.int32]
    values: Tensor
    starts: NDArray[np.int64]
    entries: NDArray[np.int32]
    units: Tensor
    straight: Live
    sign: float

    def spurious(self, values: Tensor, found: Split) -> NDArray[np.bool_]:
        """Edges of a split along which a third contender is larger than the two that tie."""
        subdivision = found.subdivision
        inner = np.flatnonzero(found.sources >= 0)
        pairs, rows = self.pairs[found.sources[inner]], values.numpy()
        ends = subdivision.ends[inner]
        spurious = np.zeros(len(subdivision.ends), bool)
        for unit in np.unique(pairs[:, 0]):
            mine = pairs[:, 0] == unit
            middle = (rows[ends[mine, 0]] + rows[ends[mine, 1]])[
                :, self.entries[self.starts[unit] : self.starts[unit + 1]]
            ]
            tied = np.take_along_axis(middle, pairs[mine, 1:2] - self.starts[unit], axis=1)
            scale = np.abs(middle).max(axis=1)
            spurious[inner[mine]] = middle.max(axis=1) - tied[:, 0] > 1e-14 * scale
        return spurious

    def settle(self, sheet: Sheet, index: int, found: Split | None) -> Subdivision | None:
        """Give the node its value after the split, and take out the edges that were none."""
        values, subdivision = self.values, None
        if found is not None:
            before = len(values)
            values = sheet.grown(values, found)
            sheet.follow(found)
            if not found.subdivision.line:
                subdivision, kept = without(found.subdivision, self.spurious(values, found), before)
                chosen = torch.from_numpy(kept)
                values, sheet.columns = values[chosen], sheet.columns[chosen]
        if len(self.units):
            rows = torch.empty(len(values), len(self.units), dtype=torch.float64)
            for unit, (at, end) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
                rows[:, unit] = values[:, torch.from_numpy(self.entries[at:end]).long()].amax(dim=1)
            sheet.append(self.sign * rows)
        sheet.live[index] = with_columns(self.straight, sheet.width, self.units)
        return subdivision


def prepare_contest(
    sheet: Sheet,
    given: list[Live],
    places: Tensor,
    shape: tuple[int, ...],
    sign: float,
    subdivision: Subdivision,
    layer: int,
) -> Contest:
    """Find out which contenders can be largest, and which pairs of them tie inside a tile.

    Arguments:
        sheet: values at the vertices.
        given: the node's inputs.
        places: [units, most], places in the inputs' rows joined; -1 fills lines.
        shape: of one row of the node's value.
        sign: 1 for the largest, -1 for the smallest.
        subdivision: the tiles.
        layer: for labels.

    Returns:
        What to split by and how to go on.

    Raises:
        Nothing.

    Accuracy: rounding of float64.
    """
    width = max((value.width for value in given), default=0)
    flat = [value.widened(width).flat() for value in given]
    constant = sign * torch.cat([one for one, _ in flat])
    matrix = sign * torch.cat([one if len(one) else one.new_zeros(width, one.shape[1]) for _, one in flat], dim=1)
    may, best = candidates(sheet, constant, matrix, places)
    contested = may.sum(dim=1) > 1
    units = contested.nonzero().flatten()
    chosen = places.gather(1, best[:, None])[:, 0]
    straight = Live(
        (sign * constant[chosen]).masked_fill(contested, 0.0).reshape(1, *shape),
        (sign * matrix[:, chosen]).masked_fill(contested, 0.0).reshape(1, width, *shape) if width else None,
    )
    mine = may[units]
    listed = places[units][mine]
    columns, entries = listed.unique(return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(mine.sum(dim=1).numpy())]).astype(np.int64)
    contenders = entries.to(torch.int32).numpy()
    values = sheet.values(constant[columns], matrix[:, columns].contiguous())
    cuts, pairs = differences(sheet, values, starts, contenders, subdivision, units.numpy(), layer)
    return Contest(cuts, pairs, values, starts, contenders, units, straight, sign)


def candidates(sheet: Sheet, constant: Tensor, matrix: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Contenders [units, most] that may be largest as far as their ranges tell, and one that is if no other is."""
    bounds = sheet.bounds(constant, matrix)
    if bounds is None:
        low, high, _ = sheet.ranges(constant, matrix)
    else:
        low, high = bounds
    outside = places < 0
    lows, highs = (line[places.clamp(min=0)].masked_fill(outside, -torch.inf) for line in (low, high))
    least, best = lows.max(dim=1)
    may = highs > least[:, None]
    may.scatter_(1, best[:, None], True)
    if bounds is None:
        return may, best
    # Bounds are wide: look at the values of what is left.
    contested = may.sum(dim=1) > 1
    entries = places[contested][may[contested]].unique()
    low[entries], high[entries], _ = sheet.ranges(constant[entries], matrix[:, entries].contiguous())
    lows, highs = (line[places.clamp(min=0)].masked_fill(~may, -torch.inf) for line in (low, high))
    least, best = lows.max(dim=1)
    may &= highs > least[:, None]
    may.scatter_(1, best[:, None], True)
    return may, best


def differences(
    sheet: Sheet,
    values: Tensor,
    starts: NDArray[np.int64],
    entries: NDArray[np.int32],
    subdivision: Subdivision,
    units: NDArray[np.int64],
    layer: int,
) -> tuple[Cuts | None, NDArray[np.int32]]:
    """Differences of the pairs that tie in some tile, and where they may cut."""
    rows = values.numpy()
    tile_starts, corners = subdivision.around
    largest = np.empty((len(rows), len(starts) - 1), np.int32)
    sheet.workers.over(lambda at, end: largest_at(rows[at:end], starts, entries, largest[at:end]), len(rows))

    def tied(at: int, end: int) -> NDArray[np.int32]:
        room = np.empty((1024, 4), np.int32)
        given = (at, end, tile_starts, corners, rows, starts, entries, largest)
        count = ties_in_tiles(*given, room)
        if count > len(room):
            room = np.empty((count, 4), np.int32)
            ties_in_tiles(*given, room)
        return room[:count]

    ties = np.concatenate(sheet.workers.over(tied, subdivision.tiles))
    pairs, which = np.unique(ties[:, 1:], axis=0, return_inverse=True)
    if not len(pairs):
        return None, pairs
    words = (len(pairs) + 63) // 64
    tiles = np.zeros((subdivision.tiles, words), np.uint64)
    which = which.ravel()
    np.bitwise_or.at(tiles, (ties[:, 0], which >> 6), np.uint64(1) << (which & 63).astype(np.uint64))
    if subdivision.line:
        edges = tiles
    else:
        padded = np.concatenate([tiles, np.zeros((1, words), np.uint64)])
        edges = padded[subdivision.sides[:, 0]] | padded[subdivision.sides[:, 1]]
    one, other = entries[pairs[:, 1]], entries[pairs[:, 2]]
    most = int(np.diff(starts).max())
    code = (pairs[:, 1] - starts[pairs[:, 0]]) * most + pairs[:, 2] - starts[pairs[:, 0]]
    labels = np.stack([np.full(len(pairs), layer), units[pairs[:, 0]], code], axis=1).astype(np.int32)
    functions = np.ascontiguousarray(rows[:, one] - rows[:, other])
    indices = np.arange(len(pairs), dtype=np.int32)
    return Cuts(functions, indices, np.zeros(len(pairs)), labels, edges, tiles), pairs.astype(np.int32)
