"""Small symmetric matrices packed so that each lane of a vector has one, and products with them."""

from __future__ import annotations

from math import frexp, inf, ldexp, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.kernels.vectors import (
    DOUBLE_LANES,
    add,
    load,
    plus_product,
    root,
    splat,
    store,
    store_transposed,
)

__all__ = [
    "LANES",
    "LOCKSTEP_SIDE",
    "Numbers",
    "dot",
    "four",
    "pack",
    "room",
    "scale",
    "times",
]

LOCKSTEP_SIDE = 512
"""Rows of a Gram matrix up to which the lanes work in step: four times as fast as LAPACK, eight or more at a time."""

MODERATE = 1e9
"""Frobenius norms between its inverse and this need no scaling."""

Numbers = NDArray[np.float64]
LANES = DOUBLE_LANES
"""Matrices at once."""


@compiled
def room(size: int) -> Numbers:
    """Zeros from a multiple of 64 bytes on: a vector that lies across two lines of the cache is read at half speed."""
    raw = np.zeros(size + LANES)
    start = -(raw.ctypes.data // 8) % LANES
    return raw[start : start + size]


@compiled
def pack(grams: Numbers, first: int, packed: Numbers) -> None:
    """Lower triangles of eight matrices, or of the last one again: element (i, j) at 8 (i (i + 1) / 2 + j)."""
    last, side = grams.shape[0] - 1, grams.shape[1]
    flat, square = grams.reshape(-1), side * side
    a, b = min(first, last) * square, min(first + 1, last) * square
    c, d = min(first + 2, last) * square, min(first + 3, last) * square
    e, f = min(first + 4, last) * square, min(first + 5, last) * square
    g, h = min(first + 6, last) * square, min(first + 7, last) * square
    for i in range(min(side, LANES - 1)):
        for j in range(i + 1):
            at, to = i * side + j, (i * (i + 1) // 2 + j) * LANES
            packed[to], packed[to + 1] = flat[a + at], flat[b + at]
            packed[to + 2], packed[to + 3] = flat[c + at], flat[d + at]
            packed[to + 4], packed[to + 5] = flat[e + at], flat[f + at]
            packed[to + 6], packed[to + 7] = flat[g + at], flat[h + at]
    for i in range(LANES - 1, side):
        for start in range(0, i + 1, LANES):
            j = min(start, i + 1 - LANES)  # the last eight overlap those before and end at the diagonal
            at, to = i * side + j, (i * (i + 1) // 2 + j) * LANES
            early = (load(flat, a + at), load(flat, b + at), load(flat, c + at), load(flat, d + at))
            late = (load(flat, e + at), load(flat, f + at), load(flat, g + at), load(flat, h + at))
            store_transposed(packed, to, early + late)


@compiled
def scale(packed: Numbers, side: int, exponents: NDArray[np.int64]) -> None:
    """Multiply matrices of unusual size by powers of two, so that no square overflows; NaN where one is not finite."""
    size = side * (side + 1) // 2 * LANES
    zero = splat(0.0)
    a, b, c, d = zero, zero, zero, zero
    whole = size - size % (4 * LANES)
    for at in range(0, whole, 4 * LANES):
        p, q = load(packed, at), load(packed, at + LANES)
        r, s = load(packed, at + 2 * LANES), load(packed, at + 3 * LANES)
        a, b, c, d = plus_product(a, p, p), plus_product(b, q, q), plus_product(c, r, r), plus_product(d, s, s)
    for at in range(whole, size, LANES):
        p = load(packed, at)
        a = plus_product(a, p, p)
    norms = np.empty(LANES)
    store(norms, 0, root(add(add(a, b), add(c, d))))
    for lane in range(LANES):
        exponents[lane] = 0
        if 1 / MODERATE < norms[lane] < MODERATE:
            continue
        largest, finite = 0.0, True
        for at in range(lane, size, LANES):
            value = abs(packed[at])
            finite = finite and value < inf
            largest = max(largest, value)
        factor = 1.0 if finite else nan
        if finite and largest > 0:
            exponent = frexp(largest)[1]
            half = exponent // 2  # 2^-exponent alone may overflow
            factor = ldexp(1.0, -half)
            for at in range(lane, size, LANES):
                packed[at] *= factor
            factor = ldexp(1.0, half - exponent)
            exponents[lane] = exponent
        for at in range(lane, size, LANES):
            packed[at] *= factor


@compiled
def four(numbers: Numbers, place: int) -> Any:
    """Four elements, one after another."""
    at = place * LANES
    return load(numbers, at), load(numbers, at + LANES), load(numbers, at + 2 * LANES), load(numbers, at + 3 * LANES)


@compiled
def dot(left: Numbers, right: Numbers, start: int, end: int) -> Any:
    """Sums of products, in four parts that do not wait for each other."""
    zero = splat(0.0)
    a, b, c, d = zero, zero, zero, zero
    whole = end - (end - start) % (4 * LANES)
    for at in range(start, whole, 4 * LANES):
        a = plus_product(a, load(left, at), load(right, at))
        b = plus_product(b, load(left, at + LANES), load(right, at + LANES))
        c = plus_product(c, load(left, at + 2 * LANES), load(right, at + 2 * LANES))
        d = plus_product(d, load(left, at + 3 * LANES), load(right, at + 3 * LANES))
    for at in range(whole, end, LANES):
        a = plus_product(a, load(left, at), load(right, at))
    return add(add(a, b), add(c, d))


@compiled
def times(packed: Numbers, start: int, side: int, x: Numbers, y: Numbers) -> None:
    """y = A x from row and column `start` on, four rows at a time."""
    singles, zero = start + (side - start) % 4, splat(0.0)
    for at in range(start * LANES, side * LANES, LANES):
        store(y, at, zero)
    for i in range(singles, side, 4):
        row_0 = i * (i + 1) // 2
        row_1 = row_0 + i + 1
        row_2 = row_1 + i + 2
        row_3 = row_2 + i + 3
        x_0, x_1, x_2, x_3 = four(x, i)
        y_0, y_1, y_2, y_3 = four(y, i)
        for j in range(start, i):
            x_j, y_j = load(x, j * LANES), load(y, j * LANES)
            element = load(packed, (row_0 + j) * LANES)
            y_0, y_j = plus_product(y_0, element, x_j), plus_product(y_j, element, x_0)
            element = load(packed, (row_1 + j) * LANES)
            y_1, y_j = plus_product(y_1, element, x_j), plus_product(y_j, element, x_1)
            element = load(packed, (row_2 + j) * LANES)
            y_2, y_j = plus_product(y_2, element, x_j), plus_product(y_j, element, x_2)
            element = load(packed, (row_3 + j) * LANES)
            y_3, y_j = plus_product(y_3, element, x_j), plus_product(y_j, element, x_3)
            store(y, j * LANES, y_j)
        store(y, i * LANES, y_0)
        store(y, (i + 1) * LANES, y_1)
        store(y, (i + 2) * LANES, y_2)
        store(y, (i + 3) * LANES, y_3)
        corner(packed, i, i + 4, x, y)
    corner(packed, start, singles, x, y)


@compiled
def corner(packed: Numbers, start: int, end: int, x: Numbers, y: Numbers) -> None:
    """y + A x for the rows and columns from `start` to `end`."""
    for i in range(start, end):
        row, x_i = i * (i + 1) // 2, load(x, i * LANES)
        total = plus_product(load(y, i * LANES), load(packed, (row + i) * LANES), x_i)
        for j in range(start, i):
            element = load(packed, (row + j) * LANES)
            total = plus_product(total, element, load(x, j * LANES))
            store(y, j * LANES, plus_product(load(y, j * LANES), element, x_i))
        store(y, i * LANES, total)
