"""Exponentials whose bits are the same on every machine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from magnet_service.geometry.kernels.compiling import compiled

__all__ = ["LEAST", "exponentials"]

LEAST = -708.0
"""Exponents below it give zero: e^-708 is near the smallest normal number."""

_ROUNDER = 1.5 * 2.0**52  # added to a number, it leaves the nearest integer in the last bits of the sum
_PER_LOG_2 = 1.0 / math.log(2.0)
# log 2 in two parts; the first has so many zeros at its end that its multiples by exponents are exact.
_LOG_2_HIGH = float.fromhex("0x1.62e42feep-1")
_LOG_2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (1.0 / math.factorial(n) for n in range(2, 14))


@intrinsic  # type: ignore[untyped-decorator]
def bits_of(typing: Any, number: Any) -> Any:
    """The bits of a float64 as an integer."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]
def number_of(typing: Any, bits: Any) -> Any:
    """The float64 that has these bits."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


@compiled
def exponentials(logs: NDArray[np.float64], top: float, made: NDArray[np.float64]) -> None:
    """e^(log - top) of each log, none above the top: within one unit in the last place, and 0 below e^-708.

    Only additions, multiplications and shifts of bits, in one order: where libraries of machines differ in the last
    bit, this does not. The compiler makes vectors of the loop, which it cannot of calls of a library.

        e^x = 2^n e^r,   n = round(x / log 2),   |r| <= log(2) / 2
    """
    for at in range(logs.shape[0]):
        given = logs[at] - top
        exponent = max(given, LEAST)
        shifted = exponent * _PER_LOG_2 + _ROUNDER
        whole = shifted - _ROUNDER
        r = (exponent - whole * _LOG_2_HIGH) - whole * _LOG_2_LOW
        series = _C13
        series = series * r + _C12
        series = series * r + _C11
        series = series * r + _C10
        series = series * r + _C9
        series = series * r + _C8
        series = series * r + _C7
        series = series * r + _C6
        series = series * r + _C5
        series = series * r + _C4
        series = series * r + _C3
        series = series * r + _C2
        power = series * (r * r) + r + 1.0
        grown = number_of(bits_of(power) + (bits_of(shifted) << 52))
        made[at] = grown if given >= LEAST else 0.0
