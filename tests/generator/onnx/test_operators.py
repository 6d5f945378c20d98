"""Every operator of the table in every form of its attributes, against onnxruntime and autograd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from magnet_service.errors import UnsupportedOperation
from magnet_service.generator.onnx_table import OPERATORS, TRANSLATORS
from tests.generator.onnx.models import Weights, checked, draw, model, node, on_map

Build = Callable[[], ModelProto]
CASES: dict[str, Build] = {}


def flat(name: str, nodes: list[NodeProto], weights: Weights | None = None, *opsets: int) -> None:
    """Cases on the latents themselves, at each opset."""
    for opset in opsets or (17,):
        CASES[f"{name}-{opset}"] = lambda opset=opset: model(nodes, weights, opset=opset)


def mapped(
    name: str,
    nodes: list[NodeProto],
    weights: Weights | None = None,
    *opsets: int,
    shape: tuple[int, ...] = (4, 5, 6),
) -> None:
    """Cases on a map, at each opset."""
    for opset in opsets or (17,):
        CASES[f"{name}-{opset}"] = lambda opset=opset: on_map(nodes, weights, shape, opset=opset)


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def floats(*items: float) -> np.ndarray:
    return np.array(items, np.float32)


# Dense layers.
flat("gemm", [node("Gemm", "z w b", transB=1, alpha=0.5, beta=2.0)], {"w": draw(7, 6), "b": draw(7)}, 7, 9, 13, 17)
flat("gemm_plain", [node("Gemm", "z w")], {"w": draw(6, 7)}, 11, 17)
flat("gemm_row_bias", [node("Gemm", "z w b")], {"w": draw(6, 7), "b": draw(1, 7)}, 9)
flat("gemm_scalar_bias", [node("Gemm", "z w b", beta=3.0)], {"w": draw(6, 7), "b": draw(1)})
flat("gemm_residual", [node("Gemm", "z w z", beta=0.5)], {"w": draw(6, 6)})
flat("matmul", [node("MatMul", "z w")], {"w": draw(6, 7)}, 9, 17)
mapped("matmul_right", [node("MatMul", "h w")], {"w": draw(6, 3)})
mapped("matmul_left", [node("MatMul", "w h")], {"w": draw(3, 5)})

# Convolutions.
conv = {"w": draw(6, 2, 3, 2), "b": draw(6)}
mapped("conv", [node("Conv", "h w b", group=2, strides=[2, 1], pads=[1, 0, 1, 0], dilations=[1, 2])], conv, 9, 13, 17)
mapped("conv_uneven", [node("Conv", "h w", group=2, pads=[0, 1, 2, 0])], conv)
for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
    mapped(f"conv_{pad}", [node("Conv", "h w b", group=2, auto_pad=pad, strides=[2, 2])], conv)
mapped("conv1d", [node("Conv", "h w", pads=[1, 1])], {"w": draw(3, 4, 3)}, shape=(4, 7))
mapped("conv3d", [node("Conv", "h w")], {"w": draw(3, 2, 2, 2, 2)}, shape=(2, 3, 4, 3))
turned = {"w": draw(4, 3, 3, 2), "b": draw(6)}
mapped("turned", [node("ConvTranspose", "h w b", group=2, strides=[2, 3], pads=[1, 0, 1, 0])], turned, 9, 11, 17)
mapped("turned_output", [node("ConvTranspose", "h w", group=2, strides=[2, 2], output_padding=[1, 1])], turned)
mapped("turned_dilated", [node("ConvTranspose", "h w", group=2, dilations=[2, 1])], turned)
mapped("turned_uneven", [node("ConvTranspose", "h w", group=2, strides=[2, 2], pads=[0, 1, 1, 0])], turned)
for size in ([10, 12], [9, 11], [8, 12]):
    attributes = {"group": 2, "strides": [2, 2], "output_shape": size}
    mapped(f"turned_shape_{size[0]}", [node("ConvTranspose", "h w", **attributes)], turned)
for pad in ("SAME_UPPER", "SAME_LOWER"):
    mapped(f"turned_{pad}", [node("ConvTranspose", "h w", group=2, strides=[2, 1], auto_pad=pad)], turned)
mapped("turned1d", [node("ConvTranspose", "h w", strides=[2])], {"w": draw(4, 3, 4)}, shape=(4, 7))

# Normalizations by stored statistics, and of rows.
stats = {"g": draw(4), "b": draw(4), "m": draw(4), "v": np.abs(draw(4)) + 0.5}
mapped("batch_norm", [node("BatchNormalization", "h g b m v", epsilon=0.01)], stats, 9, 14, 15, 17)
mapped("instance_norm", [node("InstanceNormalization", "h g b", epsilon=0.01)], stats)
mapped("layer_norm", [node("LayerNormalization", "h g b", axis=-2)], {"g": draw(5, 6), "b": draw(5, 6)})
mapped("layer_norm_last", [node("LayerNormalization", "h g")], {"g": draw(6)})
mapped("group_norm", [node("GroupNormalization", "h g b", num_groups=2)], {"g": draw(4), "b": draw(4)}, 21)

# Activations.
for op in ("Abs", "Relu", "Neg", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "Exp", "Identity"):
    flat(op, [node("Gemm", "z w", "h"), node(op, "h")], {"w": draw(6, 7)}, 14 if op == "HardSwish" else 13)
for op in ("Asinh", "Atan", "Cosh", "Sinh"):
    flat(op, [node(op, "z")])
mapped("rms_norm", [node("RMSNormalization", "h g", axis=-1)], {"g": draw(6)}, 23)
for op in ("Reciprocal", "Sqrt"):
    flat(op, [node("Mul", "z z", "s"), node("Add", "s c", "h"), node(op, "h")], {"c": floats(0.5)})
flat("Erf", [node("Erf", "z")])
flat("Gelu", [node("Gelu", "z")], None, 20)
flat("Gelu_tanh", [node("Gelu", "z", approximate="tanh")], None, 20)
flat("Mish", [node("Mish", "z")], None, 18)
flat("LeakyRelu", [node("LeakyRelu", "z", alpha=0.2)], None, 7, 16)
flat("LeakyRelu_default", [node("LeakyRelu", "z")])
flat("Elu", [node("Elu", "z", alpha=0.7)])
flat("Celu", [node("Celu", "z", alpha=0.7)])
flat("Selu", [node("Selu", "z")])
flat("Selu_other", [node("Selu", "z", alpha=1.2, gamma=0.9)])
flat("HardSigmoid", [node("HardSigmoid", "z", alpha=0.3, beta=0.4)])
for name, slope in (
    ("one", draw(1)),
    ("channel", draw(4, 1, 1)),
    ("batched", draw(1, 4, 1, 1)),
    ("all", draw(4, 5, 6)),
):
    mapped(f"prelu_{name}", [node("PRelu", "h s")], {"s": slope}, 9, 16)
mapped("prelu_columns", [node("PRelu", "h s")], {"s": draw(6)})
flat("clip_attributes", [node("Clip", "z", min=-0.5, max=0.3)], None, 7, 9)
flat("clip_one_attribute", [node("Clip", "z", max=0.3)], None, 9)
flat("clip", [node("Clip", "z lo hi")], {"lo": np.float32(-0.5), "hi": np.float32(0.3)}, 11, 13)
flat("clip_low", [node("Clip", "z lo")], {"lo": np.float32(-0.5)})
flat("clip_high", [node("Clip", "z - hi")], {"hi": np.float32(0.5)})
flat("softmax", [node("Softmax", "z", axis=1)], None, 9, 13)
mapped("softmax_old", [node("Softmax", "h")], None, 9)
mapped("softmax_axis", [node("Softmax", "h", axis=2)], None, 9, 13)
flat(
    "leaky_by_where",
    [node("Greater", "z c", "p"), node("Mul", "z s", "n"), node("Where", "p z n")],
    {"c": floats(0), "s": floats(0.1)},
)
flat("dropout", [node("Dropout", "z", "d"), node("MatMul", "d w")], {"w": draw(6, 7)}, 7, 10, 13)
flat(
    "dropout_flag",
    [node("Dropout", "z r t", "d"), node("Gemm", "d w")],
    {"w": draw(6, 7), "r": np.float32(0.5), "t": np.bool_(False)},
)

# Arithmetic.
for op in ("Add", "Sub", "Mul", "Div"):
    mapped(f"{op}_constant", [node(op, "h c")], {"c": draw(4, 1, 1) + 3}, 7, 14)
    flat(f"{op}_number", [node(op, "z c")], {"c": np.float32(1.7)})
    flat(f"{op}_values", [node("Exp", "z", "e"), node(op, "z e")])
    if op != "Div":
        mapped(f"{op}_left", [node(op, "c h")], {"c": draw(1, 4, 1, 1)})
flat("Sub_number_left", [node("Sub", "c z")], {"c": np.float32(1.7)})
flat("Div_number_left", [node("Exp", "z", "e"), node("Div", "c e")], {"c": np.float32(1.7)})
flat("Div_row_left", [node("Exp", "z", "e"), node("Div", "c e")], {"c": draw(6)})
flat("Sum", [node("Exp", "z", "e"), node("Sum", "z c e")], {"c": draw(6)}, 8, 13)
flat("Mean", [node("Exp", "z", "e"), node("Mean", "z e")])
flat("Pow_of_number", [node("Pow", "p z")], {"p": np.float32(2)})
flat("Pow", [node("Pow", "z p")], {"p": np.float32(2)})
for op in ("Max", "Min"):
    flat(f"{op}_number", [node(op, "z c")], {"c": np.float32(0.2)}, 8, 13)
    flat(f"{op}_row", [node(op, "z c")], {"c": draw(6)})
    flat(f"{op}_values", [node("Neg", "z", "n"), node(op, "z n c")], {"c": np.float32(0.1)})

# Pools and reductions.
for op in ("MaxPool", "AveragePool"):
    mapped(op, [node(op, "h", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 1, 1])], None, 10, 17)
    mapped(f"{op}_ceil", [node(op, "h", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)])
    mapped(f"{op}_uneven", [node(op, "h", kernel_shape=[3, 3], pads=[0, 1, 1, 0])])
    for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        mapped(f"{op}_{pad}", [node(op, "h", kernel_shape=[2, 3], strides=[2, 2], auto_pad=pad)])
    mapped(f"{op}1d", [node(op, "h", kernel_shape=[3])], shape=(4, 7))
mapped("AveragePool_counted", [node("AveragePool", "h", kernel_shape=[3, 2], pads=[1, 1, 1, 1], count_include_pad=1)])
mapped(
    "AveragePool_counted_uneven",
    [node("AveragePool", "h", kernel_shape=[3, 2], pads=[0, 1, 1, 0], count_include_pad=1)],
)
mapped("MaxPool_dilated", [node("MaxPool", "h", kernel_shape=[2, 2], dilations=[2, 1])])
mapped("GlobalAveragePool", [node("GlobalAveragePool", "h")])
mapped("GlobalMaxPool", [node("GlobalMaxPool", "h")])
for op in ("ReduceMean", "ReduceSum", "ReduceL2", "ReduceL1", "ReduceSumSquare"):
    late = 13 if op == "ReduceSum" else 18
    mapped(f"{op}_attribute", [node(op, "h", axes=[-1, 1], keepdims=0)], None, late - 2 if late == 13 else 13)
    mapped(f"{op}_input", [node(op, "h a")], {"a": ints(2, 3)}, late)

# Shapes.
mapped("flatten", [node("Flatten", "h")])
mapped("flatten_negative", [node("Flatten", "h", axis=-3)])
mapped("reshape_minus", [node("Reshape", "h s")], {"s": ints(-1, 20, 6)})
mapped("reshape_zero", [node("Reshape", "h s")], {"s": ints(0, 0, -1)})
mapped("reshape_strict", [node("Reshape", "h s", allowzero=1)], {"s": ints(-1, 120)}, 14)
mapped("squeeze", [node("Squeeze", "h", axes=[2])], None, 11, shape=(4, 1, 6))
mapped("squeeze_input", [node("Squeeze", "h a")], {"a": ints(-2)}, 13, shape=(4, 1, 6))
mapped("unsqueeze", [node("Unsqueeze", "h", axes=[1, 4])], None, 11)
mapped("unsqueeze_input", [node("Unsqueeze", "h a")], {"a": ints(-1, 1)}, 13)
mapped("transpose", [node("Transpose", "h", perm=[0, 2, 3, 1])])
mapped("slice_attributes", [node("Slice", "h", starts=[1, -3], ends=[3, 100], axes=[1, 3])], None, 9)
sliced = {"s": ints(0, -1), "e": ints(3, -100), "a": ints(2, 3), "t": ints(2, -2)}
mapped("slice", [node("Slice", "h s e a t")], sliced)
mapped("slice_flip", [node("Slice", "h s e a t")], {"s": ints(-1), "e": ints(-1000), "a": ints(1), "t": ints(-1)})
mapped("slice_batch", [node("Slice", "h s e")], {"s": ints(0, 1), "e": ints(2**62, 3)})
mapped("gather", [node("Gather", "h i", axis=2)], {"i": ints(0, -1, 2)})
mapped("gather_one", [node("Gather", "h i", axis=1)], {"i": np.int64(-2)})
mapped("gather_grid", [node("Gather", "h i", axis=3)], {"i": ints(0, 1, 5, 2).reshape(2, 2)})
mapped("split", [node("Split", "h", "p q", axis=1, split=[1, 3]), node("Concat", "q p", axis=1)], None, 11)
mapped("split_input", [node("Split", "h s", "p q", axis=1), node("Concat", "q p", axis=1)], {"s": ints(1, 3)}, 13)
mapped("split_even", [node("Split", "h", "p q", axis=3), node("Sub", "q p")], None, 13)
mapped("split_count", [node("Split", "h", "p q", axis=2, num_outputs=2), node("Concat", "q p", axis=2)], None, 18)
mapped("expand", [node("Expand", "h s")], {"s": ints(1, 4, 5, 6)}, shape=(4, 1, 6))
mapped("tile", [node("Tile", "h s")], {"s": ints(1, 2, 1, 3)})
mapped("depth_DCR", [node("DepthToSpace", "h", blocksize=2)], None, 9, 13)
mapped("depth_CRD", [node("DepthToSpace", "h", blocksize=2, mode="CRD")], None, 11)
mapped("space", [node("SpaceToDepth", "h", blocksize=2)], shape=(2, 4, 6))
mapped("pad_attributes", [node("Pad", "h", pads=[0, 0, 1, 0, 0, 0, 2, 1], value=0.7)], None, 9)
padded = {"p": ints(0, 0, 1, 2, 0, 0, 2, 1), "v": np.float32(0.7)}
for mode in ("constant", "reflect", "edge"):
    mapped(f"pad_{mode}", [node("Pad", "h p v", mode=mode)], padded, 11, 13)
mapped("pad_axes", [node("Pad", "h p v a", mode="edge")], {"p": ints(1, 2), "v": np.float32(0), "a": ints(-1)}, 18)
mapped("pad_negative", [node("Pad", "h p")], {"p": ints(0, 0, -1, 0, 0, 0, 0, -2)})

# Resolution.
NEAREST = (
    ("asymmetric", "floor"),
    ("asymmetric", "round_prefer_floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("half_pixel", "ceil"),
    ("align_corners", "round_prefer_floor"),
    ("pytorch_half_pixel", "floor"),
)
for mode, rounding in NEAREST:
    attributes = {"coordinate_transformation_mode": mode, "nearest_mode": rounding}
    for scale in ((2.0, 3.0), (1.7, 0.6)):
        scaled = {"s": floats(1, 1, *scale)}
        mapped(f"resize_{mode}_{rounding}_{scale[0]}", [node("Resize", "h - s", **attributes)], scaled, 13)
for mode in ("half_pixel", "align_corners", "pytorch_half_pixel"):
    attributes = {"coordinate_transformation_mode": mode, "mode": "linear"}
    scaled = {"s": floats(1, 1, 2, 1.5), "roi": floats()}
    mapped(f"resize_linear_{mode}", [node("Resize", "h roi s", **attributes)], scaled, 11, 13, 18)
    mapped(f"resize_linear_sizes_{mode}", [node("Resize", "h - - s", **attributes)], {"s": ints(1, 4, 7, 9)})
mapped("resize_axes", [node("Resize", "h - s", axes=[2, 3], mode="linear")], {"s": floats(2, 2)}, 18)
cubic = {"mode": "cubic", "cubic_coeff_a": -0.75, "coordinate_transformation_mode": "half_pixel"}
mapped("resize_cubic", [node("Resize", "h - s", **cubic)], {"s": floats(1, 1, 2, 2)})
mapped("resize_10", [node("Resize", "h s")], {"s": floats(1, 1, 2, 3)}, 10)
mapped("upsample_9", [node("Upsample", "h s")], {"s": floats(1, 1, 2, 3)}, 9)
mapped("upsample_7", [node("Upsample", "h", scales=[1.0, 1.0, 2.0, 2.0])], None, 7)

# Constants in every spelling, and what only moves types.
number = helper.make_tensor("n", TensorProto.FLOAT, [1], [0.3])
flat("constant", [node("Constant", "", "c", value=number), node("Mul", "z c")])
flat("constant_float", [node("Constant", "", "c", value_float=0.3), node("Mul", "z c")])
flat("constant_floats", [node("Constant", "", "c", value_floats=[0.3] * 6), node("Mul", "z c")])
flat("cast", [node("Cast", "z", "d", to=TensorProto.FLOAT), node("Mul", "d d")])
flat("cast_constant", [node("Cast", "c", "d", to=TensorProto.FLOAT), node("Mul", "z d")], {"c": np.float64(0.5)})
turns = [node("Transpose", "h", "t", perm=[2, 0, 1, 3]), node("GatherND", "t i", "g")]
mapped("gather_nd", [*turns, node("Transpose", "g", perm=[1, 2, 0, 3])], {"i": ints(0, -1, 2).reshape(3, 1)})
mapped("gather_nd_kept", [*turns, node("Transpose", "g", perm=[1, 0, 2, 3])], {"i": ints(0, 1).reshape(2, 1)})
grid = [node("Transpose", "h", "t", perm=[2, 3, 0, 1]), node("GatherND", "t i", "g")]
mapped(
    "gather_grid_nd", [*grid, node("Transpose", "g", perm=[2, 3, 0, 1])], {"i": np.indices((3, 2)).transpose(1, 2, 0)}
)
deep = {"i": np.indices((2, 3, 2)).transpose(1, 2, 3, 0)[..., :2]}
mapped("gather_deep_nd", [*grid, node("Transpose", "g", perm=[3, 0, 4, 2, 1])], deep)
mapped("transposed_and_back", [node("Transpose", "h", "t"), node("Transpose", "t")])
for op in ("ReduceMax", "ReduceMin"):
    mapped(op, [node(op, "h", axes=[2, 3])], None, 13)
flat("Log", [node("Exp", "z", "e"), node("Log", "e")])
flat("sine", [node("Sin", "z", "s"), node("Cos", "s")])
flat("LogSoftmax", [node("LogSoftmax", "z", axis=-1)])
mapped("concat_values", [node("Neg", "h", "n"), node("Concat", "h n", axis=-2)], None, 9, 13)


@pytest.mark.parametrize("case", CASES)
def test_an_operator_is_what_onnxruntime_computes(case: str, tmp_path: Path) -> None:
    checked(CASES[case](), tmp_path)


def test_the_cases_cover_the_table() -> None:
    used = {entry.op_type for build in CASES.values() for entry in build().graph.node}
    refused = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
    control = {"If", "Loop", "Scan", "SequenceMap"}
    elsewhere = {"CastLike", "ConstantOfShape", "GreaterOrEqual", "Less", "LessOrEqual", "Shape", "Size", "Swish"}
    assert set(TRANSLATORS) - used == refused | control | elsewhere
    assert set(TRANSLATORS) <= OPERATORS


@pytest.mark.parametrize("word", ["tf_crop_and_resize", "half_pixel_symmetric", "asymmetric"])
def test_coordinates_that_torch_has_not_are_refused_by_name(word: str, tmp_path: Path) -> None:
    attributes = {"mode": "linear", "coordinate_transformation_mode": word}
    built = on_map([node("Resize", "h - s", **attributes)], {"s": floats(1, 1, 2, 2)})
    with pytest.raises(UnsupportedOperation, match=f"Resize.*opset 17.*{word}"):
        checked(built, tmp_path)
