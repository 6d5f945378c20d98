"""ONNX operators with weights: dense layers, convolutions and normalizations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from magnet_service.errors import RefusedArchive
from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_values import Array, Held, Known, Rows
from magnet_service.generator.onnx_windows import far_pads, read_window

__all__ = ["LAYERS"]


def translate_gemm(reading: Reading) -> Held:
    """Gemm: alpha A B + beta C, with a value for A and a constant for B."""
    node, value, matrix = reading.node, reading.rows(0), reading.known(1)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if node.integer("transA", 0):
        reading.refuse("transA moves the batch away from the front; transpose the weight instead and export again")
    if value.rank != 2 or matrix.array.ndim != 2:
        reading.refuse(f"a weight of shape {matrix.array.shape} does not fit a row of shape {value.shape}")
    weight = matrix if node.integer("transB", 0) else transposed(matrix)
    if alpha != 1.0:
        weight = Known((weight.array * np.float32(alpha)).astype(weight.array.dtype))
    if not reading.given(2):
        return reading.emit("linear.default", input=value, weight=weight)
    added = reading.held(2)
    if isinstance(added, Rows):
        product = reading.emit("linear.default", input=value, weight=weight)
        return reading.emit("add.Tensor", self=product, other=added, alpha=beta)
    width = weight.array.shape[0]
    if added.array.size not in (1, width) or added.array.reshape(-1).shape[0] not in (*added.array.shape[-1:], 1):
        reading.refuse(f"a bias of shape {added.array.shape} does not fit {width} outputs")
    bias = added
    if beta != 1.0 or added.array.shape != (width,):
        scaled = added.array if beta == 1.0 else (added.array * np.float32(beta)).astype(added.array.dtype)
        bias = Known(np.broadcast_to(scaled.reshape(-1), (width,)))
    return reading.emit("linear.default", input=value, weight=weight, bias=bias)


def transposed(matrix: Known) -> Known:
    """The transpose of a matrix."""
    return Known(np.ascontiguousarray(matrix.array.T))


def translate_matmul(reading: Reading) -> Held:
    """MatMul of a value and a constant, in either order, or of two values."""
    left, right = reading.held(0), reading.held(1)
    if isinstance(left, Rows) and isinstance(right, Known) and right.array.ndim == 2:
        return reading.emit("linear.default", input=left, weight=transposed(right))
    return reading.emit("matmul.default", self=left, other=right)


def groups(reading: Reading) -> int:
    """Groups of channels."""
    found = reading.node.integer("group", 1)
    if not 1 <= found < 1 << 15:
        reading.node.damaged(f"group is {found}")
    return found


def translate_convolution(reading: Reading) -> Held:
    """Conv with any padding: what is uneven is padded before."""
    value, weight = reading.rows(0), reading.known(1)
    dims = weight.array.ndim - 2
    if dims not in (1, 2, 3) or value.rank != dims + 2:
        reading.refuse(f"a weight of shape {weight.array.shape} does not fit a row of shape {value.shape}")
    window = read_window(reading, weight.array.shape[2:], value.shape[1:])
    padding = window.begin
    source: Held = value
    if window.begin != window.end:
        source = reading.emit("constant_pad_nd.default", self=value, pad=far_pads(window.begin, window.end), value=0.0)
        padding = (0,) * dims
    return reading.emit(
        f"conv{dims}d.default",
        input=source,
        weight=weight,
        bias=reading.optional(2),
        stride=window.stride,
        padding=padding,
        dilation=window.dilation,
        groups=groups(reading),
    )


def translate_transposed_convolution(reading: Reading) -> Held:
    """ConvTranspose with any padding: what is uneven is cut off after."""
    value, weight = reading.rows(0), reading.known(1)
    dims = weight.array.ndim - 2
    if dims not in (1, 2, 3) or value.rank != dims + 2:
        reading.refuse(f"a weight of shape {weight.array.shape} does not fit a row of shape {value.shape}")
    window = read_window(reading, weight.array.shape[2:], value.shape[1:], transposed=True)
    padding = tuple(min(pair) for pair in zip(window.begin, window.end, strict=True))
    if any(amount < 0 for amount in padding):
        reading.refuse(f"pads {(*window.begin, *window.end)} add to its output; write them as a layer of their own")
    result = reading.emit(
        f"conv_transpose{dims}d.{'default' if dims == 1 else 'input'}",
        input=value,
        weight=weight,
        bias=reading.optional(2),
        stride=window.stride,
        padding=padding,
        output_padding=window.output_padding,
        groups=groups(reading),
        dilation=window.dilation,
    )
    for place, (begin, end, even) in enumerate(zip(window.begin, window.end, padding, strict=True)):
        if begin != even or end != even:
            extent = result.shape[place + 1] if isinstance(result, Rows) else 0
            result = reading.emit(
                "slice.Tensor", self=result, dim=place + 2, start=begin - even, end=extent - (end - even), step=1
            )
    return result


def translate_batch_norm(reading: Reading) -> Held:
    """BatchNormalization by stored statistics."""
    node = reading.node
    more = [name for name in node.outputs[1:] if name]
    if node.integer("training_mode", 0) or (node.opset < 14 and len(more) > 1):
        raise RefusedArchive(
            f"{node.place}: it is in training mode and uses the statistics of its batch. Call .eval() and export "
            f"again.",
            reason="TRAINING_MODE",
            metadata={"place": node.place},
        )
    if node.opset < 9 and not node.integer("spatial", 1):
        reading.refuse("spatial = 0 is not supported; export again with opset 9 or newer")
    return reading.emit(
        "batch_norm.default",
        input=reading.rows(0),
        weight=reading.known(1),
        bias=reading.known(2),
        running_mean=reading.known(3),
        running_var=reading.known(4),
        training=False,
        momentum=0.1,
        eps=node.number("epsilon", 1e-5),
        cudnn_enabled=True,
    )


def translate_instance_norm(reading: Reading) -> Held:
    """InstanceNormalization: group norm with a group a channel."""
    value, weight = reading.rows(0), reading.known(1)
    return reading.emit(
        "group_norm.default",
        input=value,
        num_groups=value.shape[0] if value.shape else 1,
        weight=weight,
        bias=reading.known(2),
        eps=reading.node.number("epsilon", 1e-5),
    )


def translate_group_norm(reading: Reading) -> Held:
    """GroupNormalization: before opset 21 with a scale a group."""
    value, groups = reading.rows(0), reading.node.integer("num_groups", 0)
    channels = value.shape[0] if value.shape else 0
    if groups < 1 or channels % groups:
        reading.node.damaged(f"{channels} channels do not fall into {groups} groups")

    def by_channel(known: Known) -> Known:
        if reading.node.opset < 21 and known.array.size == groups != channels:
            return Known(np.repeat(known.array.reshape(-1), channels // groups))
        return known

    return reading.emit(
        "group_norm.default",
        input=value,
        num_groups=groups,
        weight=by_channel(reading.known(1)),
        bias=by_channel(reading.known(2)),
        eps=reading.node.number("epsilon", 1e-5),
    )


def translate_layer_norm(reading: Reading) -> Held:
    """LayerNormalization over the dimensions from `axis` on."""
    value = reading.rows(0)
    if any(reading.node.outputs[1:]):
        reading.refuse("its mean and deviation are used; export the generator without them")
    start = reading.axis(reading.node.integer("axis", -1), value.rank)
    shape = value.shape[start - 1 :]

    def shaped(known: Known | None) -> Known | None:
        if known is None or known.array.shape == shape:
            return known
        return Known(widened(known.array, shape))

    return reading.emit(
        "layer_norm.default",
        input=value,
        normalized_shape=shape,
        weight=shaped(reading.optional(1)),
        bias=shaped(reading.optional(2)),
        eps=reading.node.number("epsilon", 1e-5),
    )


def translate_rms_norm(reading: Reading) -> Held:
    """RMSNormalization over the dimensions from `axis` on."""
    value = reading.rows(0)
    shape = value.shape[reading.axis(reading.node.integer("axis", -1), value.rank) - 1 :]
    weight = reading.known(1)
    return reading.emit(
        "rms_norm.default",
        input=value,
        normalized_shape=shape,
        weight=weight if weight.array.shape == shape else Known(widened(weight.array, shape)),
        eps=reading.node.number("epsilon", 1e-5),
    )


def widened(array: Array, shape: tuple[int, ...]) -> Array:
    """An array broadcast to a shape; ValueError where it does not fit."""
    return np.broadcast_to(array, shape)


LAYERS: Mapping[str, Translator] = {
    "BatchNormalization": translate_batch_norm,
    "Conv": translate_convolution,
    "ConvTranspose": translate_transposed_convolution,
    "Gemm": translate_gemm,
    "GroupNormalization": translate_group_norm,
    "InstanceNormalization": translate_instance_norm,
    "LayerNormalization": translate_layer_norm,
    "MatMul": translate_matmul,
    "RMSNormalization": translate_rms_norm,
}
