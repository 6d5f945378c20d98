"""What a translator of one ONNX operator sees: its node, its inputs by type, and where it writes calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import numpy as np

from magnet_service.generator.onnx_builder import MOVED, Builder, Given
from magnet_service.generator.onnx_nodes import OnnxNode
from magnet_service.generator.onnx_sizes import RowCount, Size
from magnet_service.generator.onnx_values import Array, Held, Known, Rows, short

__all__ = ["Reading", "Translator"]


@dataclass(frozen=True)
class Reading:
    """A node together with what its inputs stand for.

    Attributes:
        node: the node.
        builder: what the names stand for, and where calls are written.
    """

    node: OnnxNode
    builder: Builder

    def refuse(self, why: str) -> NoReturn:
        """Raise UnsupportedOperation that names the node and the reason."""
        self.node.refuse(why)

    def given(self, index: int) -> bool:
        """Whether input `index` is there; an empty tensor stands for one that is not."""
        if index >= len(self.node.inputs) or not self.node.inputs[index]:
            return False
        held = self.held(index)
        return isinstance(held, Rows) or held.array.ndim != 1 or held.array.size > 0

    def held(self, index: int) -> Held:
        """Input `index`, whatever it is."""
        if index >= len(self.node.inputs) or not self.node.inputs[index]:
            self.node.damaged(f"its input {index} is missing")
        name = self.node.inputs[index]
        if name not in self.builder.values:
            self.node.damaged(f"it reads {name[:120]!r}, which no earlier node defines")
        return self.builder.values[name]

    def rows(self, index: int) -> Rows:
        """An input that has rows; refused where it is a constant."""
        held = self.moved(index)
        if held.order:
            self.refuse(MOVED)
        return held

    def moved(self, index: int) -> Rows:
        """An input that has rows, be they behind other dimensions."""
        held = self.held(index)
        if isinstance(held, Known):
            self.refuse(f"its input {index} ({self.node.inputs[index][:80]!r}) is a constant without rows")
        return held

    def known(self, index: int) -> Known:
        """A constant input; refused where it depends on the latents."""
        held = self.held(index)
        if isinstance(held, Rows):
            self.refuse(
                f"its input {index} ({self.node.inputs[index][:80]!r}) depends on the latents, and only a constant is "
                f"supported there"
            )
        return held

    def optional(self, index: int) -> Known | None:
        """A constant input or None."""
        return self.known(index) if self.given(index) else None

    def sizes(self, index: int) -> tuple[Size, ...]:
        """A constant list of sizes, among them perhaps the number of rows."""
        flat = self.known(index).array.reshape(-1)
        if flat.dtype.kind == "f":
            self.node.damaged(f"its input {index} holds {flat.dtype}, where sizes are expected")
        if flat.size > 64:
            self.node.damaged(f"its input {index} lists {flat.size} sizes")
        return tuple(item if isinstance(item, RowCount) else int(item) for item in flat.tolist())

    def integers(self, index: int) -> tuple[int, ...]:
        """A constant list of plain integers."""
        items = self.sizes(index)
        plain = tuple(item for item in items if isinstance(item, int))
        if len(plain) != len(items):
            self.refuse(f"its input {index} counts rows; export again with a dynamic batch")
        return plain

    def numbers(self, index: int) -> tuple[float, ...]:
        """A constant list of finite numbers."""
        items = tuple(float(item) for item in self.known(index).array.reshape(-1).tolist())
        if not all(math.isfinite(item) for item in items):
            self.refuse(f"its input {index} holds a number that is not finite")
        return items

    def scalar(self, index: int, default: float) -> float:
        """A constant number: the shortest decimal that float32 rounds to the one stored."""
        if not self.given(index):
            return default
        array = self.known(index).array
        if array.size != 1:
            self.refuse(f"its input {index} holds {array.size} numbers, where one is expected")
        return self.number_of(array)

    def number_of(self, array: Array) -> float:
        """The only number of an array; NaN is refused."""
        item = array.reshape(-1)[0]
        if isinstance(item, RowCount):
            self.refuse("the number of rows is used as a number")
        value = short(float(item)) if array.dtype == np.float32 else float(item)
        if math.isnan(value):
            self.refuse("a constant in it is not a number (NaN); export a checkpoint from before the training diverged")
        return value

    def axes(self, attribute_until: int, index: int = 1) -> tuple[int, ...] | None:
        """Axes: an attribute up to that opset, an input after it; None where they are left out."""
        if self.node.opset <= attribute_until or self.node.given("axes"):
            return self.node.integers("axes")
        return self.integers(index) if self.given(index) else None

    def axis(self, value: int, rank: int) -> int:
        """An axis counted from 0; the batch itself is refused."""
        place = value + rank if value < 0 else value
        if not 0 <= place < rank:
            self.node.damaged(f"axis {value} is outside a value of {rank} dimensions")
        if place == 0:
            self.refuse("it works along the batch, and rows must stay independent")
        return place

    def emit(self, target: str, /, **arguments: Given) -> Held:
        """Write a call of `aten.TARGET` and return its result."""
        return self.builder.call(self.node, f"aten.{target}", 1, arguments)[0]

    def emit_many(self, target: str, count: int, /, **arguments: Given) -> tuple[Held, ...]:
        """Write a call of `aten.TARGET` and return its first `count` results."""
        return self.builder.call(self.node, f"aten.{target}", count, arguments)


Translator: TypeAlias = Callable[[Reading], Held | tuple[Held, ...]]
