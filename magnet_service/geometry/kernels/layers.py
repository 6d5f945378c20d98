"""Tangents through affine layers, unit by unit, with idle units left out on both sides.

Tangents stand with their columns together: a unit has one line of `stride` float32 numbers, the columns of the
Jacobian filled up with zeros to whole vectors. The line of a unit is a sum of lines of units before it, so that a unit
of slope 0 costs nothing, as an output or as an input, and no weight is moved for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.kernels.blocks import gram_block, weighted_block
from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["SEGMENT", "affine", "combine", "gram", "grams_of"]

Numbers = NDArray[np.float32]
Wide = NDArray[np.float64]
Places = NDArray[np.int32]
Pairs = NDArray[np.uint32]

LANES = 16
SEGMENT = 192
"""Units whose products in a Gram matrix are summed in float32 before they are added in float64."""

SPARE = 8
"""Places after a list of outputs, which a block that is not full reads."""


@compiled
def next_vectors(left: int) -> int:
    """Vectors of the next block: as even as blocks of at most four can be."""
    if left == 4 or left >= 7:
        return 4
    if left == 3 or left >= 5:
        return 3
    return left


@compiled
def next_lines(left: int, vectors: int) -> int:
    """Lines of the next block of so many vectors; more than are left where that is faster than two blocks."""
    high = 6 if vectors == 4 else 8
    if left >= high - 2 and left != 4:
        return high
    return left if left < 3 else 4


@compiled
def gram(tangents: Numbers | Pairs, start: int, stride: int, count: int, grams: Wide, gram_start: int) -> None:
    """Add the Gram matrix of some units' lines to float64 sums.

    Arguments:
        tangents: flat; float32, or pairs of bfloat16 of two units.
        start: of the first line.
        stride: numbers in a line.
        count: lines; of pairs, so many pairs of units.
        grams: flat; every entry on and below the diagonal is added to, some above it too.
        gram_start: of the matrix [stride, stride].
    """
    for line in range(0, stride, 8):
        vectors = line // LANES + 1
        at = 0
        while at < vectors:
            wide = next_vectors(vectors - at)
            high = 4 if wide == 4 else 8
            for part in range(line, line + 8, high):
                gram_block((high, wide), tangents, (start, stride), count, (part, at * LANES), grams, gram_start)
            at += wide


@compiled
def grams_of(lines: Numbers, grams: Wide) -> None:
    """Add the Gram matrices of all lines of some rows, float32 sums of a segment of them at a time.

    Arguments:
        lines: [rows, units, stride].
        grams: [rows, stride, stride], as in `gram`.
    """
    rows, units, stride = lines.shape
    flat, flat_grams = lines.reshape(-1), grams.reshape(-1)
    for row in range(rows):
        for first in range(0, units, SEGMENT):
            start = (row * units + first) * stride
            gram(flat, start, stride, min(SEGMENT, units - first), flat_grams, row * stride * stride)


@compiled
def find_active(
    slopes: Numbers, lines: Places, sites: int, channels: int, listed: Places, listed_lines: Places, counts: Places
) -> None:
    """List a row's inputs that are not idle, site by site.

    Arguments:
        slopes: [units] of the values before.
        lines: [sites channels], the unit that each input is; -1 for one that is always 0.
        sites: pixels, or 1.
        channels: inputs of a site.
        listed: [sites channels + 1], written: the channels of a site that count, in its place.
        listed_lines: the same for their lines.
        counts: [sites], written.
    """
    for site in range(sites):
        found = site * channels
        for channel in range(channels):
            line = lines[site * channels + channel]
            listed[found] = channel
            listed_lines[found] = line
            found += (line >= 0) & (slopes[max(line, 0)] != 0.0)  # without a branch, which would be guessed wrong
        counts[site] = found - site * channels


@compiled
def affine(
    tangents: Numbers,
    shared: bool,
    slopes: Numbers,
    lines: Places,
    channels: int,
    weights: Numbers,
    taps: Places,
    starts: Places,
    bases: Places,
    segments: Places,
    outputs: int,
    made: Numbers,
    made_slopes: Numbers,
    keeps_idle: bool,
    grams: Wide,
) -> None:
    """The lines of an affine layer's units, times their own slopes.

    The layer has sites (1, pixels of the output, groups of their channels), each with `outputs` units and some taps; a
    tap is a site of the input and the first of the weights' columns for its channels.

    Arguments:
        tangents: [rows or 1, units before, stride]; lines of idle units are not read.
        shared: whether all rows have the same tangents, without their slopes.
        slopes: [rows, units before], already in the tangents, where they are 0 an input is left out; ones if shared.
        lines: [input sites * channels], the unit that each input is, or -1.
        channels: of an input site.
        weights: [lines, columns].
        taps: [taps, 2], input site and column.
        starts: [sites + 1], of each site's taps.
        bases: [sites], the weights' line of a site's first unit.
        segments: [segments, 4], first and last site, first and last output: what is done for every row in turn.
        outputs: of a site.
        made: [rows, sites * outputs, stride], written.
        made_slopes: [rows, sites * outputs].
        keeps_idle: whether the lines of idle units are set to 0, else they are left as they are.
        grams: [rows, stride, stride] to add the units' Gram matrices to, in their lower triangles; or no rows.
    """
    rows, units = made_slopes.shape
    before, stride = tangents.shape[1], tangents.shape[2]
    width = weights.shape[1]
    sites_before = len(lines) // channels
    flat, flat_made = tangents.reshape(-1), made.reshape(-1)
    flat_weights, flat_slopes, flat_grams = weights.reshape(-1), made_slopes.reshape(-1), grams.reshape(-1)
    listed = np.empty((rows, len(lines) + 1), np.int32)
    listed_lines = np.empty((rows, len(lines) + 1), np.int32)
    counts = np.empty((rows, sites_before), np.int32)
    columns = np.empty(width, np.int32)
    places = np.empty(width, np.int32)
    active = np.empty(outputs + SPARE, np.int32)
    for row in range(rows):
        find_active(slopes[row], lines, sites_before, channels, listed[row], listed_lines[row], counts[row])
    for segment in range(len(segments)):
        first_site, last_site, first, last = segments[segment]
        for row in range(rows):
            for site in range(first_site, last_site):
                unit = row * units + site * outputs
                wanted = 0
                for output in range(first, last):
                    active[wanted] = output
                    wanted += flat_slopes[unit + output] != 0.0
                if keeps_idle and wanted < last - first:
                    for output in range(first, last):
                        if flat_slopes[unit + output] == 0.0:
                            for at in range((unit + output) * stride, (unit + output + 1) * stride):
                                flat_made[at] = 0.0
                if wanted == 0:
                    continue
                count = 0
                for tap in range(starts[site], starts[site + 1]):
                    there, column = taps[tap, 0], taps[tap, 1]
                    at, more = there * channels, counts[row, there]
                    for place in range(more):
                        columns[count + place] = column + listed[row, at + place]
                    for place in range(more):
                        places[count + place] = listed_lines[row, at + place]
                    count += more
                for spare in range(SPARE):
                    active[wanted + spare] = active[wanted - 1]
                start = 0 if shared else row * before * stride
                vector = 0
                while vector < stride // LANES:
                    wide = next_vectors(stride // LANES - vector)
                    at = 0
                    while at < wanted:
                        tall = next_lines(wanted - at, wide)
                        weighted_block(
                            (tall, wide), flat_weights, (bases[site] * width, width), flat,
                            (start + vector * LANES, stride), (columns, places), count, active, at,
                            flat_made, (unit * stride + vector * LANES, stride), flat_slopes, unit,
                        )  # fmt: skip
                        at += tall
                    vector += wide
            if len(grams):
                number = (last_site - first_site - 1) * outputs + last - first
                start = (row * units + first_site * outputs + first) * stride
                gram(flat_made, start, stride, number, flat_grams, row * stride * stride)


@compiled
def combine(
    tangents: Numbers, shared: bool, slopes: Numbers, lines: Places, made: Numbers, made_slopes: Numbers, adds: bool
) -> None:
    """Lines of units copied to others, times slopes; or added to what is there.

    Arguments:
        tangents: [rows or 1, units before, stride].
        shared: whether all rows have the same.
        slopes: [rows, units], times which each line is taken.
        lines: [units], the unit that each is a copy of, or -1 for zeros.
        made: [rows, units, stride], written.
        made_slopes: [rows, units]; lines of units where it is 0 are left as they are.
        adds: whether to add.
    """
    rows, units = made_slopes.shape
    stride = tangents.shape[2]
    for row in range(rows):
        origin = 0 if shared else row
        for unit in range(units):
            if made_slopes[row, unit] == 0.0:
                continue
            factor = slopes[row, unit]
            line = lines[unit]
            if line < 0 or factor == 0.0:  # what is idle has no tangents to read
                if not adds:
                    made[row, unit, :] = np.float32(0.0)
                continue
            if adds:
                for at in range(stride):
                    made[row, unit, at] += factor * tangents[origin, line, at]
            else:
                for at in range(stride):
                    made[row, unit, at] = factor * tangents[origin, line, at]
