"""Activation patterns: the states of all nonlinearity units at a latent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from magnet_service.generator.generator import Generator
from magnet_service.generator.manifold import Manifold
from magnet_service.generator.operations import TABLE, Node

__all__ = ["activation_pattern", "joined_states", "rows_of"]


def activation_pattern(
    generator: Generator, latents: Float[Tensor, "rows latent"], manifold: Manifold = Manifold.OUTPUT
) -> Int[Tensor, "rows units"]:
    """The state of every nonlinearity unit at each latent; equal patterns mean one region.

    A unit's state is the number of its breakpoints strictly below its pre-activation: 0 or 1 for relu, leaky and
    absolute units, 0, 1 or 2 for units with two bounds; for a max-pool the place, in the flattened channel, of the
    entry it takes. At a breakpoint exactly a unit takes the lower state; of equal entries a max-pool takes the first.

    Arguments:
        generator: network.
        latents: [rows, d].
        manifold: whose units count: all that the output needs; FEATURES has those of the feature network too.

    Returns:
        [rows, units], nodes in order and units of a node in row-major order; int32 where a max-pool is among them,
        else int8.

    Raises:
        InvalidInput: latents of another width.
        Refused: FEATURES asked of a generator without (NO_FEATURES).

    Accuracy: exact for the pre-activations computed in the generator's precision; units within rounding of a breakpoint
        may differ between precisions.

    Cost: one forward.
    """
    states: list[Tensor] = []

    def collect(node: Node, inputs: Sequence[Tensor]) -> None:
        rule = TABLE[node.operation].states
        if rule is not None:
            states.append(rows_of(rule(node, inputs)))

    generator.visit(latents, collect, manifold)
    return joined_states(states, latents)


def rows_of(values: Shaped[Tensor, "rows ..."], lead: int = 1) -> Shaped[Tensor, "rows ..."]:
    """Values flattened behind their first `lead` dimensions, where a row may be a single number without any.

    Arguments:
        values: [rows, *shape], or with columns between and `lead` 2.
        lead: dimensions that stay.

    Returns:
        [rows, numbers], or with columns between.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    return values.flatten(lead) if values.dim() > lead else values.unsqueeze(lead)


def joined_states(
    states: Sequence[Int[Tensor, "rows _"]], latents: Float[Tensor, "rows latent"]
) -> Int[Tensor, "rows units"]:
    """The states of all nodes side by side, as `activation_pattern` has them.

    Arguments:
        states: of each piecewise linear node in order, [rows, units of the node].
        latents: whose states they are.

    Returns:
        [rows, units], int32 where one of the nodes has int32, else int8.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    if not states:
        return torch.zeros(latents.shape[0], 0, dtype=torch.int8, device=latents.device)
    wide = any(state.dtype == torch.int32 for state in states)
    return torch.cat([state.to(torch.int32) if wide else state for state in states], dim=1)
