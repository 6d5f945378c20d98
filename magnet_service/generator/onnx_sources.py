"""ONNX operators that make tensors, ask for shapes or change nothing, and those refused for a reason of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

import numpy as np
from onnx import TensorProto

from magnet_service.errors import Refused, RefusedArchive
from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_sizes import BATCH, is_batch
from magnet_service.generator.onnx_tensors import TensorReader
from magnet_service.generator.onnx_values import Array, Held, Known, Rows, numpy_dtype, settled
from magnet_service.generator.program import BatchSize

__all__ = ["SOURCES", "translate_constant"]

_FLOATING = (TensorProto.FLOAT, TensorProto.DOUBLE)


def translate_constant(reading: Reading, tensors: TensorReader) -> Held:
    """Constant in any of its spellings."""
    node = reading.node
    if (tensor := node.tensor("value")) is not None:
        return Known(tensors.read(tensor, node.outputs[0] if node.outputs else ""))
    for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
        if node.given(name):
            stored = node.attributes[name]
            return Known(np.asarray(stored.f if kind is np.float32 else stored.i, kind))
    for name, kind in (("value_floats", np.float32), ("value_ints", np.int64)):
        if node.given(name):
            return Known(np.asarray((node.numbers if kind is np.float32 else node.integers)(name), kind))
    reading.refuse("a constant of text, or a sparse one, is not supported")


def translate_shape(reading: Reading) -> Held:
    """Shape of a value, with the number of rows as a symbol in front."""
    value, node = reading.rows(0), reading.node
    whole = [BATCH, *value.shape]
    wanted: Array = np.empty(len(whole), object)
    wanted[:] = whole
    return Known(settled(wanted[node.integer("start", 0) : node.integer("end", len(whole))]))


def translate_size(reading: Reading) -> Held:
    """Size of a value."""
    wanted: Array = np.empty((), object)
    wanted[()] = BATCH * math.prod(reading.rows(0).shape)
    return Known(settled(wanted))


def translate_fill(reading: Reading) -> Held:
    """ConstantOfShape, with a row for every latent where the number of rows is in front."""
    sizes, tensor = reading.sizes(0), reading.node.tensor("value")
    fill: Array = np.zeros(1, np.float32)
    if tensor is not None:
        fill = TensorReader.scalar(tensor)
    if sizes and is_batch(sizes[0]) and fill.dtype.kind == "f":
        row = tuple(size for size in sizes[1:] if isinstance(size, int))
        if len(row) != len(sizes) - 1:
            reading.refuse("the number of rows stands in two of its sizes")
        number = reading.number_of(fill)
        return reading.emit("full.default", size=(BatchSize(), *row), fill_value=number, dtype="float32")
    shape = reading.integers(0)
    reading.builder.spend(math.prod(shape))
    return Known(np.full(shape, fill.reshape(-1)[0], fill.dtype))


def translate_identity(reading: Reading) -> Held:
    """Identity."""
    return reading.held(0)


def translate_dropout(reading: Reading) -> Held:
    """Dropout, which is the identity in evaluation."""
    node = reading.node
    training = reading.optional(2) if node.opset >= 12 else None
    if training is not None and bool(np.any(training.array)):
        raise RefusedArchive(
            f"{node.place}: it is in training mode and draws noise. Call .eval() and export again.",
            reason="TRAINING_MODE",
            metadata={"place": node.place},
        )
    return reading.held(0)


def translate_cast(reading: Reading) -> Held:
    """Cast of a value: between the working precisions nothing, of an index to numbers a conversion."""
    value, node = reading.rows(0), reading.node
    if node.op == "CastLike":
        like = reading.held(1)
        kind = "f" if isinstance(like, Rows) and like.dtype.is_floating_point else "i"
        kind = like.array.dtype.kind if isinstance(like, Known) else kind
        code = int(TensorProto.FLOAT if kind == "f" else TensorProto.INT64)
    else:
        code = node.integer("to", 0)
    if value.dtype.is_floating_point and code in _FLOATING:
        return value
    dtype = numpy_dtype(code)
    if not value.dtype.is_floating_point and code in _FLOATING:
        return reading.emit("to.dtype", self=value, dtype="float32")
    if not value.dtype.is_floating_point and dtype is not None and dtype.kind in "iu":
        return value
    reading.refuse(
        f"a cast to {dtype if dtype is not None else f'element type {code}'} rounds what is computed; export the "
        f"generator in float32"
    )


def noise(reading: Reading) -> NoReturn:
    """Refuse operators that draw."""
    raise Refused(
        f"{reading.node.place}: the generator draws noise inside, and its rows would not be a function of the latents. "
        f"Make the noise a constant, or part of the latents, and export again.",
        reason="NOISE_INSIDE",
        metadata={"place": reading.node.place},
    )


def control(reading: Reading) -> NoReturn:
    """Refuse operators that hold graphs of their own."""
    reading.refuse(
        "control flow is not read. Export the generator with fixed branches, as torch.onnx.export traces it without "
        "torch.jit.script"
    )


SOURCES: Mapping[str, Translator] = {
    "Cast": translate_cast,
    "CastLike": translate_cast,
    "ConstantOfShape": translate_fill,
    "Dropout": translate_dropout,
    "Identity": translate_identity,
    "Shape": translate_shape,
    "Size": translate_size,
    **dict.fromkeys(
        ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), noise
    ),
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), control),
}
