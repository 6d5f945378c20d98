"""Files that are not taken: each by an error that names what and where, and what to do instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

from magnet_service.errors import (
    DamagedData,
    InvalidInput,
    MagnetError,
    Refused,
    RefusedArchive,
    UnsupportedOperation,
)
from magnet_service.generator import read_archive, read_onnx
from tests.generator.onnx.models import draw, model, node, saved

DENSE = {"w": draw(7, 6), "b": draw(7)}
LAYER = node("Gemm", "z w b", "f", transB=1)


def refused(built: ModelProto, folder: Path, kind: type[MagnetError], match: str) -> MagnetError:
    with pytest.raises(kind, match=match) as caught:
        read_onnx(saved(built, folder))
    assert type(caught.value) is kind
    return caught.value


def after(op: str, weights: dict[str, np.ndarray] | None = None, **attributes: object) -> ModelProto:
    return model([LAYER, node(op, "f", **attributes)], {**DENSE, **(weights or {})})


@pytest.mark.parametrize("op", ["LSTM", "NonZero", "Hardmax", "Made_Up", "QLinearConv"])
def test_an_operator_outside_the_table(op: str, tmp_path: Path) -> None:
    error = refused(
        after(op), tmp_path, UnsupportedOperation, rf"node 2 of 2 \({op} 'x', opset 17\).*not supported.*export"
    )
    assert error.metadata == {"operation": f"onnx.{op}", "place": f"node 2 of 2 ({op} 'x', opset 17)"}


def test_another_operator_set(tmp_path: Path) -> None:
    built = model([LAYER, helper.make_node("FusedMatMul", ["f"], ["x"], domain="com.microsoft", name="fused")], DENSE)
    refused(
        built, tmp_path, UnsupportedOperation, r"node 2 of 2 \(FusedMatMul 'fused'.*'com.microsoft' is not read.*fused"
    )


@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_control_flow(op: str, tmp_path: Path) -> None:
    refused(after(op), tmp_path, UnsupportedOperation, rf"{op} 'x', opset 17.*control flow is not read.*traces")


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_noise_inside(op: str, tmp_path: Path) -> None:
    error = refused(after(op), tmp_path, Refused, rf"{op} 'x', opset 17.*draws noise inside.*constant")
    assert error.reason == "NOISE_INSIDE"


def test_noise_of_its_own_shape(tmp_path: Path) -> None:
    built = model([node("RandomNormal", "", "n", shape=[1, 6]), node("Add", "z n")])
    refused(built, tmp_path, Refused, r"node 1 of 2 \(RandomNormal 'n', opset 17\).*draws noise inside")


@pytest.mark.parametrize("width", ["width", None])
def test_a_dynamic_width(width: str | None, tmp_path: Path) -> None:
    built = model([node("Relu", "z")], latent=("batch", width))
    error = refused(
        built, tmp_path, RefusedArchive, f"'z' has a dynamic width: its dimension 1 is '{width or 'left open'}'"
    )
    assert error.reason == "DYNAMIC_WIDTH"


@pytest.mark.parametrize("kind", ["FLOAT16", "DOUBLE", "BFLOAT16"])
def test_latents_of_another_type(kind: str, tmp_path: Path) -> None:
    built = model([node("Relu", "z")], kind=TensorProto.DataType.Value(kind))
    assert refused(built, tmp_path, RefusedArchive, f"'z' is {kind}.*float32").reason == "ELEMENT_TYPE"


@pytest.mark.parametrize(("dtype", "kind"), [(np.float16, "FLOAT16"), (np.float64, "DOUBLE")])
def test_weights_of_another_type(dtype: type, kind: str, tmp_path: Path) -> None:
    built = model([LAYER], {"w": draw(7, 6).astype(dtype), "b": draw(7)}, output="f")
    error = refused(built, tmp_path, RefusedArchive, f"the weight 'w' is {kind}.*export the generator in float32")
    assert error.reason == "ELEMENT_TYPE"


def test_weights_of_sixteen_bits_behind_a_cast(tmp_path: Path) -> None:
    nodes = [node("Cast", "w16", "w", to=TensorProto.FLOAT), LAYER]
    built = model(nodes, {"w16": draw(7, 6).astype(np.float16), "b": draw(7)}, output="f")
    refused(built, tmp_path, RefusedArchive, "the weight 'w16' is FLOAT16.*float32")


def test_a_lone_number_of_sixty_four_bits_where_numbers_are_computed(tmp_path: Path) -> None:
    built = model([LAYER, node("PRelu", "f s")], {**DENSE, "s": np.array([0.5])})
    refused(built, tmp_path, RefusedArchive, "PRelu.*'s' is float64.*float32")


def test_a_cast_that_rounds(tmp_path: Path) -> None:
    refused(after("Cast", to=TensorProto.FLOAT16), tmp_path, UnsupportedOperation, "Cast.*float16 rounds.*float32")
    refused(after("Cast", to=TensorProto.INT64), tmp_path, UnsupportedOperation, "Cast.*int64 rounds.*float32")


def add_input(built: ModelProto, name: str, kind: int, *shape: int | str) -> ModelProto:
    built.graph.input.append(helper.make_tensor_value_info(name, kind, list(shape)))
    return built


def test_three_inputs_are_named(tmp_path: Path) -> None:
    built = add_input(add_input(after("Relu"), "noise", 1, "batch", 6), "label", 7, "batch")
    error = refused(built, tmp_path, RefusedArchive, r"3 inputs \('z', 'noise', 'label'\).*one latent input.*condition")
    assert error.reason == "ONE_LATENT_INPUT"


@pytest.mark.parametrize(
    ("kind", "shape"), [(TensorProto.FLOAT, ("batch", "w")), (TensorProto.BOOL, ("batch", 3)), (7, ("batch", 4))]
)
def test_a_second_input_that_is_no_condition(kind: int, shape: tuple[str | int, ...], tmp_path: Path) -> None:
    error = refused(add_input(after("Relu"), "more", kind, *shape), tmp_path, RefusedArchive, "'more' is no condition")
    assert error.reason == "CONDITION_INPUT"


def test_no_input_at_all(tmp_path: Path) -> None:
    built = after("Relu")
    built.graph.ClearField("input")
    refused(built, tmp_path, RefusedArchive, r"0 inputs \(none\)")


def test_two_outputs_are_named(tmp_path: Path) -> None:
    built = after("Relu")
    built.graph.output.append(helper.make_tensor_value_info("f", 1, None))
    assert refused(built, tmp_path, RefusedArchive, r"2 outputs \('x', 'f'\)").reason == "ONE_OUTPUT"


@pytest.mark.parametrize("name", ["z", "w"])
def test_an_output_that_nothing_computes(name: str, tmp_path: Path) -> None:
    refused(model([LAYER], DENSE, output=name), tmp_path, RefusedArchive if name == "z" else DamagedData, name)


def test_training_mode(tmp_path: Path) -> None:
    norm = {name: np.abs(draw(7)) for name in "gnmv"}
    nodes = [LAYER, node("BatchNormalization", "f g n m v", "x rm rv", training_mode=1)]
    error = refused(
        model(nodes, {**DENSE, **norm}), tmp_path, RefusedArchive, r"BatchNormalization.*opset 17.*\.eval\(\)"
    )
    assert error.reason == "TRAINING_MODE"
    nodes = [LAYER, node("BatchNormalization", "f g n m v", "x rm rv sm sv")]
    refused(
        model(nodes, {**DENSE, **norm}, opset=9), tmp_path, RefusedArchive, r"BatchNormalization.*opset 9.*\.eval\(\)"
    )
    drop = [LAYER, node("Dropout", "f r t")]
    weights = {**DENSE, "r": np.float32(0.5), "t": np.bool_(True)}
    refused(model(drop, weights), tmp_path, RefusedArchive, r"Dropout.*\.eval\(\)")


def test_weights_that_are_no_numbers_in_either_format(tmp_path: Path) -> None:
    broken = {**DENSE, "w": np.where(np.arange(42).reshape(7, 6) < 2, np.nan, DENSE["w"]).astype(np.float32)}
    built = model([LAYER], broken, output="f")
    assert refused(built, tmp_path, Refused, r"Gemm 'f'.*'w' holds 2 entries.*NaN.*checkpoint").reason == "NOT_FINITE"
    built = model([node("Mul", "z c")], {"c": np.float32(np.nan)})
    refused(built, tmp_path, UnsupportedOperation, "Mul.*NaN.*checkpoint")
    module = torch.nn.Linear(6, 7)
    with torch.no_grad():
        module.weight[0, 0] = float("nan")
    program = torch.export.export(module, (torch.zeros(2, 6),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "g.pt2")
    with pytest.raises(Refused, match=r"g\.pt2.*'p_weight' holds 1 entries.*NaN"):
        read_archive(tmp_path / "g.pt2")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "holds no graph"),
        (b"not a protobuf at all, only text", "not an ONNX file"),
        (b"\x80\x02}q\x00.", "not an ONNX file|holds no graph"),
        (b"PK\x03\x04" + bytes(40), "not an ONNX file|holds no graph"),
    ],
)
def test_another_kind_of_file(data: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "generator.onnx"
    path.write_bytes(data)
    with pytest.raises(DamagedData, match=match):
        read_onnx(path)


def test_a_file_cut_short_at_any_place(tmp_path: Path) -> None:
    data = after("Relu").SerializeToString()
    path = tmp_path / "generator.onnx"
    for end in range(0, len(data), 3):
        path.write_bytes(data[:end])
        with pytest.raises((DamagedData, RefusedArchive)):
            read_onnx(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be opened") as error:
        read_onnx(tmp_path / "missing.onnx")
    assert error.value.field == "file"
    with pytest.raises(InvalidInput, match="cannot be opened"):
        read_onnx(tmp_path)


@pytest.mark.parametrize("opset", [1, 6, 99])
def test_opsets_that_are_not_read(opset: int, tmp_path: Path) -> None:
    built = after("Relu")
    built.opset_import[0].version = opset
    assert refused(built, tmp_path, RefusedArchive, f"opset {opset}.*7 to 26").reason == "OPSET_VERSION"


def test_no_operator_set(tmp_path: Path) -> None:
    built = after("Relu")
    built.ClearField("opset_import")
    refused(built, tmp_path, DamagedData, "imports no version")


def test_text_weights(tmp_path: Path) -> None:
    built = after("Relu")
    built.graph.initializer[1].CopyFrom(helper.make_tensor("b", TensorProto.STRING, [1], [b"x"]))
    refused(built, tmp_path, RefusedArchive, "'b' is of type STRING.*float32")


def test_sparse_weights(tmp_path: Path) -> None:
    built = after("Relu")
    values = numpy_helper.from_array(draw(1), "s")
    indices = numpy_helper.from_array(np.array([0], np.int64), "i")
    built.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    refused(built, tmp_path, RefusedArchive, "sparse weights.*dense")
