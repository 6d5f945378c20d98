"""The smooth head: the tail of a graph that bends, element by element, what a piecewise affine network made."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.generator.graph import Graph
from magnet_service.generator.operations import TABLE, Kind

__all__ = ["Head", "find_head"]


@dataclass(frozen=True)
class Head:
    """Where a network stops being piecewise affine.

    Attributes:
        start: index of the value that feeds the head; the output where there is no head.
        smooth: whether there is a head.
        inside: indices of the smooth nodes before it.
    """

    start: int
    smooth: bool
    inside: tuple[int, ...]


def find_head(graph: Graph) -> Head:
    """Find the maximal tail that holds only elementwise and structural operations and begins with a smooth one.

    A tail belongs to one value: everything in it depends on the latent through that value alone.

    Arguments:
        graph: lowered network.

    Returns:
        The value where the head begins, as late as the smooth nodes of the maximal tail allow, and the smooth nodes
        that no head covers.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    smooth = [index for index, node in enumerate(graph.nodes, 1) if TABLE[node.operation].kind is Kind.SMOOTH]
    last = len(graph.nodes)
    tails = {start: tail for start in range(last + 1) if (tail := tail_of(graph, start)) is not None}
    most = max(len(tail & set(smooth)) for tail in tails.values())
    if most == 0:
        return Head(last, False, tuple(smooth))
    start = max(start for start, tail in tails.items() if len(tail & set(smooth)) == most)
    return Head(start, True, tuple(index for index in smooth if index not in tails[start]))


def tail_of(graph: Graph, start: int) -> set[int] | None:
    """Values that depend on value `start`; None where the output does not hang on it alone, or the tail does more."""
    tail: set[int] = set()
    fixed = constant_values(graph)
    for index, node in enumerate(graph.nodes, 1):
        if start in node.inputs or tail & set(node.inputs):
            operation = TABLE[node.operation]
            if index in fixed:
                continue
            if not operation.elementwise and operation.kind is not Kind.STRUCTURAL:
                return None
            if operation.kind is Kind.PIECEWISE_LINEAR:
                return None
            if any(source != start and source not in tail and source not in fixed for source in node.inputs):
                return None
            tail.add(index)
    return tail if len(graph.nodes) in tail or start == len(graph.nodes) else None


def constant_values(graph: Graph) -> set[int]:
    """Values that do not depend on the latent."""
    fixed: set[int] = set()
    for index, node in enumerate(graph.nodes, 1):
        if node.operation == "constant" or (node.inputs and set(node.inputs) <= fixed):
            fixed.add(index)
    return fixed
