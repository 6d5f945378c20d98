"""ONNX pools and reductions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_values import Held, Known, Rows
from magnet_service.generator.onnx_windows import far_pads, read_window

__all__ = ["POOLING"]


def spatial(reading: Reading, value: Rows) -> int:
    """Number of spatial dimensions, of 1 to 3."""
    dims = value.rank - 2
    if dims not in (1, 2, 3):
        reading.refuse(f"a row of shape {value.shape} is not channels and 1 to 3 spatial dimensions")
    return dims


def translate_max_pool(reading: Reading) -> Held:
    """MaxPool; padding that torch does not take is written in front as minus infinity."""
    node, value = reading.node, reading.rows(0)
    if any(node.outputs[1:]):
        reading.refuse("its indices are used; export the generator without max-unpooling")
    dims = spatial(reading, value)
    window = read_window(reading, None, value.shape[1:])
    source: Held = value
    padding = window.begin
    if window.begin != window.end or any(2 * p > k for p, k in zip(padding, window.kernel, strict=True)):
        pads = far_pads(window.begin, window.end)
        source = reading.emit("constant_pad_nd.default", self=value, pad=pads, value=float("-inf"))
        padding = (0,) * dims
    return reading.emit(
        f"max_pool{dims}d.default",
        self=source,
        kernel_size=window.kernel,
        stride=window.stride,
        padding=padding,
        dilation=window.dilation,
        ceil_mode=bool(node.integer("ceil_mode", 0)),
    )


def translate_average_pool(reading: Reading) -> Held:
    """AveragePool; where its padding is uneven, the mean over padded windows over the share that is not padding."""
    node, value = reading.node, reading.rows(0)
    dims = spatial(reading, value)
    window = read_window(reading, None, value.shape[1:])
    if any(step != 1 for step in window.dilation):
        reading.refuse("dilations other than 1 are not supported in an average pool")
    ceil, count = bool(node.integer("ceil_mode", 0)), bool(node.integer("count_include_pad", 0))

    def pooled(held: Held, padding: tuple[int, ...], include: bool) -> Held:
        return reading.emit(
            f"avg_pool{dims}d.default",
            self=held,
            kernel_size=window.kernel,
            stride=window.stride,
            padding=padding,
            ceil_mode=ceil,
            count_include_pad=include,
        )

    if window.begin == window.end and all(2 * p <= k for p, k in zip(window.begin, window.kernel, strict=True)):
        return pooled(value, window.begin, count or not any(window.begin))
    pads = far_pads(window.begin, window.end)
    padded = reading.emit("constant_pad_nd.default", self=value, pad=pads, value=0.0)
    none = (0,) * dims
    mean = pooled(padded, none, True)
    if count:
        return mean
    reading.builder.spend(int(np.prod(value.shape[1:])))
    ones = Known(np.ones((1, 1, *value.shape[1:]), np.float32))
    share = pooled(reading.emit("constant_pad_nd.default", self=ones, pad=pads, value=0.0), none, True)
    return reading.emit("div.Tensor", self=mean, other=share)


def translate_global(reading: Reading) -> Held:
    """GlobalAveragePool and GlobalMaxPool."""
    value = reading.rows(0)
    dims = spatial(reading, value)
    if reading.node.op == "GlobalAveragePool":
        return reading.emit("mean.dim", self=value, dim=tuple(range(2, 2 + dims)), keepdim=True)
    return reading.emit(f"max_pool{dims}d.default", self=value, kernel_size=value.shape[1:])


def translate_reduction(reading: Reading) -> Held:
    """ReduceMean, ReduceSum, ReduceL1, ReduceL2, ReduceSumSquare, ReduceMax and ReduceMin over axes of a row."""
    node, value = reading.node, reading.rows(0)
    axes = reading.axes(12 if node.op == "ReduceSum" else 17)
    if not axes:
        if node.integer("noop_with_empty_axes", 0):
            return value
        reading.refuse("it reduces the batch along with the rest, and rows must stay independent")
    dims = tuple(sorted(reading.axis(axis, value.rank) for axis in axes))
    keep = bool(node.integer("keepdims", 1))
    if node.op in ("ReduceMax", "ReduceMin"):
        name = "amax" if node.op == "ReduceMax" else "amin"
        return reading.emit(f"{name}.default", self=value, dim=dims, keepdim=keep)
    source: Held = value
    if node.op in ("ReduceL2", "ReduceSumSquare"):
        source = reading.emit("pow.Tensor_Scalar", self=value, exponent=2.0)
    elif node.op == "ReduceL1":
        source = reading.emit("abs.default", self=value)
    name = "mean.dim" if node.op == "ReduceMean" else "sum.dim_IntList"
    total = reading.emit(name, self=source, dim=dims, keepdim=keep)
    return reading.emit("sqrt.default", self=total) if node.op == "ReduceL2" else total


POOLING: Mapping[str, Translator] = {
    "AveragePool": translate_average_pool,
    "GlobalAveragePool": translate_global,
    "GlobalMaxPool": translate_global,
    "MaxPool": translate_max_pool,
    **{f"Reduce{name}": translate_reduction for name in ("L1", "L2", "Max", "Mean", "Min", "Sum", "SumSquare")},
}
