"""Sums, differences, products and quotients: with constants affine, of two values linear or bilinear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operation import Attribute, Draft, Kind, Lowered, Node, Operation, Reference
from magnet_service.generator.operations.reader import CallReader, Operand
from magnet_service.generator.operations.tangents import times

__all__ = ["ADD", "DIVIDE", "MULTIPLY", "OPERATIONS", "PRODUCT", "QUOTIENT", "SHIFT"]


def side(call: CallReader, name: str) -> Operand | float:
    """An argument that may be a tensor or a number."""
    argument = call.call.arguments.get(name)
    if isinstance(argument, int | float) and not isinstance(argument, bool):
        return float(argument)
    operand = call.operand(name)
    if isinstance(operand, Tensor) and operand.numel() == 1:
        return float(operand.double().item())
    return operand


def row_of(call: CallReader, constant: Operand, value: Reference) -> Tensor:
    """A constant as it broadcasts over one row of the value."""
    if isinstance(constant, Tensor):
        tensor = constant
        if tensor.dim() > len(value.shape):
            if tensor.dim() > len(value.shape) + 1 or tensor.shape[0] != 1:
                call.refuse(f"a constant of shape {tuple(tensor.shape)} does not fit a row of shape {value.shape}")
            tensor = tensor[0]
        return tensor
    if isinstance(constant, Reference) or len(constant.shape) != len(value.shape):
        call.refuse(f"rows of shapes {value.shape} and {constant.shape} do not align")
    return constant.tensor[0]


def two_values(call: CallReader, left: Reference, right: Reference) -> tuple[Reference, Reference]:
    """Two values whose rows align dimension by dimension."""
    if len(left.shape) != len(right.shape):
        call.refuse(f"rows of shapes {left.shape} and {right.shape} do not align")
    return left, right


def weighted_sum(call: CallReader, left: Operand | float, right: Operand | float, factor: float) -> Lowered:
    """Draft of left + factor right."""
    if isinstance(left, Reference) and isinstance(right, Reference):
        attributes: dict[str, Attribute] = {"alpha": factor}
        return Draft(inputs=two_values(call, left, right), attributes=attributes, operation="add")
    value, constant, scale, weight = (left, right, 1.0, factor) if isinstance(left, Reference) else (
        right, left, factor, 1.0
    )
    if not isinstance(value, Reference):
        call.refuse("a sum of two constants with rows is not supported; fold it before the export")
    if isinstance(constant, float):
        return Draft(inputs=(value,), attributes={"scale": scale, "shift": constant * weight}, operation="shift")
    tensors = {"shift": row_of(call, constant, value)}
    return Draft(inputs=(value,), attributes={"scale": scale, "weight": weight}, tensors=tensors, operation="shift")


def lower_sum(call: CallReader) -> Lowered:
    """aten.add, sub and rsub with alpha: self + alpha other, self - alpha other, other - alpha self."""
    left, right, alpha = side(call, "self"), side(call, "other"), call.number("alpha", 1.0)
    if "rsub" in call.call.target:
        return weighted_sum(call, right, left, -alpha)
    return weighted_sum(call, left, right, -alpha if "sub" in call.call.target else alpha)


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
    call.refuse("a constant divided by a value is not supported; write it as reciprocal and product")


def lower_negate(call: CallReader) -> Lowered:
    """aten.neg(self)."""
    return Draft(inputs=(call.value("self"),), attributes={"factor": -1.0}, operation="multiply")


def factor_of(node: Node, constants: Mapping[str, Tensor]) -> Tensor | float:
    """The constant of a product or a quotient."""
    return constants["factor"] if "factor" in constants else node.number("factor")


def widened(tangents: Tensor | None, node: Node) -> Tensor | None:
    """Tangents broadcast to the shape of the node's value."""
    return None if tangents is None else tangents.expand(*tangents.shape[:2], *node.shape)


def shift_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Scale value + shift, the scale being 1 or a number."""
    scale = node.number("scale")
    value = inputs[0] if scale == 1.0 else inputs[0] * scale
    if "shift" not in constants:
        return value + node.number("shift")
    return torch.add(value, constants["shift"], alpha=node.number("weight"))


def shift_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Tangents times the scale."""
    given = widened(tangents[0], node)
    if given is None or node.number("scale") == 1.0:
        return given
    return given * node.number("scale")


def add_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Left + alpha right."""
    return torch.add(inputs[0], inputs[1], alpha=node.number("alpha"))


def add_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """The same sum of the tangents."""
    left, right = tangents
    if right is None:
        return widened(left, node)
    if left is None:
        return widened(right if node.number("alpha") == 1.0 else right * node.number("alpha"), node)
    return torch.add(left, right, alpha=node.number("alpha"))


def multiply_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Value times the constant."""
    return inputs[0] * factor_of(node, constants)


def multiply_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Tangents times the constant."""
    return None if tangents[0] is None else times(tangents[0], factor_of(node, constants), reuse)


def divide_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Value over the constant."""
    return inputs[0] / factor_of(node, constants)


def divide_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Tangents over the constant."""
    return None if tangents[0] is None else tangents[0] / factor_of(node, constants)


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


def spelled(*names: str) -> frozenset[str]:
    """Tensor and scalar overloads of the names, in place or not."""
    return frozenset(
        f"aten.{name}{suffix}.{overload}" for name in names for suffix in ("", "_") for overload in ("Tensor", "Scalar")
    )


def refused(call: CallReader) -> Lowered:
    """Entries without targets of their own are reached through another entry's lowering."""
    call.refuse("it has no spelling of its own")


ADD = Operation(
    "add", Kind.AFFINE, spelled("add", "sub", "rsub"), lower_sum, add_forward, add_tangent, aliases=True
)
SHIFT = Operation(
    "shift", Kind.AFFINE, frozenset(), refused, shift_forward, shift_tangent, elementwise=True, aliases=True
)
MULTIPLY = Operation(
    "multiply", Kind.AFFINE, frozenset({"aten.neg.default"}), lower_negate, multiply_forward, multiply_tangent,
    elementwise=True,
)
DIVIDE = Operation("divide", Kind.AFFINE, frozenset(), refused, divide_forward, divide_tangent, elementwise=True)
PRODUCT = Operation(
    "product", Kind.SMOOTH, spelled("mul"), lower_product, product_forward, product_tangent, elementwise=True,
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

OPERATIONS = (ADD, SHIFT, MULTIPLY, DIVIDE, PRODUCT, QUOTIENT)
