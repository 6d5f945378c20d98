"""Vectors of numbers that a processor works on at once, as values of compiled functions.

Numba knows scalars only and leaves it to its compiler to find vectors, which it does not in loops that carry many sums.
`Single` holds 16 float32, `Double` eight float64: a register each where the processor has AVX-512, two or four where
its registers are narrower. Every lane is computed on its own, so that a lane's bits never depend on its neighbours.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = [
    "DOUBLE_LANES",
    "SINGLE_LANES",
    "WIDE_LANES",
    "add",
    "any_above",
    "divide",
    "load",
    "load_wide",
    "minus_product",
    "multiply",
    "plus_product",
    "root",
    "select_above",
    "splat",
    "splat_wide",
    "store",
    "store_transposed",
    "subtract",
]

SINGLE_LANES = 16
DOUBLE_LANES = 8
WIDE_LANES = 16


class Vector(types.Type):  # type: ignore[misc]  # numba has no types
    """Lanes of one kind of number."""

    def __init__(self, name: str, element: types.Float, number: ir.Type, lanes: int, suffix: str) -> None:
        self.element = element
        self.lanes = lanes
        self.number = number
        self.form = ir.VectorType(number, lanes)
        self.suffix = suffix
        super().__init__(name=name)


class Single(Vector):
    """16 float32."""

    def __init__(self) -> None:
        super().__init__("Single", types.float32, ir.FloatType(), SINGLE_LANES, "v16f32")


class Double(Vector):
    """Eight float64."""

    def __init__(self) -> None:
        super().__init__("Double", types.float64, ir.DoubleType(), DOUBLE_LANES, "v8f64")


class Wide(Vector):
    """16 float64: two registers of AVX-512, whose chains of divisions then hide each other's latency."""

    def __init__(self) -> None:
        super().__init__("Wide", types.float64, ir.DoubleType(), WIDE_LANES, "v16f64")


VECTORS: dict[types.Float, Vector] = {types.float32: Single(), types.float64: Double()}
WIDE = Wide()


class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is a value of the machine's own."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.form)


register_model(Single)(VectorModel)
register_model(Double)(VectorModel)
register_model(Wide)(VectorModel)


def address(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Pointer to element `place` of a flat array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


def spread(builder: Any, kind: Vector, number: Any) -> Any:
    """A vector with the same number in every lane."""
    blank = ir.Constant(kind.form, ir.Undefined)
    first = builder.insert_element(blank, number, ir.Constant(ir.IntType(32), 0))
    return shuffled(builder, kind, first, blank, [0] * kind.lanes)


def shuffled(builder: Any, kind: Vector, left: Any, right: Any, lanes: list[int]) -> Any:
    """Some lanes of two vectors, counted from the first lane of the left one."""
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), kind.lanes), lanes))


def product_and_sum(builder: Any, kind: Vector, left: Any, right: Any, summand: Any) -> Any:
    """left right + summand, rounded once."""
    form = ir.FunctionType(kind.form, [kind.form] * 3)
    fused = cgutils.get_or_insert_function(builder.module, form, f"llvm.fma.{kind.suffix}")
    return builder.call(fused, [left, right, summand])


