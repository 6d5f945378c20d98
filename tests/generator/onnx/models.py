"""Small ONNX files written node by node, and how each is read, run and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from magnet_service.generator import Generator, Program, read_onnx, verify
from magnet_service.generator.onnx_runtime import runtime_reference

Weights = dict[str, Any]

LATENT = 6


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def node(op: str, inputs: str, outputs: str = "x", **attributes: Any) -> NodeProto:
    """`node("Gemm", "z w b", "x", transB=1)`; `-` stands for an input that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


def model(
    nodes: Sequence[NodeProto],
    weights: Weights | None = None,
    *,
    opset: int = 17,
    latent: Sequence[int | str | None] = ("batch", LATENT),
    output: str = "x",
    kind: int = TensorProto.FLOAT,
) -> ModelProto:
    """A model of one input `z` and one output, weights as initializers."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(
        list(nodes),
        "generator",
        [helper.make_tensor_value_info("z", kind, list(latent))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 21 else 10)


def on_map(
    nodes: Sequence[NodeProto],
    weights: Weights | None = None,
    shape: tuple[int, ...] = (4, 5, 6),
    *,
    opset: int = 17,
    output: str = "x",
) -> ModelProto:
    """The same after a dense layer that makes a map `h` of that shape."""
    width = int(np.prod(shape))
    stem = [node("Gemm", "z stem stem_bias", "flat"), node("Reshape", "flat stem_shape", "h")]
    held = {"stem": draw(LATENT, width), "stem_bias": draw(width), "stem_shape": np.array([-1, *shape])}
    return model([*stem, *nodes], {**held, **(weights or {})}, opset=opset, output=output)


def saved(built: ModelProto, folder: Path, name: str = "generator.onnx") -> Path:
    path = folder / name
    path.write_bytes(built.SerializeToString())
    return path


def checked(built: ModelProto, folder: Path) -> tuple[Generator, Program]:
    """Read a model; its outputs must be onnxruntime's to 1e-5 and its Jacobian autograd's."""
    path = saved(built, folder)
    program = read_onnx(path)
    generator = Generator.from_program(program)
    runtime = runtime_reference(path, program)
    assert runtime is not None, "onnxruntime does not load the model"
    for rows in (1, 3, 16):
        latents = torch.randn(rows, generator.latent_dim, generator=torch.Generator().manual_seed(rows))
        expected = runtime(latents)
        assert expected is not None, "onnxruntime does not run the model"
        found = generator.forward(latents)
        assert found.shape == expected.shape
        assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
    found = verify(generator, program, None, runtime=runtime)
    assert found.reference == "onnxruntime"
    return generator, program


def with_external_data(built: ModelProto, folder: Path, location: str = "weights.bin") -> Path:
    """Save a model with its weights in a data file."""
    path = folder / "generator.onnx"
    onnx.save_model(built, str(path), save_as_external_data=True, location=location, size_threshold=0)
    return path
