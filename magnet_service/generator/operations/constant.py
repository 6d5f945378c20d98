"""Constants: those the program repeats for every row, and calls that only work on constants, folded when lowered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operation import Kind, Lowered, Node, Operation, Spread
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.program import BatchSize, Constant, Value

__all__ = ["CONSTANT", "FOLDABLE", "LARGEST", "OPERATIONS", "fold"]

FILLS = {"full": None, "zeros": 0.0, "ones": 1.0}

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
    )
}

FOLDABLE = frozenset(
    {
        "aten._to_copy.default",
        "aten._weight_norm.default",
        "aten._weight_norm_interface.default",
        "aten.abs.default",
        "aten.add.Scalar",
        "aten.add.Tensor",
        "aten.alias.default",
        "aten.arange.default",
        "aten.arange.start",
        "aten.arange.start_step",
        "aten.cat.default",
        "aten.clamp.default",
        "aten.clone.default",
        "aten.contiguous.default",
        "aten.detach.default",
        "aten.detach_.default",
        "aten.div.Scalar",
        "aten.div.Tensor",
        "aten.dot.default",
        "aten.exp.default",
        "aten.expand.default",
        "aten.flatten.using_ints",
        "aten.full.default",
        "aten.lift_fresh_copy.default",
        "aten.linalg_vector_norm.default",
        "aten.mT.default",
        "aten.matmul.default",
        "aten.mean.dim",
        "aten.mm.default",
        "aten.mul.Scalar",
        "aten.mul.Tensor",
        "aten.mv.default",
        "aten.neg.default",
        "aten.numpy_T.default",
        "aten.ones.default",
        "aten.permute.default",
        "aten.pow.Tensor_Scalar",
        "aten.reciprocal.default",
        "aten.repeat.default",
        "aten.reshape.default",
        "aten.rsqrt.default",
        "aten.rsub.Scalar",
        "aten.select.int",
        "aten.slice.Tensor",
        "aten.sqrt.default",
        "aten.square.default",
        "aten.squeeze.default",
        "aten.squeeze.dim",
        "aten.squeeze.dims",
        "aten.sub.Scalar",
        "aten.sub.Tensor",
        "aten.sum.dim_IntList",
        "aten.t.default",
        "aten.to.dtype",
        "aten.transpose.int",
        "aten.unsqueeze.default",
        "aten.view.default",
        "aten.zeros.default",
    }
)

PLACEMENT = ("layout", "device", "pin_memory", "non_blocking", "memory_format", "copy")
FACTORIES = frozenset({"arange", "full", "ones", "zeros"})
LARGEST = 2**28


def fold(call: CallReader) -> Tensor:
    """Carry out a call all of whose tensors are constants, numbers in float64.

    Arguments:
        call: of an operator in `FOLDABLE`, none of whose tensors has rows.

    Returns:
        Its result; of several the first.

    Raises:
        UnsupportedOperation: the operator does not accept its arguments, or the result would be huge.

    Accuracy: rounding of float64.
    """
    size = carried_out(call, "meta")[0].numel()
    if size > LARGEST:
        call.refuse(f"a constant of {size} numbers is too large")
    return carried_out(call, "cpu")[0]


def carried_out(call: CallReader, device: str, rows: int | None = None) -> tuple[Tensor, ...]:
    """The results of a call on constants; on the device "meta" their shapes alone; values spread over `rows` rows."""

    # Of any type to the checker of annotations: it cannot find a recursive alias from inside a function.
    def resolve(argument: object) -> object:
        if isinstance(argument, Value | Constant):
            tensor = call.bind(argument)
            if isinstance(tensor, Spread) and rows is not None:
                tensor = tensor.tensor.repeat(rows, *[1] * len(tensor.shape))
            if not isinstance(tensor, Tensor):
                call.refuse("a constant is expected")
            return (tensor.double() if tensor.dtype.is_floating_point else tensor).to(device)
        if isinstance(argument, BatchSize):
            if rows is None:
                call.refuse("the number of rows stands in the shape of a constant")
            return rows
        return [resolve(item) for item in argument] if isinstance(argument, tuple) else argument

    arguments = {name: resolve(value) for name, value in call.call.arguments.items() if name not in PLACEMENT}
    _, name, overload = call.call.target.split(".")
    kind = arguments.pop("dtype", None)
    if kind is not None:
        dtype = DTYPES.get(str(kind))
        if dtype is None:
            call.refuse(f"elements of type {kind!r}")
        arguments["dtype"] = torch.float64 if dtype.is_floating_point else dtype
    if name in FACTORIES:
        arguments["device"] = device
    try:
        result = getattr(getattr(torch.ops.aten, name), overload)(**arguments)
    except (RuntimeError, LookupError, ValueError, TypeError, ArithmeticError) as problem:
        call.refuse(f"it cannot be carried out on its constants: {(str(problem).splitlines() or [''])[0]}")
    results = tuple(result) if isinstance(result, tuple | list) else (result,)
    tensors = tuple(item for item in results if isinstance(item, Tensor))
    if len(tensors) != len(results) or not tensors:
        call.refuse("its result is not a tensor")
    return tensors


def lower_fill(call: CallReader) -> Lowered:
    """aten.full, zeros and ones with the number of rows in front."""
    sizes = call.sizes("size")
    if not sizes or not isinstance(sizes[0], BatchSize) or any(isinstance(size, BatchSize) for size in sizes[1:]):
        call.refuse(f"sizes {sizes} do not have the batch in front")
    row = tuple(size for size in sizes[1:] if isinstance(size, int))
    fill = FILLS[call.call.target.split(".")[1]]
    value = call.number("fill_value") if fill is None else fill
    return Spread(torch.full((1,), value, dtype=torch.float64).reshape((1,) * (len(row) + 1)).expand(1, *row))


def constant_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """The constant, once for every row."""
    return constants["value"].expand(inputs[0].shape[0], *node.shape)


def constant_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """None: it does not depend on the latent."""
    return None


CONSTANT = Operation(
    name="constant",
    kind=Kind.STRUCTURAL,
    targets=frozenset(f"aten.{name}.default" for name in FILLS),
    lower=lower_fill,
    forward=constant_forward,
    tangent=constant_tangent,
)

OPERATIONS = (CONSTANT,)
