"""A generator's operations as a table for people: one line a node."""

from __future__ import annotations

import math
from dataclasses import dataclass

from magnet_service.generator.graph import Graph
from magnet_service.generator.operations import TABLE, Kind

__all__ = ["NodeSummary", "parameters_of", "summarise"]


@dataclass(frozen=True)
class NodeSummary:
    """One line of the table of a generator's operations.

    Attributes:
        name: name of the value in the file.
        operation: entry of the table of operations.
        kind: affine, piecewise linear, smooth or structural.
        shape: of one row of the value.
        units: number of its nonlinearity units; 0 where it is not piecewise linear.
    """

    name: str
    operation: str
    kind: Kind
    shape: tuple[int, ...]
    units: int


def summarise(graph: Graph) -> tuple[NodeSummary, ...]:
    """One entry a node, in order.

    Arguments:
        graph: lowered network.

    Returns:
        Names, entries of the table, kinds, shapes and numbers of units.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    entries = []
    for node in graph.nodes:
        kind = TABLE[node.operation].kind
        units = math.prod(node.shape) if kind is Kind.PIECEWISE_LINEAR else 0
        entries.append(NodeSummary(node.name, node.operation, kind, node.shape, units))
    return tuple(entries)


def parameters_of(graph: Graph) -> int:
    """Numbers in the weights of a graph, those that several nodes share once.

    Arguments:
        graph: lowered network.

    Returns:
        Their number; running statistics count, constants that a node repeats count once.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    stored: dict[int, int] = {}
    for node in graph.nodes:
        for tensor in node.tensors.values():
            stored[tensor.data_ptr()] = max(stored.get(tensor.data_ptr(), 0), tensor.numel())
    return sum(stored.values())
