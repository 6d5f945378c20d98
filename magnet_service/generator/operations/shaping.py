"""Operations that move or repeat the numbers of a row and change none of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional

from magnet_service.generator.operations.modulated import folded_view
from magnet_service.generator.operations.operation import Draft, Kind, Lowered, Node, Operation, Reference, Spread
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.tangents import through_linear
from magnet_service.generator.program import BatchSize

__all__ = ["EXPAND", "IDENTITY", "OPERATIONS", "PERMUTE", "PIXEL_SHUFFLE", "REPEAT", "VIEW"]


def view_draft(value: Reference | Spread, shape: tuple[int, ...]) -> Lowered:
    """Draft of a row in another shape; the value itself where the shape stays."""
    if shape == value.shape:
        return value
    return Draft(inputs=(value,), attributes={"shape": shape}, operation="view")


def lower_view(call: CallReader) -> Lowered:
    """aten.view, reshape and _unsafe_view: the batch stays in front, and at most one size is -1."""
    sizes = call.sizes("size" if call.given("size") else "shape")
    folded = folded_view(call, sizes)
    if folded is not None:
        return folded
    value = call.value("self")
    elements = math.prod(value.shape)
    row = tuple(size for size in sizes[1:] if isinstance(size, int))
    first = sizes[0] if sizes else None
    if len(row) != len(sizes) - 1 or not (isinstance(first, BatchSize) or first == -1):
        call.refuse(f"sizes {sizes} do not keep the batch in front of a row of shape {value.shape}")
    if -1 in row:
        known = math.prod(size for size in row if size != -1)
        if first == -1 or row.count(-1) > 1 or known == 0 or elements % known:
            call.refuse(f"sizes {sizes} do not fit a row of shape {value.shape}")
        row = tuple(elements // known if size == -1 else size for size in row)
    if math.prod(row) != elements:
        call.refuse(f"sizes {sizes} would mix rows of shape {value.shape}, and rows must stay independent")
    return view_draft(value, row)


def lower_flatten(call: CallReader) -> Lowered:
    """aten.flatten.using_ints and aten.unflatten.int within a row."""
    value = call.value("self")
    rank = len(value.shape) + 1
    if "unflatten" in call.call.target:
        dim = call.dimension(rank) - 1
        sizes = call.integers("sizes")
        known = math.prod(size for size in sizes if size != -1)
        sizes = tuple(value.shape[dim] // known if size == -1 else size for size in sizes)
        return view_draft(value, (*value.shape[:dim], *sizes, *value.shape[dim + 1 :]))
    if rank == 1:
        call.refuse("it works across the rows of a batch, and rows must stay independent")
    start = call.dimension(rank, "start_dim", 0) - 1
    end = call.dimension(rank, "end_dim", -1) - 1
    shape = (*value.shape[:start], math.prod(value.shape[start : end + 1]), *value.shape[end + 1 :])
    return view_draft(value, shape)


def lower_squeeze(call: CallReader) -> Lowered:
    """aten.squeeze and unsqueeze in dimensions of a row."""
    value = call.value("self")
    rank = len(value.shape) + 1
    if "unsqueeze" in call.call.target:
        dim = call.dimension(rank + 1)
        return view_draft(value, (*value.shape[: dim - 1], 1, *value.shape[dim - 1 :]))
    gone = call.dimensions(rank) if call.given("dim") else tuple(range(1, rank))
    return view_draft(value, tuple(size for place, size in enumerate(value.shape, 1) if size != 1 or place not in gone))


def lower_any_view(call: CallReader) -> Lowered:
    """Whichever of the spellings of a view the call is."""
    name = call.call.target.split(".")[1].rstrip("_")
    if name in ("flatten", "unflatten"):
        return lower_flatten(call)
    return lower_squeeze(call) if name in ("squeeze", "unsqueeze") else lower_view(call)


def lower_permute(call: CallReader) -> Lowered:
    """aten.permute, transpose, swapaxes, movedim and mT with the batch left in front."""
    value = call.value("self")
    rank = len(value.shape) + 1
    name = call.call.target.split(".")[1]
    order = list(range(rank))
    if name == "permute":
        order = [dim % rank for dim in call.integers("dims")]
    elif name == "movedim":
        order.insert(call.dimension(rank, "destination"), order.pop(call.dimension(rank, "source")))
    else:
        names = {"transpose": ("dim0", "dim1"), "swapaxes": ("axis0", "axis1")}
        first, second = (call.dimension(rank, key) for key in names[name]) if name in names else (rank - 2, rank - 1)
        if first == 0:
            call.refuse("it works across the rows of a batch, and rows must stay independent")
        order[first], order[second] = order[second], order[first]
    if len(order) != rank or order[0] != 0:
        call.refuse("it moves the batch away from the front")
    return Draft(inputs=(value,), attributes={"order": tuple(order)})


def lower_expand(call: CallReader) -> Lowered:
    """aten.expand(self, sizes) and expand_as: dimensions of 1 repeated; a constant repeated for every row."""
    operand = call.operand("self")
    if call.call.target == "aten.expand_as.default":
        other = call.value("other")
        sizes: tuple[int | BatchSize, ...] = (BatchSize(), *other.shape)
    else:
        sizes = call.sizes("size")
    if any(isinstance(size, BatchSize) for size in sizes[1:]):
        call.refuse(f"sizes {sizes} have the number of rows behind the front")
    row = tuple(size for size in sizes[1:] if isinstance(size, int))
    if isinstance(operand, Tensor):
        if not sizes or not isinstance(sizes[0], BatchSize) or operand.dim() > len(sizes):
            call.refuse(f"a constant of shape {tuple(operand.shape)} expanded to {sizes}")
        return Spread(operand.expand(1, *row))
    if len(row) != len(operand.shape) or not sizes or not (isinstance(sizes[0], BatchSize) or sizes[0] == -1):
        call.refuse(f"a row of shape {operand.shape} expanded to {sizes}")
    shape = tuple(have if want == -1 else want for want, have in zip(row, operand.shape, strict=True))
    return operand if shape == operand.shape else Draft(inputs=(operand,), attributes={"shape": shape})


def lower_repeat(call: CallReader) -> Lowered:
    """aten.repeat(self, repeats) within a row; a constant repeated for every row."""
    repeats, operand = call.sizes("repeats"), call.operand("self")
    if any(isinstance(count, BatchSize) for count in repeats[1:]):
        call.refuse(f"repeats {repeats} have the number of rows behind the front")
    row = tuple(count for count in repeats[1:] if isinstance(count, int))
    if isinstance(operand, Tensor):
        wide = operand.reshape((1,) * (len(repeats) - operand.dim()) + tuple(operand.shape))
        if not repeats or not isinstance(repeats[0], BatchSize) or wide.shape[0] != 1:
            call.refuse(f"a constant of shape {tuple(operand.shape)} repeated {repeats} times")
        return Spread(wide.repeat(1, *row))
    if len(row) != len(operand.shape) or not repeats or repeats[0] != 1:
        call.refuse(f"a row of shape {operand.shape} repeated {repeats} times")
    return Draft(inputs=(operand,), attributes={"repeats": row})


def lower_pixel_shuffle(call: CallReader) -> Lowered:
    """aten.pixel_shuffle(self, upscale_factor) and pixel_unshuffle."""
    value, back = call.value("self"), "unshuffle" in call.call.target
    if len(value.shape) != 3:
        call.refuse(f"a row of shape {value.shape} is not channels, height, width")
    factor = call.integer("downscale_factor" if back else "upscale_factor")
    return Draft(inputs=(value,), attributes={"factor": factor, "back": back})


def lower_identity(call: CallReader) -> Lowered:
    """Copies, casts between the two working precisions, and dropout in evaluation."""
    if "dropout" in call.call.target and call.flag("train", "native" in call.call.target):
        call.refuse("it draws noise in training; export the generator in evaluation mode")
    if call.given("dtype") and call.text("dtype", "") not in ("float32", "float64"):
        call.refuse(
            f"a cast to {call.call.arguments['dtype']} rounds what is computed; export the generator in float32"
        )
    return call.value("input" if call.given("input") else "self")


def structural(
    name: str,
    targets: Sequence[str],
    lower: Callable[[CallReader], Lowered],
    move: Callable[[Node, Tensor], Tensor],
) -> Operation:
    """Entry of an operation that moves numbers within every row, and every column of the tangents, alike."""
    return Operation(
        name=name,
        kind=Kind.STRUCTURAL,
        targets=frozenset(f"aten.{target}" for target in targets),
        lower=lower,
        forward=lambda node, inputs, constants: move(node, inputs[0]),
        tangent=through_linear(lambda node, value, constants: move(node, value)),
        aliases=True,
    )


def pixel_shuffle(node: Node, value: Tensor) -> Tensor:
    """Channels to space, or back."""
    factor = node.integer("factor")
    return functional.pixel_unshuffle(value, factor) if node.flag("back") else functional.pixel_shuffle(value, factor)


VIEW = structural(
    "view",
    (
        "view.default",
        "_unsafe_view.default",
        "reshape.default",
        "view_copy.default",
        "_reshape_copy.default",
        "flatten.using_ints",
        "unflatten.int",
        *(f"squeeze{suffix}.{form}" for suffix in ("", "_") for form in ("default", "dim", "dims")),
        *(f"unsqueeze{suffix}.default" for suffix in ("", "_")),
    ),
    lower_any_view,
    lambda node, value: value.reshape(value.shape[0], *node.integers("shape")),
)

PERMUTE = structural(
    "permute",
    ("permute.default", "transpose.int", "swapaxes.default", "movedim.int", "mT.default"),
    lower_permute,
    lambda node, value: value.permute(node.integers("order")),
)

EXPAND = structural(
    "expand",
    ("expand.default", "expand_as.default"),
    lower_expand,
    lambda node, value: value.expand(-1, *node.integers("shape")),
)

REPEAT = structural(
    "repeat", ("repeat.default",), lower_repeat, lambda node, value: value.repeat(1, *node.integers("repeats"))
)

PIXEL_SHUFFLE = structural(
    "pixel_shuffle", ("pixel_shuffle.default", "pixel_unshuffle.default"), lower_pixel_shuffle, pixel_shuffle
)

IDENTITY = structural(
    "identity",
    (
        *(f"{name}.default" for name in ("clone", "contiguous", "alias", "detach", "detach_", "lift_fresh_copy")),
        *(f"{name}.default" for name in ("dropout", "dropout_", "feature_dropout", "alpha_dropout", "native_dropout")),
        *("_to_copy.default", "to.dtype", "to.dtype_layout", "to.device", "lift_fresh.default"),
    ),
    lower_identity,
    lambda node, value: value,
)

OPERATIONS = (VIEW, PERMUTE, EXPAND, REPEAT, PIXEL_SHUFFLE, IDENTITY)
