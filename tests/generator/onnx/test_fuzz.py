"""A good file with bytes flipped, or nodes, names, attributes and sizes exchanged: taken or refused, never a crash."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto

from magnet_service.errors import MagnetError
from magnet_service.generator import Generator, interpret, read_onnx
from tests.generator.onnx.models import draw, node, on_map


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def good() -> ModelProto:
    """A file with a little of everything."""
    nodes = [
        node("Shape", "h", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Concat", "n tail", "t", axis=0),
        node("Conv", "h k", "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c g b m v", "d"),
        node("LeakyRelu", "d", "e", alpha=0.2),
        node("Resize", "e - scales", "r", mode="nearest"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Add", "p h", "q"),
        node("Reshape", "q t", "u"),
        node("Slice", "u starts ends", "y"),
        node("Tanh", "y"),
    ]
    weights = {
        **{name: np.abs(draw(2)) for name in "gbmv"},
        "k": draw(2, 2, 3, 3),
        "zero": ints(0),
        "tail": ints(8, 2),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "starts": ints(0, 1),
        "ends": ints(1 << 40, 7),
    }
    return on_map(nodes, weights, (2, 4, 2), opset=13)


def attempt(data: bytes, folder: Path) -> bool:
    """Whether a file is taken; what refuses it must be a typed error, and what takes it must run."""
    path = folder / "generator.onnx"
    path.write_bytes(data)
    try:
        program = read_onnx(path)
        generator = Generator.from_program(program)
        if generator.latent_dim * generator.output_dim > 1 << 20:
            return True
        latents = torch.zeros(2, generator.latent_dim)
        generator.forward(latents)
        interpret(program, latents)
    except MagnetError:
        return False
    return True


def flipped(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 8))):
        place = source.randrange(len(changed))
        action = source.randrange(4)
        if action == 0:
            changed[place] ^= 1 << source.randrange(8)
        elif action == 1:
            changed[place] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif action == 2:
            del changed[place : place + source.randrange(1, 9)]
        else:
            changed[place:place] = changed[place : place + source.randrange(1, 9)]
    return bytes(changed)


def edited(source: random.Random) -> bytes:
    """The good file with nodes, names, attributes or sizes exchanged."""
    built = good()
    graph = built.graph
    numbers = (0, 1, -1, 2, 7, 1 << 31, 1 << 62, -(1 << 63), (1 << 63) - 1)
    for _ in range(source.choice((1, 1, 2, 4))):
        action = source.randrange(8)
        one = source.choice(graph.node)
        if action == 0:
            graph.node.remove(one)
        elif action == 1:
            names = [name for other in graph.node for name in (*other.input, *other.output)]
            if one.input:
                one.input[source.randrange(len(one.input))] = source.choice(names)
        elif action == 2:
            one.op_type = source.choice([other.op_type for other in graph.node] + ["Sqrt", "Pad", "Expand", "Gemm"])
        elif action == 3 and one.attribute:
            attribute = source.choice(one.attribute)
            attribute.i = source.choice(numbers)
            attribute.ints[:] = [source.choice(numbers) for _ in attribute.ints]
            attribute.f = source.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
        elif action == 4:
            tensor = source.choice(graph.initializer)
            if tensor.raw_data and tensor.data_type == TensorProto.INT64:
                array = np.frombuffer(tensor.raw_data, np.int64).copy()
                array[source.randrange(array.size)] = source.choice(numbers)
                tensor.raw_data = array.tobytes()
        elif action == 5:
            tensor = source.choice(graph.initializer)
            if tensor.dims:
                tensor.dims[source.randrange(len(tensor.dims))] = source.choice(numbers)
        elif action == 6:
            source.choice(graph.initializer).data_type = source.randrange(20)
        else:
            built.opset_import[0].version = source.randrange(5, 24)
        if not graph.node:
            break
    return built.SerializeToString()


def fuzz(rounds: int, seed: int, folder: Path) -> None:
    source = random.Random(seed)
    data = good().SerializeToString()
    assert attempt(data, folder)
    taken = [attempt(flipped(data, source), folder) for _ in range(rounds)]
    taken += [attempt(edited(source), folder) for _ in range(rounds)]
    assert not all(taken)


@pytest.mark.parametrize("seed", range(2))
def test_changed_files_are_taken_or_refused(seed: int, tmp_path: Path) -> None:
    fuzz(60, seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_changed_files_are_taken_or_refused(seed: int, tmp_path: Path) -> None:
    fuzz(2000, seed, tmp_path)
