"""Composition: an inner value of a network as its latent, and a feature network behind its output."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace

from magnet_service.errors import InvalidInput, Refused, UnknownResource
from magnet_service.generator.graph import Graph
from magnet_service.generator.head import constant_values

__all__ = ["Composition", "Parts"]


@dataclass(frozen=True)
class Parts:
    """A network taken apart, or put together, as a composition says.

    Attributes:
        mapping: from the file's own latent to the latent of `graph`; None where they are the same.
        graph: from the latent to the output, and on to the features where there are some.
        output: index of the value in `graph` that is the output.
    """

    mapping: Graph | None
    graph: Graph
    output: int

    @property
    def generator(self) -> Graph:
        """The graph up to the output."""
        return replace(self.graph, nodes=self.graph.nodes[: self.output])


@dataclass(frozen=True)
class Composition:
    """What becomes of the network in a file before it is a generator.

    Attributes:
        latent_node: name of the inner value that is the generator's latent (w of StyleGAN, arXiv 1812.04948); empty for
            the file's own input.
        features: network behind the output; None for none. Volumes may be taken in its space (Polarity Sampling,
            arXiv 2203.01993, takes VGG's and Inception's).
    """

    latent_node: str = ""
    features: Graph | None = None

    def parts(self, graph: Graph) -> Parts:
        """Apply the composition to a network.

        Arguments:
            graph: the network of the file, lowered.

        Returns:
            Its parts.

        Raises:
            UnknownResource: no value is called `latent_node`; the message lists those that could be (field
                `latent_node`).
            Refused: the rest of the network depends on the file's latent by another way than that value, or the
                value does not depend on it (reason LATENT_NODE).
            InvalidInput: the feature network takes another shape than the outputs have (field `features`).

        Accuracy: exact: no number is computed.
        """
        mapping, rest = cut(graph, self.latent_node) if self.latent_node else (None, graph)
        output = len(rest.nodes)
        return Parts(mapping, rest if self.features is None else joined(rest, self.features), output)

    def digest(self, whole: str, graph: Graph) -> str:
        """Digest of the composed generator; that of the network itself where nothing is composed.

        Arguments:
            whole: digest of the network of the file.
            graph: the network, lowered.

        Returns:
            64 hexadecimal digits: of `whole`, the place of the latent node, and the digest of the feature network.

        Raises:
            The same as `parts`.

        Accuracy: exact.
        """
        if not self.latent_node and self.features is None:
            return whole
        before = self.parts(graph).mapping
        place = None if before is None else names_of(graph).index(self.latent_node)
        features = None if self.features is None else self.features.digest()
        return hashlib.sha256(json.dumps(["composition", 1, whole, place, features]).encode()).hexdigest()


def names_of(graph: Graph) -> list[str]:
    """Names of the values of the nodes, in order."""
    return [node.name for node in graph.nodes]


def cut(graph: Graph, name: str) -> tuple[Graph, Graph]:
    """Cut a network at an inner value that everything after it depends on alone.

    Arguments:
        graph: the network.
        name: of the value, as `magnet generator show` lists it.

    Returns:
        The part that computes the value, and the part that starts from it.

    Raises:
        UnknownResource: no value of that name; the message lists those where the network can be cut.
        Refused: the value does not depend on the latent, or the output depends on it by another way too.

    Accuracy: exact.
    """
    names = names_of(graph)
    if name not in names:
        found = ", ".join(candidates(graph)) or "none"
        raise UnknownResource(
            f"The network has no value {name!r}. One-dimensional values that all that follows depends on alone: "
            f"{found}.",
            field="latent_node",
        )
    place = names.index(name) + 1
    if place in constant_values(graph):
        raise refusal(name, "it does not depend on the latent")
    if place == len(graph.nodes):
        raise refusal(name, "it is the output itself")
    other = other_path(graph, place)
    if other is not None:
        raise refusal(name, f"the output depends on the file's latent by another way too: {' -> '.join(other)}")
    return needed(graph, place, 0), needed(graph, len(graph.nodes), place)


def refusal(name: str, why: str) -> Refused:
    """A cut that cannot be made."""
    return Refused(
        f"{name!r} cannot be the latent: {why}. Choose a value that everything after it is computed from.",
        field="latent_node",
        reason="LATENT_NODE",
        metadata={"latent_node": name},
    )


def other_path(graph: Graph, place: int) -> list[str] | None:
    """Names along a way from the latent to the output that does not pass value `place`; None where there is none."""
    fixed = constant_values(graph)
    came_from: dict[int, int] = {0: -1}
    for index, node in enumerate(graph.nodes, 1):
        if index == place or index in fixed:
            continue
        source = next((source for source in node.inputs if source in came_from), None)
        if source is not None:
            came_from[index] = source
    step = len(graph.nodes)
    if step not in came_from:
        return None
    path: list[str] = []
    while step >= 0:
        path.append(graph.nodes[step - 1].name if step else "latent")
        step = came_from[step]
    return path[::-1] if len(path) <= 6 else [*path[:-6:-1], "...", path[0]]


def candidates(graph: Graph) -> list[str]:
    """Names of the values of one dimension where the network can be cut."""
    fixed = constant_values(graph)
    return [
        node.name
        for index, node in enumerate(graph.nodes[:-1], 1)
        if len(node.shape) == 1 and index not in fixed and other_path(graph, index) is None
    ]


def needed(graph: Graph, target: int, start: int) -> Graph:
    """The nodes that compute value `target` from value `start`, renumbered."""
    keep = {target}
    for index in range(target, 0, -1):
        if index in keep and index != start:
            keep.update(source for source in graph.nodes[index - 1].inputs if source)
    kept = sorted(index for index in keep if index != start)
    order = {start: 0, 0: 0, **{old: new for new, old in enumerate(kept, 1)}}
    nodes = tuple(
        replace(graph.nodes[old - 1], inputs=tuple(order[source] for source in graph.nodes[old - 1].inputs))
        for old in kept
    )
    return replace(graph, latent_shape=graph.nodes[start - 1].shape if start else graph.latent_shape, nodes=nodes)


def joined(first: Graph, second: Graph) -> Graph:
    """One network behind another.

    Arguments:
        first: the generator.
        second: the feature network; its latent is the first one's output.

    Returns:
        Nodes of both; names of the second's begin with `features.`.

    Raises:
        InvalidInput: the shapes differ.

    Accuracy: exact; nothing is resized.
    """
    if second.latent_shape != first.output_shape:
        given, wanted = list(first.output_shape), list(second.latent_shape)
        advice = "export it for inputs of that shape, resizing inside where it needs to"
        if math.prod(given) == math.prod(wanted):
            advice = "export it with the reshape inside"
        raise InvalidInput(
            f"The outputs have shape {given}, and the feature network takes {wanted}: {advice}.", field="features"
        )
    behind = len(first.nodes)
    nodes = tuple(
        replace(
            node,
            name=f"features.{node.name}",
            place=f"feature network, {node.place}",
            inputs=tuple(source + behind for source in node.inputs),
        )
        for node in second.nodes
    )
    widest = max(first.widest, second.widest, key=lambda dtype: (dtype.itemsize, str(dtype)))
    return replace(first, nodes=(*first.nodes, *nodes), widest=widest)
