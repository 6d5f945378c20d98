"""The chords by which functions cut a tile, between places on its boundary."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.planar.bits import ones_in, trailing_zeros

__all__ = ["count_cuts", "find_chords"]


@compiled
def cutting_bits(tile, word, starts, cycle, ends, allowed, positive, negative):  # type: ignore[no-untyped-def]
    """Functions of one word that have both signs at a tile's vertices."""
    above = np.uint64(0)
    below = np.uint64(0)
    for at in range(starts[tile], starts[tile + 1]):
        corner = ends[cycle[at] >> 1, cycle[at] & 1]
        above |= positive[corner, word]
        below |= negative[corner, word]
    bits = above & below
    return bits & allowed[tile, word] if allowed.shape[0] > 0 else bits


@compiled
def count_cuts(starts, cycle, ends, allowed, positive, negative):  # type: ignore[no-untyped-def]
    """[tiles + 1], how many functions cut the tiles before each."""
    sums = np.empty(starts.shape[0], np.int64)
    sums[0] = 0
    for tile in range(starts.shape[0] - 1):
        found = 0
        for word in range(positive.shape[1]):
            found += ones_in(cutting_bits(tile, word, starts, cycle, ends, allowed, positive, negative))
        sums[tile + 1] = sums[tile] + found
    return sums


@compiled
def find_chords(  # type: ignore[no-untyped-def]
    first_tile,
    last_tile,
    starts,
    cycle,
    ends,
    allowed,
    positive,
    negative,
    crossing_starts,
    crossing_functions,
    crossing_ordinals,
    made,
    chord_starts,
    chords,
    counts,
):
    """The chords of tiles first_tile to last_tile.

    Places are numbered along a tile's boundary from its first corner, new vertices of its edges among them.

    Arguments:
        starts, cycle: the tiles' directed edges, twice the edge and 1 where it is passed from its second end.
        crossing_starts, crossing_functions, crossing_ordinals, made: as `place_crossings` leaves them.
        chord_starts: [tiles + 1], where the chords of a tile may be written.
        chords: [chords, 3] int32, written to: function, first place, second place.
        counts: [tiles, 3] int64, written to: chords of each tile, their crossings, places on its boundary.

    Returns:
        Cuts that are none after all: their chord lies on an edge.
    """
    merged = 0
    words = positive.shape[1]
    slot_of = np.full(64 * words, -1, np.int32)
    most = 0
    corners = 0
    for tile in range(first_tile, last_tile):
        most = max(most, chord_starts[tile + 1] - chord_starts[tile])
        corners = max(corners, starts[tile + 1] - starts[tile])
    function_of = np.empty(most + 1, np.int32)
    met = np.empty(most + 1, np.int32)
    places = np.empty((most + 1, 2), np.int32)
    base = np.empty(corners + 1, np.int32)
    for tile in range(first_tile, last_tile):
        begin, size = starts[tile], starts[tile + 1] - starts[tile]
        total = 0
        for corner in range(size):
            base[corner] = total
            total += 1 + made[cycle[begin + corner] >> 1]
        counts[tile, 0] = 0
        counts[tile, 1] = 0
        counts[tile, 2] = total
        if chord_starts[tile + 1] == chord_starts[tile]:
            continue
        cuts = 0
        for word in range(words):
            bits = cutting_bits(tile, word, starts, cycle, ends, allowed, positive, negative)
            while bits != 0:
                function = 64 * word + trailing_zeros(bits)
                bits &= bits - np.uint64(1)
                slot_of[function] = cuts
                function_of[cuts] = function
                met[cuts] = 0
                cuts += 1
        for corner in range(size):
            edge, back = cycle[begin + corner] >> 1, cycle[begin + corner] & 1
            for at in range(crossing_starts[edge], crossing_starts[edge + 1]):
                slot = slot_of[crossing_functions[at]]
                if slot >= 0:
                    ordinal = crossing_ordinals[at]
                    place = base[corner] + 1 + (made[edge] - 1 - ordinal if back else ordinal)
                    if met[slot] < 2:
                        places[slot, met[slot]] = place
                    met[slot] += 1
        count = 0
        out = chord_starts[tile]
        for slot in range(cuts):
            function = function_of[slot]
            slot_of[function] = -1
            if met[slot] != 2 and not through_corners(
                function,
                begin,
                size,
                base,
                cycle,
                ends,
                positive,
                negative,
                crossing_starts,
                crossing_functions,
                crossing_ordinals,
                made,
                places[slot],
            ):
                merged += 1
                continue
            low, high = min(places[slot, 0], places[slot, 1]), max(places[slot, 0], places[slot, 1])
            if high - low <= 1 or (low == 0 and high == total - 1):
                merged += 1
                continue
            chords[out + count, 0] = function
            chords[out + count, 1] = low
            chords[out + count, 2] = high
            count += 1
        crossings = 0
        for one in range(out, out + count):
            low, high = chords[one, 1], chords[one, 2]
            for other in range(one + 1, out + count):
                begins, finishes = chords[other, 1], chords[other, 2]
                crossings += (low < begins < high < finishes) or (begins < low < finishes < high)
        counts[tile, 0] = count
        counts[tile, 1] = crossings
    return merged


@compiled
def through_corners(  # type: ignore[no-untyped-def]
    function,
    begin,
    size,
    base,
    cycle,
    ends,
    positive,
    negative,
    crossing_starts,
    crossing_functions,
    crossing_ordinals,
    made,
    places,
):
    """The first two places where a function's sign turns, corners on its line among them; False for fewer."""
    word, bit = function >> 6, np.uint64(function & 63)
    found = 0
    last = 0
    zero = -1
    # Twice round: the first round finds the sign to start with.
    for step in range(2 * size + 1):
        corner = step % size
        vertex = ends[cycle[begin + corner] >> 1, cycle[begin + corner] & 1]
        above = (positive[vertex, word] >> bit) & np.uint64(1)
        below = (negative[vertex, word] >> bit) & np.uint64(1)
        if above == 0 and below == 0:
            if zero < 0:
                zero = base[corner]
            continue
        sign = 1 if above else -1
        if last != 0 and sign != last:
            place = zero
            if place < 0:
                before = (corner - 1) % size
                edge, back = cycle[begin + before] >> 1, cycle[begin + before] & 1
                for at in range(crossing_starts[edge], crossing_starts[edge + 1]):
                    if crossing_functions[at] == function:
                        ordinal = crossing_ordinals[at]
                        place = base[before] + 1 + (made[edge] - 1 - ordinal if back else ordinal)
            if place >= 0:
                places[found] = place
                found += 1
                if found == 2:
                    return places[0] != places[1]
        last = sign
        zero = -1
    return False
