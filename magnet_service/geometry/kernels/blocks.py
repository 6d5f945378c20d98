"""Blocks of products summed in registers: what every compiled layer and Gram matrix consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from magnet_service.geometry.kernels.halves import dot_product_and_sum
from magnet_service.geometry.kernels.vectors import DOUBLE_LANES, SINGLE_LANES, VECTORS, product_and_sum, spread

__all__ = ["gram_block", "weighted_block"]

SINGLE, DOUBLE = VECTORS[types.float32], VECTORS[types.float64]

WORD = ir.IntType(64)

CHAINS = 8
"""Sums that must go on side by side for a processor to add at its full speed."""

WEIGHTED = tuple((lines, vectors) for vectors in (4, 3, 2, 1) for lines in (6 if vectors == 4 else 8, 4, 2, 1))
"""Lines and vectors of blocks of a layer: the largest whose sums stay in 32 registers, and three for the rest."""

GRAMS = ((4, 4), (8, 3), (8, 2), (8, 1))
"""Lines and vectors of blocks of a Gram matrix, whose lines are a multiple of 16."""


def sums(
    builder: Any,
    size: tuple[int, int],
    count: Any,
    numbers: Callable[[Any], list[Any]],
    start: Callable[[Any], Any],
    kind: types.Number = types.float32,
) -> list[list[Any]]:
    """Lines by vectors of sums: over j < count, number i of j times vector k from the address of j.

    Numbers and lanes are float32, or uint32 that are pairs of bfloat16, of which both products are added.
    """
    product = product_and_sum if kind == types.float32 else dot_product_and_sum
    lines, width = size
    sets = max(1, CHAINS // (lines * width))
    totals = [
        [[cgutils.alloca_once(builder, SINGLE.form) for _ in range(width)] for _ in range(lines)] for _ in range(sets)
    ]
    for total in (total for some in totals for line in some for total in line):
        builder.store(ir.Constant(SINGLE.form, [0.0] * SINGLE_LANES), total)

    def term(step: Any, some: list[list[Any]]) -> None:
        at = builder.bitcast(start(step), SINGLE.form.as_pointer())
        vectors = [builder.load(cgutils.gep_inbounds(builder, at, place), align=4) for place in range(width)]
        for number, line in zip(numbers(step), some, strict=True):
            every = spread(builder, SINGLE, builder.bitcast(number, SINGLE.number))
            for vector, total in zip(vectors, line, strict=True):
                builder.store(product(builder, SINGLE, every, vector, builder.load(total)), total)

    rounds = builder.udiv(count, WORD(sets))
    done = builder.mul(rounds, WORD(sets))
    with cgutils.for_range(builder, rounds) as loop:
        first = builder.mul(loop.index, WORD(sets))
        for place, some in enumerate(totals):
            term(builder.add(first, WORD(place)), some)
    if sets > 1:
        with cgutils.for_range(builder, builder.sub(count, done)) as loop:
            term(builder.add(done, loop.index), totals[0])
    made = [[builder.load(total) for total in line] for line in totals[0]]
    for some in totals[1:]:
        made = [
            [builder.fadd(total, builder.load(other)) for total, other in zip(*pair, strict=True)]
            for pair in zip(made, some, strict=True)
        ]
    return made


@contextmanager
def where(builder: Any, lines: Any, vectors: Any, size: tuple[int, int]) -> Iterator[None]:
    """Code for blocks of one size alone."""
    both = (
        builder.icmp_unsigned("==", number, WORD(wanted)) for number, wanted in zip((lines, vectors), size, strict=True)
    )
    with builder.if_then(builder.and_(*both)):
        yield


def word_at(builder: Any, places: Any, at: Any) -> Any:
    """An index from an array of 32-bit ones."""
    return builder.sext(builder.load(builder.gep(places, [at])), WORD)


@intrinsic  # type: ignore[untyped-decorator]
def weighted_block(
    typing: Any,
    size: Any,
    weights: Any,
    weight: Any,
    tangents: Any,
    tangent: Any,
    terms: Any,
    count: Any,
    outputs: Any,
    first: Any,
    made: Any,
    result: Any,
    slopes: Any,
    slope: Any,
) -> Any:
    """For some outputs o and some vectors: slopes[o] sum over j of weights[o, columns[j]] tangents[places[j]].

    Arguments, addresses in numbers:
        size: lines and vectors, one of WEIGHTED; nothing happens for others.
        weights: flat float32, or uint32 that are pairs of bfloat16, of which both products are added.
        weight: start and width; a weight stands at start + o width + columns[j].
        tangents: flat, as the weights.
        tangent: start and stride; a line stands at start + places[j] stride.
        terms: columns and places, int32.
        count: terms.
        outputs: int32; o = outputs[first + i] for i below the lines.
        first: see there.
        made: flat float32, not the memory of the tangents.
        result: start and stride; a line is written at start + o stride.
        slopes: flat float32.
        slope: start; a slope stands at start + o.
    """
    index = types.intp
    pair = types.UniTuple(index, 2)
    both = types.UniTuple(terms[0], 2)
    signature = types.void(pair, weights, pair, tangents, pair, both, index, outputs, index, made, pair, slopes, index)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        def data(place: int) -> Any:
            return context.make_array(signature.args[place])(context, builder, given[place]).data

        def parts(place: int) -> list[Any]:
            found: list[Any] = cgutils.unpack_tuple(builder, given[place], 2)
            return found

        lines, vectors = parts(0)
        weight_start, width = parts(2)
        tangent_start, stride = parts(4)
        made_start, made_stride = parts(10)
        column, place = (
            context.make_array(signature.args[5].dtype)(context, builder, array).data for array in parts(5)
        )
        for size in WEIGHTED:
            with where(builder, lines, vectors, size):
                chosen = [word_at(builder, data(7), builder.add(given[8], WORD(line))) for line in range(size[0])]
                starts = [
                    builder.gep(data(1), [builder.add(weight_start, builder.mul(number, width))]) for number in chosen
                ]

                def numbers(step: Any, starts: Sequence[Any] = starts) -> list[Any]:
                    at = word_at(builder, column, step)
                    return [builder.load(builder.gep(start, [at])) for start in starts]

                def start(step: Any) -> Any:
                    at = builder.mul(word_at(builder, place, step), stride)
                    return builder.gep(data(3), [builder.add(tangent_start, at)])

                found = sums(builder, size, given[6], numbers, start, weights.dtype)
                for number, line in zip(chosen, found, strict=True):
                    factor = builder.load(builder.gep(data(11), [builder.add(given[12], number)]))
                    to = builder.gep(data(9), [builder.add(made_start, builder.mul(number, made_stride))])
                    to = builder.bitcast(to, SINGLE.form.as_pointer())
                    for at, total in enumerate(line):
                        scaled = builder.fmul(spread(builder, SINGLE, factor), total)
                        builder.store(scaled, cgutils.gep_inbounds(builder, to, at), align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def gram_block(
    typing: Any, size: Any, tangents: Any, tangent: Any, count: Any, corner: Any, grams: Any, gram: Any
) -> Any:
    """Add to some lines of a Gram matrix what `count` outputs give: float32 sums over these, once added in float64.

    Arguments, addresses in numbers:
        size: lines and vectors, one of GRAMS; nothing happens for others.
        tangents: flat float32, or uint32 that are pairs of bfloat16 of two outputs, which count as one.
        tangent: start and stride; output j has its tangents, one number a column of the Jacobian, at start + j stride.
        count: outputs.
        corner: first line and first column of the block.
        grams: flat float64.
        gram: start of the matrix, whose lines are `stride` apart.
    """
    index = types.intp
    pair = types.UniTuple(index, 2)
    signature = types.void(pair, tangents, pair, index, pair, grams, index)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        def data(place: int) -> Any:
            return context.make_array(signature.args[place])(context, builder, given[place]).data

        (lines, vectors), (first, stride), (line, column) = (
            cgutils.unpack_tuple(builder, given[place], 2) for place in (0, 2, 4)
        )

        def output(step: Any) -> Any:
            return builder.gep(data(1), [builder.add(first, builder.mul(step, stride))])

        for size in GRAMS:
            with where(builder, lines, vectors, size):

                def numbers(step: Any, lines: int = size[0]) -> list[Any]:
                    at = builder.gep(output(step), [line])
                    return [builder.load(builder.gep(at, [WORD(place)])) for place in range(lines)]

                def start(step: Any) -> Any:
                    return builder.gep(output(step), [column])

                for place, totals in enumerate(sums(builder, size, given[3], numbers, start, tangents.dtype)):
                    at = builder.add(given[6], builder.mul(builder.add(line, WORD(place)), stride))
                    to = builder.gep(data(5), [builder.add(at, column)])
                    add_widened(builder, totals, builder.bitcast(to, DOUBLE.form.as_pointer()))
        return context.get_dummy_value()

    return signature, generate


def add_widened(builder: Any, totals: Sequence[Any], to: Any) -> None:
    """Add vectors of float32 to float64 numbers in memory."""
    for which, total in enumerate(totals):
        for half in range(SINGLE_LANES // DOUBLE_LANES):
            lanes = [half * DOUBLE_LANES + lane for lane in range(DOUBLE_LANES)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), DOUBLE_LANES), lanes)
            part = builder.shuffle_vector(total, ir.Constant(SINGLE.form, ir.Undefined), mask)
            place = cgutils.gep_inbounds(builder, to, which * (SINGLE_LANES // DOUBLE_LANES) + half)
            wide = builder.fpext(part, DOUBLE.form)
            builder.store(builder.fadd(builder.load(place, align=8), wide), place, align=8)
