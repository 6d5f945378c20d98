"""One node of an ONNX graph: its attributes by type, its place in words, and its refusals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from onnx import AttributeProto, TensorProto

from magnet_service.errors import DamagedData, UnsupportedOperation
from magnet_service.generator.onnx_values import short

__all__ = ["OnnxNode"]


@dataclass(frozen=True)
class OnnxNode:
    """A node after functions are written out.

    Attributes:
        op: operator type, as `Gemm`.
        opset: version of the standard operator set that gives it its meaning.
        inputs: names; empty where an optional input is left out.
        outputs: names; empty where an optional output is left out.
        attributes: by name.
        place: where it stands, for messages: `node 3 of 12 (Relu 'relu_2', opset 13)`.
    """

    op: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeProto]
    place: str

    def refuse(self, why: str) -> NoReturn:
        """Raise UnsupportedOperation that names the node and the reason."""
        raise UnsupportedOperation(
            f"{self.place}: {why}", metadata={"operation": f"onnx.{self.op}", "place": self.place}
        )

    def damaged(self, why: str) -> NoReturn:
        """Raise DamagedData that names the node and the reason."""
        raise DamagedData(f"{self.place}: {why}. The file contradicts itself; export it again.")

    def given(self, name: str) -> bool:
        """Whether the attribute is written."""
        return name in self.attributes

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        if name not in self.attributes:
            return default
        return int(self._typed(name, AttributeProto.INT).i)

    def number(self, name: str, default: float) -> float:
        """A finite number: the shortest decimal that float32 rounds to the one stored."""
        if name not in self.attributes:
            return default
        value = short(self._typed(name, AttributeProto.FLOAT).f)
        if not math.isfinite(value):
            self.refuse(f"{name} is {value}, and a finite number is expected")
        return value

    def text(self, name: str, default: str) -> str:
        """A word."""
        if name not in self.attributes:
            return default
        return self._typed(name, AttributeProto.STRING).s.decode("utf-8", "replace")

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers; None where it is not written."""
        if name not in self.attributes:
            return None
        return tuple(int(item) for item in self._typed(name, AttributeProto.INTS).ints)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """A list of numbers; None where it is not written."""
        if name not in self.attributes:
            return None
        return tuple(short(item) for item in self._typed(name, AttributeProto.FLOATS).floats)

    def tensor(self, name: str) -> TensorProto | None:
        """A tensor; None where it is not written."""
        if name not in self.attributes:
            return None
        return self._typed(name, AttributeProto.TENSOR).t

    def _typed(self, name: str, kind: int) -> AttributeProto:
        attribute = self.attributes[name]
        if attribute.type != kind:
            self.damaged(f"attribute {name!r} is of type {attribute.type}, not {kind}")
        return attribute
