"""Nonlinearities with finitely many straight pieces, element by element.

One rule for ties everywhere: the state of a unit is the number of breakpoints strictly below its pre-activation, so at
a breakpoint exactly it takes the lower state (relu at 0 is inactive), and its slope is that of the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operation import (
    Attribute,
    Comparison,
    Draft,
    Kind,
    Lowered,
    Node,
    Operation,
    Reference,
    Spread,
)
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.tangents import through_slope

__all__ = ["OPERATIONS"]

Rule = Callable[[Node, Tensor, Mapping[str, Tensor]], Tensor]


def piecewise(
    name: str,
    targets: Sequence[str],
    lower: Callable[[CallReader], Lowered],
    *,
    forward: Rule,
    slope: Rule,
    states: Callable[[Node, Tensor], Tensor],
    breakpoints: Callable[[Node], tuple[float, ...]] = lambda node: (0.0,),
) -> Operation:
    """Entry of an elementwise piecewise linear function from its value, its slope and its state."""

    def diagonal(
        node: Node, inputs: Sequence[Tensor], output: Tensor, constants: Mapping[str, Tensor]
    ) -> Tensor | float:
        return slope(node, inputs[0], constants)

    return Operation(
        name=name,
        kind=Kind.PIECEWISE_LINEAR,
        targets=frozenset(f"aten.{target}" for target in targets),
        lower=lower,
        forward=lambda node, inputs, constants: forward(node, inputs[0], constants),
        tangent=through_slope(diagonal),
        slope=diagonal,
        states=lambda node, inputs: states(node, inputs[0]),
        breakpoints=breakpoints,
        elementwise=True,
    )


def above(value: Tensor, threshold: float = 0.0) -> Tensor:
    """1 where value > threshold, else 0, in the dtype of the value."""
    return (value > threshold).to(value.dtype)


def sign_states(node: Node, value: Tensor) -> Tensor:
    """1 where the pre-activation is positive, else 0."""
    return (value > 0).to(torch.int8)


def lower_relu(call: CallReader) -> Lowered:
    """aten.relu(self)."""
    return Draft(inputs=(call.value("self"),))


def lower_leaky(call: CallReader) -> Lowered:
    """aten.leaky_relu(self, negative_slope) and aten.rrelu in evaluation."""
    if "rrelu" in call.call.target:
        if call.flag("training"):
            call.refuse("it draws slopes at random in training; export the generator in evaluation mode")
        slope = (call.number("lower", 0.125) + call.number("upper", 1 / 3)) / 2
    else:
        slope = call.number("negative_slope", 0.01)
    return Draft(inputs=(call.value("self"),), attributes={"slope": slope})


def prelu_draft(call: CallReader, value: Reference | Spread, weight: Tensor) -> Draft:
    """Draft of a leaky unit whose slopes are a constant that broadcasts over a row."""
    if weight.dim() > len(value.shape) and any(size != 1 for size in weight.shape[: weight.dim() - len(value.shape)]):
        call.refuse(f"a weight of shape {tuple(weight.shape)} does not fit a row of shape {value.shape}")
    row = weight.reshape(weight.shape[max(weight.dim() - len(value.shape), 0) :])
    return Draft(inputs=(value,), tensors={"weight": row}, operation="prelu")


def lower_prelu(call: CallReader) -> Lowered:
    """aten.prelu(self, weight) with a weight a channel, and aten._prelu_kernel with one that broadcasts."""
    value, weight = call.value("self"), call.constant("weight")
    if call.call.target == "aten.prelu.default":
        if weight.numel() not in (1, value.shape[0]):
            call.refuse(f"its {weight.numel()} slopes do not fit a row of shape {value.shape}")
        weight = weight.reshape((-1,) + (1,) * (len(value.shape) - 1))
    return prelu_draft(call, value, weight)


def lower_where(call: CallReader) -> Lowered:
    """aten.where(value > 0, value, slope * value): how prelu looks when decomposed; refused otherwise."""
    condition = call.bind(call.call.arguments.get("condition"))
    chosen, other = call.operand("self"), call.operand("other")
    if (
        isinstance(condition, Comparison)
        and isinstance(chosen, Reference)
        and (chosen, 0.0) == (condition.value, condition.threshold)
    ):
        node = call.nodes[other.index - 1] if isinstance(other, Reference) and other.index else None
        if node and node.operation == "multiply" and node.inputs == (condition.value.index,):
            weight = node.tensors.get("factor")
            if weight is None:
                weight = torch.tensor(node.number("factor"), dtype=torch.float64)
            return prelu_draft(call, condition.value, weight)
    call.refuse("a choice between values is only supported in the form of a leaky unit: x > 0 ? x : slope x")


def lower_comparison(call: CallReader) -> Lowered:
    """aten.gt(self, 0): half of a decomposed prelu."""
    value = call.value("self")
    if isinstance(value, Spread):
        call.refuse("a comparison of constants is not supported; fold it before the export")
    return Comparison(value=value, threshold=call.number("other"))


def lower_any_prelu(call: CallReader) -> Lowered:
    """Whichever of the spellings of a leaky unit with learned slopes, or of its halves, the call is."""
    halves = {"aten.gt.Scalar": lower_comparison, "aten.where.self": lower_where}
    return halves.get(call.call.target, lower_prelu)(call)


def bounds(call: CallReader) -> tuple[float, float]:
    """Lower and upper bound of any spelling of a clamp; infinite where absent."""
    target = call.call.target.split(".")[1].rstrip("_")
    if target == "relu6":
        return 0.0, 6.0
    if target == "hardtanh":
        return call.number("min_val", -1.0), call.number("max_val", 1.0)
    if target == "threshold":
        if call.number("threshold") != call.number("value"):
            call.refuse("a threshold that jumps is not continuous; only threshold == value is supported")
        return call.number("value"), math.inf
    low, high = call.optional_number("min"), call.optional_number("max")
    return -math.inf if low is None else low, math.inf if high is None else high


def lower_clamp(call: CallReader) -> Lowered:
    """Any spelling of max(low, min(value, high)) with numbers for bounds."""
    low, high = bounds(call)
    if not low < high:
        call.refuse(f"bounds {low} and {high} leave nothing between them")
    attributes: dict[str, Attribute] = {
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
    }
    return Draft(inputs=(call.value("self"),), attributes=attributes, operation="clamp")


def clamp_forward(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """max(low, min(value, high))."""
    return value.clamp(node.optional_number("low"), node.optional_number("high"))


def clamp_bounds(node: Node) -> tuple[float, ...]:
    """The finite ones of the two bounds."""
    return tuple(limit for limit in (node.optional_number("low"), node.optional_number("high")) if limit is not None)


def clamp_states(node: Node, value: Tensor) -> Tensor:
    """Number of the bounds that lie strictly below the pre-activation."""
    states = torch.zeros(value.shape, dtype=torch.int8, device=value.device)
    for limit in clamp_bounds(node):
        states += value > limit
    return states


def clamp_slope(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """1 between the bounds, 0 outside."""
    low, high = node.optional_number("low"), node.optional_number("high")
    inside = torch.ones_like(value) if low is None else above(value, low)
    return inside if high is None else inside * (value <= high)


OPERATIONS = (
    piecewise(
        "relu",
        ("relu.default", "relu_.default"),
        lower_relu,
        forward=lambda node, value, constants: torch.relu(value),
        slope=lambda node, value, constants: above(value),
        states=sign_states,
    ),
    piecewise(
        "leaky_relu",
        ("leaky_relu.default", "leaky_relu_.default", "rrelu.default"),
        lower_leaky,
        forward=lambda node, value, constants: torch.nn.functional.leaky_relu(value, node.number("slope")),
        slope=lambda node, value, constants: torch.where(value > 0, value.new_ones(()), node.number("slope")),
        states=sign_states,
    ),
    piecewise(
        "prelu",
        ("prelu.default", "_prelu_kernel.default", "gt.Scalar", "where.self"),
        lower_any_prelu,
        forward=lambda node, value, constants: torch.where(value > 0, value, value * constants["weight"]),
        slope=lambda node, value, constants: torch.where(value > 0, value.new_ones(()), constants["weight"]),
        states=sign_states,
    ),
    piecewise(
        "abs",
        ("abs.default", "abs_.default"),
        lower_relu,
        forward=lambda node, value, constants: value.abs(),
        slope=lambda node, value, constants: above(value).mul_(2.0).sub_(1.0),
        states=sign_states,
    ),
    piecewise(
        "clamp",
        tuple(
            f"{name}{suffix}.default"
            for name in ("hardtanh", "relu6", "clamp", "clamp_min", "clamp_max", "threshold")
            for suffix in ("", "_")
        ),
        lower_clamp,
        forward=clamp_forward,
        slope=clamp_slope,
        states=clamp_states,
        breakpoints=clamp_bounds,
    ),
)
