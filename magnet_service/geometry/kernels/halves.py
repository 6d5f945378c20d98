"""Pairs of bfloat16, 16 to a register, on processors with AVX512-BF16 and AVX512-VBMI2.

A pair is a uint32 with its first number in the lower half. Where vectors of pairs are summed their lanes are taken for
float32, whose bits nothing looks at.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from magnet_service.geometry.kernels.vectors import SINGLE_LANES, Vector, address

__all__ = ["compress", "dot_product_and_sum", "store_pairs"]


class Half(ir.Type):  # type: ignore[misc]
    """bfloat16, which llvmlite has no name for."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"


HALVES = ir.VectorType(Half(), 2 * SINGLE_LANES)
WORDS = ir.VectorType(ir.IntType(16), 2 * SINGLE_LANES)


def dot_product_and_sum(builder: Any, kind: Vector, left: Any, right: Any, summand: Any) -> Any:
    """Of lanes that are two bfloat16 each: left right of both + summand; numbers below 1e-38 count as 0."""
    form = ir.FunctionType(kind.form, [kind.form, HALVES, HALVES])
    dot = cgutils.get_or_insert_function(builder.module, form, "llvm.x86.avx512bf16.dpbf16ps.512")
    return builder.call(dot, [summand, builder.bitcast(left, HALVES), builder.bitcast(right, HALVES)])


@intrinsic  # type: ignore[untyped-decorator]
def store_pairs(typing: Any, array: Any, place: Any, low: Any, high: Any) -> Any:
    """Round the lanes of two vectors to bfloat16 and write them lane by lane, two to a number of a uint32 array."""
    kind = low

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        start = address(context, builder, signature.args[0], given[0], given[1])
        form = ir.VectorType(ir.IntType(16), kind.lanes)
        low, high = (
            builder.bitcast(builder.fptrunc(vector, ir.VectorType(Half(), kind.lanes)), form) for vector in given[2:]
        )
        lanes = [lane // 2 + lane % 2 * kind.lanes for lane in range(2 * kind.lanes)]
        both = builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), 2 * kind.lanes), lanes))
        builder.store(both, builder.bitcast(start, WORDS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, kind, kind), generate


@intrinsic  # type: ignore[untyped-decorator]
def compress(typing: Any, words: Any, place: Any, mask: Any, made: Any, to: Any) -> Any:
    """Of 32 uint16 from `place` on, write those whose bit of a uint32 is set from `to` on, then zeros, 32 in all."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        start, end = (
            builder.bitcast(address(context, builder, signature.args[at], given[at], given[at + 1]), WORDS.as_pointer())
            for at in (0, 3)
        )
        bits = ir.VectorType(ir.IntType(1), 2 * SINGLE_LANES)
        form = ir.FunctionType(WORDS, [WORDS, WORDS, bits])
        name = "llvm.x86.avx512.mask.compress.v32i16"
        chosen = cgutils.get_or_insert_function(builder.module, form, name)
        blank = ir.Constant(WORDS, [0] * (2 * SINGLE_LANES))
        found = builder.call(chosen, [builder.load(start, align=2), blank, builder.bitcast(given[2], bits)])
        builder.store(found, end, align=2)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.uint32, made, types.intp), generate
