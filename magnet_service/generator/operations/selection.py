"""Parts of rows and their joining: concatenation, slices, splits, flips, gathers by constant indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operation import Draft, Kind, Lowered, Node, Operation, Reference, Spread
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.shaping import structural
from magnet_service.generator.operations.tangents import through_linear

__all__ = ["CONCATENATE", "FLIP", "GATHER", "OPERATIONS", "SELECT", "SLICE"]


def lower_concatenate(call: CallReader) -> Lowered:
    """aten.cat and aten.stack of values along a dimension of a row."""
    stack = "stack" in call.call.target
    parts: list[Reference | Spread] = []
    for operand in call.operands("tensors"):
        if isinstance(operand, Tensor):
            call.refuse("it joins a constant without rows to values; expand the constant to the batch")
        parts.append(operand)
    dim = call.dimension(len(parts[0].shape) + 1 + stack, "dim", 0)
    return Draft(inputs=tuple(parts), attributes={"dim": dim, "stack": stack})


def concatenate_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """The values side by side."""
    return (torch.stack if node.flag("stack") else torch.cat)(list(inputs), node.integer("dim"))


def concatenate_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """The tangents side by side, zeros where a value does not depend on the latent."""
    known = [tangent for tangent in tangents if tangent is not None]
    if not known:
        return None
    rows, columns = max(tangent.shape[0] for tangent in known), known[0].shape[1]
    parts = [
        (value.new_zeros(()) if tangent is None else tangent).expand(rows, columns, *value.shape[1:])
        for tangent, value in zip(tangents, inputs, strict=True)
    ]
    return (torch.stack if node.flag("stack") else torch.cat)(parts, node.integer("dim") + 1)


def slice_draft(value: Reference | Spread, dim: int, start: int, end: int, step: int = 1) -> Draft:
    """Draft of `value[start:end:step]` in one dimension of a row."""
    return Draft(inputs=(value,), attributes={"dim": dim, "start": start, "end": end, "step": step}, operation="slice")


def lower_slice(call: CallReader) -> Lowered:
    """aten.slice and narrow; a slice that keeps the whole batch is the value itself."""
    value = call.value("self")
    rank, dim = len(value.shape) + 1, call.integer("dim", 0)
    if "narrow" in call.call.target:
        place, start = call.dimension(rank), call.integer("start")
        start += value.shape[place - 1] if start < 0 else 0
        return slice_draft(value, place, start, start + call.integer("length"))
    start = call.integer("start", 0) if call.given("start") else 0
    end = call.integer("end") if call.given("end") else 2**63 - 1
    step = call.integer("step", 1)
    if dim in (0, -rank) and (start, step) == (0, 1) and end >= 2**31:
        return value
    place = call.dimension(rank, "dim", 0)
    start, end, step = slice(start, end, step).indices(value.shape[place - 1])
    if (start, end, step) == (0, value.shape[place - 1], 1):
        return value
    return slice_draft(value, place, start, end, step)


def lower_split(call: CallReader) -> Lowered:
    """aten.split, split_with_sizes and chunk: one slice for every part."""
    value = call.value("self")
    dim = call.dimension(len(value.shape) + 1, "dim", 0)
    extent = value.shape[dim - 1]
    if call.given("split_sizes") or call.call.target == "aten.split.sizes":
        sizes = call.integers("split_sizes" if call.given("split_sizes") else "split_size")
    else:
        whole = call.integer("split_size") if call.given("split_size") else -(-extent // call.integer("chunks"))
        sizes = tuple(min(whole, extent - start) for start in range(0, extent, whole))
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return tuple(slice_draft(value, dim, start, start + size) for start, size in zip(starts, sizes, strict=True))


def lower_select(call: CallReader) -> Lowered:
    """aten.select, and aten.unbind: one selection for every entry."""
    value = call.value("self")
    dim = call.dimension(len(value.shape) + 1, "dim", 0)
    if "unbind" in call.call.target:
        return tuple(
            Draft(inputs=(value,), attributes={"dim": dim, "index": index}) for index in range(value.shape[dim - 1])
        )
    return Draft(inputs=(value,), attributes={"dim": dim, "index": call.integer("index")})


def lower_flip(call: CallReader) -> Lowered:
    """aten.flip in dimensions of a row."""
    value = call.value("self")
    return Draft(inputs=(value,), attributes={"dims": call.dimensions(len(value.shape) + 1, "dims")})


def lower_gather(call: CallReader) -> Lowered:
    """aten.index and aten.index_select by constant indices in neighbouring dimensions of a row."""
    value = call.value("self")
    if "index_select" in call.call.target:
        dim = call.dimension(len(value.shape) + 1)
        return Draft(inputs=(value,), attributes={"dim": dim}, tensors={"index0": call.constant("index").reshape(-1)})
    given = call.call.arguments.get("indices")
    entries = given if isinstance(given, tuple) else ()
    places = [place for place, entry in enumerate(entries) if entry is not None]
    if not places or places != list(range(places[0], places[0] + len(places))) or places[0] == 0:
        call.refuse("it is supported by constants in neighbouring dimensions of a row")
    bound = [call.bind(entries[place]) for place in places]
    tensors = {f"index{order}": tensor for order, tensor in enumerate(bound) if isinstance(tensor, Tensor)}
    if len(tensors) != len(bound) or any(tensor.dtype.is_floating_point for tensor in tensors.values()):
        call.refuse("its indices depend on the latent, and only constant ones are supported")
    return Draft(inputs=(value,), attributes={"dim": places[0]}, tensors=tensors)


def gather(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Entries of the row at constant indices."""
    indices = [None] * node.integer("dim") + [constants[f"index{order}"] for order in range(len(constants))]
    result: Tensor = torch.ops.aten.index.Tensor(value, indices)
    return result


CONCATENATE = Operation(
    name="concatenate",
    kind=Kind.STRUCTURAL,
    targets=frozenset({"aten.cat.default", "aten.concat.default", "aten.concatenate.default", "aten.stack.default"}),
    lower=lower_concatenate,
    forward=concatenate_forward,
    tangent=concatenate_tangent,
)

SLICE = structural(
    "slice",
    (
        "slice.Tensor",
        "narrow.default",
        "split.Tensor",
        "split.sizes",
        "split_with_sizes.default",
        "chunk.default",
    ),
    lambda call: (
        lower_slice(call) if call.call.target in ("aten.slice.Tensor", "aten.narrow.default") else lower_split(call)
    ),
    lambda node, value: torch.ops.aten.slice.Tensor(
        value, node.integer("dim"), node.integer("start"), node.integer("end"), node.integer("step")
    ),
)

SELECT = structural(
    "select",
    ("select.int", "unbind.int"),
    lower_select,
    lambda node, value: value.select(node.integer("dim"), node.integer("index")),
)

FLIP = structural("flip", ("flip.default",), lower_flip, lambda node, value: value.flip(node.integers("dims")))

GATHER = Operation(
    name="gather",
    kind=Kind.STRUCTURAL,
    targets=frozenset({"aten.index.Tensor", "aten.index_select.default"}),
    lower=lower_gather,
    forward=lambda node, inputs, constants: gather(node, inputs[0], constants),
    tangent=through_linear(gather),
)

OPERATIONS = (CONCATENATE, SLICE, SELECT, FLIP, GATHER)
