"""A lowered network: a straight line of nodes, each naming an entry of the table of operations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from magnet_service.generator.operations import TABLE, Node
from magnet_service.generator.operations.operation import Attribute

__all__ = ["Graph", "Node", "constants_of"]


@dataclass(frozen=True)
class Graph:
    """A network in the terms of the table of operations.

    Attributes:
        latent_shape: of one latent as the network takes it.
        nodes: in order of execution, all of them needed for the output; value 0 is the latent, value i + 1 that of
            node i, and the last value is the output.
        widest: the widest floating type among the constants of the file.
    """

    latent_shape: tuple[int, ...]
    nodes: tuple[Node, ...]
    widest: torch.dtype

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one row of the output."""
        return self.nodes[-1].shape if self.nodes else self.latent_shape

    def digest(self) -> str:
        """Sha256 over the nodes and the bytes of their weights, in hexadecimal.

        Names, places, the order of weights in the file and the file itself do not enter; the spelling of the network
        does (a decomposed export may differ from one that is not). Weights enter in the widest type of the file, so
        that constants folded in float64 do not bring in the last bits of a machine's arithmetic.

        Returns:
            64 hexadecimal digits.

        Raises:
            Nothing.

        Accuracy: exact.
        """
        hasher = hashlib.sha256(json.dumps(["graph", 1, self.latent_shape]).encode())
        for node in self.nodes:
            attributes = {name: written(value) for name, value in sorted(node.attributes.items())}
            hasher.update(json.dumps([node.operation, node.inputs, attributes, node.shape], sort_keys=True).encode())
            for role, tensor in sorted(node.tensors.items()):
                exact = tensor.to(self.widest) if tensor.dtype.is_floating_point else tensor.to(torch.int64)
                hasher.update(json.dumps([role, str(exact.dtype), tuple(exact.shape)]).encode())
                flat = exact.contiguous().reshape(-1)
                hasher.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return hasher.hexdigest()


def written(value: Attribute) -> object:
    """An attribute as it enters the digest: floats by their bits."""
    if isinstance(value, tuple):
        return [written(item) for item in value]
    return value.hex() if isinstance(value, float) else value


def constants_of(node: Node) -> Mapping[str, Tensor]:
    """What forward and tangent of the node read, in float64 (integers as they are)."""
    exact = {
        role: tensor.double() if tensor.dtype.is_floating_point else tensor for role, tensor in node.tensors.items()
    }
    prepare = TABLE[node.operation].prepare
    return exact if prepare is None else prepare(node, exact)
