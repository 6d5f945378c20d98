"""Lengths of edges in the cells of a grid."""

from __future__ import annotations

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["add_lengths"]


@compiled
def add_lengths(ends, layers, points, lengths, cells):  # type: ignore[no-untyped-def]
    """Add the length of each edge to the cells that it passes.

    Arguments:
        ends: [edges, 2].
        layers: [edges]; edges of layers below 0 are left out.
        points: [vertices, 2], in units of cells.
        lengths: [edges].
        cells: [layers, rows, columns], added to.
    """
    rows, columns = cells.shape[1], cells.shape[2]
    for edge in range(ends.shape[0]):
        layer = layers[edge]
        if layer < 0:
            continue
        x, y = points[ends[edge, 0], 0], points[ends[edge, 0], 1]
        across, up = points[ends[edge, 1], 0] - x, points[ends[edge, 1], 1] - y
        at = 0.0
        while at < 1.0:
            # The next line of the grid in either direction; one that is not passed lies beyond the end.
            end = 1.0
            if across > 0:
                end = min(end, beyond(at, ((x + at * across) // 1.0 + 1.0 - x) / across))
            elif across < 0:
                end = min(end, beyond(at, (-(-(x + at * across) // 1.0) - 1.0 - x) / across))
            if up > 0:
                end = min(end, beyond(at, ((y + at * up) // 1.0 + 1.0 - y) / up))
            elif up < 0:
                end = min(end, beyond(at, (-(-(y + at * up) // 1.0) - 1.0 - y) / up))
            middle = (at + end) / 2
            column = min(max(int(x + middle * across), 0), columns - 1)
            row = min(max(int(y + middle * up), 0), rows - 1)
            cells[layer, row, column] += (end - at) * lengths[edge]
            at = end


@compiled
def beyond(at, place):  # type: ignore[no-untyped-def]
    """A place further on; rounding may put a line of the grid where the edge already is."""
    return place if place > at + 1e-12 else at + 1e-12
