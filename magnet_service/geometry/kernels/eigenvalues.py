"""Log singular values from Gram matrices: eigenvalues of many small symmetric matrices at once, one in each lane."""

from __future__ import annotations

from math import inf, ldexp, log, nan

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.geometry.kernels.compiling import compiled
from magnet_service.geometry.kernels.packing import LANES, LOCKSTEP_SIDE, Numbers, pack, room, scale
from magnet_service.geometry.kernels.tridiagonal import reduce
from magnet_service.geometry.kernels.vectors import (
    WIDE_LANES,
    add,
    divide,
    load_wide,
    minus_product,
    multiply,
    plus_product,
    root,
    select_above,
    splat_wide,
    store,
    subtract,
)

__all__ = ["log_singular_values_of_grams"]

SMALL_SQUARE = 1e-70
"""Squares of off-diagonal elements that count as zero: 1e-26 of the norm, or less."""

SMALL_PIVOT = 1e-40
"""Least absolute value of a pivot of QL; what it stands for is below 1e-31 of the norm."""

EPSILON_SQUARED = 2.0**-104
"""Square of half the distance from 1 to the next float64, as in LAPACK."""

MOST_SWEEPS = 60
"""Sweeps for one eigenvalue. QL needs about two."""


def log_singular_values_of_grams(grams: Float[Tensor, "rows side side"]) -> Float[Tensor, "rows side"]:
    """Log singular values of matrices with given Gram matrices: log(sigma_i) = 1/2 log lambda_i(G).

    Householder's reduction of eight matrices at once to tridiagonal form and root-free QL (Pal, Walker, Kahan) of 16,
    each in a lane of its own: a row's bytes depend neither on its place nor on the other rows. LAPACK one by one for
    more than `LOCKSTEP_SIDE` rows of a matrix.

    Arguments:
        grams: symmetric float64 matrices on the CPU, of which the lower triangles are read.

    Returns:
        Nats, descending; -inf where an eigenvalue is not above zero, NaN in every place of a row with an element that
        is not finite.

    Raises:
        Nothing.

    Accuracy: of an eigenvalue, about side times the rounding of float64 of the largest one.
    Cost: 4/3 side^3 operations a row; fewer than eight rows take as long as eight.

    References: Parlett, The Symmetric Eigenvalue Problem (1998), section 8.15; LAPACK's dsterf has the same shifts and
        the same test of convergence.

    Example:
        >>> log_singular_values_of_grams(torch.tensor([[[4.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)).exp()
        tensor([[2., 1.]], dtype=torch.float64)
    """
    rows, side = grams.shape[0], grams.shape[1]
    if side > LOCKSTEP_SIDE:
        return _one_by_one(grams)
    found = torch.empty(rows, side, dtype=torch.float64)
    if found.numel():
        solve(grams.detach().contiguous().numpy(), found.numpy())
    return found


def _one_by_one(grams: Tensor) -> Tensor:
    """The same by LAPACK."""
    finite = grams.tril().isfinite().flatten(1).all(1)
    logs = torch.full(grams.shape[:2], nan, dtype=torch.float64)
    for row in finite.nonzero().flatten().tolist():
        logs[row] = torch.linalg.eigvalsh(grams[row]).flip(0).clamp(min=0).log() / 2
    return logs


