"""A conditional program: lowered for one condition after another, its weights shared between them."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from magnet_service.errors import InvalidInput, UnsupportedOperation
from magnet_service.generator.graph import Graph, written
from magnet_service.generator.lowering import lower
from magnet_service.generator.operations import Node
from magnet_service.generator.program import Argument, BatchSize, Call, ConditionInput, Constant, Program, Value

if TYPE_CHECKING:
    from magnet_service.generator.generator import Generator

__all__ = ["ConditionValue", "Conditional", "bound", "program_digest"]

ConditionValue = Tensor | int | Sequence[float]
_KEPT = 64
_FEWEST = 4
_KEPT_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Conditional:
    """What the generators of all conditions of one program have in common.

    Attributes:
        program: the program, with its condition left open.
        input: the condition that it takes.
        digest: of the program, see `program_digest`.
        folded: constants computed from its weights alone, by name.
        prepared: what the rules of its nodes read, by device, type and the memory of the weights.
        recent: the generators of the conditions last used.
        kept: how many of them. What is prepared of the weights for a Jacobian may be folded with a condition, and is
            then not shared: few where the weights are large, so that all of it stays near 1 GiB.
    """

    program: Program
    input: ConditionInput
    digest: str
    folded: dict[str, Tensor] = field(default_factory=dict)
    prepared: dict[object, Mapping[str, Tensor]] = field(default_factory=dict)
    recent: OrderedDict[tuple[float, ...], Generator] = field(default_factory=OrderedDict)
    kept: int = _KEPT

    @staticmethod
    def of(program: Program, taken: ConditionInput) -> Conditional:
        """The conditional program of a file."""
        size = sum(tensor.numel() * tensor.element_size() for tensor in program.constants.values())
        kept = max(_FEWEST, min(_KEPT, _KEPT_BYTES // max(size, 1)))
        return Conditional(program, taken, program_digest(program), kept=kept)

    def graph(self, condition: Tensor) -> Graph:
        """The program lowered for one condition; raises as `lower`, and InvalidInput where its index is too large."""
        try:
            return lower(self.program, condition, folded=self.folded)
        except UnsupportedOperation as problem:
            if self.input.dtype != torch.int64 or not bool(condition.any()):
                raise
            # Index 0 has been lowered before: what fails is this one.
            raise InvalidInput(
                f"condition {int(condition)}: the generator does not take that index ({problem.message})",
                field="condition",
            ) from problem

    def neutral(self) -> Tensor:
        """A condition to state shapes by: index 0, or the numbers 1, 0, 0, ..., the first class of a one-hot input."""
        condition = torch.zeros(self.input.shape, dtype=self.input.dtype)
        if self.input.dtype != torch.int64 and condition.numel():
            condition.view(-1)[0] = 1
        return condition

    def tensor(self, condition: ConditionValue) -> Tensor:
        """A condition in the shape and the type of the input.

        Arguments:
            condition: an index, or numbers; an index beside a one-hot input stands for that class.

        Returns:
            [*input shape], int64 or float32.

        Raises:
            InvalidInput: another width, a number that is not finite, or an index below 0 (field `condition`).

        Accuracy: float32.
        """
        width = torch.Size(self.input.shape).numel()
        given = condition.detach().cpu() if isinstance(condition, Tensor) else torch.tensor(condition)
        if self.input.dtype == torch.int64:
            if given.numel() != 1 or given.dtype.is_floating_point or given.dtype == torch.bool or int(given) < 0:
                raise InvalidInput(
                    "the condition of this generator is an index: write one integer, 0 or more.", field="condition"
                )
            return given.to(torch.int64).reshape(self.input.shape)
        if given.dim() == 0 and not given.dtype.is_floating_point and width > 1:
            if not 0 <= int(given) < width:
                raise InvalidInput(f"condition {int(given)}: write a class from 0 to {width - 1}.", field="condition")
            return torch.nn.functional.one_hot(given.to(torch.int64), width).float().reshape(self.input.shape)
        if given.numel() != width or not bool(torch.isfinite(given.double()).all()):
            raise InvalidInput(
                f"a condition of {given.numel()} numbers: this generator takes {width} finite ones.", field="condition"
            )
        return given.float().reshape(self.input.shape)

    def once(self, node: Node, place: object, make: Callable[[Node], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The constants of a node in one place (device and type), made once for all conditions that share them."""
        key = self.key_of(node)
        if key is None:
            return make(node)
        if (place, key) not in self.prepared:
            self.prepared[place, key] = make(node)
        return self.prepared[place, key]

    def key_of(self, node: Node) -> object | None:
        """What constants prepared for a node are a function of; None where a tensor of it belongs to one condition."""
        shared = {tensor.untyped_storage().data_ptr() for tensor in self.program.constants.values()}
        shared |= {tensor.untyped_storage().data_ptr() for tensor in self.folded.values()}
        if not node.tensors or any(t.untyped_storage().data_ptr() not in shared for t in node.tensors.values()):
            return None
        # The storages live as long as the program and its folded constants do, so that an address names one tensor.
        tensors = tuple(
            (role, t.data_ptr(), tuple(t.shape), t.stride(), str(t.dtype)) for role, t in sorted(node.tensors.items())
        )
        attributes = {name: written(value) for name, value in sorted(node.attributes.items())}
        return node.operation, json.dumps(attributes), tensors, node.shape


