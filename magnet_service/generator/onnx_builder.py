"""The program as it grows while an ONNX graph is read: calls written, constants taken in, shapes worked out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from magnet_service.errors import RefusedArchive
from magnet_service.generator.finite import check_finite
from magnet_service.generator.onnx_nodes import OnnxNode
from magnet_service.generator.onnx_values import Held, Known, Rows
from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Value

__all__ = ["MOVED", "Builder", "Given"]

Given: TypeAlias = Held | BatchSize | int | float | bool | str | tuple["Given", ...] | None

MOVED = (
    "it reads a value whose batch a transpose has moved away from the front, and rows must stay independent. Keep the "
    "batch first in every layer and export again with a dynamic batch"
)
_LARGEST = 1 << 28
_INDICES = ("index", "indices")
_FREE, _TIMES = 1 << 22, 8
_PROBE_ROWS = 61
_TYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}


class Builder:
    """Calls, constants and what every name stands for.

    Attributes:
        values: what the names of the graph stand for.
        calls: written so far.
        constants: tensors that the calls read, by name.
        left: numbers that computed constants may still hold, all of them together: a multiple of those stored.
    """

    def __init__(self, taken: set[str]) -> None:
        self.values: dict[str, Held] = {}
        self.calls: list[Call] = []
        self.constants: dict[str, Tensor] = {}
        self.left = _FREE
        self._taken = set(taken)

    def earn(self, count: int) -> None:
        """Allow more computed constants for the numbers of a weight that is stored."""
        self.left += _TIMES * count

    def spend(self, count: int) -> None:
        """Count the numbers of a constant that is about to be computed; ValueError where they are too many."""
        if count > self.left:
            raise ValueError("far more constants would have to be computed than the file holds weights")
        self.left -= count

    def call(self, node: OnnxNode, target: str, count: int, arguments: Mapping[str, Given]) -> tuple[Held, ...]:
        """Write a call of an ATen operator, or carry it out where nothing in it has rows.

        Arguments:
            node: of which it is a part.
            target: as `aten.relu.default`.
            count: how many of its results are used.
            arguments: by the operator's schema names.

        Returns:
            Its results.

        Raises:
            UnsupportedOperation: a result has no row for every latent, or is huge.
            RefusedArchive: a constant is not float32.
            Refused: a constant is not finite.
            RuntimeError, ValueError, TypeError, IndexError: torch refuses the arguments.

        Accuracy: exact; constants computed from constants are rounded to float32.
        """
        has_rows = _has_rows(tuple(arguments.values()))
        written = {key: self._written(node, key, value) for key, value in arguments.items()} if has_rows else {}
        outline = self._outline(target, arguments)
        for tensor in outline[:count]:
            if math.prod(tensor.shape[1:]) > _LARGEST:
                node.refuse(f"a row of {math.prod(tensor.shape[1:])} numbers is too large")
        if not has_rows:
            self.spend(sum(tensor.numel() for tensor in outline[:count]))
            results = _run(target, {key: _real(value) for key, value in arguments.items()})
            return tuple(Known(_single(tensor).numpy()) for tensor in results[:count])
        names = tuple(self._fresh(node) for _ in range(count))
        self.calls.append(Call(target, written, names, node.place))
        for tensor in outline[:count]:
            if tensor.dim() == 0 or tensor.shape[0] != _PROBE_ROWS:
                node.refuse(
                    "its result does not have the batch as its first dimension, and rows must stay independent. Keep "
                    "the batch first in every layer and export again with a dynamic batch"
                )
        return tuple(
            Rows(name, tuple(tensor.shape[1:]), tensor.dtype)
            for name, tensor in zip(names, outline[:count], strict=True)
        )

    def name_results(self, node: OnnxNode, results: tuple[Held, ...], since: int) -> None:
        """Bind a node's outputs; values that its calls made, of number `since` on, take the names of the outputs."""
        renamed: dict[str, str] = {}
        made = {name for call in self.calls[since:] for name in call.outputs}
        for name, held in zip(node.outputs, results, strict=False):
            if not name:
                continue
            if name in self.values:
                node.damaged(f"it defines {name[:120]!r} a second time")
            if isinstance(held, Rows) and held.name in made and held.name not in renamed:
                renamed[held.name] = name
                held = replace(held, name=name)
            self.values[name] = held
        if renamed:
            self.calls[since:] = [_renamed(call, renamed) for call in self.calls[since:]]

    def _outline(self, target: str, arguments: Mapping[str, Given]) -> tuple[Tensor, ...]:
        return _run(target, {key: _ghost(value) for key, value in arguments.items()})

    def _written(self, node: OnnxNode, role: str, value: Given) -> Argument:
        if isinstance(value, Rows):
            if value.order:
                node.refuse(MOVED)
            return Value(value.name)
        if isinstance(value, Known):
            return self._constant(node, role, value)
        return tuple(self._written(node, role, item) for item in value) if isinstance(value, tuple) else value

    def _constant(self, node: OnnxNode, role: str, known: Known) -> Constant:
        array = known.array
        what = f"the tensor {known.name[:120]!r}" if known.name is not None else "a tensor"
        if array.dtype == object:
            node.refuse("the number of rows is used as a number")
        if array.dtype != np.float32 and not (role in _INDICES and array.dtype.kind in "iu"):
            raise RefusedArchive(
                f"{node.place}: {what} is {array.dtype}, and only float32 is read: export the generator in float32 "
                f"(module.float()).",
                reason="ELEMENT_TYPE",
                metadata={"place": node.place},
            )
        name = known.name if known.name is not None else self._fresh(node)
        if name not in self.constants:
            tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
            check_finite(tensor, f"{node.place}: {what}")
            self.constants[name] = tensor
        return Constant(name)

    def _fresh(self, node: OnnxNode) -> str:
        stem = next((name for name in node.outputs if name), node.op)
        number = 1
        while f"{stem}.{number}" in self._taken:
            number += 1
        self._taken.add(f"{stem}.{number}")
        return f"{stem}.{number}"


