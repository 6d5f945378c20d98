"""Upsampling and padding of feature maps: linear in the value, up to the constant that padding writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from magnet_service.generator.operations.operation import Attribute, Draft, Kind, Lowered, Node, Operation
from magnet_service.generator.operations.reader import CallReader
from magnet_service.generator.operations.tangents import through_linear

__all__ = ["OPERATIONS", "PAD", "UPSAMPLE"]

METHODS = {
    "upsample_nearest1d": 1,
    "upsample_nearest2d": 2,
    "upsample_nearest3d": 3,
    "_upsample_nearest_exact1d": 1,
    "_upsample_nearest_exact2d": 2,
    "upsample_linear1d": 1,
    "upsample_bilinear2d": 2,
    "upsample_trilinear3d": 3,
    "upsample_bicubic2d": 2,
}
ALIGNED = ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d")
SCALES = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}


def lower_upsample(call: CallReader) -> Lowered:
    """aten.upsample_* by size or by factors, in both of their overloads."""
    method = call.call.target.split(".")[1]
    dims = METHODS[method]
    vector = call.call.target.endswith(".vec")
    value = call.value("input" if vector else "self")
    if len(value.shape) != dims + 1:
        call.refuse(f"a row of shape {value.shape} is not channels and {dims} spatial dimensions")
    scales: tuple[float | None, ...]
    if vector:
        factors = call.numbers("scale_factors")
        scales = (None,) * dims if factors is None else tuple(factors)
        if call.given("output_size"):
            size = call.spatial("output_size", dims, ())
        elif factors is None or len(factors) != dims:
            call.refuse("neither a size nor one factor a dimension is given")
        else:
            size = tuple(int(extent * factor) for extent, factor in zip(value.shape[1:], factors, strict=True))
    else:
        size = call.spatial("output_size", dims, ())
        scales = tuple(call.optional_number(name) for name in SCALES[dims])
    attributes: dict[str, Attribute] = {
        "method": method,
        "size": size,
        "scales": scales,
        "align": call.flag("align_corners"),
    }
    return Draft(inputs=(value,), attributes=attributes)


def upsample(node: Node, value: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """The value at another resolution."""
    method, scales = node.text("method"), node.attributes["scales"]
    align = (node.flag("align"),) if method in ALIGNED else ()
    function = getattr(torch.ops.aten, method).default
    given = scales if isinstance(scales, tuple) else ()
    result: Tensor = function(value, list(node.integers("size")), *align, *given)
    return result


def lower_pad(call: CallReader) -> Lowered:
    """aten.pad, constant_pad_nd, reflection_pad*, replication_pad*, in dimensions of a row."""
    target = call.call.target.split(".")[1]
    words = {"reflection": "reflect", "replication": "replicate", "constant": "constant"}
    mode = call.text("mode", "constant") if target == "pad" else words[target.split("_")[0]]
    value = call.value("self")
    amounts = call.integers("pad" if target in ("pad", "constant_pad_nd") else "padding")
    fill = (call.optional_number("value") or 0.0) if mode == "constant" else 0.0
    if mode not in ("constant", "reflect", "replicate", "circular"):
        call.refuse(f"mode {mode!r}")
    while len(amounts) > 2 * len(value.shape) and amounts[-2:] == (0, 0):
        amounts = amounts[:-2]
    if len(amounts) % 2 or len(amounts) > 2 * len(value.shape):
        call.refuse(f"padding {amounts} does not fit a row of shape {value.shape}")
    return Draft(inputs=(value,), attributes={"amounts": amounts, "mode": mode, "fill": fill})


def pad(node: Node, value: Tensor, fill: float) -> Tensor:
    """The padded value."""
    mode = node.text("mode")
    return functional.pad(value, list(node.integers("amounts")), mode, fill if mode == "constant" else None)


def pad_forward(node: Node, inputs: Sequence[Tensor], constants: Mapping[str, Tensor]) -> Tensor:
    """The padded value, with the constant in it."""
    return pad(node, inputs[0], node.number("fill"))


UPSAMPLE = Operation(
    name="upsample",
    kind=Kind.AFFINE,
    targets=frozenset(f"aten.{name}.{overload}" for name in METHODS for overload in ("default", "vec")),
    lower=lower_upsample,
    forward=lambda node, inputs, constants: upsample(node, inputs[0], constants),
    tangent=through_linear(upsample),
)

PAD = Operation(
    name="pad",
    kind=Kind.AFFINE,
    targets=frozenset(
        {
            "aten.pad.default",
            "aten.constant_pad_nd.default",
            *(f"aten.{kind}_pad{dims}d.default" for kind in ("reflection", "replication") for dims in (1, 2)),
        }
    ),
    lower=lower_pad,
    forward=pad_forward,
    tangent=through_linear(lambda node, value, constants: pad(node, value, 0.0)),
)

OPERATIONS = (UPSAMPLE, PAD)
