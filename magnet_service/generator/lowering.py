"""Lowering: every call of a parsed program given its meaning in the table of operations."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from dataclasses import replace

import torch
from torch import Tensor

from magnet_service.errors import DamagedData, InvalidInput, UnsupportedOperation
from magnet_service.generator.graph import Graph, constants_of
from magnet_service.generator.operations import (
    FOLDABLE,
    LARGEST,
    REPEATABLE,
    TABLE,
    CallReader,
    Comparison,
    Draft,
    Folded,
    Kind,
    Node,
    Operation,
    Overwritten,
    Reference,
    Spread,
    fold,
    fold_rows,
    lookup,
)
from magnet_service.generator.operations.reader import Binding
from magnet_service.generator.program import Argument, BatchSize, Call, ConditionInput, Constant, Program, Value

__all__ = ["lower"]

PROBE_ROWS = 3


def lower(
    program: Program, condition: Tensor | None = None, *, folded: MutableMapping[str, Tensor] | None = None
) -> Graph:
    """Give every call of a program its meaning in the table of operations.

    Arguments:
        program: as read from a file.
        condition: of a conditional program, the condition that all rows have, of the shape and the type that
            `program.condition` states.
        folded: constants that earlier lowerings of the same program have computed from its weights alone, by name;
            added to, so that graphs of several conditions share them.

    Returns:
        The graph of the nodes that the output needs, a function of the latent alone. Copies and dropout leave no node;
        calls whose tensors are all constants, or depend on nothing but the condition, are carried out once, in float64.

    Raises:
        UnsupportedOperation: an operator outside the table, or arguments its entry does not cover; the message names
            the operator and where it stands.
        DamagedData: a name is used before it is defined.
        InvalidInput: a condition is missing, of another shape or type, or given where none is taken (field
            `condition`).

    Accuracy: exact, but for folded constants (rounding of float64).

    Cost: one pass over the calls; values have shapes only.
    """
    return Lowering(program, condition, {} if folded is None else folded).run()


class Lowering:
    """The state of one lowering: what names stand for, and the nodes so far."""

    def __init__(self, program: Program, condition: Tensor | None, folded: MutableMapping[str, Tensor]) -> None:
        self.program = program
        self.folded = folded
        self.nodes: list[Node] = []
        self.bindings: dict[str, Binding] = dict(program.constants)
        self.bindings[program.latent] = Reference(0, tuple(program.latent_shape))
        if program.condition is not None or condition is not None:
            self.bindings.update(bound_condition(program.condition, condition))
        self.memory: dict[str, str] = {name: name for name in self.bindings}

    def run(self) -> Graph:
        """Lower call after call, then drop what the output does not need."""
        for call in self.program.calls:
            self.lower_call(call)
        output = self.bindings.get(self.program.output)
        last = self.program.calls[-1] if self.program.calls else None
        if output is None or last is None:
            raise DamagedData(f"the program does not define its output {self.program.output!r}")
        if isinstance(output, Comparison | Tensor | Overwritten | Folded):
            raise UnsupportedOperation(f"the output {self.program.output!r} is no value of the latent")
        reference = self.settle(output, last)
        floating = [tensor.dtype for tensor in self.program.constants.values() if tensor.dtype.is_floating_point]
        widest = max(floating, key=lambda dtype: (dtype.itemsize, str(dtype)), default=torch.float32)
        return Graph(tuple(self.program.latent_shape), needed(self.nodes, reference.index), widest)

    def lower_call(self, call: Call) -> None:
        """Bind the outputs of one call."""
        for name in names_in(tuple(call.arguments.values())):
            if name not in self.bindings:
                raise DamagedData(f"{call.place}: {call.target} reads {name!r}, which nothing defines")
        reader = CallReader(call, self.bindings, tuple(self.nodes))
        operation = lookup(call.target)
        if self.only_constants(call) and call.target in FOLDABLE:
            self.bindings[call.outputs[0]] = self.fold_once(reader)
            self.memory[call.outputs[0]] = call.outputs[0]
            return
        if call.target in REPEATABLE and self.same_in_every_row(call) and self.fold_rows(reader, operation):
            return
        if operation is None:
            raise UnsupportedOperation(
                f"{call.target} at {call.place} is not in the table of operations. Rewrite that layer with operations "
                f"of the table and export again.",
                metadata={"operation": call.target, "place": call.place},
            )
        try:
            lowered = operation.lower(reader)
            results = lowered if isinstance(lowered, tuple) else (lowered,)
            for name, result in zip(call.outputs, results, strict=False):
                if isinstance(result, Draft):
                    placed = self.place_draft(call, name, operation.name, result)
                    self.bindings[name] = Folded(placed, channels=True) if result.folded else placed
                else:
                    self.bindings[name] = result
        except (RuntimeError, LookupError, ValueError, TypeError, ArithmeticError) as problem:
            reader.refuse(f"its arguments do not fit: {(str(problem).splitlines() or [''])[0]}")
        self.note_memory(call, operation)

    def fold_once(self, reader: CallReader) -> Tensor:
        """Carry out a call on constants, once for all conditions where it reads nothing that a condition enters."""
        name = reader.call.outputs[0]
        if name in self.folded:
            return self.folded[name]
        result = fold(reader)
        if all(
            item in self.program.constants or item in self.folded
            for item in names_in(tuple(reader.call.arguments.values()))
        ):
            self.folded[name] = result
        return result

    def fold_rows(self, reader: CallReader, operation: Operation | None) -> bool:
        """Carry out a call on the condition; False where its entry in the table may know better."""
        call = reader.call
        try:
            results = fold_rows(reader)
        except UnsupportedOperation:
            if operation is None:
                raise
            return False
        self.bindings.update(zip(call.outputs, results, strict=False))
        if operation is None:
            self.memory.update({name: name for name in call.outputs})
        else:
            self.note_memory(call, operation)
        return True

    def note_memory(self, call: Call, operation: Operation) -> None:
        """Keep track of which names share memory; a call in place overwrites all names of its first argument's."""
        source = call.arguments.get("input", call.arguments.get("self"))
        shared = source.name if isinstance(source, Value | Constant) else None
        in_place = call.target.split(".")[1].endswith("_")
        views = operation.kind is Kind.STRUCTURAL and operation.aliases and call.target != "aten.clone.default"
        for name in call.outputs:
            self.memory[name] = self.memory[shared] if shared is not None and (in_place or views) else name
        if in_place and shared is not None and operation.name != "identity":
            for name, root in self.memory.items():
                if root == self.memory[shared] and name not in call.outputs:
                    self.bindings[name] = Overwritten(call.place)
            self.bindings[shared] = self.bindings[call.outputs[0]]

    def only_constants(self, call: Call) -> bool:
        """Whether neither rows nor their number enter the call."""
        return not any(
            isinstance(self.bindings[name], Reference | Spread | Comparison | Folded)
            for name in names_in(tuple(call.arguments.values()))
        ) and not counts_rows(tuple(call.arguments.values()))

    def same_in_every_row(self, call: Call) -> bool:
        """Whether the call reads what is repeated for every row, or comes of a condition, and nothing of the latent."""
        bound = [self.bindings[name] for name in names_in(tuple(call.arguments.values()))]
        repeated = self.program.condition is not None or any(isinstance(item, Spread) for item in bound)
        return bool(bound) and repeated and all(isinstance(item, Spread | Tensor) for item in bound)

    def place_draft(self, call: Call, name: str, operation: str, draft: Draft) -> Reference | Spread:
        """Turn a draft into a node, or, where no input depends on the latent, into a constant for all rows."""
        entry = draft.operation or operation
        shapes = [item.shape for item in draft.inputs]
        node = Node(name, entry, (), dict(draft.attributes), dict(draft.tensors), (), call.place)
        constants = constants_of(node)
        blanks = [torch.empty(PROBE_ROWS, *shape, device="meta", dtype=torch.float64) for shape in shapes]
        ghosts = {role: tensor.to("meta") for role, tensor in constants.items()}
        outline = TABLE[entry].forward(node, blanks, ghosts)
        if outline.dim() == 0 or outline.shape[0] != PROBE_ROWS:
            raise ValueError("the result has no row for every latent")
        shape = tuple(outline.shape[1:])
        if math.prod(shape) > LARGEST:
            raise ValueError(f"a row of {math.prod(shape)} numbers is too large")
        spread = [item.tensor.double() for item in draft.inputs if isinstance(item, Spread)]
        if len(spread) == len(draft.inputs):
            return Spread(TABLE[entry].forward(node, spread, constants))
        inputs = tuple(self.settle(item, call).index for item in draft.inputs)
        self.nodes.append(replace(node, inputs=inputs, shape=shape))
        return Reference(len(self.nodes), shape)

    def settle(self, item: Reference | Spread, call: Call) -> Reference:
        """A value of the graph for an item; a constant for all rows becomes a node."""
        if isinstance(item, Reference):
            return item
        name = f"constant_{len(self.nodes)}"
        value = item.tensor if item.tensor.dtype.is_floating_point else item.tensor.double()
        self.nodes.append(Node(name, "constant", (0,), {}, {"value": value}, item.shape, call.place))
        return Reference(len(self.nodes), item.shape)


