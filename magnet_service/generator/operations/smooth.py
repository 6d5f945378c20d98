"""Smooth functions, element by element, each with its own derivative; and softmax over one dimension of a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from magnet_service.generator.operations.operation import Attribute, Draft, Kind, Lowered, Node, Operation
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.tangents import through_slope

__all__ = ["OPERATIONS", "SOFTMAX"]

Function = Callable[[Node, Tensor], Tensor]
Slope = Callable[[Node, Tensor, Tensor], Tensor]


def pointwise(
    name: str,
    function: Function,
    slope: Slope,
    *,
    arguments: Mapping[str, float] | None = None,
    targets: Sequence[str] = (),
    word: tuple[str, str] | None = None,
) -> Operation:
    """Entry of a smooth elementwise function.

    Arguments:
        name: of the entry, and of its operator where `targets` are not given.
        function: (node, value) -> result.
        slope: (node, value, result) -> derivative, from the pre-activation where that is the stable way.
        arguments: numbers the operator takes, with the schema's defaults.
        targets: operators with overload, without `aten.`.
        word: a textual argument and its default.
    """
    names = targets or (f"{name}.default", f"{name}_.default")

    def lower(call: CallReader) -> Lowered:
        attributes: dict[str, Attribute] = {
            key: call.number(key, default) for key, default in (arguments or {}).items()
        }
        if word is not None:
            attributes[word[0]] = call.text(*word)
        return Draft(inputs=(call.value("self"),), attributes=attributes)

    def diagonal(
        node: Node, inputs: Sequence[Tensor], output: Tensor, constants: Mapping[str, Tensor]
    ) -> Tensor | float:
        return slope(node, inputs[0], output)

    return Operation(
        name=name,
        kind=Kind.SMOOTH,
        targets=frozenset(f"aten.{target}" for target in names),
        lower=lower,
        forward=lambda node, inputs, constants: function(node, inputs[0]),
        tangent=through_slope(diagonal),
        slope=diagonal,
        elementwise=True,
    )


def logistic_slope(value: Tensor) -> Tensor:
    """Derivative of the sigmoid, e / (1 + e)^2 with e = exp(-|x|): relative accuracy kept in both tails."""
    tail = torch.exp(-value.abs())
    return tail / (1.0 + tail).square()


def silu_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """s + x s (1 - s), with 1 - s = sigmoid(-x)."""
    return torch.sigmoid(value) + value * logistic_slope(value)


def gelu_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """Derivative of gelu: by the error function, or of its tanh form."""
    if node.text("approximate") == "none":
        density = torch.exp(-0.5 * value.square()) / math.sqrt(2.0 * math.pi)
        return 0.5 * torch.erfc(-value / math.sqrt(2.0)) + value * density
    root, cubic = math.sqrt(2.0 / math.pi), 0.044715
    inner = root * (value + cubic * value**3)
    bend = 4.0 * logistic_slope(2.0 * inner)
    return 0.5 * (1.0 + torch.tanh(inner)) + 0.5 * value * bend * root * (1.0 + 3.0 * cubic * value.square())


def softplus_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """sigmoid(beta x); 1 beyond the threshold, where the function is the identity."""
    scaled = value * node.number("beta")
    return torch.where(scaled > node.number("threshold"), torch.ones_like(value), torch.sigmoid(scaled))


def elu_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """Scale above zero, alpha scale input_scale exp(input_scale x) below."""
    inner, scale = node.number("input_scale"), node.number("scale")
    below = torch.exp(value * inner) * (node.number("alpha") * scale * inner)
    return torch.where(value > 0, value.new_full((), scale), below)


def celu_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """1 above zero, exp(x / alpha) below."""
    return torch.where(value > 0, value.new_ones(()), torch.exp(value / node.number("alpha")))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """Scale above zero, scale alpha exp(x) below."""
    return torch.where(value > 0, value.new_full((), SELU_SCALE), torch.exp(value) * (SELU_ALPHA * SELU_SCALE))


def mish_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """tanh(p) + x sech^2(p) sigmoid(x), with p = softplus(x)."""
    inner = functional.softplus(value)
    return torch.tanh(inner) + value * 4.0 * logistic_slope(2.0 * inner) * torch.sigmoid(value)


def elu(node: Node, value: Tensor) -> Tensor:
    """The function itself, with its three numbers."""
    result: Tensor = torch.ops.aten.elu.default(
        value, node.number("alpha"), node.number("scale"), node.number("input_scale")
    )
    return result


def power_slope(node: Node, value: Tensor, result: Tensor) -> Tensor:
    """p x^(p - 1)."""
    exponent = node.number("exponent")
    return exponent * value ** (exponent - 1.0)


def lower_softmax(call: CallReader) -> Lowered:
    """aten.softmax(self, dim) over a dimension of a row."""
    value = call.value("self")
    return Draft(inputs=(value,), attributes={"dim": call.dimension(len(value.shape) + 1)})


def softmax_tangent(
    node: Node,
    inputs: Sequence[Tensor],
    output: Tensor,
    tangents: Sequence[Tensor | None],
    constants: Mapping[str, Tensor],
    reuse: bool,
) -> Tensor | None:
    """y (t - sum y t)."""
    (given,) = tangents
    if given is None:
        return None
    share = output.unsqueeze(1)
    return share * (given - (share * given).sum(node.integer("dim") + 1, keepdim=True))


SOFTMAX = Operation(
    name="softmax",
    kind=Kind.SMOOTH,
    targets=frozenset({"aten.softmax.int", "aten._softmax.default"}),
    lower=lower_softmax,
    forward=lambda node, inputs, constants: torch.softmax(inputs[0], node.integer("dim")),
    tangent=softmax_tangent,
)

OPERATIONS = (
    pointwise(
        "tanh", lambda node, value: torch.tanh(value), lambda node, value, result: 4.0 * logistic_slope(2.0 * value)
    ),
    pointwise("sigmoid", lambda node, value: torch.sigmoid(value), lambda node, value, result: logistic_slope(value)),
    pointwise(
        "log_sigmoid",
        lambda node, value: functional.logsigmoid(value),
        lambda node, value, result: torch.sigmoid(-value),
        targets=("log_sigmoid.default",),
    ),
    pointwise("silu", lambda node, value: functional.silu(value), silu_slope),
    pointwise(
        "gelu",
        lambda node, value: functional.gelu(value, approximate=node.text("approximate")),
        gelu_slope,
        word=("approximate", "none"),
    ),
    pointwise("mish", lambda node, value: functional.mish(value), mish_slope),
    pointwise(
        "softplus",
        lambda node, value: functional.softplus(value, node.number("beta"), node.number("threshold")),
        softplus_slope,
        arguments={"beta": 1.0, "threshold": 20.0},
        targets=("softplus.default",),
    ),
    pointwise("elu", elu, elu_slope, arguments={"alpha": 1.0, "scale": 1.0, "input_scale": 1.0}),
    pointwise("selu", lambda node, value: torch.selu(value), selu_slope),
    pointwise(
        "celu", lambda node, value: functional.celu(value, node.number("alpha")), celu_slope, arguments={"alpha": 1.0}
    ),
    pointwise("exp", lambda node, value: torch.exp(value), lambda node, value, result: result),
    pointwise("log1p", lambda node, value: torch.log1p(value), lambda node, value, result: 1.0 / (1.0 + value)),
    pointwise("sin", lambda node, value: torch.sin(value), lambda node, value, result: torch.cos(value)),
    pointwise("cos", lambda node, value: torch.cos(value), lambda node, value, result: -torch.sin(value)),
    pointwise("sqrt", lambda node, value: torch.sqrt(value), lambda node, value, result: 0.5 / result),
    pointwise("rsqrt", lambda node, value: torch.rsqrt(value), lambda node, value, result: -0.5 * result**3),
    pointwise("reciprocal", lambda node, value: torch.reciprocal(value), lambda node, value, result: -result.square()),
    pointwise("square", lambda node, value: value.square(), lambda node, value, result: 2.0 * value),
    pointwise(
        "power",
        lambda node, value: value ** node.number("exponent"),
        power_slope,
        arguments={"exponent": 2.0},
        targets=("pow.Tensor_Scalar",),
    ),
    SOFTMAX,
)
