"""The value of a network whose tessellation is asked for."""

from __future__ import annotations

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator import TABLE, Generator, Kind, Manifold
from magnet_service.generator.execution import Plan, make_plan

__all__ = ["LATENT", "plan_of", "target_of"]

LATENT = "latent"
"""Target of a network that has no nodes."""

_HEADS = ("softmax", "log_softmax")


def target_of(generator: Generator, up_to: str | None) -> Plan:
    """How to compute a value that is piecewise affine.

    Arguments:
        generator: the generator.
        up_to: name of a node; None for what feeds the smooth head, a softmax or log-softmax at the end being one too.

    Returns:
        The plan of that value.

    Raises:
        InvalidInput: no node of that name; the message lists those there are.
        Refused: a smooth operation stands before it; reason NOT_PIECEWISE_AFFINE, with `operation`, `node` and `place`.

    Accuracy: exact.
    """
    nodes = generator.graph.nodes
    if up_to is None:
        index = generator.plan(Manifold.PRE_ACTIVATION).target
        while index and nodes[index - 1].operation in _HEADS:
            index = nodes[index - 1].inputs[0]
    else:
        index = index_of(generator, up_to)
    plan = make_plan(generator.graph, index)
    for step in plan.steps:
        node = nodes[step]
        if TABLE[node.operation].kind is Kind.SMOOTH:
            raise Refused(
                f"The generator is not piecewise affine up to there: {node.name} ({node.operation}, {node.place}) is "
                f"smooth, so that there are no tiles on which it is affine; take an earlier node (up_to).",
                reason="NOT_PIECEWISE_AFFINE",
                metadata={"operation": node.operation, "node": node.name, "place": node.place},
            )
    return plan


def plan_of(generator: Generator, target: str) -> Plan:
    """How to compute the value of a node by its name, `latent` for the latent; raises as `target_of`."""
    return make_plan(generator.graph, 0 if target == LATENT else index_of(generator, target))


def index_of(generator: Generator, name: str) -> int:
    """Index of a node's value."""
    names = [node.name for node in generator.graph.nodes]
    if name not in names:
        raise InvalidInput(f"there is no node {name!r}; write one of: {', '.join(names)}.", field="up_to")
    return names.index(name) + 1
