"""Log determinants and condition numbers of many small Gram matrices at once, one in each lane."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.kernels.packing import LANES, LOCKSTEP_SIDE, Numbers, dot, four, pack, room, scale, times
from magnet_service.geometry.kernels.vectors import (
    divide,
    load,
    minus_product,
    multiply,
    root,
    select_above,
    splat,
    store,
)

__all__ = ["half_log_determinants"]

POWER_STEPS = 2
"""Steps of power and of inverse iteration."""


def half_log_determinants(
    grams: Float[Tensor, "rows side side"],
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
    """1/2 log det G by Cholesky decomposition, and an estimate of the condition number of G.

    The estimate is |G^-1 y| |G x| after two steps of power iteration with G and of inverse iteration, from vectors of
    ones. Eight matrices at once, each in a lane of its own: a row's bytes depend neither on its place nor on the other
    rows. LAPACK one by one for more than `LOCKSTEP_SIDE` rows of a matrix.

    Arguments:
        grams: symmetric float64 matrices on the CPU, of which the lower triangles are read.

    Returns:
        Nats; the condition number of G, which is the square of that of J; whether all pivots are positive. The first
        two mean nothing where they are not.

    Raises:
        Nothing: the pivots of a row with an element that is not finite are not positive.

    Accuracy: about side times the rounding of float64 times the condition number of G, in nats; the root of the
        condition number is found within a factor of about 2, and never above the true one but for rounding.
    Cost: side^3 / 3 + 12 side^2 operations a row; fewer than eight rows take as long as eight.

    Example:
        >>> half_log_determinants(torch.tensor([[[4.0, 0.0], [0.0, 4.0]]], dtype=torch.float64))[0]
        tensor([1.3863], dtype=torch.float64)
    """
    rows, side = grams.shape[0], grams.shape[1]
    if side > LOCKSTEP_SIDE:
        return _one_by_one(grams)
    nats, conditions = torch.zeros(rows, dtype=torch.float64), torch.ones(rows, dtype=torch.float64)
    positive = torch.ones(rows, dtype=torch.bool)
    if grams.numel():
        solve(grams.detach().contiguous().numpy(), nats.numpy(), conditions.numpy(), positive.numpy())
    return nats, conditions, positive


def _one_by_one(grams: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same by LAPACK."""
    found = [_alone(gram) for gram in grams]
    if not found:
        return grams.new_zeros(0), grams.new_zeros(0), torch.zeros(0, dtype=torch.bool)
    nats, conditions, positive = zip(*found, strict=True)
    return torch.stack(nats), torch.stack(conditions), torch.stack(positive)