def bound(program: Program, condition: Tensor) -> Program:
    """The program of one condition, which is a constant of it from then on.

    Arguments:
        program: a conditional program.
        condition: of the shape and the type of its input.

    Returns:
        An unconditional program; its first call repeats the condition for every row.

    Raises:
        InvalidInput: the program takes no condition (field `condition`).

    Accuracy: exact.
    """
    expected = program.condition
    if expected is None:
        raise InvalidInput("this program takes no condition; leave it out.", field="condition")
    name = f"{expected.name} (held fixed)"
    sizes: tuple[Argument, ...] = (BatchSize(), *expected.shape)
    repeat = Call("aten.expand.default", {"self": Constant(name), "size": sizes}, (expected.name,), "the condition")
    held = condition.to(expected.dtype).reshape(1, *expected.shape)
    return replace(program, calls=(repeat, *program.calls), constants={**program.constants, name: held}, condition=None)


def program_digest(program: Program) -> str:
    """Sha256 over the calls, with the inputs left open, and the bytes of their weights.

    Names, places, the order of weights in the file and the file itself do not enter; the spelling does, as for
    `Graph.digest`.

    Arguments:
        program: as read from a file.

    Returns:
        64 hexadecimal digits.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    numbers: dict[str, object] = {program.latent: "latent"}
    condition = program.condition
    if condition is not None:
        numbers[condition.name] = "condition"
    hasher = hashlib.sha256(json.dumps(["program", 1, program.latent_shape]).encode())
    if condition is not None:
        hasher.update(json.dumps([condition.shape, str(condition.dtype)]).encode())

    def described(argument: Argument) -> object:
        match argument:
            case Value(name=name):
                return ["value", numbers[name]]
            case Constant(name=name):
                return ["constant", _content(program.constants[name])]
            case BatchSize():
                return ["batch"]
            case tuple():
                return [described(item) for item in argument]
            case float():
                return argument.hex()
            case _:
                return argument

    for index, call in enumerate(program.calls):
        arguments = {name: described(argument) for name, argument in sorted(call.arguments.items())}
        hasher.update(json.dumps([call.target, arguments]).encode())
        numbers.update({name: [index, place] for place, name in enumerate(call.outputs)})
    hasher.update(json.dumps(numbers[program.output]).encode())
    return hasher.hexdigest()


def _content(tensor: Tensor) -> list[object]:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return [str(tensor.dtype), list(tensor.shape), hashlib.sha256(data).hexdigest()]
