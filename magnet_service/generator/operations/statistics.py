"""Statistics of a row itself: standardising norms, variances, deviations and lengths, all smooth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from magnet_service.generator.operations.operation import (
    Attribute,
    Draft,
    Kind,
    Lowered,
    Node,
    Operation,
    Reference,
    Spread,
)
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.widening import widely

__all__ = ["OPERATIONS", "SPREAD_OF_ROW", "STANDARDIZE", "standardized_groups"]


def lower_norm(call: CallReader) -> Lowered:
    """Group, layer and root-mean-square norm, in the spellings of a module and of its decomposition."""
    value, name = call.value("input"), call.call.target.split(".")[1]
    if name in ("group_norm", "native_group_norm"):
        return standardized_groups(call, value, call.integer("num_groups" if name == "group_norm" else "group"))
    shape = call.integers("normalized_shape")
    leading = len(value.shape) - len(shape)
    if not shape or leading < 0 or value.shape[leading:] != shape:
        call.refuse(f"normalized_shape {shape} does not fit a row of shape {value.shape}")
    tensors = {key: call.constant(key) for key in ("weight", "bias") if call.given(key)}
    if any(tuple(tensor.shape) != shape for tensor in tensors.values()):
        call.refuse(f"its weights do not have the shape {shape}")
    default = 1e-5
    if name == "rms_norm":
        # Unstated, it is that of the type the file computes in.
        default = torch.finfo(tensors["weight"].dtype if "weight" in tensors else torch.float32).eps
    attributes: dict[str, Attribute] = {
        "groups": math.prod(value.shape[:leading]),
        "epsilon": call.number("eps", default) if call.given("eps") else default,
        "centred": name != "rms_norm",
    }
    return Draft(inputs=(value,), attributes=attributes, tensors=tensors, operation="standardize")


def standardized_groups(call: CallReader, value: Reference | Spread, groups: int) -> Draft:
    """Draft of a norm over groups of channels, with a weight and a shift for every channel."""
    if len(value.shape) < 1 or groups < 1 or value.shape[0] % groups:
        call.refuse(f"{groups} groups do not fit a row of shape {value.shape}")
    column = (value.shape[0],) + (1,) * (len(value.shape) - 1)
    tensors = {key: call.constant(key) for key in ("weight", "bias") if call.given(key)}
    if any(tensor.numel() != value.shape[0] for tensor in tensors.values()):
        call.refuse(f"its weights do not fit the {value.shape[0]} channels of a row of shape {value.shape}")
    attributes: dict[str, Attribute] = {"groups": groups, "epsilon": call.number("eps", 1e-5), "centred": True}
    shaped = {key: tensor.reshape(column) for key, tensor in tensors.items()}
    return Draft(inputs=(value,), attributes=attributes, tensors=shaped, operation="standardize")


def grouped(node: Node, value: Tensor) -> Tensor:
    """The value as [rows, groups, members]."""
    return value.reshape(value.shape[0], node.integer("groups"), -1)


def standardize_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) in each group, times weight plus bias; no mean if not centred."""
    groups, epsilon = grouped(node, inputs[0]), node.number("epsilon")
    norm = functional.layer_norm if node.flag("centred") else functional.rms_norm
    value = norm(groups, groups.shape[-1:], eps=epsilon).reshape(inputs[0].shape)
    if "weight" in constants:
        value = value * constants["weight"]
    return value + constants["bias"] if "bias" in constants else value


@widely
def standardize_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """With y = (x - mean) r: r (t - mean t - y mean(y t)), times weight; no means of x and t if not centred."""
    (given,) = tangents
    if given is None:
        return None
    groups = grouped(node, inputs[0])
    if node.flag("centred"):
        variance, mean = torch.var_mean(groups, dim=2, correction=0, keepdim=True)
        groups = groups - mean
    else:
        variance = groups.square().mean(2, keepdim=True)
    rate = torch.rsqrt(variance + node.number("epsilon")).unsqueeze(1)
    share = groups.unsqueeze(1) * rate
    moves = given.reshape(given.shape[0], given.shape[1], *groups.shape[1:])
    if node.flag("centred"):
        moves = moves - moves.mean(3, keepdim=True)
    result = (rate * (moves - share * (share * moves).mean(3, keepdim=True))).flatten(2)
    result = result.reshape(*result.shape[:2], *node.shape)
    return result * constants["weight"] if "weight" in constants else result


