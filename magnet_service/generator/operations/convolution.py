"""Convolutions in one, two and three dimensions, transposed or not, grouped, strided, padded, dilated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from magnet_service.generator.operations.modulated import lower_modulated, reads_folded
from magnet_service.generator.operations.operation import Attribute, Draft, Kind, Lowered, Node, Operation
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.subpixel import in_channels, shuffled
from magnet_service.generator.operations.tangents import through_linear

__all__ = ["CONVOLUTION", "OPERATIONS", "TRANSPOSED_CONVOLUTION"]


def word_padding(
    call: CallReader, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Symmetric padding, and what is to be added at the far end, of padding="valid" or "same"."""
    word = call.text("padding", "valid")
    if word == "valid":
        return (0,) * len(kernel), (0,) * len(kernel)
    if word != "same" or any(step != 1 for step in stride):
        call.refuse(f"padding {word!r} with stride {stride}")
    total = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return tuple(t // 2 for t in total), tuple(t - 2 * (t // 2) for t in total)


def lower_convolution(call: CallReader) -> Lowered:
    """Every spelling of a convolution, by its schema names."""
    if reads_folded(call, "input", "weight"):
        return lower_modulated(call)
    value, weight, bias = call.value("input"), call.constant("weight"), call.optional_constant("bias")
    dims = weight.dim() - 2
    if dims not in (1, 2, 3) or len(value.shape) != dims + 1:
        call.refuse(f"a weight of shape {tuple(weight.shape)} does not fit a row of shape {value.shape}")
    kernel = tuple(weight.shape[2:])
    stride = call.spatial("stride", dims, (1,) * dims)
    dilation = call.spatial("dilation", dims, (1,) * dims)
    groups = call.integer("groups", 1)
    transposed = "conv_transpose" in call.call.target or call.flag("transposed")
    uneven: tuple[int, ...] = (0,) * dims
    if call.call.target.endswith(".padding"):
        padding, uneven = word_padding(call, kernel, stride, dilation)
    else:
        padding = call.spatial("padding", dims, (0,) * dims)
    output_padding = call.spatial("output_padding", dims, (0,) * dims) if transposed else (0,) * dims
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    if value.shape[0] != channels:
        call.refuse(f"the weight takes {channels} channels, and the value has {value.shape[0]}")
    attributes: dict[str, Attribute] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "transposed": transposed,
        "output_padding": output_padding,
        "groups": groups,
        "uneven": uneven,
    }
    return Draft(
        inputs=(value,),
        attributes=attributes,
        tensors={"weight": weight} if bias is None else {"weight": weight, "bias": bias},
        operation="transposed_convolution" if transposed else "convolution",
    )


def convolve(node: Node, value: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution that the node describes."""
    uneven = node.integers("uneven")
    if any(uneven):
        value = functional.pad(value, [side for far in reversed(uneven) for side in (0, far)])
    if value.dim() == 4:
        # oneDNN's transposed convolutions run 2.6 to 3.1 times as fast so, and the result keeps the format.
        value = value.contiguous(memory_format=torch.channels_last)
    return torch.convolution(
        value,
        weight,
        bias,
        list(node.integers("stride")),
        list(node.integers("padding")),
        list(node.integers("dilation")),
        node.flag("transposed"),
        list(node.integers("output_padding")),
        node.integer("groups"),
    )


def convolution_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Convolution and bias."""
    return convolve(node, inputs[0], constants["weight"], constants.get("bias"))


def prepare_transposed(node: Node, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors themselves, and `phases`, the weight in sub-pixel form where that is the faster."""
    form = in_channels(node, tensors["weight"])
    return dict(tensors) if form is None else {**tensors, "phases": form[0]}


def transposed_part(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Transposed convolution without its bias."""
    if "phases" not in constants or value.device.type == "meta":
        return convolve(node, value, constants["weight"], None)
    step, padding = node.integers("stride")[0], node.integers("padding")
    batch = value.contiguous(memory_format=torch.channels_last)
    shape = (node.shape[0], node.shape[1], node.shape[2])
    made = shuffled(
        batch, constants["phases"], (step, (padding[0], padding[1])), (1, len(batch)), shape, None, value.dtype
    )
    return made[0]


def transposed_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """Transposed convolution and bias."""
    if "phases" not in constants or inputs[0].device.type == "meta":
        return convolution_forward(node, inputs, constants)
    made = transposed_part(node, inputs[0], constants)
    return made if "bias" not in constants else made.add_(constants["bias"][:, None, None])


def convolution_part(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Convolution without its bias."""
    return convolve(node, value, constants["weight"], None)


SPELLINGS = ("conv1d.default", "conv2d.default", "conv3d.default", "conv1d.padding", "conv2d.padding", "conv3d.padding")

CONVOLUTION = Operation(
    name="convolution",
    kind=Kind.AFFINE,
    targets=frozenset(f"aten.{name}" for name in (*SPELLINGS, "convolution.default", "_convolution.default")),
    lower=lower_convolution,
    forward=convolution_forward,
    tangent=through_linear(convolution_part),
)

TRANSPOSED_CONVOLUTION = Operation(
    name="transposed_convolution",
    kind=Kind.AFFINE,
    targets=frozenset({"aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input"}),
    lower=lower_convolution,
    forward=transposed_forward,
    tangent=through_linear(transposed_part),
    prepare=prepare_transposed,
)

OPERATIONS = (CONVOLUTION, TRANSPOSED_CONVOLUTION)
