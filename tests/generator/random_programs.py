"""Random programs over many operations at once, for comparisons with the plain interpreter."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Program, Value

__all__ = ["random_program"]

LATENT = 5


@dataclass
class Writer:
    """Calls written so far; `write` returns the name of the new value."""

    source: random.Random
    weights: torch.Generator
    calls: list[Call] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)

    def write(self, target: str, arguments: Mapping[str, Argument]) -> Value:
        name = f"v{len(self.calls)}"
        place = f"call {len(self.calls) + 1} ({name})"
        self.calls.append(Call(f"aten.{target}", arguments, (name,), place))
        return Value(name)

    def weight(self, *shape: int, fan: int = 1) -> Constant:
        name = f"w{len(self.constants)}"
        self.constants[name] = torch.randn(shape, generator=self.weights, dtype=torch.float64) * (2 / fan) ** 0.5
        return Constant(name)


def bend(writer: Writer, value: Value, smooth: bool) -> Value:
    straight: list[tuple[str, dict[str, Argument]]] = [
        ("relu.default", {}),
        ("leaky_relu.default", {"negative_slope": 0.2}),
        ("abs.default", {}),
        ("hardtanh.default", {"min_val": -1.5, "max_val": 1.0}),
        ("clamp_min.default", {"min": -0.3}),
    ]
    round_ones: list[tuple[str, dict[str, Argument]]] = [
        ("silu.default", {}),
        ("tanh.default", {}),
        ("elu.default", {}),
        ("gelu.default", {"approximate": "none"}),
        ("gelu.default", {"approximate": "tanh"}),
        ("softplus.default", {"beta": 2.0}),
        ("mish.default", {}),
        ("selu.default", {}),
        ("erf.default", {}),
        ("asinh.default", {}),
    ]
    target, arguments = writer.source.choice(straight + (round_ones if smooth else []))
    return writer.write(target, {"self": value, **arguments})


def round_block(writer: Writer, value: Value, shape: tuple[int, int, int]) -> Value:
    """A random block that is smooth inside and keeps the shape."""
    channels, height, width = shape
    block = writer.source.choice(("pixel", "group", "instance", "layer", "modulate", "attend", "power", "largest"))
    if block == "pixel":
        squares = writer.write("pow.Tensor_Scalar", {"self": value, "exponent": 2.0})
        mean = writer.write("mean.dim", {"self": squares, "dim": (1,), "keepdim": True})
        length = writer.write("sqrt.default", {"self": writer.write("add.Scalar", {"self": mean, "other": 0.05})})
        return writer.write("div.Tensor", {"self": value, "other": length})
    if block in ("group", "instance"):
        arguments: dict[str, Argument] = {"input": value, "weight": writer.weight(channels), "eps": 0.1}
        more: dict[str, Argument] = (
            {"num_groups": 2} if block == "group" else {"use_input_stats": True, "momentum": 0.1}
        )
        if block == "instance":
            more = {**more, "bias": None, "running_mean": None, "running_var": None}
        return writer.write(f"{block}_norm.default", {**arguments, **more, "cudnn_enabled": False})
    if block == "layer":
        return writer.write("layer_norm.default", {"input": value, "normalized_shape": (height, width), "eps": 0.1})
    if block == "modulate":
        dense = {"input": Value("z"), "weight": writer.weight(channels, LATENT, fan=LATENT)}
        style = writer.write("linear.default", dense)
        style = writer.write("view.default", {"self": style, "size": (BatchSize(), channels, 1, 1)})
        rate = writer.write(
            "rsqrt.default",
            {
                "self": writer.write(
                    "add.Scalar", {"self": writer.write("square.default", {"self": style}), "other": 0.5}
                )
            },
        )
        scaled = writer.write("mul.Tensor", {"self": value, "other": style})
        return writer.write("mul.Tensor", {"self": scaled, "other": rate})
    if block == "attend":
        query = writer.write("matmul.default", {"self": value, "other": writer.weight(width, width, fan=width)})
        both = {"query": query, "key": value, "value": value}
        if writer.source.random() < 0.5:
            return writer.write("scaled_dot_product_attention.default", both)
        turned = writer.write("transpose.int", {"self": value, "dim0": -1, "dim1": -2})
        scores = writer.write("matmul.default", {"self": query, "other": turned})
        shares = writer.write("softmax.int", {"self": scores, "dim": -1})
        return writer.write("matmul.default", {"self": shares, "other": value})
    if block == "power":
        above = writer.write("add.Scalar", {"self": writer.write("square.default", {"self": value}), "other": 0.3})
        target, more = writer.source.choice(
            (("log.default", {}), ("reciprocal.default", {}), ("pow.Tensor_Scalar", {"exponent": 0.7}))
        )
        return writer.write(target, {"self": above, **more})
    best = writer.write("amax.default", {"self": value, "dim": (2,), "keepdim": True})
    return writer.write("sub.Tensor", {"self": value, "other": best})


def step(writer: Writer, value: Value, shape: tuple[int, int, int], smooth: bool) -> tuple[Value, tuple[int, int, int]]:
    """One random block on a map of channels, height and width."""
    channels, height, width = shape
    source = writer.source
    if smooth and source.random() < 0.3:
        return round_block(writer, value, shape), shape
    block = source.choice(
        (
            "conv",
            "conv",
            "turned",
            "norm",
            "bend",
            "bend",
            "pool",
            "maxima",
            "up",
            "pad",
            "skip",
            "join",
            "gate",
            "shift",
        )
    )
    if block == "conv":
        outputs = source.choice((2, 4))
        weight = writer.weight(outputs, channels, 3, 3, fan=9 * channels)
        arguments = {"input": value, "weight": weight, "bias": writer.weight(outputs), "padding": (1, 1)}
        return writer.write("conv2d.default", arguments), (outputs, height, width)
    if block == "turned" and height * width < 40:
        weight = writer.weight(channels, 2, 3, 3, fan=4 * channels)
        arguments = {"input": value, "weight": weight, "stride": (2, 2), "padding": (1, 1)}
        return writer.write("conv_transpose2d.input", arguments), (2, 2 * height - 1, 2 * width - 1)
    if block == "norm":
        names = ("weight", "bias", "running_mean")
        arguments = {"input": value, **{name: writer.weight(channels) for name in names}, "training": False}
        variance = writer.weight(channels)
        writer.constants[variance.name] = writer.constants[variance.name].abs() + 0.5
        rest: dict[str, Argument] = {"running_var": variance, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": True}
        return writer.write("batch_norm.default", {**arguments, **rest}), shape
    if block == "pool" and min(height, width) > 2:
        arguments = {"self": value, "kernel_size": (2, 2), "stride": (1, 1)}
        return writer.write("avg_pool2d.default", arguments), (channels, height - 1, width - 1)
    if block == "maxima" and min(height, width) > 2:
        arguments = {"self": value, "kernel_size": (2, 2), "stride": (1, 1)}
        return writer.write("max_pool2d.default", arguments), (channels, height - 1, width - 1)
    if block == "up" and height * width < 40:
        name = source.choice(("upsample_nearest2d.vec", "upsample_bilinear2d.vec"))
        align: dict[str, Argument] = {"align_corners": source.random() < 0.5} if "bilinear" in name else {}
        arguments = {"input": value, "output_size": None, "scale_factors": (2.0, 2.0)}
        return writer.write(name, {**arguments, **align}), (channels, 2 * height, 2 * width)
    if block == "pad" and height * width < 40:
        return writer.write("constant_pad_nd.default", {"self": value, "pad": (1, 0, 0, 1), "value": 0.3}), (
            channels,
            height + 1,
            width + 1,
        )
    if block == "skip":
        inner = bend(writer, writer.write("mul.Tensor", {"self": value, "other": -1.3}), smooth)
        return writer.write("add.Tensor", {"self": value, "other": inner, "alpha": 0.5}), shape
    if block == "join" and channels < 5:
        turned = writer.write("flip.default", {"self": value, "dims": (2,)})
        return writer.write("cat.default", {"tensors": (turned, value), "dim": 1}), (2 * channels, height, width)
    if block == "gate" and smooth:
        gate = writer.write("sigmoid.default", {"self": value})
        return writer.write("mul.Tensor", {"self": gate, "other": value}), shape
    if block == "shift":
        arguments = {"self": writer.weight(1, channels, 1, 1), "other": value, "alpha": 0.7}
        return writer.write("sub.Tensor", arguments), shape
    return bend(writer, value, smooth), shape


def random_program(seed: int, smooth: bool = False) -> Program:
    """A program of about ten blocks on small maps, from a latent of five numbers to a flat output."""
    writer = Writer(random.Random(seed), torch.Generator().manual_seed(seed))
    dense = {"input": Value("z"), "weight": writer.weight(12, LATENT, fan=LATENT), "bias": writer.weight(12)}
    value = writer.write("linear.default", dense)
    value = writer.write("view.default", {"self": value, "size": (BatchSize(), 2, 2, 3)})
    shape = (2, 2, 3)
    for _ in range(writer.source.randint(6, 12)):
        value, shape = step(writer, value, shape, smooth)
    value = writer.write("flatten.using_ints", {"self": value, "start_dim": 1})
    return Program("z", (LATENT,), value.name, tuple(writer.calls), writer.constants, None)