@compiled
def solve(grams: Numbers, logs: Numbers) -> None:
    """Write the log singular values of [rows, side, side] to [rows, side]."""
    rows, side = logs.shape
    packed = room(side * (side + 1) // 2 * LANES)
    work = room(6 * side * LANES)
    # Element i of the diagonal, and the square of the off-diagonal one that follows it, lie at WIDE_LANES (i + 1).
    diagonal, squares = room((side + 1) * WIDE_LANES), room((side + 1) * WIDE_LANES)
    exponents = np.zeros(WIDE_LANES, np.int64)
    for first in range(0, rows, WIDE_LANES):
        squares[:] = 0  # lanes without a matrix are done at once
        for half in range(0, WIDE_LANES, LANES):
            if half == 0 or first + half < rows:
                pack(grams, first + half, packed)
                scale(packed, side, exponents[half : half + LANES])
                reduce(packed, side, work, diagonal, squares, half)
        iterate(diagonal, squares, side)
        descend(diagonal, side)
        for lane in range(min(WIDE_LANES, rows - first)):
            for i in range(side):
                logs[first + lane, i] = half_log(diagonal[(i + 1) * WIDE_LANES + lane], exponents[lane])


@compiled
def half_log(value: float, exponent: int) -> float:
    """1/2 log(value 2^exponent), -inf where it is not above zero."""
    if value <= 0:
        return -inf
    whole = value if exponent == 0 else ldexp(value, exponent)  # exact, unless it is out of range
    if 1e-300 < whole < inf:
        return log(whole) / 2
    return log(value) / 2 + exponent * log(2.0) / 2


@compiled
def iterate(diagonal: Numbers, squares: Numbers, side: int) -> None:
    """Eigenvalues of tridiagonal matrices, in place of their diagonals and in no order.

    Every lane goes from one eigenvalue to the next on its own, with `lowest` the first row of what is left of it. Zeros
    further down need no attention: a sweep starts anew after each.
    """
    lowest, shifts = np.zeros(WIDE_LANES), np.empty(WIDE_LANES)
    upper, lower, between = np.empty(WIDE_LANES), np.empty(WIDE_LANES), np.empty(WIDE_LANES)
    sweeps = np.zeros(WIDE_LANES, np.int64)
    zero, one, half = splat_wide(0.0), splat_wide(1.0), splat_wide(0.5)
    while True:
        least = side
        for lane in range(WIDE_LANES):
            row = int(lowest[lane])
            above, below, square = 0.0, 0.0, 1.0
            while row < side:
                at = (row + 1) * WIDE_LANES + lane
                if row < side - 1:
                    above, below, square = diagonal[at], diagonal[at + WIDE_LANES], squares[at]
                    # Not a number is not above: it ends here as well.
                    if square > EPSILON_SQUARED * abs(above * below) + SMALL_SQUARE and sweeps[lane] < MOST_SWEEPS:
                        break
                row += 1
                sweeps[lane] = 0
            sweeps[lane] += 1
            lowest[lane], upper[lane], lower[lane], between[lane] = row, above, below, square
            least = min(least, row)
        if least == side:
            return
        # The eigenvalue nearer to the first element of the leading two rows.
        edge = root(load_wide(between, 0))
        first = load_wide(upper, 0)
        ratio = divide(multiply(half, subtract(load_wide(lower, 0), first)), edge)
        length = root(plus_product(one, ratio, ratio))
        divisor = add(ratio, select_above(zero, ratio, subtract(zero, length), length))
        store(shifts, 0, subtract(first, divide(edge, divisor)))
        sweep(diagonal, squares, side, lowest, shifts, least)


@compiled
def sweep(diagonal: Numbers, squares: Numbers, side: int, lowest: Numbers, shifts: Numbers, least: int) -> None:
    """One step of root-free QL in every lane, from the last row up to its `lowest` one.

    Rows above it pass with nothing off the diagonal and are not written to. With one reciprocal of r p a row waits for
    a single division; no pivot is below `SMALL_PIVOT`, so that r p is not zero.
    """
    limit, shift = load_wide(lowest, 0), load_wide(shifts, 0)
    zero, one, small = splat_wide(0.0), splat_wide(1.0), splat_wide(SMALL_PIVOT)
    gamma = subtract(load_wide(diagonal, side * WIDE_LANES), shift)
    gamma = select_above(multiply(gamma, gamma), multiply(small, small), gamma, small)
    p, sine = multiply(gamma, gamma), zero
    for row in range(side - 2, least - 2, -1):
        at = (row + 1) * WIDE_LANES
        inside, below = splat_wide(row + 0.5), splat_wide(row + 1.5)
        square = select_above(inside, limit, load_wide(squares, at), zero)
        element = select_above(inside, limit, load_wide(diagonal, at), shift)
        r = add(p, square)
        reciprocal = divide(one, multiply(r, p))
        following = at + WIDE_LANES
        store(squares, following, select_above(below, limit, multiply(sine, r), load_wide(squares, following)))
        numerator = minus_product(multiply(p, subtract(element, shift)), square, gamma)
        least_numerator = multiply(small, r)
        squared, least_squared = multiply(numerator, numerator), multiply(least_numerator, least_numerator)
        numerator = select_above(squared, least_squared, numerator, least_numerator)
        inverse = multiply(p, reciprocal)
        sine = multiply(square, inverse)
        pivot = multiply(numerator, inverse)
        value = add(gamma, subtract(element, pivot))
        store(diagonal, following, select_above(below, limit, value, load_wide(diagonal, following)))
        gamma = pivot
        p = multiply(multiply(numerator, numerator), reciprocal)


@compiled
def descend(diagonal: Numbers, side: int) -> None:
    """Sort each lane, largest first, by Batcher's exchanges (Knuth, volume 3, algorithm 5.2.2M)."""
    top = 1
    while 2 * top < side:
        top *= 2
    stride = top
    while stride > 0:
        jump, phase, distance = top, 0, stride
        while True:
            for i in range(side - distance):
                if i & stride == phase:
                    at, to = (i + 1) * WIDE_LANES, (i + distance + 1) * WIDE_LANES
                    left, right = load_wide(diagonal, at), load_wide(diagonal, to)
                    store(diagonal, at, select_above(right, left, right, left))
                    store(diagonal, to, select_above(right, left, left, right))
            if jump == stride:
                break
            distance, jump, phase = jump - stride, jump // 2, stride
        stride //= 2