def _has_rows(arguments: tuple[Given, ...]) -> bool:
    return any(_has_rows(item) if isinstance(item, tuple) else isinstance(item, Rows | BatchSize) for item in arguments)


def _run(target: str, arguments: Mapping[str, object]) -> tuple[Tensor, ...]:
    namespace, name, overload = target.split(".")
    result = getattr(getattr(getattr(torch.ops, namespace), name), overload)(**arguments)
    return tuple(result) if isinstance(result, list | tuple) else (result,)


def _ghost(value: Given) -> object:
    if isinstance(value, Rows):
        return torch.empty(_PROBE_ROWS, *value.shape, dtype=value.dtype, device="meta")
    if isinstance(value, Known):
        if value.array.dtype == object:
            raise ValueError("the number of rows is used as a number")
        return torch.empty(value.array.shape, dtype=_torch_dtype(value), device="meta")
    if isinstance(value, BatchSize):
        return _PROBE_ROWS
    if isinstance(value, str) and value in _TYPES:
        return _TYPES[value]
    return [_ghost(item) for item in value] if isinstance(value, tuple) else value


def _torch_dtype(known: Known) -> torch.dtype:
    return torch.from_numpy(np.empty(0, known.array.dtype)).dtype


def _real(value: Given) -> object:
    if isinstance(value, Known):
        tensor = torch.from_numpy(np.require(value.array, requirements=["C", "W"]))
        return tensor.double() if tensor.dtype == torch.float32 else tensor
    if isinstance(value, str) and value in _TYPES:
        return _TYPES[value]
    return [_real(item) for item in value] if isinstance(value, tuple) else value


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _renamed(call: Call, names: Mapping[str, str]) -> Call:
    def other(argument: Argument) -> Argument:
        if isinstance(argument, Value):
            return Value(names.get(argument.name, argument.name))
        return tuple(other(item) for item in argument) if isinstance(argument, tuple) else argument

    return replace(
        call,
        arguments={key: other(value) for key, value in call.arguments.items()},
        outputs=tuple(names.get(name, name) for name in call.outputs),
    )
