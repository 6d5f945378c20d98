"""Areas, centroids and gradients of tiles."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["add_gradients", "measure_tiles"]


@compiled
def measure_tiles(first_tile, last_tile, starts, corners, points, areas, centroids, triangles, spreads):  # type: ignore[no-untyped-def]
    """Area and centroid of each tile, three corners far from one line, and the longest and shortest distance of two.

    Arguments:
        starts, corners: vertices of the tiles.
        points: [vertices, 2].
        areas, centroids, triangles, spreads: [tiles], [tiles, 2], [tiles, 3] int32 and [tiles, 2], written to.
    """
    for tile in range(first_tile, last_tile):
        begin, end = starts[tile], starts[tile + 1]
        x0, y0 = points[corners[begin], 0], points[corners[begin], 1]
        # Sums are taken from the first corner, so that what is far from 0 loses nothing.
        area, x, y = 0.0, 0.0, 0.0
        for at in range(begin + 1, end - 1):
            one, other = corners[at], corners[at + 1]
            ax, ay = points[one, 0] - x0, points[one, 1] - y0
            bx, by = points[other, 0] - x0, points[other, 1] - y0
            double = ax * by - ay * bx
            area += double
            x += double * (ax + bx)
            y += double * (ay + by)
        areas[tile] = area / 2
        longest, shortest = -1.0, np.inf
        first, second = begin, begin + 1
        for at in range(begin, end):
            for other in range(at + 1, end):
                dx = points[corners[other], 0] - points[corners[at], 0]
                dy = points[corners[other], 1] - points[corners[at], 1]
                square = dx * dx + dy * dy
                shortest = min(shortest, square)
                if square > longest:
                    longest, first, second = square, at, other
        spreads[tile, 0], spreads[tile, 1] = np.sqrt(longest), np.sqrt(shortest)
        dx = points[corners[second], 0] - points[corners[first], 0]
        dy = points[corners[second], 1] - points[corners[first], 1]
        farthest, third = -1.0, begin
        for at in range(begin, end):
            height = abs(
                dx * (points[corners[at], 1] - points[corners[first], 1])
                - dy * (points[corners[at], 0] - points[corners[first], 0])
            )
            if height > farthest and at != first and at != second:
                farthest, third = height, at
        triangles[tile, 0], triangles[tile, 1], triangles[tile, 2] = corners[first], corners[second], corners[third]
        if area > 0:
            centroids[tile, 0], centroids[tile, 1] = x0 + x / (3 * area), y0 + y / (3 * area)
        else:
            centroids[tile, 0] = (points[corners[first], 0] + points[corners[second], 0]) / 2
            centroids[tile, 1] = (points[corners[first], 1] + points[corners[second], 1]) / 2


@compiled
def add_gradients(first_tile, last_tile, triangles, steps, values, grams):  # type: ignore[no-untyped-def]
    """Products of the slopes of values along the first side of each tile's triangle and across it, added to `grams`.

    Arguments:
        triangles: [tiles, 3] corners of each tile.
        steps: [tiles, 3]: 1 / length of the first side, the second side's share of it, 1 / height over it.
        values: [vertices, width], affine on every tile.
        grams: [tiles, 3], written to: along with along, along with across, across with across.
    """
    for tile in range(first_tile, last_tile):
        zero, one, two = triangles[tile, 0], triangles[tile, 1], triangles[tile, 2]
        length, part, height = steps[tile, 0], steps[tile, 1], steps[tile, 2]
        first, both, second = 0.0, 0.0, 0.0
        for column in range(values.shape[1]):
            side = values[one, column] - values[zero, column]
            along = side * length
            across = (values[two, column] - values[zero, column] - part * side) * height
            first += along * along
            both += along * across
            second += across * across
        grams[tile, 0] += first
        grams[tile, 1] += both
        grams[tile, 2] += second
