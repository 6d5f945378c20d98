"""Files made to do harm end in a typed error, soon, without a crash and without a huge allocation."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from magnet_service.errors import DamagedData, MagnetError, RefusedArchive, UnsupportedOperation
from magnet_service.generator import Generator, read_onnx
from tests.generator.onnx.models import draw, model, node, on_map, saved

DENSE = {"w": draw(7, 6), "b": draw(7)}
LAYER = node("Gemm", "z w b", "f", transB=1)
MOST_KIBIBYTES = 1 << 20


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture(autouse=True)
def _no_huge_allocation() -> object:
    before = peak()
    yield
    assert peak() - before < MOST_KIBIBYTES


def rejected(built: ModelProto, folder: Path, match: str | None = None) -> MagnetError:
    with pytest.raises(MagnetError, match=match) as error:
        Generator.from_program(read_onnx(saved(built, folder)))
    return error.value


@pytest.mark.parametrize("dims", [[1 << 40], [1 << 31, 1 << 31], [-1, 6], [7, 6, 0], [1] * 40, [7, 7]])
def test_declared_sizes_that_the_bytes_do_not_hold(dims: list[int], tmp_path: Path) -> None:
    built = model([LAYER], DENSE, output="f")
    built.graph.initializer[0].ClearField("dims")
    built.graph.initializer[0].dims.extend(dims)
    assert isinstance(rejected(built, tmp_path), DamagedData | RefusedArchive | UnsupportedOperation)


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def span(stop: int, step: int) -> dict[str, np.ndarray]:
    return {"a": np.int64(0), "b": np.int64(stop), "c": np.int64(step)}


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([node("ConstantOfShape", "s", "c"), node("Add", "f c")], {"s": ints(1 << 20, 1 << 20)}),
        ([node("ConstantOfShape", "s", "c"), node("Add", "f c")], {"s": ints(-1, 5)}),
        ([node("Expand", "o s", "c"), node("Add", "f c")], {"o": draw(1), "s": ints(1 << 20, 1 << 20)}),
        ([node("Expand", "f s")], {"s": ints(1, 1 << 60)}),
        ([node("Tile", "f s")], {"s": ints(1, 1 << 60)}),
        ([node("Tile", "o s", "c"), node("Add", "f c")], {"o": draw(4), "s": ints(1 << 40)}),
        ([node("Range", "a b c", "r"), node("Reshape", "f r")], span(1 << 60, 1)),
        ([node("Range", "a b c", "r"), node("Reshape", "f r")], span(9, 0)),
        ([node("Pad", "f p")], {"p": ints(0, 1 << 60, 0, 0)}),
        ([node("Pad", "f p")], {"p": ints(0, -(1 << 60), 0, 0)}),
        ([node("Reshape", "f s")], {"s": ints(-1, 1 << 40, 1 << 40)}),
        ([node("Reshape", "f s")], {"s": np.arange(100)}),
        ([node("Gather", "f i", axis=1)], {"i": ints(1 << 60)}),
        ([node("Gather", "f i", axis=99)], {"i": ints(0)}),
        ([node("Split", "f s", "x y", axis=1)], {"s": ints(1 << 62, 1 << 62)}),
        ([node("Unsqueeze", "f a")], {"a": np.full(60, 1)}),
        ([node("Slice", "f s e a t")], {"s": ints(0), "e": ints(1 << 62), "a": ints(1), "t": ints(0)}),
        ([node("Concat", "f f", axis=1 << 40)], {}),
        ([node("Transpose", "f", perm=[1, 1])], {}),
        ([node("Softmax", "f", axis=-(1 << 62))], {}),
        ([node("Pow", "f p")], {"p": draw(7)}),
        ([node("Cast", "f", to=99)], {}),
        ([node("LayerNormalization", "f b", epsilon=float("nan"))], {}),
        ([node("LeakyRelu", "f", alpha=float("inf"))], {}),
        ([node("LeakyRelu", "f", alpha="text")], {}),
        ([node("Gemm", "f b")], {}),
        ([node("Relu", "")], {}),
        ([helper.make_node("Relu", [], ["x"])], {}),
        ([node("Mul", "f c"), ], {"c": ints(1, 2, 3, 4, 5, 6, 7).reshape(7, 1)}),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(nodes: list[object], weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    rejected(model([LAYER, *nodes], {**DENSE, **weights}), tmp_path, r"node \d of \d|row of|z w b")


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [0, 1]},
        {"strides": [1 << 62, 1]},
        {"dilations": [1 << 62, 1]},
        {"pads": [1 << 62, 0, 0, 0]},
        {"pads": [-99, 0, 0, 0]},
        {"pads": [1, 1]},
        {"group": 0},
        {"group": -4},
        {"group": 1 << 60},
        {"kernel_shape": [9, 9]},
        {"auto_pad": "SOMEHOW"},
        {"strides": "text"},
    ],
)
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_windows_that_do_not_fit(op: str, attributes: dict[str, object], tmp_path: Path) -> None:
    rejected(on_map([node(op, "h k", **attributes)], {"k": draw(4, 4, 3, 3)}), tmp_path, f"{op} 'x'")


def test_constants_that_double_at_every_node(tmp_path: Path) -> None:
    nodes = [node("Concat", "c0 c0", "c1", axis=0)]
    nodes += [node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=0) for i in range(1, 60)]
    rejected(model([*nodes, node("Mul", "z c60")], {"c0": draw(1024)}), tmp_path, "far more constants")


def test_rows_that_double_at_every_node(tmp_path: Path) -> None:
    nodes = [node("Concat", f"{'z' if i == 0 else f'c{i}'} " * 2, f"c{i + 1}", axis=1) for i in range(60)]
    nodes.append(node("Relu", "c60"))
    rejected(model(nodes), tmp_path, "too large")


def test_sizes_that_square_at_every_node(tmp_path: Path) -> None:
    nodes = [node("Shape", "f", "s0"), *(node("Mul", f"s{i} s{i}", f"s{i + 1}") for i in range(60))]
    rejected(model([LAYER, *nodes, node("Reshape", "f s60")], DENSE), tmp_path, "square of the number of rows")


def test_names_that_nothing_defines_and_cycles(tmp_path: Path) -> None:
    rejected(model([LAYER, node("Add", "f ghost")], DENSE), tmp_path, "reads 'ghost', which no earlier node defines")
    loop = [LAYER, node("Add", "f b2", "a2"), node("Relu", "a2", "b2"), node("Relu", "b2")]
    rejected(model(loop, DENSE), tmp_path, r"node 2 of 4.*reads 'b2', which no earlier node defines")
    rejected(model([node("Relu", "x", "x")]), tmp_path, "reads 'x'")
    rejected(model([LAYER, node("Relu", "f", "f"), node("Relu", "f")], DENSE), tmp_path, "a second time")
    rejected(model([node("Gemm", "z w b", "w", transB=1), node("Relu", "w")], DENSE), tmp_path, "a second time")


def test_functions_that_call_themselves_or_each_other_without_end(tmp_path: Path) -> None:
    sets = [helper.make_opsetid("custom", 1), helper.make_opsetid("", 17)]

    def function(name: str, *inner: str) -> object:
        nodes = [helper.make_node(one, ["a"], [f"t{i}"], domain="custom") for i, one in enumerate(inner)]
        return helper.make_function("custom", name, ["a"], ["t0"], nodes, sets)

    for functions in (
        [function("F0", "F0")],
        [function("F0", "F1"), function("F1", "F0")],
        [function(f"F{i}", *[f"F{i + 1}"] * 9) for i in range(12)],
    ):
        built = model([helper.make_node("F0", ["z"], ["x"], domain="custom")])
        built.opset_import.append(helper.make_opsetid("custom", 1))
        built.functions.extend(functions)
        rejected(built, tmp_path, "deep|nodes|custom")


def wrapped(field: int, data: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    size, length = bytearray(), len(data)
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([field << 3 | 2]) + bytes(size) + bytes([length]) + data


@pytest.mark.parametrize("depth", [20, 200, 20_000])
def test_deep_nesting(depth: int, tmp_path: Path) -> None:
    branch = node("If", "z", "x").SerializeToString()
    for _ in range(depth):  # a graph in an attribute of a node of a graph ...
        attribute = wrapped(1, b"then_branch") + wrapped(6, wrapped(1, branch)) + b"\xa0\x01\x05"
        branch = node("If", "z", "x").SerializeToString() + wrapped(5, attribute)
    path = saved(model([node("Relu", "z")]), tmp_path)
    path.write_bytes(path.read_bytes() + wrapped(7, wrapped(1, branch)))
    with pytest.raises(MagnetError, match="a second time|control flow" if depth == 20 else "not an ONNX file"):
        read_onnx(path)


def test_more_nodes_than_are_read(tmp_path: Path) -> None:
    nodes = [node("Relu", "z" if i == 0 else f"a{i - 1}", f"a{i}") for i in range(20_001)]
    rejected(model(nodes, output="a20000"), tmp_path, "more than 20000 nodes")


def test_an_element_type_that_does_not_exist(tmp_path: Path) -> None:
    built = model([LAYER], DENSE, output="f")
    built.graph.initializer[0].data_type = 77
    rejected(built, tmp_path, "of type 77")
    built.graph.initializer[0].data_type = TensorProto.UNDEFINED
    rejected(built, tmp_path, "UNDEFINED")
