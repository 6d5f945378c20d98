"""Pooling and reductions over a row: averages and sums are linear, maxima piecewise linear."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from magnet_service.generator.operations.operation import Attribute, Draft, Kind, Lowered, Node, Operation
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.tangents import through_linear

__all__ = ["ADAPTIVE_AVERAGE_POOL", "AVERAGE_POOL", "MAX_POOL", "OPERATIONS", "REDUCE"]


def pool_dims(call: CallReader) -> int:
    """Spatial dimensions by the name of the operator, checked against the value."""
    dims = next(number for number in (1, 2, 3) if f"pool{number}d" in call.call.target)
    shape = call.value("self").shape
    if len(shape) != dims + 1:
        call.refuse(f"a row of shape {shape} is not channels and {dims} spatial dimensions")
    return dims


def lower_average_pool(call: CallReader) -> Lowered:
    """aten.avg_pool1d, 2d and 3d."""
    dims = pool_dims(call)
    kernel = call.spatial("kernel_size", dims, ())
    attributes: dict[str, Attribute] = {
        "kernel": kernel,
        "stride": call.spatial("stride", dims, kernel),
        "padding": call.spatial("padding", dims, (0,) * dims),
        "ceil": call.flag("ceil_mode"),
        "count_padding": call.flag("count_include_pad", True),
        "divisor": call.integer("divisor_override") if call.given("divisor_override") else None,
    }
    return Draft(inputs=(call.value("self"),), attributes=attributes)


def average_pool(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Mean over windows."""
    kernel, stride, padding = (list(node.integers(name)) for name in ("kernel", "stride", "padding"))
    ceil, count = node.flag("ceil"), node.flag("count_padding")
    if len(kernel) == 1:
        return functional.avg_pool1d(value, kernel, stride, padding, ceil, count)
    divisor = None if node.attributes["divisor"] is None else node.integer("divisor")
    pool = functional.avg_pool2d if len(kernel) == 2 else functional.avg_pool3d
    return pool(value, kernel, stride, padding, ceil, count, divisor)


def lower_adaptive_average_pool(call: CallReader) -> Lowered:
    """aten.adaptive_avg_pool1d and 2d."""
    size = call.spatial("output_size", pool_dims(call), ())
    return Draft(inputs=(call.value("self"),), attributes={"size": size})


