"""Many small symmetric matrices, one in each lane, reduced to tridiagonal ones with the same eigenvalues."""

from __future__ import annotations

from typing import Any

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.kernels.packing import LANES, Numbers, dot, times
from magnet_service.geometry.kernels.vectors import (
    WIDE_LANES,
    add,
    divide,
    load,
    minus_product,
    multiply,
    plus_product,
    root,
    select_above,
    splat,
    store,
    subtract,
)

__all__ = ["reduce"]

SMALL_COLUMN = 1e-100
"""Squared norm of what is left of a column, below which it counts as zero: 1e-41 of the norm, or less."""


@compiled
def reduce(packed: Numbers, side: int, work: Numbers, diagonal: Numbers, squares: Numbers, half: int) -> None:
    """Tridiagonal matrices with the same eigenvalues, first row last: QL likes the small elements in front.

    Householder's reflections take v w^T + w v^T away from the matrix. It is written to at every other step only, with
    two pairs (v, w) and (y, z) at once, in the same pass that multiplies it by the next vector.
    """
    size = side * LANES
    v, w, y, z = work[:size], work[size : 2 * size], work[2 * size : 3 * size], work[3 * size : 4 * size]
    p, x = work[4 * size : 5 * size], work[5 * size :]
    zero, one = splat(0.0), splat(1.0)
    for at in range(0, 4 * size, LANES):
        store(work, at, zero)
    for k in range(side):
        v_k, w_k = load(v, k * LANES), load(w, k * LANES)
        y_k, z_k = load(y, k * LANES), load(z, k * LANES)
        for i in range(k, side):
            at = i * LANES
            element = load(packed, (i * (i + 1) // 2 + k) * LANES)
            element = minus_product(minus_product(element, load(v, at), w_k), load(w, at), v_k)
            store(x, at, minus_product(minus_product(element, load(y, at), z_k), load(z, at), y_k))
        to = (side - k) * WIDE_LANES + half
        store(diagonal, to, load(x, k * LANES))
        if k == side - 1:
            break
        start = (k + 1) * LANES
        first = load(x, start)
        rest = dot(x, x, start + LANES, size)
        small = splat(SMALL_COLUMN)
        rest = select_above(rest, small, rest, zero)
        square = plus_product(rest, first, first)
        store(squares, to - WIDE_LANES, square)
        # The reflection 1 - beta x x^T takes the column to a multiple of its first element.
        scaling = select_above(rest, zero, divide(one, root(square)), zero)
        cosine = multiply(first, scaling)
        magnitude = select_above(cosine, zero, cosine, subtract(zero, cosine))
        beta = select_above(rest, zero, divide(one, add(one, magnitude)), zero)
        for at in range(start + LANES, size, LANES):
            store(x, at, multiply(load(x, at), scaling))
        store(x, start, add(cosine, select_above(cosine, zero, one, splat(-1.0))))
        if k % 2 == 0:
            renew(packed, k + 1, side, v, w, y, z, p, x)
            for at in range(start, size, LANES):
                store(y, at, zero)
                store(z, at, zero)
            follow(start, size, beta, p, x, v, w)
        else:
            times(packed, k + 1, side, x, p)
            v_x, w_x = dot(v, x, start, size), dot(w, x, start, size)
            for at in range(start, size, LANES):
                store(p, at, minus_product(minus_product(load(p, at), load(v, at), w_x), load(w, at), v_x))
            follow(start, size, beta, p, x, y, z)


@compiled
def follow(start: int, size: int, beta: Any, p: Numbers, x: Numbers, v: Numbers, w: Numbers) -> None:
    """The pair that a reflection by x, with p = A x, takes away from A: v = x and w = beta (p - beta (p x) x / 2)."""
    along = multiply(multiply(splat(-0.5), multiply(beta, beta)), dot(p, x, start, size))
    for at in range(start, size, LANES):
        element = load(x, at)
        store(v, at, element)
        store(w, at, plus_product(multiply(beta, load(p, at)), along, element))


@compiled
def read(v: Numbers, w: Numbers, y: Numbers, z: Numbers, x: Numbers, at: int) -> Any:
    """One element of each of five vectors."""
    return load(v, at), load(w, at), load(y, at), load(z, at), load(x, at)


@compiled
def renewed(packed: Numbers, at: int, left: Any, right: Any) -> Any:
    """One element less v w^T + w v^T and y z^T + z y^T, which is also written back."""
    element = minus_product(minus_product(load(packed, at), left[0], right[1]), left[1], right[0])
    element = minus_product(minus_product(element, left[2], right[3]), left[3], right[2])
    store(packed, at, element)
    return element


@compiled
def renew(
    packed: Numbers, start: int, side: int, v: Numbers, w: Numbers, y: Numbers, z: Numbers, p: Numbers, x: Numbers
) -> None:
    """A - v w^T - w v^T - y z^T - z y^T in place of A, and p = A x with the new A, from row and column `start` on.

    Four rows at a time, so that a vector's element is read once for four of them; the first rows are alone.
    """
    zero = splat(0.0)
    for at in range(start * LANES, side * LANES, LANES):
        store(p, at, zero)
    singles = start + (side - start) % 4
    for i in range(start, singles):
        row, total, left = i * (i + 1) // 2, zero, read(v, w, y, z, x, i * LANES)
        for j in range(start, i):
            right = read(v, w, y, z, x, j * LANES)
            element = renewed(packed, (row + j) * LANES, left, right)
            total = plus_product(total, element, right[4])
            store(p, j * LANES, plus_product(load(p, j * LANES), element, left[4]))
        store(p, i * LANES, plus_product(total, renewed(packed, (row + i) * LANES, left, left), left[4]))
    for i in range(singles, side, 4):
        at = i * LANES
        a, b = read(v, w, y, z, x, at), read(v, w, y, z, x, at + LANES)
        c, d = read(v, w, y, z, x, at + 2 * LANES), read(v, w, y, z, x, at + 3 * LANES)
        row_a = i * (i + 1) // 2
        row_b = row_a + i + 1
        row_c = row_b + i + 2
        row_d = row_c + i + 3
        p_a, p_b, p_c, p_d = zero, zero, zero, zero
        for j in range(start, i):
            right, p_j = read(v, w, y, z, x, j * LANES), load(p, j * LANES)
            element = renewed(packed, (row_a + j) * LANES, a, right)
            p_a, p_j = plus_product(p_a, element, right[4]), plus_product(p_j, element, a[4])
            element = renewed(packed, (row_b + j) * LANES, b, right)
            p_b, p_j = plus_product(p_b, element, right[4]), plus_product(p_j, element, b[4])
            element = renewed(packed, (row_c + j) * LANES, c, right)
            p_c, p_j = plus_product(p_c, element, right[4]), plus_product(p_j, element, c[4])
            element = renewed(packed, (row_d + j) * LANES, d, right)
            p_d, p_j = plus_product(p_d, element, right[4]), plus_product(p_j, element, d[4])
            store(p, j * LANES, p_j)
        p_a = plus_product(p_a, renewed(packed, row_a * LANES + at, a, a), a[4])
        element = renewed(packed, row_b * LANES + at, b, a)
        p_a, p_b = plus_product(p_a, element, b[4]), plus_product(p_b, element, a[4])
        p_b = plus_product(p_b, renewed(packed, row_b * LANES + at + LANES, b, b), b[4])
        element = renewed(packed, row_c * LANES + at, c, a)
        p_a, p_c = plus_product(p_a, element, c[4]), plus_product(p_c, element, a[4])
        element = renewed(packed, row_c * LANES + at + LANES, c, b)
        p_b, p_c = plus_product(p_b, element, c[4]), plus_product(p_c, element, b[4])
        p_c = plus_product(p_c, renewed(packed, row_c * LANES + at + 2 * LANES, c, c), c[4])
        element = renewed(packed, row_d * LANES + at, d, a)
        p_a, p_d = plus_product(p_a, element, d[4]), plus_product(p_d, element, a[4])
        element = renewed(packed, row_d * LANES + at + LANES, d, b)
        p_b, p_d = plus_product(p_b, element, d[4]), plus_product(p_d, element, b[4])
        element = renewed(packed, row_d * LANES + at + 2 * LANES, d, c)
        p_c, p_d = plus_product(p_c, element, d[4]), plus_product(p_d, element, c[4])
        p_d = plus_product(p_d, renewed(packed, row_d * LANES + at + 3 * LANES, d, d), d[4])
        store(p, at, p_a)
        store(p, at + LANES, p_b)
        store(p, at + 2 * LANES, p_c)
        store(p, at + 3 * LANES, p_d)
