"""Convolutions whose weight depends on the latent, as StyleGAN2 writes them: a group for every row.

    x.reshape(1, -1, H, W)          the rows folded into the channels
    w.reshape(-1, C, k, k)          the rows folded into the outputs
    conv2d(x, w, groups=batch)      every row convolved with its own weight
    x.reshape(batch, -1, H', W')    the rows in front again

(Karras et al., arXiv 1912.04958). Between the first line and the last the rows do not lead, so that nothing else is
allowed there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from magnet_service.generator.operations.operands import refused
from magnet_service.generator.operations.operation import (
    Attribute,
    Draft,
    Folded,
    Kind,
    Lowered,
    Node,
    Operation,
    Reference,
    Spread,
)
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.widening import widely
from magnet_service.generator.program import BatchSize

__all__ = ["MODULATED_CONVOLUTION", "OPERATIONS", "folded_view", "lower_modulated", "reads_folded"]


def reads_folded(call: CallReader, *names: str) -> bool:
    """Whether one of these arguments has its rows folded into another dimension."""
    return any(isinstance(call.bound(name), Folded) for name in names)


def folded_view(call: CallReader, sizes: tuple[int | BatchSize, ...]) -> Lowered | None:
    """A view that folds the rows of a value, or brings them to the front again; None for any other view."""
    bound = call.bound("self")
    if isinstance(bound, Folded):
        if bound.channels and sizes and isinstance(sizes[0], BatchSize | int) and sizes[0] not in (0, 1):
            row = tuple(size for size in sizes[1:] if isinstance(size, int))
            whole = bound.value.shape
            if row in (whole, (-1, *whole[1:])) and (sizes[0] == -1) <= (-1 not in row):
                return bound.value
        call.refuse(f"rows folded into another dimension do not come back to the front by sizes {sizes}")
    if not isinstance(bound, Reference | Spread) or not bound.shape:
        return None
    spatial = bound.shape[1:]
    if len(spatial) >= 1 and sizes == (1, -1, *spatial):
        return Folded(bound, channels=True)
    if len(spatial) >= 2 and sizes == (-1, *spatial):
        return Folded(bound, channels=False)
    return None


def lower_modulated(call: CallReader) -> Lowered:
    """aten.conv1d, 2d and 3d of folded rows with folded weights and a group for every row."""
    value, weight = call.bound("input"), call.bound("weight")
    groups = call.call.arguments.get("groups", 1)
    if not (isinstance(value, Folded) and value.channels and isinstance(weight, Folded) and not weight.channels):
        call.refuse(
            "a weight that depends on the latent is supported as StyleGAN2 writes it, x.reshape(1, -1, ...), "
            "w.reshape(-1, ...), groups=batch, and as a product before and after a convolution with a constant weight"
        )
    if not isinstance(groups, BatchSize):
        call.refuse(f"groups is {groups!r}, and the number of rows is expected; export with a dynamic batch")
    if "transpose" in call.call.target or call.flag("transposed") or call.given("bias"):
        call.refuse("transposed, or with a bias, it is not supported there: add the bias after the rows lead again")
    dims = len(weight.value.shape) - 2
    if dims not in (1, 2, 3) or len(value.value.shape) != dims + 1 or weight.value.shape[1] != value.value.shape[0]:
        call.refuse(f"weights of shape {weight.value.shape} do not fit a row of shape {value.value.shape}")
    if call.call.target.endswith(".padding"):
        call.refuse("write padding as numbers")
    attributes: dict[str, Attribute] = {
        "stride": call.spatial("stride", dims, (1,) * dims),
        "padding": call.spatial("padding", dims, (0,) * dims),
        "dilation": call.spatial("dilation", dims, (1,) * dims),
    }
    inputs = (value.value, weight.value)
    return Draft(inputs=inputs, attributes=attributes, operation="modulated_convolution", folded=True)


def convolve_rows(node: Node, value: Tensor, weight: Tensor) -> Tensor:
    """Every row with its own: [rows, images, C, ...], [rows, outputs, C, ...] -> [rows, images, outputs, ...]."""
    rows, images = value.shape[:2]
    folded = value.transpose(0, 1).reshape(images, rows * value.shape[2], *value.shape[3:])
    dims = value.dim() - 3
    result = torch.convolution(
        folded,
        weight.reshape(rows * weight.shape[1], *weight.shape[2:]),
        None,
        list(node.integers("stride")),
        list(node.integers("padding")),
        list(node.integers("dilation")),
        False,
        [0] * dims,
        rows,
    )
    return result.reshape(images, rows, weight.shape[1], *result.shape[2:]).transpose(0, 1)


def modulated_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Every row convolved with its own weight."""
    return convolve_rows(node, inputs[0].unsqueeze(1), inputs[1]).squeeze(1)


@widely
def modulated_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """Product rule: conv(x', w) + conv(x, w')."""
    value, weight = tangents
    rows = output.shape[0]
    parts: list[Tensor] = []
    if value is not None:
        parts.append(convolve_rows(node, value.expand(rows, *value.shape[1:]), inputs[1]))
    if weight is not None:
        # The columns are so many more outputs of the same row.
        moves = weight.expand(rows, *weight.shape[1:]).flatten(1, 2)
        found = convolve_rows(node, inputs[0].unsqueeze(1), moves).squeeze(1)
        parts.append(found.reshape(rows, weight.shape[1], *output.shape[1:]))
    return sum(parts[1:], start=parts[0]) if parts else None


MODULATED_CONVOLUTION = Operation(
    "modulated_convolution", Kind.SMOOTH, frozenset(), refused, modulated_forward, modulated_tangent
)

OPERATIONS = (MODULATED_CONVOLUTION,)
