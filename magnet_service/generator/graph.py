"""A lowered network: a straight line of nodes, each naming an entry of the table of operations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magnet_service.errors import DamagedData, UnsupportedOperation
from magnet_service.generator.operations import (
    FOLDABLE,
    TABLE,
    CallReader,
    Comparison,
    Draft,
    Kind,
    Node,
    Operation,
    Overwritten,
    Reference,
    Spread,
    fold,
    lookup,
)
from magnet_service.generator.operations.operation import Attribute
from magnet_service.generator.operations.reader import Binding
from magnet_service.generator.program import Argument, BatchSize, Call, Constant, Program, Value

__all__ = ["Graph", "Node", "constants_of", "lower"]

PROBE_ROWS = 3


@dataclass(frozen=True)
class Graph:
    """A network in the terms of the table of operations.

    Attributes:
        latent_shape: of one latent as the network takes it.
        nodes: in order of execution, all of them needed for the output; value 0 is the latent, value i + 1 that of
            node i, and the last value is the output.
        widest: the widest floating type among the constants of the file.
    """

    latent_shape: tuple[int, ...]
    nodes: tuple[Node, ...]
    widest: torch.dtype

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one row of the output."""
        return self.nodes[-1].shape if self.nodes else self.latent_shape

    def digest(self) -> str:
        """Sha256 over the nodes and the bytes of their weights, in hexadecimal.

        Names, places, the order of weights in the file and the file itself do not enter; the spelling of the network
        does (a decomposed export may differ from one that is not). Weights enter in the widest type of the file, so
        that constants folded in float64 do not bring in the last bits of a machine's arithmetic.

        Returns:
            64 hexadecimal digits.

        Raises:
            Nothing.

        Accuracy: exact.
        """
        hasher = hashlib.sha256(json.dumps(["graph", 1, self.latent_shape]).encode())
        for node in self.nodes:
            attributes = {name: written(value) for name, value in sorted(node.attributes.items())}
            hasher.update(json.dumps([node.operation, node.inputs, attributes, node.shape], sort_keys=True).encode())
            for role, tensor in sorted(node.tensors.items()):
                exact = tensor.to(self.widest) if tensor.dtype.is_floating_point else tensor.to(torch.int64)
                hasher.update(json.dumps([role, str(exact.dtype), tuple(exact.shape)]).encode())
                flat = exact.contiguous().reshape(-1)
                hasher.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return hasher.hexdigest()


def written(value: Attribute) -> object:
    """An attribute as it enters the digest: floats by their bits."""
    if isinstance(value, tuple):
        return [written(item) for item in value]
    return value.hex() if isinstance(value, float) else value


def constants_of(node: Node) -> Mapping[str, Tensor]:
    """What forward and tangent of the node read, in float64 (integers as they are)."""
    exact = {
        role: tensor.double() if tensor.dtype.is_floating_point else tensor for role, tensor in node.tensors.items()
    }
    prepare = TABLE[node.operation].prepare
    return exact if prepare is None else prepare(node, exact)


def lower(program: Program) -> Graph:
    """Give every call of a program its meaning in the table of operations.

    Arguments:
        program: as read from a file.

    Returns:
        The graph of the nodes that the output needs. Copies and dropout leave no node; calls whose tensors are all
        constants are carried out once, in float64.

    Raises:
        UnsupportedOperation: an operator outside the table, or arguments its entry does not cover; the message names
            the operator and where it stands.
        DamagedData: a name is used before it is defined.

    Accuracy: exact, but for folded constants (rounding of float64).

    Cost: one pass over the calls; values have shapes only.
    """
    return Lowering(program).run()


class Lowering:
    """The state of one lowering: what names stand for, and the nodes so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: list[Node] = []
        self.bindings: dict[str, Binding] = dict(program.constants)
        self.bindings[program.latent] = Reference(0, tuple(program.latent_shape))
        self.memory: dict[str, str] = {name: name for name in self.bindings}

    def run(self) -> Graph:
        """Lower call after call, then drop what the output does not need."""
        for call in self.program.calls:
            self.lower_call(call)
        output = self.bindings.get(self.program.output)
        last = self.program.calls[-1] if self.program.calls else None
        if output is None or last is None:
            raise DamagedData(f"the program does not define its output {self.program.output!r}")
        if isinstance(output, Comparison | Tensor | Overwritten):
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
            self.bindings[call.outputs[0]] = fold(reader)
            self.memory[call.outputs[0]] = call.outputs[0]
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
                    self.bindings[name] = self.place_draft(call, name, operation.name, result)
                else:
                    self.bindings[name] = result
        except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError) as problem:
            reader.refuse(f"its arguments do not fit: {(str(problem).splitlines() or [''])[0]}")
        self.note_memory(call, operation)

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
            isinstance(self.bindings[name], Reference | Spread | Comparison)
            for name in names_in(tuple(call.arguments.values()))
        ) and not counts_rows(tuple(call.arguments.values()))

    def place_draft(self, call: Call, name: str, operation: str, draft: Draft) -> Reference | Spread:
        """Turn a draft into a node, or, where no input depends on the latent, into a constant for all rows."""
        entry = draft.operation or operation
        shapes = [item.shape for item in draft.inputs]
        node = Node(name, entry, (), dict(draft.attributes), dict(draft.tensors), (), call.place)
        constants = constants_of(node)
        spread = [item.tensor for item in draft.inputs if isinstance(item, Spread)]
        if len(spread) == len(draft.inputs):
            result = TABLE[entry].forward(node, [tensor.double() for tensor in spread], constants)
            return Spread(result)
        inputs = tuple(self.settle(item, call).index for item in draft.inputs)
        blanks = [torch.empty(PROBE_ROWS, *shape, device="meta", dtype=torch.float64) for shape in shapes]
        ghosts = {role: tensor.to("meta") for role, tensor in constants.items()}
        outline = TABLE[entry].forward(replace(node, inputs=inputs), blanks, ghosts)
        if outline.dim() == 0 or outline.shape[0] != PROBE_ROWS:
            raise RuntimeError("the result has no row for every latent")
        self.nodes.append(replace(node, inputs=inputs, shape=tuple(outline.shape[1:])))
        return Reference(len(self.nodes), tuple(outline.shape[1:]))

    def settle(self, item: Reference | Spread, call: Call) -> Reference:
        """A value of the graph for an item; a constant for all rows becomes a node."""
        if isinstance(item, Reference):
            return item
        name = f"constant_{len(self.nodes)}"
        self.nodes.append(Node(name, "constant", (0,), {}, {"value": item.tensor}, item.shape, call.place))
        return Reference(len(self.nodes), item.shape)


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
