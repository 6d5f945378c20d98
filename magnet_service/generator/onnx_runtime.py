"""onnxruntime as the reference of an `.onnx` file, where it is installed; nothing is served by it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magnet_service.generator.program import Program

__all__ = ["Reference", "runtime_reference"]

Reference = Callable[..., Tensor | None]

_ERRORS = (
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoModel",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
)


def runtime_reference(path: Path, program: Program) -> Reference | None:
    """Return what computes the outputs of a file by onnxruntime.

    Arguments:
        path: the `.onnx` file, which has been read before.
        program: what was read from it.

    Returns:
        latents [rows, d] (and the condition [rows, ...] where there is one) -> outputs [rows, ...] in float32, or None
        where onnxruntime cannot run it on them. It runs row by row where the file's batch does not follow the rows.
        None where onnxruntime is not installed or does not load the file.

    Raises:
        nothing.

    Accuracy: that of onnxruntime in float32, without its graph optimizations.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
        state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError:
        return None
    failures: tuple[type[BaseException], ...] = (RuntimeError, ValueError, *(getattr(state, n) for n in _ERRORS))
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except failures:
        return None

    def outputs(latents: Tensor, condition: Tensor | None = None) -> Tensor | None:
        feeds = _feeds(program, latents, condition, {item.name: item.type for item in session.get_inputs()})
        for size in dict.fromkeys((len(latents), program.batch or 1, 1)):
            try:
                return _run(session, feeds, len(latents), size)
            except failures:
                continue
        return None

    return outputs


def _feeds(program: Program, latents: Tensor, condition: Tensor | None, types: dict[str, str]) -> dict[str, Any]:
    feeds = {program.latent: latents.float().reshape(-1, *program.latent_shape).numpy()}
    if program.condition is not None and condition is not None:
        rows = condition.expand(len(latents), *condition.shape[1:]).reshape(-1, *program.condition.shape).numpy()
        narrow = types.get(program.condition.name) == "tensor(int32)"
        feeds[program.condition.name] = rows.astype(np.int32 if narrow else rows.dtype)
    return feeds


def _run(session: Any, feeds: dict[str, Any], rows: int, size: int) -> Tensor:
    parts: list[Tensor] = []
    for start in range(0, rows, size):
        # The last of several parts is filled up with its own last row: a fixed batch takes no fewer.
        places = np.minimum(np.arange(start, start + size), rows - 1)
        (found,) = session.run(None, {name: array[places] for name, array in feeds.items()})
        if not isinstance(found, np.ndarray) or found.ndim < 2 or len(found) != size:
            raise ValueError("the outputs have no row for every latent")
        parts.append(torch.from_numpy(found.copy())[: rows - start])
    return torch.cat(parts)
