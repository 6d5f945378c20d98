"""Which units bend over a window, what the others are, and the functions that cut there."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["list_cuts", "sum_sizes", "survey_units"]


@compiled
def piece_of(value, breakpoints):  # type: ignore[no-untyped-def]
    """The piece that a value lies in: breakpoints below it."""
    piece = 0
    for place in range(breakpoints.shape[0]):
        piece += breakpoints[place] < value
    return piece


@compiled
def survey_units(low, high, breakpoints, slopes, offsets):  # type: ignore[no-untyped-def]
    """What each unit does over its range.

    Arguments:
        low, high: [units], least and largest argument of each.
        breakpoints: ascending.
        slopes, offsets: [breakpoints + 1, units]: piece j is slope x + offset.

    Returns:
        [units] each: whether a breakpoint lies strictly inside the range; slope and offset of the piece in its middle;
        largest magnitude of the unit's value.
    """
    units = low.shape[0]
    bends = np.zeros(units, np.bool_)
    slope, offset, reach = np.empty(units), np.empty(units), np.empty(units)
    for unit in range(units):
        first, last = low[unit], high[unit]
        largest = 0.0
        for place in range(-2, breakpoints.shape[0]):
            argument = first if place == -2 else last
            if place >= 0:
                level = breakpoints[place]
                bends[unit] |= first < level < last
                argument = min(max(level, first), last)
            piece = piece_of(argument, breakpoints)
            largest = max(largest, abs(slopes[piece, unit] * argument + offsets[piece, unit]))
        piece = piece_of((first + last) / 2, breakpoints)
        slope[unit], offset[unit], reach[unit] = slopes[piece, unit], offsets[piece, unit], largest
    return bends, slope, offset, reach


@compiled
def list_cuts(low, high, units, breakpoints, floors, layer):  # type: ignore[no-untyped-def]
    """One function for each unit and breakpoint inside its range.

    Arguments:
        low, high: least and largest argument of all units.
        units: [columns], those that are columns.
        breakpoints: ascending.
        floors: [columns], of each.
        layer: for labels.

    Returns:
        Of each function its column, level, floor and label (layer, unit, breakpoint).
    """
    most = units.shape[0] * breakpoints.shape[0]
    columns, labels = np.empty(most, np.int32), np.empty((most, 3), np.int32)
    levels, limits = np.empty(most), np.empty(most)
    count = 0
    for column in range(units.shape[0]):
        unit = units[column]
        for place in range(breakpoints.shape[0]):
            if low[unit] < breakpoints[place] < high[unit]:
                columns[count], levels[count], limits[count] = column, breakpoints[place], floors[column]
                labels[count, 0], labels[count, 1], labels[count, 2] = layer, unit, place
                count += 1
    return columns[:count], levels[:count], limits[:count], labels[:count]


@compiled
def sum_sizes(constant, matrix, sizes, factor):  # type: ignore[no-untyped-def]
    """factor (|constant| + sizes @ |matrix|), for [columns, features]."""
    sums = np.abs(constant)
    for column in range(matrix.shape[0]):
        size = sizes[column]
        for feature in range(sums.shape[0]):
            sums[feature] += size * abs(matrix[column, feature])
    return factor * sums
