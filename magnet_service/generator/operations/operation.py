"""What an entry of the table of operations is, and what a graph is made of: nodes that each name one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from magnet_service.generator.operations.reader import CallReader

__all__ = [
    "Attribute",
    "Comparison",
    "Constants",
    "Draft",
    "Folded",
    "Kind",
    "Lowered",
    "Node",
    "Operation",
    "Overwritten",
    "Reference",
    "Spread",
]

Attribute = int | float | bool | str | None | tuple["Attribute", ...]


class Kind(StrEnum):
    """What an operation does to piecewise affine maps."""

    AFFINE = "affine"
    PIECEWISE_LINEAR = "piecewise_linear"
    SMOOTH = "smooth"
    STRUCTURAL = "structural"


@dataclass(frozen=True)
class Reference:
    """A value of the graph while it is being lowered.

    Attributes:
        index: 0 for the latent, i + 1 for the value of node i.
        shape: of one row, without the batch.
    """

    index: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Spread:
    """A constant that the program repeats for every row.

    Attributes:
        tensor: [1, *shape].
    """

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row, without the batch."""
        return tuple(self.tensor.shape[1:])


@dataclass(frozen=True)
class Comparison:
    """`value > threshold`, element by element: never a node, only half of a pattern that another entry completes."""

    value: Reference
    threshold: float


@dataclass(frozen=True)
class Folded:
    """A value whose rows the program has folded into another dimension, for a convolution with a group for every row.

    Attributes:
        value: with its rows in front, as the graph knows it.
        channels: True for [1, rows x channels, ...], False for [rows x outputs, ...].
    """

    value: Reference | Spread
    channels: bool


@dataclass(frozen=True)
class Overwritten:
    """A name whose memory an in-place call has written over: reading it is refused.

    Attributes:
        place: of the in-place call.
    """

    place: str


@dataclass(frozen=True)
class Draft:
    """A node before it has a name, a shape and a place.

    Attributes:
        inputs: values it reads.
        attributes: numbers, with dimensions counted from the batch (0) and never negative.
        tensors: weights by role, as they stand in the file.
        operation: entry of the table, where it is not the one whose target was met.
        folded: whether its result has the rows folded into the channels, as `Folded` says.
    """

    inputs: tuple[Reference | Spread, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    operation: str | None = None
    folded: bool = False


Lowered = Draft | Reference | Spread | Comparison | Folded | tuple[Draft, ...]


@dataclass(frozen=True)
class Node:
    """One operation of a graph.

    Attributes:
        name: name of its value in the file.
        operation: name of its entry in the table.
        inputs: indices of values: 0 the latent, i + 1 the value of node i.
        attributes: see `Draft`.
        tensors: weights by role, as they stand in the file.
        shape: of one row of its value, without the batch.
        place: where it stands, for messages.
    """

    name: str
    operation: str
    inputs: tuple[int, ...]
    attributes: Mapping[str, Attribute]
    tensors: Mapping[str, Tensor]
    shape: tuple[int, ...]
    place: str

    def integer(self, name: str) -> int:
        """Attribute `name`, which is an integer; TypeError otherwise."""
        value = self.attributes[name]
        if not isinstance(value, int):
            raise TypeError(f"attribute {name} of {self.name} is {value!r}, not an integer")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """Attribute `name`, which is a tuple of integers; TypeError otherwise."""
        value = self.attributes[name]
        if not isinstance(value, tuple):
            raise TypeError(f"attribute {name} of {self.name} is {value!r}, not a tuple")
        return tuple(item for item in value if isinstance(item, int))

    def number(self, name: str) -> float:
        """Attribute `name`, which is a number; TypeError otherwise."""
        value = self.attributes[name]
        if not isinstance(value, int | float):
            raise TypeError(f"attribute {name} of {self.name} is {value!r}, not a number")
        return value

    def optional_number(self, name: str) -> float | None:
        """Attribute `name`, which is a number or absent; TypeError otherwise."""
        return None if self.attributes.get(name) is None else self.number(name)

    def flag(self, name: str) -> bool:
        """Attribute `name`, which is true or false; TypeError otherwise."""
        value = self.attributes[name]
        if not isinstance(value, bool):
            raise TypeError(f"attribute {name} of {self.name} is {value!r}, not a truth value")
        return value

    def text(self, name: str) -> str:
        """Attribute `name`, which is text; TypeError otherwise."""
        value = self.attributes[name]
        if not isinstance(value, str):
            raise TypeError(f"attribute {name} of {self.name} is {value!r}, not text")
        return value


Constants = Mapping[str, Tensor]


@dataclass(frozen=True)
class Operation:
    """One entry of the table: everything that the rest of the package knows about an operator.

    Values are [rows, *shape]. Tangents are [rows or 1, columns, *shape]: a leading 1 says that all rows share them,
    as they do up to the first nonlinearity; None says that the value does not depend on the latent.

    Attributes:
        name: unique in the table.
        kind: affine, piecewise linear, smooth or structural.
        targets: operators of the file that begin here, as `aten.linear.default`.
        lower: reads a call and checks its arguments; refuses what the rules below do not cover.
        forward: (node, inputs, constants) -> value.
        tangent: (node, inputs, output, tangents, constants, reuse) -> tangents of the value; `reuse` says that the
            incoming tangents belong to nobody else any more and may be written over.
        slope: (node, inputs, output, constants) -> the diagonal of the Jacobian, a number or [rows or nothing, *shape],
            for elementwise operations of one value whose result has the value's shape; None for all others.
        states: (node, inputs) -> integer states [rows, *shape of the value], for piecewise linear kinds; at a
            breakpoint exactly, a unit takes the lower state; among equal entries of a pooling window the first wins.
        breakpoints: (node) -> the pre-activations at which a unit's piece changes, ascending, for elementwise
            piecewise linear kinds.
        contenders: (node, shapes of the inputs) -> [units, most] places, in the inputs' rows flattened and joined, of
            the entries of which a unit takes the largest, or the smallest where the node's `largest` says so, of equal
            ones the first; -1 fills lines. For the piecewise linear kinds that are not elementwise.
        prepare: (tensors in float64) -> constants in float64 that forward and tangent read; the tensors themselves
            where None. Results are rounded to the working precision once.
        elementwise: each output element depends on the input element at its own place only.
        aliases: the tangents returned may share memory with those given.
    """

    name: str
    kind: Kind
    targets: frozenset[str]
    lower: Callable[[CallReader], Lowered]
    forward: Callable[[Node, Sequence[Tensor], Constants], Tensor]
    tangent: Callable[[Node, Sequence[Tensor], Tensor, Sequence[Tensor | None], Constants, bool], Tensor | None]
    slope: Callable[[Node, Sequence[Tensor], Tensor, Constants], Tensor | float] | None = None
    states: Callable[[Node, Sequence[Tensor]], Tensor] | None = None
    breakpoints: Callable[[Node], tuple[float, ...]] | None = None
    contenders: Callable[[Node, Sequence[tuple[int, ...]]], Tensor] | None = None
    prepare: Callable[[Node, Constants], Mapping[str, Tensor]] | None = None
    elementwise: bool = False
    aliases: bool = False
