"""The inputs of an ONNX graph: which is the latent, which the condition, and how many rows a fixed batch has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from onnx import GraphProto, TensorProto, ValueInfoProto

from magnet_service.errors import DamagedData, RefusedArchive
from magnet_service.generator.program import ConditionInput

__all__ = ["Inputs", "read_inputs"]

_INTEGER = (TensorProto.INT32, TensorProto.INT64)
_ROUNDED = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Inputs:
    """What a graph takes.

    Attributes:
        latent: name of the latent input.
        latent_shape: its shape without the batch.
        batch: None where it is dynamic, else the number of rows of the file.
        condition: the other input, if there is one.
    """

    latent: str
    latent_shape: tuple[int, ...]
    batch: int | None
    condition: ConditionInput | None


def read_inputs(graph: GraphProto, path: Path) -> Inputs:
    """Read the inputs of a graph that are no weights.

    Of two the latent is the first and the condition the second; where the first holds integers they are the other way
    round.

    Arguments:
        graph: the graph.
        path: of the file, for messages.

    Returns:
        The inputs.

    Raises:
        RefusedArchive: no latent, more than two inputs, a dynamic width, or types that are neither a latent's nor a
            condition's.
        DamagedData: an input without a name, or twice.

    Accuracy: exact.
    """
    stored = {tensor.name for tensor in graph.initializer}
    given = [item for item in graph.input if item.name not in stored]
    names = [item.name for item in given]
    if len(set(names)) != len(names) or "" in names:
        raise DamagedData(f"{path}: the inputs {names[:8]} are not named each by a name of its own; export it again.")
    if len(given) not in (1, 2):
        listed = ", ".join(repr(name[:80]) for name in names[:8]) or "none"
        raise RefusedArchive(
            f"{path} has {len(given)} inputs ({listed}): export with one latent input, a float32 tensor of shape "
            f"[batch, d] (or [batch, d, 1, 1]), and at most one condition after it (one-hot, index or vector); wrap "
            f"any other labels and noise into the module.",
            reason="ONE_LATENT_INPUT",
        )
    if len(given) == 2 and given[0].type.tensor_type.elem_type in _INTEGER:
        given.reverse()
    latent_shape, batch = _read_latent(given[0], path)
    condition = _read_condition(given[1], path) if len(given) == 2 else None
    return Inputs(given[0].name, latent_shape, batch, condition)


def _read_latent(item: ValueInfoProto, path: Path) -> tuple[tuple[int, ...], int | None]:
    place = f"{path}: the latent input {item.name[:80]!r}"
    kind = item.type.tensor_type
    if kind.elem_type in _ROUNDED:
        raise RefusedArchive(
            f"{place} is {TensorProto.DataType.Name(kind.elem_type)}: export the generator in float32 "
            f"(module.float()).",
            reason="ELEMENT_TYPE",
        )
    if kind.elem_type != TensorProto.FLOAT or not kind.HasField("shape") or len(kind.shape.dim) < 2:
        raise RefusedArchive(
            f"{place} is not a float32 tensor of shape [batch, d] (or [batch, d, 1, 1]); export it so.",
            reason="ONE_LATENT_INPUT",
        )
    first, *rest = kind.shape.dim
    shape = tuple(dim.dim_value for dim in rest)
    for index, dim in enumerate(rest, 1):
        if dim.dim_value < 1:
            raise RefusedArchive(
                f"{place} has a dynamic width: its dimension {index} is {dim.dim_param[:40] or 'left open'!r}. Only "
                f"the batch, dimension 0, may be dynamic; leave out the others from dynamic_axes and export again.",
                reason="DYNAMIC_WIDTH",
            )
    if torch.Size(shape).numel() > 1 << 24:
        raise RefusedArchive(f"{place} of shape {list(shape)} has more coordinates than are read.")
    return shape, first.dim_value if first.dim_value > 0 else None


def _read_condition(item: ValueInfoProto, path: Path) -> ConditionInput:
    kind = item.type.tensor_type
    dims = list(kind.shape.dim)
    shape = tuple(dim.dim_value for dim in dims[1:])
    integer = kind.elem_type in _INTEGER
    if (
        not dims
        or any(not 0 < size < 1 << 24 for size in shape)
        or not (integer or kind.elem_type == TensorProto.FLOAT)
        or (integer and shape not in ((), (1,)))
    ):
        raise RefusedArchive(
            f"{path}: the second input {item.name[:80]!r} is no condition: export it as int64 [batch] (an index) or "
            f"float32 [batch, width] (one-hot or a vector), or wrap it into the module.",
            reason="CONDITION_INPUT",
            metadata={"input": item.name[:80]},
        )
    return ConditionInput(item.name, shape, torch.int64 if integer else torch.float32)
