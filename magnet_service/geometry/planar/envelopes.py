"""Upper envelopes: where, in a tile, the largest of several affine functions changes."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["judge_edges", "largest_at", "largest_everywhere", "ties_in_tiles"]


@compiled
def largest_at(values, starts, entries, found):  # type: ignore[no-untyped-def]
    """Which contender of each unit is largest at each vertex, the first of equal ones.

    Arguments:
        values: [vertices, contenders].
        starts: [units + 1], where a unit's contenders begin in `entries`.
        entries: columns of `values`.
        found: [vertices, units] int32, written to: place in `entries`.
    """
    for vertex in range(values.shape[0]):
        for unit in range(starts.shape[0] - 1):
            best = starts[unit]
            for place in range(starts[unit] + 1, starts[unit + 1]):
                if values[vertex, entries[place]] > values[vertex, entries[best]]:
                    best = place
            found[vertex, unit] = best


@compiled
def largest_everywhere(values, starts, entries, found):  # type: ignore[no-untyped-def]
    """The contender of each unit that none is above at any vertex, and so on no tile; -1 where there is none.

    Arguments:
        values, starts, entries: as of `largest_at`.
        found: [units] int64, written to: place in `entries`.
    """
    for unit in range(starts.shape[0] - 1):
        found[unit] = -1
        for place in range(starts[unit], starts[unit + 1]):
            best = True
            for vertex in range(values.shape[0]):
                value = values[vertex, entries[place]]
                for other in range(starts[unit], starts[unit + 1]):
                    best = best and value >= values[vertex, entries[other]]
                if not best:
                    break
            if best:
                found[unit] = place
                break


@compiled
def ties_in_tiles(  # type: ignore[no-untyped-def]
    first_tile, last_tile, tile_starts, corners, values, floors, starts, entries, largest, ties
):
    """The pairs of contenders that tie for the largest somewhere inside a tile, as far as rounding can tell.

    Arguments:
        tile_starts, corners: vertices of the tiles.
        values, starts, entries, largest: as of `largest_at`.
        floors: [contenders], what rounding may add.
        ties: [room, 4] int32, written to as far as there is room: tile, unit, and the places of the two contenders.

    Returns:
        How many there are.
    """
    count = 0
    for tile in range(first_tile, last_tile):
        begin, end = tile_starts[tile], tile_starts[tile + 1]
        for unit in range(starts.shape[0] - 1):
            same = True
            for at in range(begin + 1, end):
                same = same and largest[corners[at], unit] == largest[corners[begin], unit]
            if same:
                continue
            for one in range(starts[unit], starts[unit + 1]):
                for other in range(one + 1, starts[unit + 1]):
                    if tie(begin, end, corners, values, floors, entries, starts[unit], starts[unit + 1], one, other):
                        if count < ties.shape[0]:
                            ties[count, 0], ties[count, 1], ties[count, 2], ties[count, 3] = tile, unit, one, other
                        count += 1
    return count


@compiled
def tie(begin, end, corners, values, floors, entries, first, last, one, other):  # type: ignore[no-untyped-def]
    """Whether two contenders are both the largest along some of the line on which they are equal, inside a tile."""
    # The line enters and leaves the tile between corners where their difference has other signs.
    met = 0
    low, high = 0.0, 1.0
    before, after, shares = np.empty(2, np.int64), np.empty(2, np.int64), np.empty(2)
    previous = corners[end - 1]
    for at in range(begin, end):
        corner = corners[at]
        was = values[previous, entries[one]] - values[previous, entries[other]]
        now = values[corner, entries[one]] - values[corner, entries[other]]
        if (was > 0) != (now > 0) and met < 2:
            before[met], after[met] = previous, corner
            shares[met] = was / (was - now)
            met += 1
        previous = corner
    if met < 2:
        return False
    for third in range(first, last):
        if third in (one, other):
            continue
        # Of contenders that are equal up to rounding none may keep the others from the tie.
        floor = floors[entries[third]] + floors[entries[one]]
        start = excess(0, before, after, shares, values, entries[third], entries[one]) - floor
        finish = excess(1, before, after, shares, values, entries[third], entries[one]) - floor
        if start > 0 and finish > 0:
            return False
        if start > 0:
            low = max(low, start / (start - finish))
        elif finish > 0:
            high = min(high, start / (start - finish))
    return low < high


@compiled
def excess(end, before, after, shares, values, third, one):  # type: ignore[no-untyped-def]
    """How far a third contender is above the first at one end of the line."""
    share = shares[end]
    return (1.0 - share) * (values[before[end], third] - values[before[end], one]) + share * (
        values[after[end], third] - values[after[end], one]
    )


@compiled
def judge_edges(  # type: ignore[no-untyped-def]
    edges, sides, origins, tile_starts, corners, values, floors, starts, entries, tied_starts, tied_units, judged
):
    """Whether the largest contender of some unit changes over an edge.

    Arguments:
        edges: those to judge, between two tiles that come from one.
        sides, origins, tile_starts, corners: tiles of the edges, and what they come from.
        values, starts, entries: as of `largest_at`.
        floors: [contenders], what rounding may add.
        tied_starts, tied_units: the units in which contenders tie, of each tile that tiles come from.
        judged: [edges, 3] int32, written to: the unit and its two largest contenders, or -1 for none.
    """
    for item in range(edges.shape[0]):
        left, right = sides[edges[item], 0], sides[edges[item], 1]
        judged[item, 0] = -1
        for at in range(tied_starts[origins[left]], tied_starts[origins[left] + 1]):
            unit = tied_units[at]
            first, last = starts[unit], starts[unit + 1]
            one = winner(tile_starts[left], tile_starts[left + 1], corners, values, floors, entries, first, last)
            other = winner(tile_starts[right], tile_starts[right + 1], corners, values, floors, entries, first, last)
            if one != other:
                judged[item, 0], judged[item, 1], judged[item, 2] = unit, min(one, other), max(one, other)
                break


@compiled
def winner(begin, end, corners, values, floors, entries, first, last):  # type: ignore[no-untyped-def]
    """The largest contender inside a tile, the first of those that rounding cannot tell apart."""
    best, most = first, -np.inf
    for place in range(first, last):
        total = 0.0
        for at in range(begin, end):
            total += values[corners[at], entries[place]]
        if total > most + (end - begin) * (floors[entries[place]] + floors[entries[best]]):
            best, most = place, total
    return best
