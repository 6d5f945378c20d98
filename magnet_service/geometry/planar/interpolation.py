"""Values at new vertices, and the pieces of functions of one variable."""

from __future__ import annotations

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["bend", "column_ranges", "interpolate", "settle_levels"]


@compiled
def interpolate(values, first, parents, shares, low, high):  # type: ignore[no-untyped-def]
    """Rows `first` and on of columns low to high: (1 - share) times one parent's row, and share times the other's.

    A parent's row is above the vertex's own, so that rows are done in order.
    """
    for new in range(parents.shape[0]):
        one, other, share = parents[new, 0], parents[new, 1], shares[new]
        rest = 1.0 - share
        for column in range(low, high):
            values[first + new, column] = rest * values[one, column] + share * values[other, column]


@compiled
def settle_levels(values, first, functions, columns, levels):  # type: ignore[no-untyped-def]
    """A new vertex lies on the lines that made it: its values there are the levels, without rounding."""
    for new in range(functions.shape[0]):
        for item in range(2):
            function = functions[new, item]
            if function >= 0:
                values[first + new, columns[function]] = levels[function]


@compiled
def bend(values, breakpoints, slopes, offsets):  # type: ignore[no-untyped-def]
    """Every column through its piecewise linear function of one variable, in place.

    Arguments:
        values: [rows, columns].
        breakpoints: ascending.
        slopes, offsets: [breakpoints + 1, columns]: piece j is slope x + offset between breakpoints j - 1 and j.
    """
    if breakpoints.shape[0] == 1:  # free of branches, several columns at once
        level = breakpoints[0]
        for row in range(values.shape[0]):
            for column in range(values.shape[1]):
                value = values[row, column]
                slope = slopes[1, column] if value > level else slopes[0, column]
                offset = offsets[1, column] if value > level else offsets[0, column]
                values[row, column] = slope * value + offset
        return
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            piece = 0
            for place in range(breakpoints.shape[0]):
                piece += value > breakpoints[place]
            values[row, column] = slopes[piece, column] * value + offsets[piece, column]


@compiled
def column_ranges(values, low, high):  # type: ignore[no-untyped-def]
    """Widen the range of each column by its values.

    Arguments:
        values: [rows, columns], not NaN.
        low, high: [columns], written to.
    """
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            low[column] = value if value < low[column] else low[column]
            high[column] = value if value > high[column] else high[column]
