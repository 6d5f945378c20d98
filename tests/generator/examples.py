"""For every operator the table knows, a call with arguments that are not the defaults where it has any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Program, Value

__all__ = ["EXAMPLES", "Example", "oracle", "program_of"]

Z = Value("z")
ROWS = BatchSize()
MAP, SIGNAL, VOLUME, VECTOR = (2, 5, 6), (2, 7), (2, 3, 4, 3), (6,)


@dataclass(frozen=True)
class Example:
    """Calls on one latent value; the last one is of the operator in question.

    Attributes:
        target: the operator in question, without `aten.`.
        shape: of one latent.
        calls: (target without `aten.`, arguments, outputs).
        constants: by name.
        positive: whether the latents must be positive.
        output: the value to look at.
    """

    target: str
    shape: tuple[int, ...]
    calls: tuple[tuple[str, Mapping[str, Argument], tuple[str, ...]], ...]
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    positive: bool = False
    output: str = "out"

    def latents(self, rows: int, seed: int = 3) -> Tensor:
        latents = draw(rows, *self.shape, seed=seed)
        return latents.abs() + 0.1 if self.positive else latents


def draw(*shape: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed + 1000 * len(shape) + sum(shape))
    return torch.randn(shape, generator=source, dtype=torch.float64)


def one(
    target: str,
    shape: tuple[int, ...] = VECTOR,
    constants: Mapping[str, Tensor] | None = None,
    outputs: tuple[str, ...] = ("out",),
    /,
    *,
    positive: bool = False,
    first: str = "self",
    **arguments: Argument,
) -> Example:
    """A single call that reads the latent as its first argument."""
    named = {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in (constants or {}).items()
    }
    given: dict[str, Argument] = {first: Z} if first else {}
    return Example(target, shape, ((target, {**given, **arguments}, outputs),), named, positive)


W, B, C = Constant("w"), Constant("b"), Constant("c")


def convolutions() -> list[Example]:
    found = []
    for dims, shape in ((1, SIGNAL), (2, MAP), (3, VOLUME)):
        ones, kernel = (1,) * dims, (3, 2, 2)[:dims]
        step = (2, 1, 1)[:dims]
        plain = {"w": draw(4, 1, *kernel), "b": draw(4)}
        turned = {"w": draw(2, 3, *kernel), "b": draw(6)}
        shared: dict[str, Argument] = {
            "weight": W,
            "bias": B,
            "stride": step,
            "padding": ones,
            "dilation": ones,
            "groups": 2,
        }
        found += [
            one(f"conv{dims}d.default", shape, plain, first="input", **shared),
            one(f"conv{dims}d.padding", shape, {"w": draw(4, 2, *kernel)}, first="input", weight=W, padding="same"),
            one(
                f"conv_transpose{dims}d.{'default' if dims == 1 else 'input'}",
                shape,
                turned,
                first="input",
                **shared,
                output_padding=tuple(value - 1 for value in step),
            ),
        ]
    full: dict[str, Argument] = {
        "weight": W,
        "bias": B,
        "stride": (2, 1),
        "padding": (1, 0),
        "dilation": (1, 2),
        "transposed": True,
        "output_padding": (1, 0),
        "groups": 2,
    }
    constants = {"w": draw(2, 3, 3, 2), "b": draw(6)}
    flags: dict[str, Argument] = {"benchmark": False, "deterministic": False, "cudnn_enabled": True, "allow_tf32": True}
    found.append(one("convolution.default", MAP, constants, first="input", **full))
    found.append(one("_convolution.default", MAP, constants, first="input", **full, **flags))
    return found


def normalizations() -> list[Example]:
    constants = {"w": draw(2), "b": draw(2, seed=1), "m": draw(2, seed=2), "v": draw(2, seed=3).abs() + 0.2}
    shared: dict[str, Argument] = {
        "weight": W,
        "bias": B,
        "running_mean": Constant("m"),
        "running_var": Constant("v"),
        "eps": 0.3,
    }
    plain: dict[str, Argument] = {"momentum": 0.1, "cudnn_enabled": True}
    three = ("out", "saved_mean", "saved_scale")
    return [
        one("batch_norm.default", MAP, constants, first="input", training=False, **shared, **plain),
        one("instance_norm.default", MAP, constants, first="input", use_input_stats=False, **shared, **plain),
        one("native_batch_norm.default", MAP, constants, three, first="input", training=False, momentum=0.1, **shared),
        one(
            "_native_batch_norm_legit_no_training.default", MAP, constants, three, first="input", momentum=0.1, **shared
        ),
    ]


def piecewise() -> list[Example]:
    found = [one(f"{name}{suffix}.default", MAP) for name in ("relu", "abs", "relu6") for suffix in ("", "_")]
    for suffix in ("", "_"):
        found += [
            one(f"leaky_relu{suffix}.default", MAP, negative_slope=0.3),
            one(f"hardtanh{suffix}.default", MAP, min_val=-0.4, max_val=0.6),
            one(f"clamp{suffix}.default", MAP, min=-0.4, max=0.6),
            one(f"clamp_min{suffix}.default", MAP, min=0.2),
            one(f"clamp_max{suffix}.default", MAP, max=0.2),
            one(f"threshold{suffix}.default", MAP, threshold=0.1, value=0.1),
        ]
    found += [
        one("rrelu.default", MAP, lower=0.1, upper=0.5),
        one("prelu.default", MAP, {"w": draw(2)}, weight=W),
        one("_prelu_kernel.default", MAP, {"w": draw(1, 2, 1, 1)}, weight=W),
    ]
    halves = (
        ("mul.Tensor", {"self": W, "other": Z}, ("scaled",)),
        ("gt.Scalar", {"self": Z, "other": 0}, ("mask",)),
        ("where.self", {"condition": Value("mask"), "self": Z, "other": Value("scaled")}, ("out",)),
    )
    for name in ("gt.Scalar", "where.self"):
        found.append(Example(name, VECTOR, halves, {"w": draw(1, 6)}))
    return found


def pooling() -> list[Example]:
    found = []
    for dims, shape in ((1, SIGNAL), (2, MAP), (3, VOLUME)):
        kernel = (3, 2, 2)[:dims]
        shared: dict[str, Argument] = {"kernel_size": kernel, "stride": (2, 1, 1)[:dims], "padding": (1,) * dims}
        found += [
            one(f"avg_pool{dims}d.default", shape, **shared, ceil_mode=True, count_include_pad=False),
            one(f"max_pool{dims}d.default", shape, **shared, dilation=(1,) * dims, ceil_mode=True),
            one(f"max_pool{dims}d_with_indices.default", shape, None, ("out", "places"), **shared),
        ]
    return [
        *found,
        one("adaptive_avg_pool1d.default", SIGNAL, output_size=(3,)),
        one("adaptive_avg_pool2d.default", MAP, output_size=(3, 2)),
        one("_adaptive_avg_pool2d.default", MAP, output_size=(2, 4)),
        one("mean.dim", MAP, dim=(-1, 1), keepdim=True),
        one("sum.dim_IntList", MAP, dim=(2,), keepdim=False),
    ]


def resampling() -> list[Example]:
    found = []
    for name, shape, scales in (
        ("upsample_nearest1d", SIGNAL, ("scales",)),
        ("upsample_nearest2d", MAP, ("scales_h", "scales_w")),
        ("upsample_nearest3d", VOLUME, ("scales_d", "scales_h", "scales_w")),
        ("_upsample_nearest_exact1d", SIGNAL, ("scales",)),
        ("_upsample_nearest_exact2d", MAP, ("scales_h", "scales_w")),
        ("upsample_linear1d", SIGNAL, ("scales",)),
        ("upsample_bilinear2d", MAP, ("scales_h", "scales_w")),
        ("upsample_trilinear3d", VOLUME, ("scales_d", "scales_h", "scales_w")),
        ("upsample_bicubic2d", MAP, ("scales_h", "scales_w")),
    ):
        factors = (1.7, 2.4, 1.5)[: len(scales)]
        size = tuple(int(extent * factor) for extent, factor in zip(shape[1:], factors, strict=True))
        align: dict[str, Argument] = {} if "nearest" in name else {"align_corners": len(scales) == 2}
        found.append(one(f"{name}.vec", shape, first="input", output_size=None, scale_factors=factors, **align))
        found.append(
            one(f"{name}.default", shape, output_size=size, **align, **dict(zip(scales, factors, strict=True)))
        )
    return [
        *found,
        one("pad.default", MAP, pad=(1, 2, 0, 1), mode="circular"),
        one("constant_pad_nd.default", MAP, pad=(1, 2, -1, 1, 1, 0), value=0.7),
        one("reflection_pad1d.default", SIGNAL, padding=(2, 1)),
        one("reflection_pad2d.default", MAP, padding=(2, 1, 0, 3)),
        one("replication_pad1d.default", SIGNAL, padding=(2, 1)),
        one("replication_pad2d.default", MAP, padding=(2, 1, 0, 3)),
    ]


def shaping() -> list[Example]:
    wide = (3, 4, 2)
    found = [
        one("view.default", wide, size=(-1, 12, 2)),
        one("_unsafe_view.default", wide, size=(ROWS, -1, 6)),
        one("reshape.default", wide, shape=(ROWS, 4, 6)),
        one("view_copy.default", wide, size=(ROWS, 24)),
        one("_reshape_copy.default", wide, size=(ROWS, 2, 12)),
        one("flatten.using_ints", wide, start_dim=2, end_dim=-1),
        one("unflatten.int", wide, dim=2, sizes=(2, -1)),
        one("permute.default", wide, dims=(0, 3, 1, 2)),
        one("transpose.int", wide, dim0=-1, dim1=1),
        one("swapaxes.default", wide, axis0=2, axis1=3),
        one("movedim.int", wide, source=1, destination=-1),
        one("mT.default", wide),
        one("expand.default", (3, 1, 2), size=(-1, 3, 4, -1)),
        one("repeat.default", (3, 2), repeats=(1, 2, 3)),
        one("pixel_shuffle.default", (8, 2, 3), upscale_factor=2),
        one("pixel_unshuffle.default", (2, 4, 6), downscale_factor=2),
    ]
    for suffix in ("", "_"):
        found += [
            one(f"squeeze{suffix}.default", (3, 1, 2, 1)),
            one(f"squeeze{suffix}.dim", (3, 1, 2, 1), dim=-1),
            one(f"squeeze{suffix}.dims", (3, 1, 2, 1), dim=(2, 3)),
            one(f"unsqueeze{suffix}.default", (3, 2), dim=-2),
        ]
    copies = ("clone", "contiguous", "alias", "detach", "detach_", "lift_fresh_copy")
    found += [one(f"{name}.default", wide) for name in copies]
    found += [
        one(f"{name}.default", wide, first="input", p=0.4, train=False)
        for name in ("dropout", "feature_dropout", "alpha_dropout")
    ]
    found.append(one("dropout_.default", wide, p=0.4, train=False))
    return [*found, one("native_dropout.default", wide, None, ("out", "mask"), first="input", p=0.4, train=False)]


def selection() -> list[Example]:
    parts = (Z, Value("other"), Z)
    before = ("mul.Tensor", {"self": Z, "other": 2.0}, ("other",))
    index = torch.tensor([[1, 0], [-1, 1]])
    found = [
        Example(f"{name}.default", MAP, (before, (f"{name}.default", {"tensors": parts, "dim": dim}, ("out",))))
        for name, dim in (("cat", 2), ("concat", -1), ("concatenate", 1), ("stack", 1))
    ]
    return [
        *found,
        one("slice.Tensor", MAP, dim=3, start=1, end=-1, step=2),
        one("narrow.default", MAP, dim=2, start=-3, length=2),
        one("split.Tensor", MAP, None, ("a", "b", "out"), split_size=2, dim=2),
        one("split.sizes", MAP, None, ("a", "out"), split_size=(1, 4), dim=2),
        one("split_with_sizes.default", MAP, None, ("a", "out"), split_sizes=(2, 3), dim=-2),
        one("chunk.default", MAP, None, ("a", "b", "out"), chunks=3, dim=2),
        one("select.int", MAP, dim=2, index=-2),
        one("unbind.int", MAP, None, ("a", "out"), dim=1),
        one("flip.default", MAP, dims=(1, -1)),
        one(
            "index.Tensor",
            MAP,
            {"i": index, "j": torch.tensor([2, 5])},
            indices=(None, None, Constant("i"), Constant("j")),
        ),
        one("index_select.default", MAP, {"i": torch.tensor([3, 0, 3])}, dim=2, index=Constant("i")),
    ]


def arithmetic() -> list[Example]:
    found = []
    row = {"c": draw(1, 2, 1, 6)}
    for suffix in ("", "_"):
        for name in ("add", "sub"):
            found += [
                one(f"{name}{suffix}.Tensor", MAP, row, other=C, alpha=0.7),
                one(f"{name}{suffix}.Scalar", MAP, other=1.3, alpha=2),
            ]
        for name in ("mul", "div"):
            found += [
                one(f"{name}{suffix}.Tensor", MAP, row, other=C),
                one(f"{name}{suffix}.Scalar", MAP, other=1.3),
            ]
    return [
        *found,
        one("rsub.Tensor", MAP, row, other=C, alpha=0.7),
        one("rsub.Scalar", MAP, other=1.3, alpha=0.7),
        one("div.Tensor_mode", MAP, row, other=C, rounding_mode=None),
        one("neg.default", MAP),
    ]


def smooth() -> list[Example]:
    names = ("tanh", "sigmoid", "silu", "mish", "selu", "exp", "sin", "cos", "reciprocal", "square")
    found = [one(f"{name}{suffix}.default", MAP) for name in names for suffix in ("", "_")]
    for suffix in ("", "_"):
        found += [one(f"{name}{suffix}.default", MAP, positive=True) for name in ("sqrt", "rsqrt", "log1p")]
        found += [
            one(f"gelu{suffix}.default", MAP, approximate="tanh" if suffix else "none"),
            one(f"elu{suffix}.default", MAP, alpha=0.7, scale=1.2, input_scale=0.8),
            one(f"celu{suffix}.default", MAP, alpha=0.5),  # 1 / 0.7 is rounded to float32 in torch's own derivative
        ]
    return [
        *found,
        one("log_sigmoid.default", MAP),
        one("softplus.default", MAP, beta=3.0, threshold=2.0),
        one("pow.Tensor_Scalar", MAP, exponent=2.5, positive=True),
        one("softmax.int", MAP, dim=-2),
        one("_softmax.default", MAP, dim=1, half_to_float=False),
    ]


def dense() -> list[Example]:
    batched = ("expand.default", {"self": W, "size": (ROWS, 4, 2)}, ("matrix",))
    fills = []
    for name, extra in (("full", {"fill_value": 0.7}), ("zeros", {}), ("ones", {})):
        fill = (f"{name}.default", {"size": (ROWS, 6), **extra}, ("filled",))
        fills.append(
            Example(
                f"{name}.default",
                VECTOR,
                (fill, ("cat.default", {"tensors": (Z, Value("filled")), "dim": 1}, ("out",))),
            )
        )
    return [
        one("linear.default", (3, 6), {"w": draw(4, 6), "b": draw(4)}, first="input", weight=W, bias=B),
        one(
            "addmm.default", VECTOR, {"w": draw(6, 4), "b": draw(4)}, first="mat1", self=B, mat2=W, alpha=0.5, beta=2.0
        ),
        one("mm.default", VECTOR, {"w": draw(6, 4)}, mat2=W),
        one("mv.default", VECTOR, {"w": draw(6)}, vec=W),
        one("matmul.default", (3, 6), {"w": draw(2, 3)}, first="other", self=W),
        Example(
            "bmm.default",
            (2, 3),
            (batched, ("bmm.default", {"self": Value("matrix"), "mat2": Z}, ("out",))),
            {"w": draw(4, 2)},
        ),
        *fills,
    ]


EXAMPLES: tuple[Example, ...] = tuple(
    example
    for family in (
        dense,
        convolutions,
        normalizations,
        piecewise,
        pooling,
        resampling,
        shaping,
        selection,
        arithmetic,
        smooth,
    )
    for example in family()
)


def program_of(example: Example, before: float | None = None) -> Program:
    """The example as a program, perhaps behind a product with a number."""
    calls = [
        Call(f"aten.{target}", arguments, outputs, f"call {index} of {len(example.calls)} ({outputs[0]})")
        for index, (target, arguments, outputs) in enumerate(example.calls, 1)
    ]
    latent = "z"
    if before is not None:
        latent = "start"
        calls.insert(0, Call("aten.mul.Tensor", {"self": Value("start"), "other": before}, ("z",), "call 0"))
    return Program(latent, example.shape, example.output, tuple(calls), example.constants, None)


def oracle(example: Example, latents: Tensor) -> Tensor:
    """What torch's own operators say, called by name."""
    values: dict[str, Tensor] = {"z": latents.clone(), **example.constants}

    def resolve(argument: Argument) -> object:
        if isinstance(argument, Value | Constant):
            return values[argument.name]
        if isinstance(argument, BatchSize):
            return latents.shape[0]
        return [resolve(item) for item in argument] if isinstance(argument, tuple) else argument

    for target, arguments, outputs in example.calls:
        name, overload = target.split(".")
        function = getattr(getattr(torch.ops.aten, name), overload)
        keywords = {key: resolve(value) for key, value in arguments.items()}
        if name in ("full", "zeros", "ones"):
            keywords["dtype"] = torch.float64
        # autograd must see through a detached value, which is the value itself
        result = keywords["self"] if name in ("detach", "detach_") else function(**keywords)
        results = result if isinstance(result, tuple | list) else (result,)
        values.update(zip(outputs, results, strict=True))
    return values[example.output]
