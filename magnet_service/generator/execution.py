"""Running a graph: values alone, or values and tangents side by side, each freed when nothing needs it any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from magnet_service.generator.graph import Graph
from magnet_service.generator.operations import TABLE, Kind, Node

__all__ = ["Plan", "Visit", "Watch", "execute", "make_plan"]

Visit = Callable[[Node, Sequence[Tensor]], None]
Watch = Callable[[Node, Sequence[Tensor], Sequence[Tensor | None]], None]


@dataclass(frozen=True)
class Plan:
    """What to run for one value of a graph, and when to let go of what.

    Attributes:
        target: index of the value wanted.
        steps: indices of the nodes to run, in order.
        released: for every step, the values that nothing needs after it.
        reusable: for every step, whether it may write over the tangents it reads.
    """

    target: int
    steps: tuple[int, ...]
    released: tuple[tuple[int, ...], ...]
    reusable: tuple[bool, ...]


def make_plan(graph: Graph, target: int) -> Plan:
    """Plan the computation of one value.

    Arguments:
        graph: lowered network.
        target: index of a value.

    Returns:
        Steps, releases and reuse. Tangents are reusable where no other value that is still needed, nor the caller's
        directions, can share their memory.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    wanted = {target}
    for index in range(target, 0, -1):
        if index in wanted:
            wanted.update(graph.nodes[index - 1].inputs)
    steps = tuple(index - 1 for index in sorted(wanted) if index)
    last_use = {index: index for index in wanted}
    group = {index: index for index in wanted}
    overlapping = {0}
    for step in steps:
        node = graph.nodes[step]
        for source in node.inputs:
            last_use[source] = step + 1
        if TABLE[node.operation].aliases:
            merged = {group[source] for source in node.inputs} | {step + 1}
            root = min(merged)
            group = {index: root if family in merged else family for index, family in group.items()}
            shapes = [graph.nodes[source - 1].shape if source else graph.latent_shape for source in node.inputs]
            spreads = TABLE[node.operation].kind is not Kind.STRUCTURAL or node.operation == "expand"
            if merged & overlapping or (spreads and any(shape != node.shape for shape in shapes)):
                overlapping.add(root)
    last_use[target] = len(graph.nodes) + 1
    ends: dict[int, int] = {}
    for index, family in group.items():
        ends[family] = max(ends.get(family, 0), last_use[index])
    released = tuple(
        tuple(sorted(index for index in wanted if last_use[index] == step + 1 and index != step + 1)) for step in steps
    )
    reusable = tuple(
        len(graph.nodes[step].inputs) == 1
        and group[graph.nodes[step].inputs[0]] not in overlapping
        and ends[group[graph.nodes[step].inputs[0]]] == step + 1
        for step in steps
    )
    return Plan(target, steps, released, reusable)


def execute(
    graph: Graph,
    plan: Plan,
    constants: Sequence[Mapping[str, Tensor]],
    latents: Tensor,
    directions: Tensor | None,
    visit: Visit | None = None,
    watch: Watch | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute the planned value and, where directions are given, its tangents.

    Arguments:
        graph: lowered network.
        plan: of the value wanted.
        constants: for every node of the graph, in the precision and on the device of the latents.
        latents: [rows, *latent shape].
        directions: [rows or 1, columns, *latent shape], or None for the value alone.
        visit: called with every piecewise linear node and its inputs.
        watch: called with every piecewise linear node, its inputs and their tangents, where directions are given; what
            it keeps of the tangents it must copy, since they may be written over.

    Returns:
        The value [rows, *shape], and its tangents [rows or 1, columns, *shape]; None where they were not asked for or
        the value does not depend on the latent.

    Raises:
        Nothing of its own.

    Accuracy: rounding of the latents' dtype.
    """
    values: dict[int, Tensor] = {0: latents}
    tangents: dict[int, Tensor | None] = {0: directions}
    for step, released, reusable in zip(plan.steps, plan.released, plan.reusable, strict=True):
        node = graph.nodes[step]
        operation = TABLE[node.operation]
        inputs = [values[source] for source in node.inputs]
        if visit is not None and operation.kind is Kind.PIECEWISE_LINEAR:
            visit(node, inputs)
        output = operation.forward(node, inputs, constants[step])
        values[step + 1] = output
        if directions is not None:
            given = [tangents[source] for source in node.inputs]
            if watch is not None and operation.kind is Kind.PIECEWISE_LINEAR:
                watch(node, inputs, given)
            tangents[step + 1] = operation.tangent(node, inputs, output, given, constants[step], reusable)
            del given
        del inputs
        for index in released:
            del values[index]
            tangents.pop(index, None)
    return values[plan.target], tangents.get(plan.target)
