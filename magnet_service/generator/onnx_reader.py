"""Reading an `.onnx` file: protobuf and raw bytes into a program of ATen calls, without onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path

from onnx import ModelProto, TensorProto

from magnet_service.errors import DamagedData, RefusedArchive
from magnet_service.generator.onnx_builder import Builder
from magnet_service.generator.onnx_file import read_model
from magnet_service.generator.onnx_functions import flat_nodes, needed_nodes
from magnet_service.generator.onnx_inputs import read_inputs
from magnet_service.generator.onnx_nodes import OnnxNode
from magnet_service.generator.onnx_reading import Reading
from magnet_service.generator.onnx_table import translate
from magnet_service.generator.onnx_tensors import TensorReader
from magnet_service.generator.onnx_values import Known, Rows
from magnet_service.generator.program import Program

__all__ = ["data_files", "read_onnx"]

_ROUNDED = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def read_onnx(path: str | os.PathLike[str], *, max_bytes: int = 4 << 30) -> Program:
    """Read the program and the weights of an `.onnx` file.

    Operators of opset 7 to 26 that the table names become ATen calls, so that a network is the same graph from here as
    from its `.pt2`. Sizes are worked out while it is read, with the batch as a symbol: one that was baked into the file
    follows the number of rows again, where rows stay independent.

    Arguments:
        path: the file; its data files are looked for in the same folder, or below, only.
        max_bytes: bound on the size of the file, and on that of its tensors.

    Returns:
        The program, with its constants on the CPU in float32.

    Raises:
        InvalidInput: there is no such file (field `file`).
        UnsupportedOperation: an operator, or a use of one, outside the table; named with its node and opset.
        RefusedArchive: weights in another type than float32, a dynamic width, several inputs or outputs, training mode,
            data files outside the folder, opsets that are not read, or more than `max_bytes`.
        Refused: noise inside (NOISE_INSIDE), weights that are not numbers (NOT_FINITE).
        DamagedData: bytes that contradict themselves, names that nothing defines, data files that are missing.

    Accuracy: weights bit for bit, but for those that are computed from others (rounding of float32). Numbers in
        attributes are the shortest decimals that round to what is stored: 1e-5 and not 9.99999975e-06.

    Cost: one pass over the file.

    References:
        ONNX, `docs/IR.md` and `docs/Operators.md` of github.com/onnx/onnx.
    """
    file = Path(path)
    model = read_model(file, max_bytes)
    graph = model.graph
    if graph.sparse_initializer:
        raise RefusedArchive(f"{file} holds sparse weights, which are not read; export it with dense ones.")
    tensors = TensorReader(file, max_bytes)
    for tensor in graph.initializer:
        tensors.check_location(tensor, tensor.name)
    inputs = read_inputs(graph, file)
    output = _output(model, file)
    nodes = needed_nodes(flat_nodes(model), output)
    builder = Builder(_names(model, nodes))
    builder.values[inputs.latent] = Rows(inputs.latent, inputs.latent_shape)
    if inputs.condition is not None:
        condition = inputs.condition
        builder.values[condition.name] = Rows(condition.name, condition.shape, condition.dtype)
    _read_weights(model, nodes, tensors, builder)
    for node in nodes:
        since = len(builder.calls)
        builder.name_results(node, translate(Reading(node, builder), tensors), since)
    held = builder.values.get(output)
    if held is None:
        raise DamagedData(f"{file}: no node defines the output {output[:120]!r}; export it again.")
    if isinstance(held, Known) or held.name in (inputs.latent, inputs.condition and inputs.condition.name):
        raise RefusedArchive(f"{file}: the output {output[:120]!r} is not computed from the latents.")
    if held.order:
        raise RefusedArchive(f"{file}: the output {output[:120]!r} does not have the batch as its first dimension.")
    return Program(
        latent=inputs.latent,
        latent_shape=inputs.latent_shape,
        output=held.name,
        calls=tuple(builder.calls),
        constants=builder.constants,
        batch=inputs.batch,
        condition=inputs.condition,
    )


def data_files(path: Path) -> tuple[str, ...]:
    """Return the data files that a file reads its weights from, relative to its folder, sorted.

    Arguments:
        path: an `.onnx` file.

    Returns:
        Their names; none where all weights are inside.

    Raises:
        The same as `read_onnx` where a data file lies outside the folder or is missing.

    Accuracy: exact.
    """
    model = read_model(path, 4 << 30)
    reader = TensorReader(path, 0)
    found: set[str] = set()
    for tensor in _all_tensors(model):
        reader.check_location(tensor, tensor.name)
        if tensor.data_location == TensorProto.EXTERNAL:
            found.update(entry.value for entry in tensor.external_data if entry.key == "location")
    return tuple(sorted(found))


def _all_tensors(model: ModelProto) -> list[TensorProto]:
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    held = [attribute.t for node in nodes for attribute in node.attribute if attribute.HasField("t")]
    return [*model.graph.initializer, *held]


def _output(model: ModelProto, path: Path) -> str:
    names = [item.name for item in model.graph.output]
    if len(names) != 1 or not names[0]:
        listed = ", ".join(repr(name[:80]) for name in names[:8]) or "none"
        raise RefusedArchive(
            f"{path} has {len(names)} outputs ({listed}): export a generator that returns the images alone.",
            reason="ONE_OUTPUT",
        )
    return names[0]


def _names(model: ModelProto, nodes: list[OnnxNode]) -> set[str]:
    names = {tensor.name for tensor in model.graph.initializer} | {item.name for item in model.graph.input}
    return names.union(*((*node.inputs, *node.outputs) for node in nodes))


def _read_weights(model: ModelProto, nodes: list[OnnxNode], tensors: TensorReader, builder: Builder) -> None:
    """Read the initializers that the nodes use; more than one number of another floating type is refused."""
    used = {name for node in nodes for name in node.inputs}
    for tensor in model.graph.initializer:
        if tensor.name not in used:
            continue
        if tensor.name in builder.values:
            raise DamagedData(f"{tensors.path}: {tensor.name[:120]!r} is defined twice; export it again.")
        array = tensors.read(tensor, tensor.name)
        if tensor.data_type in _ROUNDED and array.size > 1:
            raise RefusedArchive(
                f"{tensors.path}: the weight {tensor.name[:120]!r} is {TensorProto.DataType.Name(tensor.data_type)}, "
                f"and only float32 is read: export the generator in float32 (module.float()).",
                reason="ELEMENT_TYPE",
                metadata={"tensor": tensor.name[:120]},
            )
        builder.values[tensor.name] = Known(array, tensor.name)
        builder.earn(array.size)
