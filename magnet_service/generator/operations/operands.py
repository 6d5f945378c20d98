"""What sums and products have in common: reading their two sides, and spelling their operators."""

from __future__ import annotations

from torch import Tensor

from magnet_service.generator.operations.operation import Lowered, Node, Reference
from magnet_service.generator.operations.reader import CallReader, Operand

__all__ = ["refused", "row_of", "side", "spelled", "two_values", "widened"]


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


def widened(tangents: Tensor | None, node: Node) -> Tensor | None:
    """Tangents broadcast to the shape of the node's value."""
    return None if tangents is None else tangents.expand(*tangents.shape[:2], *node.shape)


def spelled(*names: str) -> frozenset[str]:
    """Tensor and scalar overloads of the names, in place or not."""
    return frozenset(
        f"aten.{name}{suffix}.{overload}" for name in names for suffix in ("", "_") for overload in ("Tensor", "Scalar")
    )


def refused(call: CallReader) -> Lowered:
    """Entries without targets of their own are reached through another entry's lowering."""
    call.refuse("it has no spelling of its own")