def adaptive_average_pool(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Mean over as many windows as wanted."""
    first, *rest = node.integers("size")
    if not rest:
        return functional.adaptive_avg_pool1d(value, first)
    return functional.adaptive_avg_pool2d(value, (first, rest[0]))


def lower_reduce(call: CallReader) -> Lowered:
    """aten.mean.dim and aten.sum.dim_IntList over dimensions of a row."""
    value = call.value("self")
    attributes: dict[str, Attribute] = {
        "dims": call.dimensions(len(value.shape) + 1),
        "keep": call.flag("keepdim"),
        "mean": "mean" in call.call.target,
    }
    if not attributes["dims"]:
        call.refuse("it works across the rows of a batch, and rows must stay independent")
    return Draft(inputs=(value,), attributes=attributes)


def reduce(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Mean or sum over dimensions of a row."""
    function = torch.mean if node.flag("mean") else torch.sum
    return function(value, list(node.integers("dims")), node.flag("keep"))


def lower_max_pool(call: CallReader) -> Lowered:
    """aten.max_pool1d, 2d and 3d, with indices or without; of its values the first, the maxima, is used."""
    dims = pool_dims(call)
    kernel = call.spatial("kernel_size", dims, ())
    attributes: dict[str, Attribute] = {
        "kernel": kernel,
        "stride": call.spatial("stride", dims, kernel),
        "padding": call.spatial("padding", dims, (0,) * dims),
        "dilation": call.spatial("dilation", dims, (1,) * dims),
        "ceil": call.flag("ceil_mode"),
    }
    return Draft(inputs=(call.value("self"),), attributes=attributes)


def max_pool(node: Node, value: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima and the places in the flattened channel they come from; of equal entries the first."""
    arguments = [list(node.integers(name)) for name in ("kernel", "stride", "padding", "dilation")]
    pools = {
        1: torch.ops.aten.max_pool1d_with_indices.default,
        2: torch.ops.aten.max_pool2d_with_indices.default,
        3: torch.ops.aten.max_pool3d_with_indices.default,
    }
    maxima, places = pools[len(arguments[0])](value, *arguments, node.flag("ceil"))
    return maxima, places


def max_pool_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Maxima over windows."""
    return max_pool(node, inputs[0])[0]


def max_pool_states(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Place of each maximum in its flattened channel."""
    return max_pool(node, inputs[0])[1].to(torch.int32)


def max_pool_contenders(node: Node, shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """The entries of every window; -1 where it reaches beyond the value."""
    channels, *sizes = shapes[0]
    lines = zip(sizes, node.shape[1:], *map(node.integers, ("kernel", "stride", "padding", "dilation")), strict=True)
    places = torch.zeros(1, 1, dtype=torch.int64)
    for size, outputs, kernel, stride, padding, dilation in lines:
        along = torch.arange(outputs)[:, None] * stride - padding + torch.arange(kernel) * dilation
        along = along.where((along >= 0) & (along < size), -1)
        # [outputs so far, one more] by [entries so far, one more], by digits of which the new ones are the lowest.
        joined = (places * size)[:, None, :, None] + along[None, :, None, :]
        outside = (places < 0)[:, None, :, None] | (along < 0)[None, :, None, :]
        places = joined.masked_fill(outside, -1).reshape(len(places) * outputs, -1)
    shifts = torch.arange(channels)[:, None, None] * math.prod(sizes)
    return (places + shifts).masked_fill(places < 0, -1).reshape(-1, places.shape[1])


def max_pool_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """The tangents at the places of the maxima."""
    (given,) = tangents
    if given is None:
        return None
    places = max_pool(node, inputs[0])[1].flatten(2).unsqueeze(1)
    rows, columns = places.shape[0], given.shape[1]
    flat = given.flatten(3).expand(rows, -1, -1, -1)
    taken = flat.gather(3, places.expand(-1, columns, -1, -1))
    return taken.reshape(rows, columns, *node.shape)


AVERAGE_POOL = Operation(
    name="average_pool",
    kind=Kind.AFFINE,
    targets=frozenset(f"aten.avg_pool{dims}d.default" for dims in (1, 2, 3)),
    lower=lower_average_pool,
    forward=lambda node, inputs, constants: average_pool(node, inputs[0], constants),
    tangent=through_linear(average_pool),
)

ADAPTIVE_AVERAGE_POOL = Operation(
    name="adaptive_average_pool",
    kind=Kind.AFFINE,
    targets=frozenset(
        f"aten.{name}.default" for name in ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d")
    ),
    lower=lower_adaptive_average_pool,
    forward=lambda node, inputs, constants: adaptive_average_pool(node, inputs[0], constants),
    tangent=through_linear(adaptive_average_pool),
)

REDUCE = Operation(
    name="reduce",
    kind=Kind.AFFINE,
    targets=frozenset({"aten.mean.dim", "aten.sum.dim_IntList"}),
    lower=lower_reduce,
    forward=lambda node, inputs, constants: reduce(node, inputs[0], constants),
    tangent=through_linear(reduce),
)

MAX_POOL = Operation(
    name="max_pool",
    kind=Kind.PIECEWISE_LINEAR,
    targets=frozenset(f"aten.max_pool{dims}d{form}.default" for dims in (1, 2, 3) for form in ("", "_with_indices")),
    lower=lower_max_pool,
    forward=max_pool_forward,
    tangent=max_pool_tangent,
    states=max_pool_states,
    contenders=max_pool_contenders,
)

OPERATIONS = (AVERAGE_POOL, ADAPTIVE_AVERAGE_POOL, REDUCE, MAX_POOL)
