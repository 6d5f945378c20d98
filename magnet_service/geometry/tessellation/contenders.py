"""Units that take the largest of several values: where they change over, and what they are afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.planar.envelopes import judge_edges, largest_at, largest_everywhere, ties_in_tiles
from magnet_service.geometry.tessellation.cuts import Cuts, Split
from magnet_service.geometry.tessellation.live import Live, with_columns
from magnet_service.geometry.tessellation.merging import without
from magnet_service.geometry.tessellation.ranges import finite
from magnet_service.geometry.tessellation.sheet import Sheet
from magnet_service.geometry.tessellation.subdivision import Subdivision

__all__ = ["Contest", "prepare_contest"]


@dataclass(frozen=True)
class Contest:
    """Units about to split tiles where two contenders tie for the largest.

    Attributes:
        cuts: differences of two contenders; None for none.
        ties: [ties, 4]: tile, unit, and the places of two contenders that tie for the largest inside of the tile.
        values: [vertices, contenders], of those that may be largest somewhere.
        floors: [contenders], what rounding may add.
        starts, entries: contenders of each unit, columns of `values`.
        places: of each entry, among all that its unit takes the largest of.
        most: entries that a unit takes the largest of.
        units: those that change over.
        straight: what the value is of the columns there were, without those units.
        sign: 1, or -1 where the smallest is taken.
    """

    cuts: Cuts | None
    ties: NDArray[np.int32]
    values: Tensor
    floors: NDArray[np.float64]
    starts: NDArray[np.int64]
    entries: NDArray[np.int32]
    places: NDArray[np.int64]
    most: int
    units: Tensor
    straight: Live
    sign: float

    def judged(self, values: Tensor, found: Split) -> tuple[Subdivision, NDArray[np.bool_]]:
        """A split with each new edge labelled by a unit that changes over there, and which edges no unit changes at."""
        subdivision = found.subdivision
        edges = np.flatnonzero(found.sources >= 0)
        judged = np.zeros((len(edges), 3), np.int32)
        units = np.unique(self.ties[:, :2], axis=0)
        tied_starts = np.searchsorted(units[:, 0], np.arange(int(found.origins.max()) + 2))
        judge_edges(
            edges,
            subdivision.sides,
            found.origins,
            subdivision.starts,
            subdivision.corners,
            values.numpy(),
            self.floors,
            self.starts,
            self.entries,
            tied_starts,
            np.ascontiguousarray(units[:, 1]),
            judged,
        )
        spurious = np.zeros(len(subdivision.ends), bool)
        spurious[edges] = judged[:, 0] < 0
        labels = subdivision.labels.copy()
        labels[edges, 1:] = labelled(judged, self.places, self.most, self.units.numpy())
        return replace(subdivision, labels=labels), spurious

    def settle(self, sheet: Sheet, index: int, found: Split | None) -> Subdivision | None:
        """Give the node its value after the split, and take out the edges that were none."""
        values, subdivision = self.values, None
        if found is not None:
            before = len(values)
            values = sheet.grown(values, found)
            sheet.follow(found)
            if not found.subdivision.line:
                loose = np.arange(len(values)) >= before
                kept = without(*self.judged(values, found), loose)
                subdivision, chosen = kept.subdivision, torch.from_numpy(kept.vertices)
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
        NotFinite: a contender is not finite everywhere.

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
    starts = begins_of(mine)
    contenders = entries.to(torch.int32).numpy()
    values = sheet.values(constant[columns], matrix[:, columns].contiguous())
    floors = sheet.floors(constant[columns], matrix[:, columns].contiguous()).numpy()
    ties = ties_of(sheet, values, floors, starts, contenders, subdivision)
    own, most = mine.nonzero()[:, 1].numpy(), places.shape[1]
    cuts = None
    if len(ties):
        pairs, which = np.unique(ties[:, 1:], axis=0, return_inverse=True)
        labels = np.column_stack([np.full(len(pairs), layer), labelled(pairs, own, most, units.numpy())])
        cuts = differences(values.numpy(), floors, contenders, pairs, ties[:, 0], which.ravel(), subdivision, labels)
    return Contest(cuts, ties, values, floors, starts, contenders, own, most, units, straight, sign)


def candidates(sheet: Sheet, constant: Tensor, matrix: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Contenders [units, most] that may be largest as far as their ranges tell, and one that is if no other is."""
    if sheet.worth_bounding(matrix):
        lows, highs = finite(*sheet.clusters().bounds(constant, matrix))
    else:
        lows, highs = (limit[None] for limit in sheet.ranges(constant, matrix)[:2])
    may = torch.zeros(places.shape, dtype=torch.bool)
    outside = places < 0
    for low, high in zip(lows, highs, strict=True):
        here_low, here_high = (limit[places.clamp(min=0)].masked_fill(outside, -torch.inf) for limit in (low, high))
        least, best = here_low.max(dim=1)
        may |= here_high > least[:, None]
        may.scatter_(1, best[:, None], True)
    contested = (may.sum(dim=1) > 1).nonzero().flatten()
    mine = may[contested]
    entries, which = places[contested][mine].unique(return_inverse=True)
    values = sheet.values(constant[entries], matrix[:, entries].contiguous())
    starts = begins_of(mine)
    winners = np.empty(len(contested), np.int64)
    largest_everywhere(values.numpy(), starts, which.to(torch.int32).numpy(), winners)
    won = torch.from_numpy(winners)
    settled = won >= 0
    chosen = mine.nonzero()[:, 1][won[settled]]
    may[contested[settled]] = False
    may[contested[settled], chosen] = True
    return may, may.to(torch.int8).argmax(dim=1)


