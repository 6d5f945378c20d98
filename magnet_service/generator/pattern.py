"""Activation patterns: the states of all nonlinearity units at a latent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magnet_service.generator.generator import Generator
from magnet_service.generator.operations import TABLE, Node

__all__ = ["activation_pattern"]


def activation_pattern(generator: Generator, latents: Float[Tensor, "rows latent"]) -> Int[Tensor, "rows units"]:
    """The state of every nonlinearity unit at each latent; equal patterns mean one region.

    A unit's state is the number of its breakpoints strictly below its pre-activation: 0 or 1 for relu, leaky and
    absolute units, 0, 1 or 2 for units with two bounds; for a max-pool the place, in the flattened channel, of the
    entry it takes. At a breakpoint exactly a unit takes the lower state; of equal entries a max-pool takes the first.

    Arguments:
        generator: network.
        latents: [rows, d].

    Returns:
        [rows, units], nodes in order and units of a node in row-major order; int32 where a max-pool is among them,
        else int8.

    Raises:
        InvalidInput: latents of another width.

    Accuracy: exact for the pre-activations computed in the generator's precision; units within rounding of a breakpoint
        may differ between precisions.

    Cost: one forward.
    """
    states: list[Tensor] = []

    def collect(node: Node, inputs: Sequence[Tensor]) -> None:
        rule = TABLE[node.operation].states
        if rule is not None:
            states.append(rule(node, inputs).flatten(1))

    generator.visit(latents, collect)
    if not states:
        return torch.zeros(latents.shape[0], 0, dtype=torch.int8, device=latents.device)
    wide = any(state.dtype == torch.int32 for state in states)
    return torch.cat([state.to(torch.int32) if wide else state for state in states], dim=1)
