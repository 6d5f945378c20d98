"""ONNX operators that work element by element: activations, arithmetic, comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from magnet_service.generator.onnx_reading import Reading, Translator
from magnet_service.generator.onnx_values import Held, Known, Rows
from magnet_service.generator.program import BatchSize

__all__ = ["POINTWISE", "spread"]

_SELU = (1.6732632423543772, 1.0507009873554805)
_LOWEST, _HIGHEST = -3.4e38, 3.4e38


def plain(target: str) -> Translator:
    """Translator of an operator of one argument that ATen has too."""
    return lambda reading: reading.emit(target, self=reading.rows(0))


def side(reading: Reading, held: Held, other: Held) -> Held | float:
    """One side of a sum or product: a constant of one number as that number, if it does not widen the other."""
    if isinstance(held, Known) and held.array.size == 1 and isinstance(other, Rows) and held.array.ndim <= other.rank:
        return reading.number_of(held.array)
    return held


def arithmetic(target: str) -> Translator:
    """Translator of Add, Sub, Mul or Div."""

    def translate(reading: Reading) -> Held:
        left, right = reading.held(0), reading.held(1)
        if isinstance(left, Known):
            number = side(reading, left, right)
            if target in ("add", "mul"):
                return reading.emit(f"{target}.Tensor", self=right, other=number)
            if target == "sub" and isinstance(number, float):
                return reading.emit("rsub.Scalar", self=right, other=number)
            if target == "div":
                inverse = reading.emit("reciprocal.default", self=right)
                return inverse if number == 1.0 else reading.emit("mul.Tensor", self=inverse, other=number)
            return reading.emit(f"{target}.Tensor", self=left, other=right)
        return reading.emit(f"{target}.Tensor", self=left, other=side(reading, right, left))

    return translate


def translate_sum(reading: Reading) -> Held:
    """Sum and Mean of any number of inputs."""
    held = [reading.held(index) for index in range(len(reading.node.inputs))]
    held.sort(key=lambda item: isinstance(item, Known))
    if not held:
        reading.node.damaged("it has no input")
    total = held[0]
    for item in held[1:]:
        total = reading.emit("add.Tensor", self=total, other=side(reading, item, total))
    if reading.node.op == "Mean" and len(held) > 1:
        total = reading.emit("div.Tensor", self=total, other=float(len(held)))
    return total


def extremum(largest: bool) -> Translator:
    """Translator of Max or Min: a clamp by a number; by a constant row a + relu(b - a), or a - relu(a - b)."""

    def translate(reading: Reading) -> Held:
        held = [reading.held(index) for index in range(len(reading.node.inputs))]
        held.sort(key=lambda item: isinstance(item, Known))
        result = held[0]
        for item in held[1:]:
            other = side(reading, item, result)
            if isinstance(other, float):
                bound = {"min": other} if largest else {"max": other}
                result = reading.emit("clamp.default", self=result, **bound)
                continue
            if isinstance(result, Rows) and isinstance(other, Rows):
                name = "maximum.default" if largest else "minimum.default"
                result = reading.emit(name, self=result, other=other)
                continue
            first, second = (result, other) if largest else (other, result)
            gap = subtracted(reading, second, first)
            bent = reading.emit("relu.default", self=gap)
            target = "add.Tensor" if largest else "sub.Tensor"
            result = reading.emit(target, self=result, other=bent)
        return result

    return translate


def subtracted(reading: Reading, left: Held, right: Held) -> Held:
    """Left - right."""
    return reading.emit("sub.Tensor", self=left, other=right)


def translate_leaky(reading: Reading) -> Held:
    """LeakyRelu."""
    return reading.emit("leaky_relu.default", self=reading.rows(0), negative_slope=reading.node.number("alpha", 0.01))


def translate_prelu(reading: Reading) -> Held:
    """PRelu with slopes that broadcast from the right."""
    value, slope = reading.rows(0), reading.known(1)
    shape = slope.array.shape
    if len(shape) == value.rank and shape[0] == 1:
        shape = shape[1:]
    channels = value.shape[0] if value.shape else 0
    by_channel = (channels, *(1,) * (len(value.shape) - 1))
    if slope.array.size == 1 or shape == by_channel:
        known = slope if slope.array.ndim == 1 else Known(slope.array.reshape(-1))
        return reading.emit("prelu.default", self=value, weight=known)
    row = np.broadcast_to(slope.array.reshape(shape), value.shape)
    return reading.emit("_prelu_kernel.default", self=value, weight=Known(np.ascontiguousarray(row)[np.newaxis]))


def translate_clip(reading: Reading) -> Held:
    """Clip: bounds are attributes before opset 11 and inputs from then on."""
    node, value = reading.node, reading.rows(0)
    if node.opset < 11:
        low, high = node.number("min", _LOWEST), node.number("max", _HIGHEST)
    else:
        low, high = reading.scalar(1, -math.inf), reading.scalar(2, math.inf)
    bounds = {}
    if low > _LOWEST:
        bounds["min"] = low
    if high < _HIGHEST:
        bounds["max"] = high
    return reading.emit("clamp.default", self=value, **bounds) if bounds else value


def translate_hard_sigmoid(reading: Reading) -> Held:
    """HardSigmoid and HardSwish, written out as max(0, min(1, alpha x + beta))."""
    value = reading.rows(0)
    swish = reading.node.op == "HardSwish"
    alpha = 1 / 6 if swish else reading.node.number("alpha", 0.2)
    beta = 0.5 if swish else reading.node.number("beta", 0.5)
    scaled = reading.emit("mul.Tensor", self=value, other=alpha)
    shifted = reading.emit("add.Tensor", self=scaled, other=beta)
    bent = reading.emit("clamp.default", self=shifted, min=0.0, max=1.0)
    return reading.emit("mul.Tensor", self=value, other=bent) if swish else bent


def translate_elu(reading: Reading) -> Held:
    """Elu, Celu and Selu."""
    node, value = reading.node, reading.rows(0)
    if node.op == "Celu":
        return reading.emit("celu.default", self=value, alpha=node.number("alpha", 1.0))
    if node.op == "Elu":
        return reading.emit("elu.default", self=value, alpha=node.number("alpha", 1.0))
    alpha, gamma = node.number("alpha", _SELU[0]), node.number("gamma", _SELU[1])
    if all(math.isclose(have, usual, rel_tol=1e-6) for have, usual in zip((alpha, gamma), _SELU, strict=True)):
        return reading.emit("selu.default", self=value)
    return reading.emit("elu.default", self=value, alpha=alpha, scale=gamma)


def translate_gelu(reading: Reading) -> Held:
    """Gelu, by the error function or its tanh form."""
    return reading.emit("gelu.default", self=reading.rows(0), approximate=reading.node.text("approximate", "none"))


def translate_swish(reading: Reading) -> Held:
    """Swish: x sigmoid(alpha x)."""
    value, alpha = reading.rows(0), reading.node.number("alpha", 1.0)
    if alpha == 1.0:
        return reading.emit("silu.default", self=value)
    bent = reading.emit("sigmoid.default", self=reading.emit("mul.Tensor", self=value, other=alpha))
    return reading.emit("mul.Tensor", self=value, other=bent)


def translate_softsign(reading: Reading) -> Held:
    """Softsign: x / (1 + |x|)."""
    value = reading.rows(0)
    size = reading.emit("add.Tensor", self=reading.emit("abs.default", self=value), other=1.0)
    return reading.emit("div.Tensor", self=value, other=size)


def translate_power(reading: Reading) -> Held:
    """Pow by a constant number, or of one."""
    if isinstance(base := reading.held(0), Known):
        if base.array.size != 1:
            reading.refuse("only a value to the power of a number, or a number to that of a value, is supported")
        return reading.emit("pow.Scalar", self=reading.number_of(base.array), exponent=reading.rows(1))
    return reading.emit("pow.Tensor_Scalar", self=reading.rows(0), exponent=reading.scalar(1, 1.0))


def translate_softmax(reading: Reading) -> Held:
    """Softmax and LogSoftmax: over one axis from opset 13 on, over all from the axis on before."""
    node, value = reading.node, reading.rows(0)
    name = "softmax.int" if node.op == "Softmax" else "log_softmax.int"
    place = reading.axis(node.integer("axis", -1 if node.opset >= 13 else 1), value.rank)
    if node.opset >= 13 or math.prod(value.shape[place:]) == 1:
        return reading.emit(name, self=value, dim=place)
    flat = reading.emit("flatten.using_ints", self=value, start_dim=place)
    return reading.emit(
        "reshape.default", self=reading.emit(name, self=flat, dim=-1), shape=(BatchSize(), *value.shape)
    )


def comparison(name: str) -> Translator:
    """Translator of a comparison with a constant number."""
    return lambda reading: reading.emit(f"{name}.Scalar", self=reading.rows(0), other=reading.scalar(1, 0.0))


def translate_where(reading: Reading) -> Held:
    """Where, by a comparison of a value."""
    return reading.emit("where.self", condition=reading.held(0), self=reading.held(1), other=reading.held(2))


def spread(reading: Reading, held: Held) -> Held:
    """A constant that stands for every row alike, as a value with rows."""
    if isinstance(held, Rows):
        return held
    if held.array.ndim < 1 or held.array.shape[0] != 1:
        reading.refuse(
            f"a constant of shape {held.array.shape} has rows of its own, as a batch that was baked into the file; "
            f"export again with a dynamic batch"
        )
    return reading.emit("expand.default", self=held, size=(BatchSize(), *held.array.shape[1:]))


_SAME: Mapping[str, str] = {
    "Abs": "abs",
    "Asinh": "asinh",
    "Atan": "atan",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Log": "log",
    "Mish": "mish",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tanh": "tanh",
}
_COMPARISONS: Mapping[str, str] = {"Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le"}
_SUMS: Mapping[str, Translator] = {
    "Add": arithmetic("add"),
    "Div": arithmetic("div"),
    "Mean": translate_sum,
    "Mul": arithmetic("mul"),
    "Sub": arithmetic("sub"),
    "Sum": translate_sum,
}

POINTWISE: Mapping[str, Translator] = {
    **{op: plain(f"{name}.default") for op, name in _SAME.items()},
    **{op: comparison(name) for op, name in _COMPARISONS.items()},
    **_SUMS,
    "Celu": translate_elu,
    "Clip": translate_clip,
    "Elu": translate_elu,
    "Gelu": translate_gelu,
    "HardSigmoid": translate_hard_sigmoid,
    "HardSwish": translate_hard_sigmoid,
    "LeakyRelu": translate_leaky,
    "LogSoftmax": translate_softmax,
    "Max": extremum(largest=True),
    "Min": extremum(largest=False),
    "PRelu": translate_prelu,
    "Pow": translate_power,
    "Selu": translate_elu,
    "Softmax": translate_softmax,
    "Softsign": translate_softsign,
    "Swish": translate_swish,
    "Where": translate_where,
}
