"""Forms that exporters have written over the years: shape chains, baked batches, NHWC, functions, data files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper

from magnet_service.errors import UnsupportedOperation
from magnet_service.generator import Generator, read_onnx, verify
from magnet_service.generator.onnx_reader import data_files
from magnet_service.generator.onnx_runtime import runtime_reference
from tests.generator.onnx.models import checked, draw, model, node, on_map, saved, with_external_data


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


STEM = {"w": draw(24, 6), "b": draw(24)}
LAYER = node("Gemm", "z w b", "f", transB=1)


def reshaped(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], opset: int = 13) -> ModelProto:
    return model([LAYER, *nodes], {**STEM, **weights}, opset=opset)


CHAINS = {
    # view(x.shape[0], 4, 2, 3): Shape, Gather, Unsqueeze, Concat
    "gathered": (
        [
            node("Shape", "f", "s"),
            node("Gather", "s i", "n", axis=0),
            node("Unsqueeze", "n", "u", axes=[0]),
            node("Concat", "u r", "t", axis=0),
            node("Reshape", "f t"),
        ],
        {"i": np.int64(0), "r": ints(4, 2, 3)},
        11,
    ),
    # unflatten: Mod of the axis, Slice of the shape before it
    "modulo": (
        [
            node("Mod", "d k", "a"),
            node("Reshape", "a one", "e"),
            node("Shape", "f", "s"),
            node("Slice", "s zero e", "h"),
            node("Concat", "h r", "t", axis=0),
            node("Reshape", "f t"),
        ],
        {"d": np.int64(-1), "k": np.int64(2), "one": ints(1), "zero": ints(0), "r": ints(4, 2, 3)},
        13,
    ),
    # view(x.shape[0], x.shape[1] // 6, 2, 3), cast back and forth
    "arithmetic": (
        [
            node("Shape", "f", "s"),
            node("Gather", "s one", "c", axis=0),
            node("Div", "c six", "q"),
            node("Cast", "q", "q32", to=TensorProto.INT32),
            node("Cast", "q32", "q64", to=TensorProto.INT64),
            node("Mul", "s ones", "m"),
            node("Slice", "m zero one", "n"),
            node("Concat", "n q64 r", "t", axis=0),
            node("Reshape", "f t"),
        ],
        {"one": ints(1), "six": ints(6), "ones": ints(1, 1), "zero": ints(0), "r": ints(2, 3)},
        13,
    ),
    # sizes of a constant made for every row
    "made": (
        [
            node("Shape", "f", "s"),
            node("Gather", "s i", "n", axis=0),
            node("Concat", "n four", "t", axis=0),
            node("ConstantOfShape", "t", "c", value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])),
            node("Concat", "f c", axis=1),
        ],
        {"i": ints(0), "four": ints(4)},
        13,
    ),
    # expand: Equal, Where and ConstantOfShape over the sizes
    "expanded": (
        [
            node("Shape", "f", "s"),
            node("Gather", "s i", "n", axis=0),
            node("Concat", "n r", "t", axis=0),
            node("Shape", "t", "k"),
            node("ConstantOfShape", "k", "o", value=helper.make_tensor("v", TensorProto.INT64, [1], [1])),
            node("Mul", "o m", "neg"),
            node("Equal", "t neg", "p"),
            node("Where", "p o t", "sizes"),
            node("Expand", "c sizes", "e"),
            node("Mul", "e f"),
        ],
        {"i": ints(0), "r": ints(24), "m": np.int64(-1), "c": draw(1, 24)},
        13,
    ),
    "tiled": (
        [
            node("Shape", "f", "s", end=1),
            node("Concat", "s one", "t", axis=0),
            node("Tile", "c t", "e"),
            node("Add", "f e"),
        ],
        {"one": ints(1), "c": draw(1, 24)},
        15,
    ),
    # the size of a map, doubled, as a target of Resize
    "resized": (
        [
            node("Reshape", "f t", "h"),
            node("Shape", "h", "s"),
            node("Slice", "s two four", "hw"),
            node("Mul", "hw twos", "big"),
            node("Slice", "s zero two", "nc"),
            node("Concat", "nc big", "sizes", axis=0),
            node("Resize", "h - - sizes", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        ],
        {"t": ints(-1, 4, 2, 3), "two": ints(2), "four": ints(4), "twos": ints(2, 2), "zero": ints(0)},
        13,
    ),
    # torch's own at opset 9: the size by Cast, Mul and Floor
    "floored": (
        [
            node("Reshape", "f t", "h"),
            node("Shape", "h", "s"),
            node("Gather", "s two", "y", axis=0),
            node("Cast", "y", "yf", to=TensorProto.FLOAT),
            node("Mul", "yf c", "ys"),
            node("Floor", "ys", "yi"),
            node("Div", "yi yf", "q"),
            node("Concat", "ones q q", "scales", axis=0),
            node("Upsample", "h scales", mode="nearest"),
        ],
        {"t": ints(-1, 4, 2, 3), "two": ints(2), "c": np.array([2], np.float32), "ones": np.ones(2, np.float32)},
        9,
    ),
    "size": (
        [
            node("Size", "f", "n"),
            node("Div", "n k", "rows"),
            node("Reshape", "rows one", "r1"),
            node("Range", "lo hi step", "tail"),
            node("Concat", "r1 tail", "t", axis=0),
            node("Reshape", "f t"),
        ],
        {"k": np.int64(24), "one": ints(1), "lo": np.int64(4), "hi": np.int64(8), "step": np.int64(2)},
        13,
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_over_shapes_are_folded(name: str, tmp_path: Path) -> None:
    nodes, weights, opset = CHAINS[name]
    if name == "floored":
        opset = 9
    if name == "size":
        nodes, weights = nodes, {**weights, "lo": np.int64(4), "hi": np.int64(7), "step": np.int64(2)}  # 4, 6
    generator, _ = checked(reshaped(nodes, weights, opset), tmp_path)
    known = {"linear", "view", "upsample", "concatenate", "constant", "multiply", "shift"}
    assert {entry.operation for entry in generator.graph.nodes} <= known


def baked(sizes: np.ndarray, batch: int | str, more: list[onnx.NodeProto] | None = None) -> ModelProto:
    nodes = [LAYER, node("Reshape", "f t", "h"), *(more or [node("Relu", "h")])]
    return model(nodes, {**STEM, "t": sizes}, latent=(batch, 6))


@pytest.mark.parametrize(
    ("sizes", "batch"),
    [
        (ints(1, 4, 2, 3), 1),
        (ints(1, 4, 2, 3), "batch"),
        (ints(1, -1, 2, 3), 1),
        (ints(-1, 4, 2, 3), 1),
        (ints(3, 24), 3),
    ],
)
def test_a_batch_baked_into_a_reshape_follows_the_rows(sizes: np.ndarray, batch: int | str, tmp_path: Path) -> None:
    path = saved(baked(sizes, batch), tmp_path)
    program = read_onnx(path)
    generator = Generator.from_program(program)
    assert program.batch == (batch if isinstance(batch, int) else None)
    runtime = runtime_reference(path, program)
    found = verify(generator, program, None, runtime=runtime)
    assert (found.reference, found.forward_error < 1e-5) == ("onnxruntime", True)
    latents = torch.randn(5, 6)
    assert torch.equal(generator.forward(latents)[3:4], generator.forward(latents[3:4].repeat(5, 1))[3:4])


@pytest.mark.parametrize(
    ("sizes", "batch"), [(ints(4, 2, 3), 1), (ints(24), 1), (ints(2, 12), 1), (ints(-1, 6), "batch"), (ints(-1, 1), 1)]
)
def test_a_batch_that_cannot_follow_the_rows_is_refused_by_name(
    sizes: np.ndarray, batch: int | str, tmp_path: Path
) -> None:
    path = saved(baked(sizes, batch), tmp_path)
    with pytest.raises(UnsupportedOperation, match=r"node 2 of 3 \(Reshape 'h', opset 17\).*baked.*dynamic batch"):
        read_onnx(path)


def test_outputs_in_nhwc(tmp_path: Path) -> None:
    generator, _ = checked(on_map([node("Tanh", "h", "t"), node("Transpose", "t", perm=[0, 2, 3, 1])]), tmp_path)
    assert generator.output_shape == (5, 6, 4)
    assert generator.has_smooth_head


def test_initializers_may_stand_among_the_inputs(tmp_path: Path) -> None:
    built = reshaped([node("Relu", "f")], {})
    built.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [24, 6]))
    built.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [24]))
    checked(built, tmp_path)


def test_nodes_that_the_output_does_not_need_may_be_anything(tmp_path: Path) -> None:
    built = reshaped([node("Relu", "f"), node("LSTM", "nothing f", "unused")], {})
    path = saved(built, tmp_path)
    assert [entry.operation for entry in Generator.from_program(read_onnx(path)).graph.nodes] == ["linear", "relu"]


def test_functions_of_the_file_are_written_out(tmp_path: Path) -> None:
    inner = helper.make_function(
        "custom",
        "Scaled",
        ["a", "s"],
        ["r"],
        [node("Mul", "a s", "t"), node("LeakyRelu", "t", "r")],
        [helper.make_opsetid("", 17)],
        ["alpha"],
    )
    reference = onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="alpha")
    inner.node[1].attribute.append(reference)
    outer = helper.make_function(
        "custom",
        "Twice",
        ["a", "s"],
        ["r"],
        [
            helper.make_node("Scaled", ["a", "s"], ["t"], domain="custom", alpha=0.3),
            helper.make_node("Scaled", ["t", "s"], ["r"], domain="custom", alpha=0.1),
        ],
        [helper.make_opsetid("custom", 1), helper.make_opsetid("", 17)],
    )
    call = helper.make_node("Twice", ["f", "c"], ["x"], domain="custom")
    built = reshaped([call], {"c": draw(24)}, 17)
    built.opset_import.append(helper.make_opsetid("custom", 1))
    built.functions.extend([inner, outer])
    generator, program = checked(built, tmp_path)
    assert [entry.operation for entry in generator.graph.nodes] == ["linear", *["multiply", "leaky_relu"] * 2]
    assert "node 2 of 2 (LeakyRelu" in program.calls[2].place
    assert "(Twice 'x'" in program.calls[2].place


def test_weights_in_data_files_beside_it(tmp_path: Path) -> None:
    built = reshaped([node("Relu", "f")], {})
    inside = Generator.from_program(read_onnx(saved(built, tmp_path, "inside.onnx")))
    path = with_external_data(built, tmp_path)
    assert data_files(path) == ("weights.bin",)
    assert Generator.from_program(read_onnx(path)).digest == inside.digest
    (tmp_path / "deep").mkdir()
    path.unlink()
    path = with_external_data(reshaped([node("Relu", "f")], {}), tmp_path, "deep/weights.bin")
    assert data_files(path) == ("deep/weights.bin",)
    assert Generator.from_program(read_onnx(path)).digest == inside.digest


def test_weights_as_lists_of_numbers(tmp_path: Path) -> None:
    built = reshaped([node("Relu", "f")], {})
    for tensor in built.graph.initializer:
        numbers = np.frombuffer(tensor.raw_data, np.float32)
        tensor.ClearField("raw_data")
        tensor.float_data.extend(numbers.tolist())
    checked(built, tmp_path)


def test_a_shared_weight_is_stored_once(tmp_path: Path) -> None:
    nodes = [node("Identity", "w", "w2"), node("Gemm", "z w b", "f"), node("Gemm", "f w2 b")]
    _, program = checked(model(nodes, {"w": draw(6, 6), "b": draw(6)}, opset=13), tmp_path)
    assert len(program.constants) == 3  # the two transposes are not the same tensor, the bias is
