"""Largest and smallest entries: over dimensions of a row, and of two values place by place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operands import row_of, two_values
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

__all__ = ["CHOICE", "EXTREMUM", "OPERATIONS"]


def lower_extremum(call: CallReader) -> Lowered:
    """aten.amax, amin, max.dim and min.dim over dimensions of a row; of their values the first is used."""
    value = call.value("self")
    dims = call.dimensions(len(value.shape) + 1)
    if not dims:
        call.refuse("it works across the rows of a batch, and rows must stay independent")
    attributes: dict[str, Attribute] = {
        "dims": dims,
        "keep": call.flag("keepdim"),
        "largest": "max" in call.call.target,
    }
    return Draft(inputs=(value,), attributes=attributes)


def members(node: Node, value: Tensor, lead: int) -> Tensor:
    """The entries to choose among in the last dimension; the first `lead` dimensions stay where they are."""
    dims = [dim + lead - 1 for dim in node.integers("dims")]
    stays = [dim for dim in range(value.dim()) if dim not in dims]
    moved = value.permute(*stays, *dims)
    return moved.reshape(*moved.shape[: len(stays)], -1)


def places(node: Node, value: Tensor) -> Tensor:
    """Place of the entry taken among its members; of equal entries the first."""
    entries = members(node, value, 1)
    # argmax may take any of equal entries: the first that equals the extremum is asked for.
    best = entries.amax(-1, keepdim=True) if node.flag("largest") else entries.amin(-1, keepdim=True)
    return (entries == best).to(torch.uint8).argmax(-1)


def extremum_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """The largest or smallest entries."""
    function = torch.amax if node.flag("largest") else torch.amin
    return function(inputs[0], list(node.integers("dims")), node.flag("keep"))


def extremum_states(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Place of each entry taken."""
    return places(node, inputs[0]).to(torch.int32).reshape(inputs[0].shape[0], *node.shape)


def extremum_contenders(node: Node, shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """The entries over the dimensions, of each of the others."""
    row = torch.arange(math.prod(shapes[0])).reshape(1, *shapes[0])
    entries = members(node, row, 1)
    return entries.reshape(-1, entries.shape[-1])


def extremum_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """The tangents of the entries taken."""
    (given,) = tangents
    if given is None:
        return None
    taken = places(node, inputs[0]).unsqueeze(1).unsqueeze(-1)
    rows, columns = inputs[0].shape[0], given.shape[1]
    entries = members(node, given, 2).expand(rows, columns, *taken.shape[2:-1], -1)
    return entries.gather(-1, taken.expand(-1, columns, *taken.shape[2:])).reshape(rows, columns, *node.shape)


def lower_choice(call: CallReader) -> Lowered:
    """aten.maximum and minimum of two values, or of a value and a constant."""
    left, right = call.operand("self"), call.operand("other")
    if not isinstance(left, Reference):
        left, right = right, left
    if not isinstance(left, Reference):
        call.refuse("the larger of two constants is not supported; fold it before the export")
    if not isinstance(right, Reference):
        row = row_of(call, right, left)
        right = Spread(row.reshape(1, *(1,) * (len(left.shape) - row.dim()), *row.shape))
        return Draft(inputs=(left, right), attributes={"largest": "max" in call.call.target})
    return Draft(inputs=two_values(call, left, right), attributes={"largest": "max" in call.call.target})


def choice_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """The larger, or the smaller, of the two."""
    return (torch.maximum if node.flag("largest") else torch.minimum)(inputs[0], inputs[1])


def choice_states(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """1 where the left value is above the right one, else 0."""
    return (inputs[0] > inputs[1]).to(torch.int8)


def choice_contenders(node: Node, shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """The two entries at each place, that first which is taken where they are equal."""
    sizes = [math.prod(shape) for shape in shapes]
    rows = torch.arange(sum(sizes)).split(sizes)
    left, right = (row.reshape(shape).expand(node.shape).reshape(-1) for row, shape in zip(rows, shapes, strict=True))
    return torch.stack((right, left) if node.flag("largest") else (left, right), dim=1)


def choice_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """The tangents of the value taken; of equal ones the right for the larger, the left for the smaller."""
    known = next((tangent for tangent in tangents if tangent is not None), None)
    if known is None:
        return None
    zeros = known.new_zeros(()).expand(1, known.shape[1], *node.shape)
    left, right = (zeros if tangent is None else tangent for tangent in tangents)
    above = (inputs[0] > inputs[1]).unsqueeze(1)
    return torch.where(above, left, right) if node.flag("largest") else torch.where(above, right, left)


EXTREMUM = Operation(
    name="extremum",
    kind=Kind.PIECEWISE_LINEAR,
    targets=frozenset({"aten.amax.default", "aten.amin.default", "aten.max.dim", "aten.min.dim"}),
    lower=lower_extremum,
    forward=extremum_forward,
    tangent=extremum_tangent,
    states=extremum_states,
    contenders=extremum_contenders,
)

CHOICE = Operation(
    name="choice",
    kind=Kind.PIECEWISE_LINEAR,
    targets=frozenset({"aten.maximum.default", "aten.minimum.default"}),
    lower=lower_choice,
    forward=choice_forward,
    tangent=choice_tangent,
    states=choice_states,
    contenders=choice_contenders,
)

OPERATIONS = (EXTREMUM, CHOICE)