def lower_spread(call: CallReader) -> Lowered:
    """aten.var, std and var_mean over dimensions of a row, and aten.linalg_vector_norm of order two."""
    name = call.call.target.split(".")[1]
    value = call.value("self")
    dims = call.dimensions(len(value.shape) + 1)
    if not dims:
        call.refuse("it works across the rows of a batch, and rows must stay independent")
    attributes: dict[str, Attribute] = {"dims": dims, "keep": call.flag("keepdim")}
    if name == "linalg_vector_norm":
        order = call.number("ord", 2.0)
        if order != 2.0:
            call.refuse(f"order {order:g}: only the Euclidean length, of order 2, is supported")
        return Draft(inputs=(value,), attributes={**attributes, "figure": "length"})
    members = math.prod(value.shape[dim - 1] for dim in dims)
    stated = call.number("correction") if call.given("correction") else 1.0
    correction = float(call.flag("unbiased", True)) if call.call.target.endswith(".dim") else stated
    if members <= correction:
        call.refuse(f"{members} numbers leave nothing after the correction {correction:g}")
    attributes["divisor"] = members - correction
    if name == "var_mean":
        mean: dict[str, Attribute] = {"dims": dims, "keep": call.flag("keepdim"), "mean": True}
        return (
            Draft(inputs=(value,), attributes={**attributes, "figure": "variance"}),
            Draft(inputs=(value,), attributes=mean, operation="reduce"),
        )
    return Draft(inputs=(value,), attributes={**attributes, "figure": "variance" if name == "var" else "deviation"})


def spread_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Variance, deviation or length over dimensions of a row."""
    value, dims = inputs[0], list(node.integers("dims"))
    if node.text("figure") == "length":
        length: Tensor = torch.linalg.vector_norm(value, 2.0, dims, node.flag("keep"))
        return length
    centred = value - value.mean(dims, keepdim=True)
    variance = centred.square().sum(dims, node.flag("keep")) / node.number("divisor")
    return variance.sqrt() if node.text("figure") == "deviation" else variance


@widely
def spread_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Sum (x - mean) t over the divisor: twice for a variance, over the figure for the others (0 where it is 0)."""
    (given,) = tangents
    if given is None:
        return None
    value, dims, figure = inputs[0], list(node.integers("dims")), node.text("figure")
    centred = value if figure == "length" else value - value.mean(dims, keepdim=True)
    total = (centred.unsqueeze(1) * given).sum([dim + 1 for dim in dims], node.flag("keep"))
    if figure != "length":
        total = total / node.number("divisor")
    if figure == "variance":
        return 2.0 * total
    over = output.unsqueeze(1)
    return torch.where(over == 0, 0.0, total / over)


STANDARDIZE = Operation(
    name="standardize",
    kind=Kind.SMOOTH,
    targets=frozenset(
        f"aten.{name}.default"
        for name in ("group_norm", "native_group_norm", "layer_norm", "native_layer_norm", "rms_norm")
    ),
    lower=lower_norm,
    forward=standardize_forward,
    tangent=standardize_tangent,
)

SPREAD_OF_ROW = Operation(
    name="spread",
    kind=Kind.SMOOTH,
    targets=frozenset(
        {
            *(f"aten.{name}.{form}" for name in ("var", "std") for form in ("dim", "correction")),
            "aten.var_mean.correction",
            "aten.linalg_vector_norm.default",
        }
    ),
    lower=lower_spread,
    forward=spread_forward,
    tangent=spread_tangent,
)

OPERATIONS = (STANDARDIZE, SPREAD_OF_ROW)
