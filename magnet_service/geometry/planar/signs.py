"""Signs of functions at vertices, as bits."""

from __future__ import annotations

import numpy as np

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["pack_signs"]


@compiled
def pack_signs(values, columns, levels, floors, positive, negative):  # type: ignore[no-untyped-def]
    """Where each function is above, and where it is below its level.

    Arguments:
        values: [vertices, width] float64.
        columns: [functions], the column of `values` that holds each function.
        levels: [functions] float64.
        floors: [functions] float64: no further from its level than that a value is taken to be there.
        positive: [vertices, words] uint64, written to: bit k of a row says that function k is above its level.
        negative: the same for below. At the level neither is set.
    """
    functions = columns.shape[0]
    for vertex in range(values.shape[0]):
        for word in range(positive.shape[1]):
            first = 64 * word
            above = np.uint64(0)
            below = np.uint64(0)
            for bit in range(min(64, functions - first)):
                value = values[vertex, columns[first + bit]]
                level = levels[first + bit]
                floor = floors[first + bit]
                above |= np.uint64(value > level + floor) << np.uint64(bit)
                below |= np.uint64(value < level - floor) << np.uint64(bit)
            positive[vertex, word] = above
            negative[vertex, word] = below
