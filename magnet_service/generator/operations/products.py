"""Products and quotients: with constants linear, of two values smooth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operands import refused, row_of, side, spelled, two_values, widened
from magnet_service.generator.operations.operation import Draft, Kind, Lowered, Node, Operation, Reference, Spread
from magnet_service.generator.operations.reader import CallReader, Operand
from magnet_service.generator.operations.tangents import through_slope

__all__ = ["DIVIDE", "MULTIPLY", "OPERATIONS", "PRODUCT", "QUOTIENT"]


def scaled(call: CallReader, value: Reference, constant: Operand | float, operation: str) -> Draft:
    """Draft of a value times, or divided by, a constant."""
    if isinstance(constant, float):
        return Draft(inputs=(value,), attributes={"factor": constant}, operation=operation)
    return Draft(inputs=(value,), tensors={"factor": row_of(call, constant, value)}, operation=operation)


def lower_product(call: CallReader) -> Lowered:
    """aten.mul(self, other): by a constant, or of two values."""
    left, right = side(call, "self"), side(call, "other")
    if isinstance(left, Reference) and isinstance(right, Reference):
        return Draft(inputs=two_values(call, left, right), operation="product")
    if isinstance(left, Reference):
        return scaled(call, left, right, "multiply")
    if isinstance(right, Reference):
        return scaled(call, right, left, "multiply")
    if isinstance(left, Spread) and isinstance(right, Spread) and len(left.shape) == len(right.shape):
        return Draft(inputs=(left, right), operation="product")
    call.refuse("a product of two constants with rows is not supported; fold it before the export")


def lower_quotient(call: CallReader) -> Lowered:
    """aten.div(self, other): by a constant, or of two values."""
    if call.given("rounding_mode"):
        call.refuse("division with rounding is not continuous")
    left, right = side(call, "self"), side(call, "other")
    if isinstance(left, Reference) and isinstance(right, Reference):
        return Draft(inputs=two_values(call, left, right), operation="quotient")
    if isinstance(left, Reference):
        return scaled(call, left, right, "divide")
    if not isinstance(right, Reference):
        call.refuse("a quotient of two constants with rows is not supported; fold it before the export")
    row = torch.tensor(left, dtype=torch.float64) if isinstance(left, float) else row_of(call, left, right)
    above = Spread(row.double().reshape(1, *(1,) * (len(right.shape) - row.dim()), *row.shape))
    return Draft(inputs=(above, right), operation="quotient")


def lower_negate(call: CallReader) -> Lowered:
    """aten.neg(self)."""
    return Draft(inputs=(call.value("self"),), attributes={"factor": -1.0}, operation="multiply")


def factor_of(node: Node, constants: Mapping[str, Tensor]) -> Tensor | float:
    """The constant of a product or a quotient."""
    return constants["factor"] if "factor" in constants else node.number("factor")


def multiply_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Value times the constant."""
    return inputs[0] * factor_of(node, constants)


def multiply_slope(
    node: Node, inputs: Sequence[Tensor], output: Tensor, constants: Mapping[str, Tensor]
) -> Tensor | float:
    """The constant."""
    return factor_of(node, constants)


def divide_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Value over the constant."""
    return inputs[0] / factor_of(node, constants)


def divide_slope(
    node: Node, inputs: Sequence[Tensor], output: Tensor, constants: Mapping[str, Tensor]
) -> Tensor | float:
    """One over the constant."""
    return 1.0 / factor_of(node, constants)


def product_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Left right."""
    return inputs[0] * inputs[1]


def product_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Product rule: left' right + left right'."""
    left, right = tangents
    parts = [
        tangent * other.unsqueeze(1)
        for tangent, other in ((left, inputs[1]), (right, inputs[0]))
        if tangent is not None
    ]
    return widened(sum(parts[1:], start=parts[0]), node) if parts else None


def quotient_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Left / right."""
    return inputs[0] / inputs[1]


def quotient_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Quotient rule: (left' - output right') / right."""
    left, right = tangents
    over = inputs[1].unsqueeze(1)
    parts = [] if left is None else [left / over]
    if right is not None:
        parts.append(right * (-output / inputs[1]).unsqueeze(1))
    return widened(sum(parts[1:], start=parts[0]), node) if parts else None


MULTIPLY = Operation(
    "multiply",
    Kind.AFFINE,
    frozenset({"aten.neg.default"}),
    lower_negate,
    multiply_forward,
    through_slope(multiply_slope),
    multiply_slope,
    elementwise=True,
)
DIVIDE = Operation(
    "divide",
    Kind.AFFINE,
    frozenset(),
    refused,
    divide_forward,
    through_slope(divide_slope),
    divide_slope,
    elementwise=True,
)
PRODUCT = Operation(
    "product",
    Kind.SMOOTH,
    spelled("mul"),
    lower_product,
    product_forward,
    product_tangent,
    elementwise=True,
    aliases=True,
)
QUOTIENT = Operation(
    "quotient",
    Kind.SMOOTH,
    spelled("div") | {"aten.div.Tensor_mode"},
    lower_quotient,
    quotient_forward,
    quotient_tangent,
    elementwise=True,
    aliases=True,
)

OPERATIONS = (MULTIPLY, DIVIDE, PRODUCT, QUOTIENT)