def begins_of(chosen: Tensor) -> NDArray[np.int64]:
    """[rows + 1], where the entries chosen of each row begin among all of them."""
    return np.concatenate([[0], np.cumsum(chosen.sum(dim=1).numpy())]).astype(np.int64)


def ties_of(
    sheet: Sheet,
    values: Tensor,
    floors: NDArray[np.float64],
    starts: NDArray[np.int64],
    entries: NDArray[np.int32],
    subdivision: Subdivision,
) -> NDArray[np.int32]:
    """[ties, 4]: tile, unit, and the places of two contenders that tie for the largest inside of the tile."""
    rows = values.numpy()
    tile_starts, corners = subdivision.around
    largest = np.empty((len(rows), len(starts) - 1), np.int32)
    sheet.workers.over(lambda at, end: largest_at(rows[at:end], starts, entries, largest[at:end]), len(rows))

    def tied(at: int, end: int) -> NDArray[np.int32]:
        room = np.empty((1024, 4), np.int32)
        given = (at, end, tile_starts, corners, rows, floors, starts, entries, largest)
        count = ties_in_tiles(*given, room)
        if count > len(room):
            room = np.empty((count, 4), np.int32)
            ties_in_tiles(*given, room)
        return room[:count]

    return np.concatenate(sheet.workers.over(tied, subdivision.tiles))


def differences(
    rows: NDArray[np.float64],
    floors: NDArray[np.float64],
    entries: NDArray[np.int32],
    pairs: NDArray[np.int32],
    in_tiles: NDArray[np.int32],
    which: NDArray[np.int64],
    subdivision: Subdivision,
    labels: NDArray[np.int64],
) -> Cuts:
    """Differences of the pairs that tie in some tile, and where they may cut: `which` of the pairs in which tile."""
    words = (len(pairs) + 63) // 64
    tiles = np.zeros((subdivision.tiles, words), np.uint64)
    np.bitwise_or.at(tiles, (in_tiles, which >> 6), np.uint64(1) << (which & 63).astype(np.uint64))
    if subdivision.line:
        edges = tiles
    else:
        padded = np.concatenate([tiles, np.zeros((1, words), np.uint64)])
        edges = padded[subdivision.sides[:, 0]] | padded[subdivision.sides[:, 1]]
    one, other = entries[pairs[:, 1]], entries[pairs[:, 2]]
    functions = np.ascontiguousarray(rows[:, one] - rows[:, other])
    indices = np.arange(len(pairs), dtype=np.int32)
    rounding = floors[one] + floors[other]
    return Cuts(functions, indices, np.zeros(len(pairs)), rounding, labels.astype(np.int32), edges, tiles)


def labelled(
    pairs: NDArray[np.int32], places: NDArray[np.int64], most: int, units: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[pairs, 2]: the node's unit, and which two of the `most` entries that it may take: first x most + second."""
    tied = np.sort(places[pairs[:, 1:]], axis=1)
    return np.stack([units[pairs[:, 0]], tied[:, 0] * most + tied[:, 1]], axis=1)
