"""More smooth functions: logarithms, exponentials of any base, the error function, and log-softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operation import Draft, Kind, Lowered, Node, Operation
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.smooth import pointwise
from magnet_service.generator.operations.tangents import through_slope
from magnet_service.generator.operations.widening import widely

__all__ = ["LOG_SOFTMAX", "OPERATIONS", "RAISED"]


def lower_raised(call: CallReader) -> Lowered:
    """aten.pow.Scalar(self, exponent): a positive number to the power of a value."""
    base = call.number("self")
    if base <= 0.0:
        call.refuse(f"powers of {base:g} are not smooth; the base must be above 0")
    return Draft(inputs=(call.value("exponent"),), attributes={"base": base})


def raised_slope(
    node: Node, inputs: Sequence[Tensor], output: Tensor, constants: Mapping[str, Tensor]
) -> Tensor | float:
    """b^x log b."""
    return output * math.log(node.number("base"))


def lower_log_softmax(call: CallReader) -> Lowered:
    """aten.log_softmax(self, dim) over a dimension of a row."""
    value = call.value("self")
    return Draft(inputs=(value,), attributes={"dim": call.dimension(len(value.shape) + 1)})


@widely
def log_softmax_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """t - sum softmax(x) t."""
    (given,) = tangents
    if given is None:
        return None
    return given - (output.exp().unsqueeze(1) * given).sum(node.integer("dim") + 1, keepdim=True)


RAISED = Operation(
    name="raised",
    kind=Kind.SMOOTH,
    targets=frozenset({"aten.pow.Scalar"}),
    lower=lower_raised,
    forward=lambda node, inputs, constants: torch.pow(node.number("base"), inputs[0]),
    tangent=through_slope(raised_slope),
    slope=raised_slope,
    elementwise=True,
)

LOG_SOFTMAX = Operation(
    name="log_softmax",
    kind=Kind.SMOOTH,
    targets=frozenset({"aten.log_softmax.int", "aten._log_softmax.default"}),
    lower=lower_log_softmax,
    forward=lambda node, inputs, constants: torch.log_softmax(inputs[0], node.integer("dim")),
    tangent=log_softmax_tangent,
)

OPERATIONS = (
    pointwise(
        "log",
        lambda node, value: torch.log(value),
        lambda node, value, result: 1.0 / value,
        targets=("log.default",),
    ),
    pointwise(
        "expm1",
        lambda node, value: torch.expm1(value),
        lambda node, value, result: torch.exp(value),
        targets=("expm1.default",),
    ),
    pointwise(
        "erf",
        lambda node, value: torch.erf(value),
        lambda node, value, result: torch.exp(-value.square()) * (2.0 / math.sqrt(math.pi)),
        targets=("erf.default",),
    ),
    pointwise(
        "atan",
        lambda node, value: torch.atan(value),
        lambda node, value, result: 1.0 / (1.0 + value.square()),
        targets=("atan.default",),
    ),
    pointwise(
        "sinh",
        lambda node, value: torch.sinh(value),
        lambda node, value, result: torch.cosh(value),
        targets=("sinh.default",),
    ),
    pointwise(
        "cosh",
        lambda node, value: torch.cosh(value),
        lambda node, value, result: torch.sinh(value),
        targets=("cosh.default",),
    ),
    pointwise(
        "asinh",
        lambda node, value: torch.asinh(value),
        lambda node, value, result: torch.rsqrt(1.0 + value.square()),
        targets=("asinh.default",),
    ),
    RAISED,
    LOG_SOFTMAX,
)
