"""The affine map between two layers of units, where one value feeds it, and the lengths of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from magnet_service.generator import TABLE, Generator, Kind, Node
from magnet_service.generator.graph import constants_of
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.traversal import shape_of

__all__ = ["AffineChain", "chain_to", "row_lengths"]

MOST_ENTRIES = 1 << 31
"""Entries of a composed map that are looked at one by one; larger ones are left out."""

BLOCK_BYTES = 16 << 20
"""Bytes of the columns pushed at once where no bound is nearer."""

MIXING = ("linear", "convolution", "transposed_convolution")
"""Operations whose entries each join one input and one output, so that squared weights give squared lengths."""

ONE_TO_ONE = ("view", "permute", "identity", "flip", "pixel_shuffle", "slice", "select")
"""Structural operations that give no entry twice."""


@dataclass(frozen=True)
class AffineChain:
    """The nodes between a value and another that depends on the latent through it alone, all affine.

    Attributes:
        source: index of the first value: the latent, or what a layer of units makes.
        steps: of the nodes, in order.
    """

    source: int
    steps: tuple[int, ...]


def chain_to(generator: Generator, value: int) -> AffineChain | None:
    """The chain that leads to a value from the layer of units before it, or from the latent.

    Arguments:
        generator: piecewise affine up to the value.
        value: its index.

    Returns:
        The chain; None where several values are joined on the way, as by a residual sum.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    nodes = generator.graph.nodes
    varying = {0}
    for index, node in enumerate(nodes[:value], 1):
        if node.operation != "constant" and varying & set(node.inputs):
            varying.add(index)
    steps: list[int] = []
    while value and TABLE[nodes[value - 1].operation].kind is not Kind.PIECEWISE_LINEAR:
        read = set(nodes[value - 1].inputs) & varying
        if len(read) != 1:
            return None
        steps.append(value - 1)
        (value,) = read
    return AffineChain(value, tuple(reversed(steps)))


def row_lengths(
    generator: Generator, chain: AffineChain, max_memory: int | None, should_stop: Callable[[], bool] | None
) -> Tensor | None:
    """The length of every row of the chain's matrix W, |w_k|.

    Arguments:
        generator: in float64.
        chain: from x to W x + b.
        max_memory: bytes for columns of W; no bound where None.
        should_stop: asked before every block of columns.

    Returns:
        [outputs]; None where W has too many entries to look at and is none of the forms below.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: rounding of float64.
    Cost: that of one row where at most one dense layer or convolution stands in the chain, beside scales and
        operations that move numbers: |w_k|^2 is then what squared weights make of ones. Else as many rows as x has
        numbers.
    """
    squares = by_squared_weights(generator, chain)
    if squares is None:
        squares = by_columns(generator, chain, max_memory, should_stop)
    return None if squares is None else squares.flatten().sqrt()


def linear_part(
    generator: Generator, step: int, chained: int, tangents: Tensor, constants: Mapping[str, Tensor]
) -> Tensor | None:
    """What a node's matrix makes of columns [1, columns, *shape] at one of its inputs, the others being constant."""
    node = generator.graph.nodes[step]
    # Rules of affine operations read no more of their values than the shape.
    zero = tangents.new_zeros(())
    inputs = [zero.expand(1, *shape_of(generator, source)) for source in node.inputs]
    given = [tangents if source == chained else None for source in node.inputs]
    return TABLE[node.operation].tangent(node, inputs, zero.expand(1, *node.shape), given, constants, False)


def by_squared_weights(generator: Generator, chain: AffineChain) -> Tensor | None:
    """Squared lengths where every entry of W is a product of numbers, never a sum; None elsewhere."""
    squares = torch.ones(1, 1, *shape_of(generator, chain.source), dtype=torch.float64, device=generator.device)
    value, mixed = chain.source, False
    for step in chain.steps:
        node = generator.graph.nodes[step]
        factors = squared_weights(generator, node, mixed)
        if factors is None or len(set(node.inputs)) != 1:
            return None
        if node.operation in MIXING:
            mixed = True
        scale = factors.pop("scale", None)
        if scale is None:
            made = linear_part(generator, step, value, squares, factors)
            if made is None:
                return None
            squares = made
        else:
            squares = squares * scale
        value = step + 1
    return squares


def squared_weights(generator: Generator, node: Node, mixed: bool) -> dict[str, Tensor] | None:
    """What takes the place of a node's weights: squared ones, a squared `scale`, or nothing; None where none can."""
    operation = TABLE[node.operation]
    constants = {role: tensor.to(generator.device) for role, tensor in constants_of(node).items()}
    if node.operation in MIXING:
        return None if mixed else {"weight": constants["weight"].square()}
    if operation.kind is Kind.STRUCTURAL and (mixed or node.operation in ONE_TO_ONE):
        return constants
    if node.shape != shape_of(generator, node.inputs[0]):
        return None
    if node.operation == "shift":
        return {"scale": torch.tensor(node.number("scale") ** 2, dtype=torch.float64, device=generator.device)}
    if operation.slope is None or operation.kind is not Kind.AFFINE:
        return None
    ghost = torch.zeros((), dtype=torch.float64, device=generator.device).expand(1, *node.shape)
    slope = operation.slope(node, [ghost], ghost, constants)
    return {"scale": torch.as_tensor(slope, dtype=torch.float64, device=generator.device).square()}


def by_columns(
    generator: Generator, chain: AffineChain, max_memory: int | None, should_stop: Callable[[], bool] | None
) -> Tensor | None:
    """Squared lengths by all columns of W; None where they are too many."""
    shapes = [shape_of(generator, chain.source), *(generator.graph.nodes[step].shape for step in chain.steps)]
    inputs, widest = prod(shapes[0]), max(prod(shape) for shape in shapes)
    if inputs * widest > MOST_ENTRIES:
        return None
    bound = BLOCK_BYTES if max_memory is None else min(BLOCK_BYTES, max_memory)
    block = max(1, bound // (3 * 8 * widest))
    squares = torch.zeros(prod(shapes[-1]), dtype=torch.float64, device=generator.device)
    for first in range(0, inputs, block):
        stopped(should_stop)
        count = min(block, inputs - first)
        columns = torch.zeros(count, inputs, dtype=torch.float64, device=generator.device)
        columns.diagonal(first).fill_(1.0)
        tangents, value = columns.reshape(1, count, *shapes[0]), chain.source
        for step in chain.steps:
            made = linear_part(generator, step, value, tangents, generator.constants[step])
            if made is None:
                return squares
            tangents, value = made, step + 1
        squares += tangents.flatten(2).square().sum((0, 1))
    return squares
