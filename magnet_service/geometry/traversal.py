"""The layers of a generator: its piecewise linear nodes in order of execution, and what running up to them takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import TABLE, Generator, Kind, Manifold, Node, Precision
from magnet_service.generator.affinity import require_piecewise_affine
from magnet_service.generator.execution import Plan, Visit, Watch, execute

__all__ = ["Traversal", "finite_latents", "shape_of", "traversal_of"]

CONVOLUTIONS = ("convolution", "transposed_convolution")


@dataclass(frozen=True)
class Traversal:
    """Where the units of a piecewise affine generator stand, and how to get there.

    Attributes:
        generator: in float64.
        steps: of the piecewise linear nodes that the value of the manifold needs, in order of execution.
        first: whether what feeds a layer is affine in the latent everywhere: no other layer stands before it.
        plan: runs up to the last of them and no further.
        row_numbers: numbers that one row holds at once on the way, at most.
    """

    generator: Generator
    steps: tuple[int, ...]
    first: tuple[bool, ...]
    plan: Plan
    row_numbers: int

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The layers themselves."""
        return tuple(self.generator.graph.nodes[step] for step in self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values that the layers make."""
        return tuple(node.name for node in self.nodes)

    @property
    def units(self) -> tuple[int, ...]:
        """Units of each layer."""
        return tuple(prod(node.shape) for node in self.nodes)

    def visit(self, latents: Tensor, visitor: Visit) -> None:
        """Run [rows, d] up to the last layer and show a visitor every layer with its inputs, in order."""
        self._run(latents, None, visitor, None)

    def observe(self, latents: Tensor, directions: Tensor, observer: Watch) -> None:
        """The same with the tangents of [1 or rows, columns, d] directions; nothing is to be kept without a copy."""
        shape = (*directions.shape[:2], *self.generator.latent_shape)
        self._run(latents, directions.reshape(shape), None, observer)

    def beginning(self) -> Traversal:
        """The first layers alone, and those that happen to stand between them."""
        count = max((place + 1 for place, alone in enumerate(self.first) if alone), default=0)
        steps = self.steps[:count]
        plan = until(self.plan, steps)
        return Traversal(self.generator, steps, self.first[:count], plan, row_numbers(self.generator, plan))

    def _run(self, latents: Tensor, directions: Tensor | None, visit: Visit | None, observe: Watch | None) -> None:
        shaped = latents.reshape(len(latents), *self.generator.latent_shape)
        execute(self.generator.graph, self.plan, self.generator.constants, shaped, directions, visit, observe)


def traversal_of(generator: Generator, manifold: Manifold) -> Traversal:
    """The layers before the value that carries a manifold.

    Arguments:
        generator: on any device, in any precision.
        manifold: PRE_ACTIVATION for all that stands before the smooth head.

    Returns:
        The layers, of the generator in float64 on its device.

    Raises:
        Refused: a smooth operation stands before that value, reason NOT_PIECEWISE_AFFINE.
        InvalidInput: a conditional generator without its condition.

    Accuracy: exact.
    """
    require_piecewise_affine(generator, manifold)
    exact = generator.to(precision=Precision.FLOAT64)
    # Without rows nothing is computed, but a condition that is missing is named.
    exact.forward(torch.zeros(0, exact.latent_dim, dtype=torch.float64, device=exact.device), manifold)
    graph, whole = exact.graph, exact.plan(manifold)
    kinked = tuple(step for step in whole.steps if TABLE[graph.nodes[step].operation].kind is Kind.PIECEWISE_LINEAR)
    plan = until(whole, kinked)
    bent: set[int] = set()
    first = []
    for step in plan.steps:
        after = any(source in bent for source in graph.nodes[step].inputs)
        if step in kinked:
            first.append(not after)
        if after or step in kinked:
            bent.add(step + 1)
    return Traversal(exact, kinked, tuple(first), plan, row_numbers(exact, plan))


def until(plan: Plan, steps: Sequence[int]) -> Plan:
    """The plan up to the last of some steps; an empty one where there are none."""
    count = plan.steps.index(steps[-1]) + 1 if steps else 0
    kept = plan.steps[:count]
    return Plan(kept[-1] + 1 if kept else 0, kept, plan.released[:count], plan.reusable[:count])


def row_numbers(generator: Generator, plan: Plan) -> int:
    """Numbers that one row holds at once while a plan runs, at most: values alive, and what an operation lays out."""
    nodes = generator.graph.nodes
    alive: dict[int, int] = {0: generator.latent_dim}
    most = generator.latent_dim
    for step, released in zip(plan.steps, plan.released, strict=True):
        node = nodes[step]
        read = sum(prod(shape_of(generator, source)) for source in node.inputs)
        made = prod(node.shape)
        if node.operation in CONVOLUTIONS:
            # The input in another order, and in float64 patches of it beside each other.
            made += read * (1 + prod(node.tensors["weight"].shape[2:]))
        elif TABLE[node.operation].kind is Kind.PIECEWISE_LINEAR and not TABLE[node.operation].elementwise:
            made += read + 2 * made  # comparisons, and places of 8 and of 4 bytes
        most = max(most, sum(alive.values()) + made)
        alive[step + 1] = prod(node.shape)
        for index in released:
            alive.pop(index, None)
    return most


def shape_of(generator: Generator, index: int) -> tuple[int, ...]:
    """Shape of one row of a value of the generator's graph."""
    return generator.graph.nodes[index - 1].shape if index else generator.latent_shape


def finite_latents(generator: Generator, latents: Tensor) -> Tensor:
    """Latents in float64 on the generator's device.

    Arguments:
        generator: that takes them.
        latents: [rows, d].

    Returns:
        The same numbers.

    Raises:
        InvalidInput: latents of another width, or with entries that are not finite.

    Accuracy: exact.
    """
    if latents.ndim != 2 or latents.shape[1] != generator.latent_dim:
        raise InvalidInput(
            f"latents have shape {list(latents.shape)}; write one row of {generator.latent_dim} numbers a latent.",
            field="latents",
        )
    if not bool(latents.isfinite().all()):
        raise InvalidInput("latents hold numbers that are not finite; write finite ones.", field="latents")
    return latents.detach().to(device=generator.device, dtype=torch.float64)
