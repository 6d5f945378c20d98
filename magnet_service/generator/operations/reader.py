"""Reading one call's arguments while it is lowered: typed, by schema name, refusing in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from torch import Tensor

from magnet_service.errors import UnsupportedOperation
from magnet_service.generator.operations.operation import (
    Comparison,
    Folded,
    Node,
    Overwritten,
    Reference,
    Spread,
)
from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Value

__all__ = ["Binding", "CallReader", "Operand"]

Operand = Reference | Spread | Tensor
Binding = Operand | Comparison | Folded | Overwritten


@dataclass(frozen=True)
class CallReader:
    """A call together with what its names stand for.

    Attributes:
        call: the call, with arguments by schema name; those absent have the schema's default.
        bindings: what every earlier name stands for.
        nodes: the nodes so far; `Reference.index - 1` points into them.
    """

    call: Call
    bindings: Mapping[str, Binding]
    nodes: tuple[Node, ...]

    def refuse(self, why: str) -> NoReturn:
        """Raise UnsupportedOperation that names operator, place and reason."""
        raise UnsupportedOperation(
            f"{self.call.target} at {self.call.place}: {why}",
            metadata={"operation": self.call.target, "place": self.call.place},
        )

    def given(self, name: str) -> bool:
        """Whether the call writes the argument with something other than None."""
        return self.call.arguments.get(name) is not None

    def bound(self, name: str) -> Binding | None:
        """What the name in an argument stands for, whatever it is; None where no name is written."""
        argument = self.call.arguments.get(name)
        return self.bindings[argument.name] if isinstance(argument, Value | Constant) else None

    def bind(self, argument: Argument) -> Operand | Comparison:
        """What a name stands for; refused where the argument is no tensor, or its memory has been written over."""
        if isinstance(argument, Value | Constant):
            bound = self.bindings[argument.name]
            if isinstance(bound, Overwritten):
                self.refuse(
                    f"it reads {argument.name!r}, which {bound.place} has written over through a view of it; write "
                    f"that layer without inplace=True"
                )
            if isinstance(bound, Folded):
                self.refuse(
                    f"the rows of {argument.name!r} are folded into another dimension, where only a convolution with a "
                    f"group for every row is supported; write the layer with the rows in front"
                )
            return bound
        self.refuse(f"a tensor is expected where {argument!r} stands")

    def operand(self, name: str) -> Operand:
        """A tensor argument: a value, a constant spread over the rows, or a constant."""
        bound = self.bind(self.call.arguments.get(name))
        if isinstance(bound, Comparison):
            self.refuse(f"the result of a comparison is used as a number in `{name}`")
        return bound

    def operands(self, name: str) -> tuple[Operand, ...]:
        """An argument that is a list of tensors."""
        argument = self.call.arguments.get(name)
        if not isinstance(argument, tuple):
            self.refuse(f"a list of tensors is expected in `{name}`")
        bound = tuple(self.bind(item) for item in argument)
        tensors = tuple(item for item in bound if not isinstance(item, Comparison))
        if len(tensors) != len(bound):
            self.refuse(f"the result of a comparison is used as a number in `{name}`")
        return tensors

    def value(self, name: str) -> Reference | Spread:
        """An argument that has rows; refused where it is a constant."""
        operand = self.operand(name)
        if isinstance(operand, Tensor):
            self.refuse(f"`{name}` is a constant without rows")
        return operand

    def constant(self, name: str) -> Tensor:
        """A constant argument; refused where it depends on the latent."""
        operand = self.operand(name)
        if isinstance(operand, Reference):
            self.refuse(f"`{name}` depends on the latent, and only a constant is supported there")
        if isinstance(operand, Spread):
            self.refuse(f"`{name}` has a row for every latent, and only a plain constant is supported there")
        return operand

    def optional_constant(self, name: str) -> Tensor | None:
        """A constant argument or None."""
        return self.constant(name) if self.given(name) else None

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer argument; refused where it is absent without default."""
        argument = self.call.arguments.get(name, default)
        if isinstance(argument, bool) or not isinstance(argument, int):
            self.refuse(f"`{name}` is {argument!r}, and an integer is expected")
        return argument

    def number(self, name: str, default: float | None = None) -> float:
        """A number; refused where it is absent without default."""
        argument = self.call.arguments.get(name, default)
        if isinstance(argument, bool) or not isinstance(argument, int | float):
            self.refuse(f"`{name}` is {argument!r}, and a number is expected")
        return float(argument)

    def optional_number(self, name: str) -> float | None:
        """A number or None."""
        return self.number(name) if self.given(name) else None

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value."""
        argument = self.call.arguments.get(name, default)
        if not isinstance(argument, bool):
            self.refuse(f"`{name}` is {argument!r}, and a truth value is expected")
        return argument

    def text(self, name: str, default: str) -> str:
        """A word."""
        argument = self.call.arguments.get(name, default)
        if not isinstance(argument, str):
            self.refuse(f"`{name}` is {argument!r}, and a word is expected")
        return argument

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of integers; a lone integer reads as a list of one."""
        argument = self.call.arguments.get(name, default)
        if isinstance(argument, int) and not isinstance(argument, bool):
            return (argument,)
        if not isinstance(argument, tuple):
            self.refuse(f"`{name}` is {argument!r}, and a list of integers is expected")
        items = tuple(item for item in argument if isinstance(item, int))
        if len(items) != len(argument):
            self.refuse(f"`{name}` is {argument!r}, and a list of plain integers is expected")
        return items

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """A list of numbers or None."""
        argument = self.call.arguments.get(name)
        if argument is None:
            return None
        if not isinstance(argument, tuple):
            self.refuse(f"`{name}` is {argument!r}, and a list of numbers is expected")
        items = tuple(float(item) for item in argument if isinstance(item, int | float))
        if len(items) != len(argument):
            self.refuse(f"`{name}` is {argument!r}, and a list of numbers is expected")
        return items

    def spatial(self, name: str, dims: int, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of integers with one entry a spatial dimension; a list of one stands for all of them."""
        items = self.integers(name, default) or default
        if len(items) not in (1, dims):
            self.refuse(f"`{name}` is {items!r}, and {dims} entries are expected")
        return items * dims if len(items) == 1 else items

    def sizes(self, name: str) -> tuple[int | BatchSize, ...]:
        """A list of sizes, among them perhaps the number of rows."""
        argument = self.call.arguments.get(name)
        if not isinstance(argument, tuple):
            self.refuse(f"`{name}` is {argument!r}, and a list of sizes is expected")
        items = tuple(item for item in argument if isinstance(item, int | BatchSize))
        if len(items) != len(argument):
            self.refuse(f"`{name}` is {argument!r}, and sizes are integers or the number of rows")
        return items

    def dimension(self, rank: int, name: str = "dim", default: int | None = None) -> int:
        """A dimension of a value of `rank` dimensions with the batch, counted from 0; the batch itself is refused."""
        return self.place_of(self.integer(name, default), rank)

    def dimensions(self, rank: int, name: str = "dim") -> tuple[int, ...]:
        """Several dimensions, sorted; the batch among them is refused."""
        return tuple(sorted(self.place_of(dim, rank) for dim in self.integers(name)))

    def place_of(self, dim: int, rank: int) -> int:
        """`dim` counted from 0; refused where it is the batch or outside the rank."""
        place = dim + rank if dim < 0 else dim
        if not 0 <= place < rank:
            self.refuse(f"dimension {dim} is outside a value of {rank} dimensions")
        if place == 0:
            self.refuse("it works across the rows of a batch, and rows must stay independent")
        return place
