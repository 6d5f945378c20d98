"""The affine tail of a network folded into one triangular factor: singular values need nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Tensor

from magnet_service.generator.execution import Plan
from magnet_service.generator.graph import Graph
from magnet_service.generator.operations import TABLE, Kind

__all__ = ["tail_factor"]

GAIN = 1.25
"""How much narrower than the outputs the tail's input must be."""

WEIGHTS = 1 << 26
"""Numbers in the tail's matrix up to which it is decomposed."""


def tail_factor(
    graph: Graph, plan: Plan, constants: Callable[[int], Mapping[str, Tensor]]
) -> tuple[int, Tensor] | None:
    """The value where the affine tail begins, and R of its matrix: W = Q R leaves the singular values of W T to R T.

    Arguments:
        graph: lowered network.
        plan: of the value wanted.
        constants: float64 constants of the node of a value.

    Returns:
        The tail's input and R [inputs, inputs], float64; None where the wanted value hangs on several, where nothing
        affine ends the network, or where the input is not narrower than the outputs.

    Raises:
        Nothing.

    Accuracy: rounding of float64.
    Cost: one QR decomposition, 2 outputs inputs^2 operations.
    """
    chain: list[int] = []
    at = plan.target
    while at and len(graph.nodes[at - 1].inputs) == 1:
        node = graph.nodes[at - 1]
        if TABLE[node.operation].kind not in (Kind.AFFINE, Kind.STRUCTURAL):
            break
        chain.append(at)
        at = node.inputs[0]
    if not chain or at == 0:
        return None
    shape = graph.nodes[at - 1].shape
    width, outputs = prod(shape), prod(graph.nodes[plan.target - 1].shape)
    widest = max(prod(graph.nodes[index - 1].shape) for index in chain)
    if width * GAIN > outputs or width * widest > WEIGHTS:
        return None
    matrix = torch.eye(width, dtype=torch.float64).reshape(1, width, *shape)
    zero = torch.zeros((), dtype=torch.float64)
    for index in reversed(chain):
        node = graph.nodes[index - 1]
        before = node.inputs[0]
        given = zero.expand(1, *(graph.nodes[before - 1].shape if before else graph.latent_shape))
        moved = TABLE[node.operation].tangent(
            node, [given], zero.expand(1, *node.shape), [matrix], constants(index), False
        )
        if moved is None:
            return None
        matrix = moved
    return at, torch.linalg.qr(matrix.reshape(width, outputs).mT, mode="r").R
