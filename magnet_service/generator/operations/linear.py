"""Dense maps: a value times a constant matrix, from either side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.bilinear import matrix_product
from magnet_service.generator.operations.kernels import product
from magnet_service.generator.operations.operation import Draft, Kind, Lowered, Node, Operation, Reference, Spread
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.tangents import through_linear

__all__ = ["LINEAR", "MATMUL", "OPERATIONS"]


def dense(value: Reference | Spread, weight: Tensor, bias: Tensor | None, call: CallReader) -> Draft:
    """Draft of value @ weight^T + bias after a check of the shapes."""
    if weight.dim() != 2 or not value.shape or value.shape[-1] != weight.shape[1]:
        call.refuse(f"a weight of shape {tuple(weight.shape)} does not fit a row of shape {value.shape}")
    if bias is not None and bias.numel() not in (1, weight.shape[0]):
        call.refuse(f"a bias of shape {tuple(bias.shape)} does not fit {weight.shape[0]} outputs")
    tensors = {"weight": weight}
    if bias is not None:
        tensors["bias"] = bias.reshape(-1).expand(weight.shape[0])
    return Draft(inputs=(value,), tensors=tensors, operation="linear")


def lower_linear(call: CallReader) -> Lowered:
    """aten.linear(input, weight, bias)."""
    return dense(call.value("input"), call.constant("weight"), call.optional_constant("bias"), call)


def lower_addmm(call: CallReader) -> Lowered:
    """aten.addmm(self, mat1, mat2): beta self + alpha mat1 mat2."""
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    value, matrix, bias = call.value("mat1"), call.constant("mat2"), call.constant("self")
    if len(value.shape) != 1 or matrix.dim() != 2 or bias.dim() > 2 or (bias.dim() == 2 and bias.shape[0] != 1):
        call.refuse("it is supported as a row vector times a constant matrix plus a constant row")
    weight = matrix.t() if alpha == 1.0 else matrix.t() * alpha
    return dense(value, weight, bias if beta == 1.0 else bias * beta, call)


def lower_mm(call: CallReader) -> Lowered:
    """aten.mm(self, mat2)."""
    value, matrix = call.value("self"), call.constant("mat2")
    if len(value.shape) != 1 or matrix.dim() != 2:
        call.refuse("it is supported as a row vector times a constant matrix")
    return dense(value, matrix.t(), None, call)


def product_operands(call: CallReader, left_name: str, right_name: str) -> Lowered:
    """Draft of a matrix product of which at least one side depends on the latent."""
    left, right = call.operand(left_name), call.operand(right_name)
    if isinstance(left, Reference) and isinstance(right, Reference):
        return matrix_product(call, left, right)
    for value, constant, side in ((left, right, "right"), (right, left, "left")):
        if not isinstance(value, Reference) or isinstance(constant, Reference):
            continue
        if isinstance(constant, Spread):
            if len(constant.shape) != len(value.shape):
                call.refuse(f"shapes {value.shape} and {constant.shape} of a row do not align")
            matrix = constant.tensor[0]
        else:
            matrix = constant
        if matrix.dim() == 2 and side == "right":
            return dense(value, matrix.t(), None, call)
        if matrix.dim() == 0 or matrix.dim() > len(value.shape) or (side == "left" and len(value.shape) < 2):
            call.refuse(f"a constant of shape {tuple(matrix.shape)} does not fit a row of shape {value.shape}")
        return Draft(inputs=(value,), attributes={"side": side}, tensors={"matrix": matrix}, operation="matmul")
    call.refuse("a product of two constants with rows is not supported; fold it before the export")


def lower_matmul(call: CallReader) -> Lowered:
    """aten.matmul(self, other)."""
    return product_operands(call, "self", "other")


def lower_bmm(call: CallReader) -> Lowered:
    """aten.bmm(self, mat2), and aten.mv(self, vec) with a constant side."""
    return product_operands(call, "self", "vec" if call.given("vec") else "mat2")


def lower_dense(call: CallReader) -> Lowered:
    """Whichever of the spellings of a dense layer the call is."""
    spellings = {"aten.linear.default": lower_linear, "aten.addmm.default": lower_addmm, "aten.mm.default": lower_mm}
    return spellings[call.call.target](call)


def linear_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Value @ weight^T + bias."""
    return product(inputs[0], constants["weight"], constants.get("bias"))


def linear_part(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Value @ weight^T."""
    return product(value, constants["weight"])


def matmul_part(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """The product with the constant on its side."""
    if node.text("side") == "left":
        return torch.matmul(constants["matrix"], value)
    return torch.matmul(value, constants["matrix"])


def matmul_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """The product with the constant on its side."""
    return matmul_part(node, inputs[0], constants)


LINEAR = Operation(
    name="linear",
    kind=Kind.AFFINE,
    targets=frozenset({"aten.linear.default", "aten.addmm.default", "aten.mm.default"}),
    lower=lower_dense,
    forward=linear_forward,
    tangent=through_linear(linear_part),
)

MATMUL = Operation(
    name="matmul",
    kind=Kind.AFFINE,
    targets=frozenset({"aten.matmul.default", "aten.bmm.default", "aten.mv.default"}),
    lower=lambda call: lower_matmul(call) if call.call.target == "aten.matmul.default" else lower_bmm(call),
    forward=matmul_forward,
    tangent=through_linear(matmul_part),
)

OPERATIONS = (LINEAR, MATMUL)
