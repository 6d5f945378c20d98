"""Affine operations that copy numbers, scale and add them, seen from what they make of a few tangents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from magnet_service.generator.graph import Node
from magnet_service.generator.operations import Operation

__all__ = ["Copied", "Unsupported", "copies_of", "selection"]

MOST_PROBED = 1 << 22
"""Numbers in the matrix of an operation up to which it is looked at as one."""

MOST_COPIES = 64
"""Inputs of an output up to which such an operation is a sum of copies."""


class Unsupported(Exception):
    """A move that no kernel runs."""


@dataclass(frozen=True)
class Copied:
    """One input of an affine operation.

    Attributes:
        node: of the graph.
        operation: of the table.
        shapes: of a row of the node's inputs.
        constants: what the rule reads, float64.
        which: of the inputs.
    """

    node: Node
    operation: Operation
    shapes: Sequence[tuple[int, ...]]
    constants: Mapping[str, Tensor]
    which: int

    def moved(self, tangents: Tensor) -> Tensor:
        """What the operation makes of tangents [columns, numbers] of this input, others left out."""
        zero = torch.zeros((), dtype=torch.float64)
        ghosts = [zero.expand(1, *shape) for shape in self.shapes]
        given: list[Tensor | None] = [None] * len(ghosts)
        given[self.which] = tangents.reshape(1, len(tangents), *self.shapes[self.which])
        ghost = zero.expand(1, *self.node.shape)
        found = self.operation.tangent(self.node, ghosts, ghost, given, self.constants, False)
        if found is None:
            return torch.zeros(len(tangents), prod(self.node.shape), dtype=torch.float64)
        return found.reshape(len(tangents), -1)


def selection(copied: Copied) -> tuple[Tensor, Tensor] | None:
    """Of an operation that copies and scales numbers of an input, which and by how much.

    Arguments:
        copied: the input.

    Returns:
        For each number made the place of one of the input and a coefficient, -1 and 0 for none; None where some number
        hangs on several.

    Raises:
        Nothing.

    Accuracy: exact; what is found is held against random tangents.
    """
    count = prod(copied.shapes[copied.which])
    random = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tried = torch.stack([torch.ones_like(random), torch.arange(count).double(), random])
    coefficients, scaled, found = copied.moved(tried)
    places = (scaled / torch.where(coefficients == 0, 1.0, coefficients)).round().long()
    inside = (places >= 0) & (places < count)
    expected = coefficients * random[places.clamp(0, count - 1)]
    if not bool(inside.all()) or not torch.allclose(expected, found, rtol=1e-12, atol=0.0):
        return None
    return torch.where(coefficients == 0, -1, places), coefficients


def copies_of(copied: Copied) -> list[tuple[Tensor, Tensor]]:
    """The selections whose sum an affine operation is, as few as its busiest number has inputs.

    Arguments:
        copied: the input.

    Returns:
        Selections.

    Raises:
        Unsupported: a number hangs on too many, or the matrix is too large to be looked at.

    Accuracy: exact.
    """
    alone = selection(copied)
    if alone is not None:
        return [alone]
    count = prod(copied.shapes[copied.which])
    if count * prod(copied.node.shape) > MOST_PROBED:
        raise Unsupported
    matrix = copied.moved(torch.eye(count, dtype=torch.float64)).t()
    most = int((matrix != 0).sum(1).max())
    if most > MOST_COPIES:
        raise Unsupported
    places = matrix.abs().topk(most, dim=1).indices.sort(1).values
    coefficients = matrix.gather(1, places)
    places = torch.where(coefficients == 0, -1, places)
    return list(zip(places.t(), coefficients.t(), strict=True))
