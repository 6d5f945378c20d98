"""Machine instructions on words of 64 bits."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["ones_in", "trailing_zeros"]

WORD = ir.IntType(64)


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def trailing_zeros(typing: Any, word: Any) -> Any:
    """Place of the lowest bit set of a word; 64 for none."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def ones_in(typing: Any, word: Any) -> Any:
    """Number of bits set in a word."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.int64(types.uint64), generate
