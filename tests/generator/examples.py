"""For every operator the table knows, a call with arguments that are not the defaults where it has any."""

from __future__ import annotations

import torch

from magnet_service.generator.program import Argument, BatchSize, Constant, Value
from tests.generator.example import Example, draw, one
from tests.generator.map_examples import convolutions, pooling, resampling
from tests.generator.smooth_examples import extrema, functions, statistics, two_values

__all__ = ["EXAMPLES"]

Z = Value("z")
ROWS = BatchSize()
MAP, VECTOR = (2, 5, 6), (6,)


W, B, C = Constant("w"), Constant("b"), Constant("c")


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
    casts = ("_to_copy.default", "to.dtype", "to.dtype_layout")
    found += [one(name, wide, dtype="float64", non_blocking=False) for name in casts]
    found.append(one("to.device", wide, device="cpu", dtype="float64"))
    found.append(one("lift_fresh.default", wide))
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
        statistics,
        extrema,
        functions,
        two_values,
    )
    for example in family()
)
