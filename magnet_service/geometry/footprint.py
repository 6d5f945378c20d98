"""How much of a row is in memory while it, or one column of its tangents, is pushed through a generator."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from magnet_service.generator import Generator, Manifold, Node
from magnet_service.geometry.layers import Layer

__all__ = ["numbers_at_work"]


def numbers_at_work(generator: Generator, layers: Sequence[Layer], manifold: Manifold, copies: int) -> int:
    """Numbers of one row, or of one column of a row's tangents, that are held at once on the way to a manifold.

    Arguments:
        generator: the generator.
        layers: of it, up to that manifold.
        manifold: up to which value.
        copies: of the widest value that are held, the entries of contests taken for a value.

    Returns:
        So many copies, and the patches that float64 convolutions lay out beside each other on the CPU.

    Raises:
        Refused: FEATURES asked of a generator without (NO_FEATURES).

    Accuracy: an upper estimate from the graph.
    """
    nodes = [generator.graph.nodes[step] for step in generator.plan(manifold).steps]
    values = [prod(node.shape) for node in nodes] + [layer.units * layer.entries for layer in layers]
    return copies * max([generator.latent_dim, *values]) + max([0, *(_patches(generator, node) for node in nodes)])


def _patches(generator: Generator, node: Node) -> int:
    """Numbers of the patches of a convolution: each place of its smaller side has one."""
    weight = node.tensors.get("weight")
    if "transposed" not in node.attributes or weight is None:
        return 0
    source = node.inputs[0]
    given = generator.graph.nodes[source - 1].shape if source else generator.latent_shape
    whole, places = (node.shape, given) if node.flag("transposed") else (given, node.shape)
    return whole[0] * prod(places[1:]) * prod(weight.shape[2:])
