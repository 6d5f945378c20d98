"""Sums and differences: with constants a shift, of two values linear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operands import refused, row_of, side, spelled, two_values, widened
from magnet_service.generator.operations.operation import Attribute, Draft, Kind, Lowered, Node, Operation, Reference
from magnet_service.generator.operations.reader import CallReader, Operand

__all__ = ["ADD", "OPERATIONS", "SHIFT"]


def weighted_sum(call: CallReader, left: Operand | float, right: Operand | float, factor: float) -> Lowered:
    """Draft of left + factor right."""
    if isinstance(left, Reference) and isinstance(right, Reference):
        attributes: dict[str, Attribute] = {"alpha": factor}
        return Draft(inputs=two_values(call, left, right), attributes=attributes, operation="add")
    value, constant, scale, weight = (
        (left, right, 1.0, factor) if isinstance(left, Reference) else (right, left, factor, 1.0)
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


ADD = Operation(
    "add",
    Kind.AFFINE,
    spelled("add", "sub") | {"aten.rsub.Tensor", "aten.rsub.Scalar"},
    lower_sum,
    add_forward,
    add_tangent,
    aliases=True,
)
SHIFT = Operation(
    "shift", Kind.AFFINE, frozenset(), refused, shift_forward, shift_tangent, elementwise=True, aliases=True
)
OPERATIONS = (ADD, SHIFT)
