"""The layers of units of a generator: its piecewise linear nodes, in the order in which a pattern has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magnet_service.generator import TABLE, Generator, Kind, Manifold, Node
from magnet_service.generator.pattern import rows_of

__all__ = ["Contest", "Layer", "contests_of", "joined_inputs", "layers_of"]


@dataclass(frozen=True)
class Layer:
    """One piecewise linear node and its units.

    Attributes:
        node: its number in `generator.graph.nodes`.
        name: of its value in the file.
        operation: its entry in the table of operations.
        first: number of its first unit in the activation pattern.
        units: how many it has.
        breakpoints: pre-activations at which a unit's piece changes, ascending; empty where units choose among entries.
        entries: among how many entries a unit chooses, at most; 0 where units have breakpoints.
    """

    node: int
    name: str
    operation: str
    first: int
    units: int
    breakpoints: tuple[float, ...]
    entries: int

    @property
    def states(self) -> int:
        """How many states a unit of it may have."""
        return self.entries or len(self.breakpoints) + 1


@dataclass(frozen=True)
class Contest:
    """The entries among which each unit of a max-pool, an extremum or a choice takes one.

    Attributes:
        places: of the entries, in the rows of the node's inputs flattened and joined, of equal entries first the one
            that is taken; -1 fills lines.
        largest: whether the largest is taken, else the smallest.
    """

    places: Int[Tensor, "units most"]
    largest: bool

    def entries(self, joined: Float[Tensor, "rows numbers"]) -> Float[Tensor, "rows units most"]:
        """The entries of each unit, with those of a unit that takes the smallest negated; -inf fills lines."""
        found = joined[:, self.places.clamp(min=0)]
        return (found if self.largest else -found).masked_fill(self.places < 0, -torch.inf)

    def winners(self, entries: Float[Tensor, "rows units most"]) -> Int[Tensor, "rows units"]:
        """The column of the entry that each unit takes; of equal ones the first."""
        return (entries == entries.amax(-1, keepdim=True)).to(torch.uint8).argmax(-1)


def layers_of(generator: Generator, manifold: Manifold = Manifold.PRE_ACTIVATION) -> tuple[Layer, ...]:
    """The layers of units that the value which carries a manifold depends on.

    Arguments:
        generator: the generator.
        manifold: up to which value.

    Returns:
        Layers in order; their units one after another are those of `activation_pattern(generator, z, manifold)`.

    Raises:
        Refused: FEATURES asked of a generator without (NO_FEATURES).

    Accuracy: exact.

    Example:
        >>> generator = Generator.from_module(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()), 2)
        >>> [(layer.operation, layer.units, layer.states) for layer in layers_of(generator)]
        [('relu', 3, 2)]
    """
    plan = generator.plan(manifold)
    return generator.derived(("layers", manifold), lambda: _read(generator, plan.steps))


def contests_of(generator: Generator, layers: Sequence[Layer]) -> dict[int, Contest]:
    """The contests of the layers that have some, on the generator's device.

    Arguments:
        generator: the generator.
        layers: of it.

    Returns:
        By the number of the node.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    nodes = generator.graph.nodes
    return {
        layer.node: Contest(
            _places(generator, nodes[layer.node]).to(generator.device),
            bool(nodes[layer.node].attributes.get("largest", True)),
        )
        for layer in layers
        if layer.entries
    }


def joined_inputs(inputs: Sequence[Tensor], lead: int = 1) -> Tensor:
    """What a node reads, flattened behind the first `lead` dimensions and joined, as the places of a contest count."""
    flat = [rows_of(value, lead) for value in inputs]
    return flat[0] if len(flat) == 1 else torch.cat(flat, lead)


def _places(generator: Generator, node: Node) -> Tensor:
    rule = TABLE[node.operation].contenders
    if rule is None:
        raise TypeError(f"{node.operation} has neither breakpoints nor contenders")
    graph = generator.graph
    shapes = [graph.nodes[source - 1].shape if source else graph.latent_shape for source in node.inputs]
    return rule(node, shapes)


def _read(generator: Generator, steps: Sequence[int]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    first = 0
    for step in steps:
        node = generator.graph.nodes[step]
        operation = TABLE[node.operation]
        if operation.kind is not Kind.PIECEWISE_LINEAR:
            continue
        limits: tuple[float, ...] = ()
        entries = 0
        if operation.breakpoints is not None:
            limits = operation.breakpoints(node)
        else:
            entries = _places(generator, node).shape[1]
        layers.append(Layer(step, node.name, node.operation, first, prod(node.shape), limits, entries))
        first += prod(node.shape)
    return tuple(layers)