def _alone(gram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    lower, status = torch.linalg.cholesky_ex(gram)
    pivots = lower.diagonal()
    low = high = torch.ones_like(pivots)[:, None]
    symmetric = gram.tril() + gram.tril(-1).mT
    for _ in range(POWER_STEPS):
        low = torch.cholesky_solve(low / torch.linalg.vector_norm(low), lower)
        high = symmetric @ (high / torch.linalg.vector_norm(high))
    condition = torch.linalg.vector_norm(low) * torch.linalg.vector_norm(high)
    return pivots.log().sum(), condition, (status == 0) & pivots.isfinite().all()


@compiled
def solve(grams: Numbers, nats: Numbers, conditions: Numbers, positive: NDArray[np.bool_]) -> None:
    """Write the answers for [rows, side, side]."""
    rows, side = grams.shape[0], grams.shape[1]
    packed = room(side * (side + 1) // 2 * LANES)
    inverses, x, y = room(side * LANES), room(side * LANES), room(side * LANES)
    exponents = np.zeros(LANES, np.int64)
    flags, estimates = np.empty(LANES), np.empty(LANES)
    for first in range(0, rows, LANES):
        pack(grams, first, packed)
        scale(packed, side, exponents)
        high = largest(packed, side, x, y)
        store(flags, 0, decompose(packed, side, inverses))
        store(estimates, 0, multiply(high, inverse(packed, side, inverses, x)))
        for lane in range(min(LANES, rows - first)):
            total = side * exponents[lane] * log(2.0) / 2
            for j in range(side):
                total += log(packed[(j * (j + 1) // 2 + j) * LANES + lane])
            nats[first + lane], conditions[first + lane] = total, estimates[lane]
            positive[first + lane] = flags[lane] > 0


@compiled
def normalise(x: Numbers, side: int) -> None:
    """x / |x| in place of x."""
    size = side * LANES
    factor = divide(splat(1.0), root(dot(x, x, 0, size)))
    for at in range(0, size, LANES):
        store(x, at, multiply(factor, load(x, at)))


@compiled
def largest(packed: Numbers, side: int, x: Numbers, y: Numbers) -> Any:
    """|G x| after some steps of power iteration from ones."""
    one = splat(1.0)
    for at in range(0, side * LANES, LANES):
        store(x, at, one)
    for _ in range(POWER_STEPS):
        normalise(x, side)
        times(packed, 0, side, x, y)
        x, y = y, x
    return root(dot(x, x, 0, side * LANES))


@compiled
def inverse(packed: Numbers, side: int, inverses: Numbers, x: Numbers) -> Any:
    """|G^-1 x| after some steps of inverse iteration from ones."""
    one = splat(1.0)
    for at in range(0, side * LANES, LANES):
        store(x, at, one)
    for _ in range(POWER_STEPS):
        normalise(x, side)
        for i in range(side):
            start = i * (i + 1) // 2 * LANES
            known = dot(packed[start : start + i * LANES], x, 0, i * LANES)
            store(x, i * LANES, multiply(load(inverses, i * LANES), minus_product(load(x, i * LANES), one, known)))
        for i in range(side - 1, -1, -1):
            start = i * (i + 1) // 2 * LANES
            x_i = multiply(load(inverses, i * LANES), load(x, i * LANES))
            store(x, i * LANES, x_i)
            for at in range(0, i * LANES, LANES):
                store(x, at, minus_product(load(x, at), load(packed, start + at), x_i))
    return root(dot(x, x, 0, side * LANES))


@compiled
def decompose(packed: Numbers, side: int, inverses: Numbers) -> Any:
    """G = L L^T in place; 1 / L_ii; above zero in the lanes where all pivots are.

    Tiles of four rows and four columns, whose sums are held in registers; the first rows are alone.
    """
    zero, good = splat(0.0), splat(1.0)
    singles = side % 4
    for i in range(singles):
        row = i * (i + 1) // 2
        alone(packed, row, i, inverses)
        square = load(packed, (row + i) * LANES)
        for k in range(i):
            element = load(packed, (row + k) * LANES)
            square = minus_product(square, element, element)
        good = select_above(square, zero, good, zero)
        pivoted(packed, (row + i) * LANES, square, inverses, i * LANES)
    for i in range(singles, side, 4):
        row_0 = i * (i + 1) // 2
        row_1 = row_0 + i + 1
        row_2 = row_1 + i + 2
        row_3 = row_2 + i + 3
        alone(packed, row_0, singles, inverses)
        alone(packed, row_1, singles, inverses)
        alone(packed, row_2, singles, inverses)
        alone(packed, row_3, singles, inverses)
        for j in range(singles, i, 4):
            a, b, c, d = tile(packed, row_0, row_1, row_2, row_3, j)
            write(packed, row_0 + j, solved(packed, j, inverses, a))
            write(packed, row_1 + j, solved(packed, j, inverses, b))
            write(packed, row_2 + j, solved(packed, j, inverses, c))
            write(packed, row_3 + j, solved(packed, j, inverses, d))
        a, b, c, d = tile(packed, row_0, row_1, row_2, row_3, i)
        good = select_above(a[0], zero, good, zero)
        inverse_0 = pivoted(packed, (row_0 + i) * LANES, a[0], inverses, i * LANES)
        l_10, l_20, l_30 = multiply(b[0], inverse_0), multiply(c[0], inverse_0), multiply(d[0], inverse_0)
        square = minus_product(b[1], l_10, l_10)
        good = select_above(square, zero, good, zero)
        inverse_1 = pivoted(packed, (row_1 + i + 1) * LANES, square, inverses, (i + 1) * LANES)
        l_21 = multiply(minus_product(c[1], l_20, l_10), inverse_1)
        l_31 = multiply(minus_product(d[1], l_30, l_10), inverse_1)
        square = minus_product(minus_product(c[2], l_20, l_20), l_21, l_21)
        good = select_above(square, zero, good, zero)
        inverse_2 = pivoted(packed, (row_2 + i + 2) * LANES, square, inverses, (i + 2) * LANES)
        l_32 = multiply(minus_product(minus_product(d[2], l_30, l_20), l_31, l_21), inverse_2)
        square = minus_product(minus_product(minus_product(d[3], l_30, l_30), l_31, l_31), l_32, l_32)
        good = select_above(square, zero, good, zero)
        pivoted(packed, (row_3 + i + 3) * LANES, square, inverses, (i + 3) * LANES)
        store(packed, (row_1 + i) * LANES, l_10)
        store(packed, (row_2 + i) * LANES, l_20)
        store(packed, (row_2 + i + 1) * LANES, l_21)
        store(packed, (row_3 + i) * LANES, l_30)
        store(packed, (row_3 + i + 1) * LANES, l_31)
        store(packed, (row_3 + i + 2) * LANES, l_32)
    return good


@compiled
def pivoted(packed: Numbers, at: int, square: Any, inverses: Numbers, to: int) -> Any:
    """Write a pivot and its inverse, which is returned."""
    pivot = root(square)
    found = divide(splat(1.0), pivot)
    store(packed, at, pivot)
    store(inverses, to, found)
    return found


@compiled
def alone(packed: Numbers, row: int, columns: int, inverses: Numbers) -> None:
    """The first three columns of L, or fewer, in the row that starts at `row`."""
    for j in range(columns):
        element = load(packed, (row + j) * LANES)
        for k in range(j):
            element = minus_product(
                element, load(packed, (row + k) * LANES), load(packed, (j * (j + 1) // 2 + k) * LANES)
            )
        store(packed, (row + j) * LANES, multiply(element, load(inverses, j * LANES)))


@compiled
def tile(packed: Numbers, row_0: int, row_1: int, row_2: int, row_3: int, column: int) -> Any:
    """Four rows and four columns of G, less the products of the columns of L before them."""
    j_0 = column * (column + 1) // 2
    j_1 = j_0 + column + 1
    j_2 = j_1 + column + 2
    j_3 = j_2 + column + 3
    a_0, a_1, a_2, a_3 = four(packed, row_0 + column)
    b_0, b_1, b_2, b_3 = four(packed, row_1 + column)
    c_0, c_1, c_2, c_3 = four(packed, row_2 + column)
    d_0, d_1, d_2, d_3 = four(packed, row_3 + column)
    for k in range(column):
        p, q = load(packed, (j_0 + k) * LANES), load(packed, (j_1 + k) * LANES)
        r, s = load(packed, (j_2 + k) * LANES), load(packed, (j_3 + k) * LANES)
        x = load(packed, (row_0 + k) * LANES)
        a_0, a_1 = minus_product(a_0, x, p), minus_product(a_1, x, q)
        a_2, a_3 = minus_product(a_2, x, r), minus_product(a_3, x, s)
        x = load(packed, (row_1 + k) * LANES)
        b_0, b_1 = minus_product(b_0, x, p), minus_product(b_1, x, q)
        b_2, b_3 = minus_product(b_2, x, r), minus_product(b_3, x, s)
        x = load(packed, (row_2 + k) * LANES)
        c_0, c_1 = minus_product(c_0, x, p), minus_product(c_1, x, q)
        c_2, c_3 = minus_product(c_2, x, r), minus_product(c_3, x, s)
        x = load(packed, (row_3 + k) * LANES)
        d_0, d_1 = minus_product(d_0, x, p), minus_product(d_1, x, q)
        d_2, d_3 = minus_product(d_2, x, r), minus_product(d_3, x, s)
    return (a_0, a_1, a_2, a_3), (b_0, b_1, b_2, b_3), (c_0, c_1, c_2, c_3), (d_0, d_1, d_2, d_3)


@compiled
def write(packed: Numbers, place: int, elements: Any) -> None:
    """Put four elements of a row back."""
    at = place * LANES
    store(packed, at, elements[0])
    store(packed, at + LANES, elements[1])
    store(packed, at + 2 * LANES, elements[2])
    store(packed, at + 3 * LANES, elements[3])


@compiled
def solved(packed: Numbers, column: int, inverses: Numbers, elements: Any) -> Any:
    """Four elements of a row of L from what `tile` left of them."""
    row_1 = (column + 1) * (column + 2) // 2 + column
    row_2 = row_1 + column + 2
    row_3 = row_2 + column + 3
    found_0 = multiply(elements[0], load(inverses, column * LANES))
    rest_1 = minus_product(elements[1], found_0, load(packed, row_1 * LANES))
    found_1 = multiply(rest_1, load(inverses, (column + 1) * LANES))
    rest_2 = minus_product(elements[2], found_0, load(packed, row_2 * LANES))
    rest_2 = minus_product(rest_2, found_1, load(packed, (row_2 + 1) * LANES))
    found_2 = multiply(rest_2, load(inverses, (column + 2) * LANES))
    rest_3 = minus_product(elements[3], found_0, load(packed, row_3 * LANES))
    rest_3 = minus_product(rest_3, found_1, load(packed, (row_3 + 1) * LANES))
    rest_3 = minus_product(rest_3, found_2, load(packed, (row_3 + 2) * LANES))
    return found_0, found_1, found_2, multiply(rest_3, load(inverses, (column + 3) * LANES))
