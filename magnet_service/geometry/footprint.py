"""How much of a row is in memory while it, or one column of its tangents, is pushed through a generator."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from magnet_service.generator import Generator, Manifold, Node
from magnet_service.geometry.layers import Layer

__all__ = ["numbers_at_work", "patch_numbers"]


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
    shapes = [generator.latent_shape, *(node.shape for node in generator.graph.nodes)]
    patches = [patch_numbers(node, shapes[node.inputs[0]]) for node in nodes if node.inputs]
    return copies * max([generator.latent_dim, *values]) + max([0, *patches])


def patch_numbers(node: Node, given: tuple[int, ...]) -> int:
    """Numbers of the patches that torch lays out beside each other for one row of a float64 convolution.

    Arguments:
        node: any node.
        given: shape of one row of its first input.

    Returns:
        Each place of the smaller side has a patch; 0 for a node that is no convolution.

    Raises:
        Nothing.
    """
    weight = node.tensors.get("weight")
    if "transposed" not in node.attributes or weight is None:
        return 0
    whole, places = (node.shape, given) if node.flag("transposed") else (given, node.shape)
    return whole[0] * prod(places[1:]) * prod(weight.shape[2:])