def loaded(kind: Vector, array: Any) -> Any:
    """Signature and code of a load."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        start = address(context, builder, signature.args[0], given[0], given[1])
        return builder.load(builder.bitcast(start, kind.form.as_pointer()), align=kind.element.bitwidth // 8)

    return kind(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, place: Any) -> Any:
    """The lanes of a flat array from element `place` on."""
    return loaded(VECTORS[array.dtype], array)


@intrinsic  # type: ignore[untyped-decorator]
def load_wide(typing: Any, array: Any, place: Any) -> Any:
    """16 lanes of a flat float64 array from element `place` on."""
    return loaded(WIDE, array)


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, place: Any, vector: Any) -> Any:
    """Write lanes to a flat array from element `place` on."""
    kind = vector

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        start = address(context, builder, signature.args[0], given[0], given[1])
        builder.store(given[2], builder.bitcast(start, kind.form.as_pointer()), align=kind.element.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, kind), generate


@intrinsic  # type: ignore[untyped-decorator]
def store_transposed(typing: Any, array: Any, place: Any, rows: Any) -> Any:
    """Write as many vectors as each has lanes: first lane 0 of all of them, from element `place` on, then lane 1.

    Rows i and i + step exchange the blocks off the diagonal of each square of two steps, for steps 1, 2 and 4.
    """
    kind = rows.dtype

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        vectors = cgutils.unpack_tuple(builder, given[2], kind.lanes)
        step = 1
        while step < kind.lanes:
            lanes = range(kind.lanes)
            upper = [lane if not lane & step else kind.lanes + lane - step for lane in lanes]
            lower = [lane + step if not lane & step else kind.lanes + lane for lane in lanes]
            for i in lanes:
                if not i & step:
                    pair = vectors[i], vectors[i + step]
                    vectors[i] = shuffled(builder, kind, *pair, upper)
                    vectors[i + step] = shuffled(builder, kind, *pair, lower)
            step *= 2
        start = address(context, builder, signature.args[0], given[0], given[1])
        for lane, vector in enumerate(vectors):
            there = builder.gep(start, [ir.Constant(ir.IntType(64), lane * kind.lanes)])
            builder.store(vector, builder.bitcast(there, kind.form.as_pointer()), align=kind.element.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, rows), generate


def splatted(kind: Vector, number: Any) -> Any:
    """Signature and code of a splat."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return spread(builder, kind, given[0])

    return kind(number), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any) -> Any:
    """The same number, float32 or float64, in every lane."""
    return splatted(VECTORS[number], number)


@intrinsic  # type: ignore[untyped-decorator]
def splat_wide(typing: Any, number: Any) -> Any:
    """The same float64 in all of 16 lanes."""
    return splatted(WIDE, number)


def elementwise(name: str) -> Any:
    """An operation of two vectors, lane by lane."""

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typing: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            return getattr(builder, name)(*given)

        return left(left, left), generate

    return operation


add = elementwise("fadd")
subtract = elementwise("fsub")
multiply = elementwise("fmul")
divide = elementwise("fdiv")


@intrinsic  # type: ignore[untyped-decorator]
def plus_product(typing: Any, summand: Any, left: Any, right: Any) -> Any:
    """summand + left right, rounded once."""
    kind = summand

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return product_and_sum(builder, kind, given[1], given[2], given[0])

    return kind(kind, kind, kind), generate


@intrinsic  # type: ignore[untyped-decorator]
def minus_product(typing: Any, summand: Any, left: Any, right: Any) -> Any:
    """summand - left right, rounded once."""
    kind = summand

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return product_and_sum(builder, kind, builder.fneg(given[1]), given[2], given[0])

    return kind(kind, kind, kind), generate


@intrinsic  # type: ignore[untyped-decorator]
def root(typing: Any, vector: Any) -> Any:
    """Square roots."""
    kind = vector

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        form = ir.FunctionType(kind.form, [kind.form])
        return builder.call(cgutils.get_or_insert_function(builder.module, form, f"llvm.sqrt.{kind.suffix}"), given)

    return kind(kind), generate


@intrinsic  # type: ignore[untyped-decorator]
def select_above(typing: Any, left: Any, right: Any, above: Any, otherwise: Any) -> Any:
    """`above` in the lanes where left > right, `otherwise` in the others and where one is not a number."""
    kind = left

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", given[0], given[1]), given[2], given[3])

    return kind(kind, kind, kind, kind), generate


@intrinsic  # type: ignore[untyped-decorator]
def any_above(typing: Any, left: Any, right: Any) -> Any:
    """Whether left > right in any lane."""
    kind = left

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        mask = builder.bitcast(builder.fcmp_ordered(">", given[0], given[1]), ir.IntType(kind.lanes))
        return builder.icmp_unsigned("!=", mask, ir.Constant(ir.IntType(kind.lanes), 0))

    return types.boolean(kind, kind), generate