def bound_condition(expected: ConditionInput | None, given: Tensor | None) -> dict[str, Binding]:
    """What the name of the condition stands for, after a check of its shape and type."""
    if expected is None:
        raise InvalidInput("this generator takes no condition; leave it out.", field="condition")
    kind = "int64 index" if expected.dtype == torch.int64 else "float"
    if given is None:
        raise InvalidInput(
            f"this generator takes a condition ({kind}, shape {list(expected.shape)}); give one, as "
            f"generator.conditioned(condition) does.",
            field="condition",
        )
    if tuple(given.shape) != expected.shape or given.dtype.is_floating_point != expected.dtype.is_floating_point:
        raise InvalidInput(
            f"a condition of type {given.dtype} and shape {list(given.shape)}: this generator takes a {kind} condition "
            f"of shape {list(expected.shape)}.",
            field="condition",
        )
    exact = given.detach().cpu().to(torch.float64 if expected.dtype.is_floating_point else torch.int64)
    return {expected.name: Spread(exact.unsqueeze(0))}


def names_in(arguments: tuple[Argument, ...]) -> list[str]:
    """Names of the tensors among arguments."""
    names: list[str] = []
    for argument in arguments:
        if isinstance(argument, Value | Constant):
            names.append(argument.name)
        elif isinstance(argument, tuple):
            names += names_in(argument)
    return names


def counts_rows(arguments: tuple[Argument, ...]) -> bool:
    """Whether the number of rows stands among arguments."""
    return any(
        counts_rows(argument) if isinstance(argument, tuple) else isinstance(argument, BatchSize)
        for argument in arguments
    )


def needed(nodes: list[Node], output: int) -> tuple[Node, ...]:
    """The nodes that value `output` needs, renumbered."""
    keep = {output}
    for index in range(output, 0, -1):
        if index in keep:
            keep.update(nodes[index - 1].inputs)
    order = {old: new for new, old in enumerate(sorted(keep | {0}))}
    return tuple(
        replace(nodes[old - 1], inputs=tuple(order[source] for source in nodes[old - 1].inputs))
        for old in sorted(keep)
        if old
    )
