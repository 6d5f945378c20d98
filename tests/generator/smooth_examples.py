"""Examples of the operators that standardise, compare or multiply values of one row."""

from __future__ import annotations

import torch

from magnet_service.generator.program import Argument, BatchSize, Constant, Value
from tests.generator.example import Example, draw, one

__all__ = ["extrema", "functions", "statistics", "two_values"]

Z, ROWS = Value("z"), BatchSize()
MAP, DEEP = (2, 5, 6), (4, 3, 2)
W, B = Constant("w"), Constant("b")


def statistics() -> list[Example]:
    channels = {"w": draw(4), "b": draw(4, seed=1)}
    last = {"w": draw(3, 2), "b": draw(3, 2, seed=1)}
    three = ("out", "mean", "rate")
    native: dict[str, Argument] = {"weight": W, "bias": B, "N": ROWS, "C": 4, "HxW": 6, "group": 2, "eps": 0.3}
    return [
        one(
            "group_norm.default", DEEP, channels, first="input",
            num_groups=2, weight=W, bias=B, eps=0.3, cudnn_enabled=False,
        ),
        one("group_norm.default", DEEP, first="input", num_groups=4),
        one("native_group_norm.default", DEEP, channels, three, first="input", **native),
        one("layer_norm.default", DEEP, last, first="input", normalized_shape=(3, 2), weight=W, bias=B, eps=0.1),
        one(
            "native_layer_norm.default", DEEP, last, three, first="input",
            normalized_shape=(3, 2), weight=W, bias=B, eps=0.1,
        ),
        one("rms_norm.default", DEEP, {"w": draw(2)}, first="input", normalized_shape=(2,), weight=W, eps=0.2),
        one("rms_norm.default", DEEP, {"w": draw(2)}, first="input", normalized_shape=(2,), weight=W),
        one(
            "instance_norm.default", DEEP, channels, first="input",
            weight=W, bias=B, running_mean=None, running_var=None, use_input_stats=True,
            momentum=0.1, eps=0.3, cudnn_enabled=False,
        ),
        one("var.dim", MAP, dim=(1, 3), unbiased=False, keepdim=True),
        one("var.correction", MAP, dim=(2,), correction=2),
        one("std.dim", MAP, dim=(-1,), unbiased=True),
        one("std.correction", MAP, dim=(1, 2), keepdim=True),
        one("var_mean.correction", MAP, None, ("out", "mean"), dim=(3,), correction=0, keepdim=True),
        Example(
            "var_mean.correction", MAP,
            (("var_mean.correction", {"self": Z, "dim": (3,), "correction": 0}, ("variance", "out")),),
        ),
        one("linalg_vector_norm.default", MAP, dim=(1,), keepdim=True),
    ]  # fmt: skip


def extrema() -> list[Example]:
    other = ("mul.Tensor", {"self": Z, "other": -0.4}, ("other",))
    found = []
    for word in ("max", "min"):
        found += [
            one(f"a{word}.default", MAP, dim=(1, 3), keepdim=True),
            one(f"a{word}.default", MAP, dim=(-2,)),
            one(f"{word}.dim", MAP, None, ("out", "places"), dim=2, keepdim=True),
            Example(
                f"{word}imum.default", MAP,
                (other, (f"{word}imum.default", {"self": Z, "other": Value("other")}, ("out",))),
            ),
            one(f"{word}imum.default", MAP, {"c": draw(5, 6)}, other=Constant("c")),
        ]  # fmt: skip
    return found


def functions() -> list[Example]:
    return [
        *(one(f"{name}.default", MAP) for name in ("expm1", "erf", "atan", "sinh", "cosh", "asinh")),
        one("log.default", MAP, positive=True),
        one("pow.Scalar", MAP, first="exponent", self=1.7),
        one("log_softmax.int", MAP, dim=2),
        one("_log_softmax.default", MAP, dim=-1, half_to_float=False),
    ]


def two_values() -> list[Example]:
    queries: dict[str, Argument] = {"query": Value("q"), "key": Z, "value": Value("v")}
    before = (
        ("sin.default", {"self": Z}, ("q",)),
        ("slice.Tensor", {"self": Z, "dim": 3, "start": 0, "end": 3}, ("part",)),
        ("cos.default", {"self": Value("part")}, ("v",)),
    )
    mask = torch.rand(5, 5, generator=torch.Generator().manual_seed(3)) < 0.7
    mask.fill_diagonal_(True)
    attention = "scaled_dot_product_attention.default"
    turned = ("mT.default", {"self": Z}, ("turned",))
    column = ("unsqueeze.default", {"self": Z, "dim": -1}, ("column",))
    fold = (
        ("view.default", {"self": Z, "size": (ROWS, 1, -1, 1, 1)}, ("style",)),
        ("mul.Tensor", {"self": Constant("w"), "other": Value("style")}, ("weight",)),
        ("mul.Tensor", {"self": Value("constant"), "other": Value("spread")}, ("image",)),
        ("reshape.default", {"self": Value("image"), "shape": (1, -1, 5, 6)}, ("x",)),
        ("reshape.default", {"self": Value("weight"), "shape": (-1, 2, 3, 2)}, ("filters",)),
        (
            "conv2d.default",
            {"input": Value("x"), "weight": Value("filters"), "stride": (2, 1), "padding": (1, 1), "groups": ROWS},
            ("folded",),
        ),
        ("reshape.default", {"self": Value("folded"), "shape": (ROWS, -1, 3, 7)}, ("out",)),
    )
    start = (
        ("repeat.default", {"self": Constant("c"), "repeats": (ROWS, 1, 1, 1)}, ("constant",)),
        ("view.default", {"self": Z, "size": (ROWS, 2, 1, 1)}, ("spread",)),
    )
    return [
        Example("matmul.default", MAP, (turned, ("matmul.default", {"self": Z, "other": Value("turned")}, ("out",)))),
        Example(
            "bmm.default", (3, 2), (turned, ("bmm.default", {"self": Value("turned"), "mat2": Z}, ("out",)))
        ),
        Example("matmul.default", (6,), (column, ("unsqueeze.default", {"self": Z, "dim": 1}, ("line",)),
                ("matmul.default", {"self": Value("column"), "other": Value("line")}, ("out",)))),
        Example(attention, MAP, (*before, (attention, queries, ("out",)))),
        Example(attention, MAP, (*before, (attention, {**queries, "is_causal": True, "scale": 0.3}, ("out",)))),
        Example(attention, MAP, (*before, (attention, {**queries, "attn_mask": Constant("m")}, ("out",))), {"m": mask}),
        Example("conv2d.default", (2,), (*start, *fold), {"w": draw(1, 3, 2, 3, 2), "c": draw(1, 2, 5, 6)}),
        Example("div.Tensor", MAP, (("div.Tensor", {"self": Constant("c"), "other": Z}, ("out",)),), {"c": draw(5, 6)}),
        Example(
            "expand_as.default", (3, 1, 2),
            (("repeat.default", {"self": Z, "repeats": (1, 1, 4, 1)}, ("wide",)),
             ("expand_as.default", {"self": Z, "other": Value("wide")}, ("out",))),
        ),
    ]  # fmt: skip
