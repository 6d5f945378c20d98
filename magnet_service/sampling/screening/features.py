"""What a forward pass tells about the volume at a latent, for nothing: pre-activations and slopes of all units."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from magnet_service.generator import TABLE, Generator, Kind, Manifold

__all__ = ["FEATURE_TILE_ROWS", "features", "features_version"]

FEATURE_TILE_ROWS = 64
"""Rows that are scored together, always: a row's last bits may depend on their number."""

features_version = "1"
"""Raised with every change of what the features of a graph are."""

_MOST = 6144
_MOST_OF_A_NODE = 1024
_MOST_OF_A_PICTURE = 256
_LEAST_OF_A_NODE = 32


def features(
    generator: Generator, latents: Float[Tensor, "rows latent"], manifold: Manifold
) -> Float[Tensor, "rows features"]:
    """The latent itself and, of every node that bends, its slopes and, where it is piecewise linear, its inputs.

    The slopes of relu units are the activation pattern's bits, those of a smooth head f'. A node of more than its share
    of numbers is averaged: a picture over squares of neighbours, a vector over consecutive units; all nodes together
    give about 6,144 numbers at most. A nonlinearity that is not elementwise, as a max-pool, gives its outputs.

    Arguments:
        generator: network, in the precision and on the device to compute with.
        latents: [rows, d], on that device.
        manifold: whose volume is meant: nodes behind it are left out.

    Returns:
        [rows, features], in the generator's precision; their number is one for all latents of a graph.

    Raises:
        Refused: FEATURES asked of a generator without (NO_FEATURES).

    Accuracy: rounding of the generator's precision.
    Cost: one forward.
    """
    graph, constants, plan = generator.graph, generator.constants, generator.plan(manifold)
    bending = [
        step for step in plan.steps if TABLE[graph.nodes[step].operation].kind in (Kind.PIECEWISE_LINEAR, Kind.SMOOTH)
    ]
    share = max(_LEAST_OF_A_NODE, min(_MOST_OF_A_NODE, _MOST // max(1, 2 * len(bending))))
    values: dict[int, Tensor] = {
        0: latents.to(generator.precision.dtype).reshape(len(latents), *generator.latent_shape)
    }
    found = [latents.to(generator.precision.dtype)]
    wanted = set(bending)
    for step, released in zip(plan.steps, plan.released, strict=True):
        node = graph.nodes[step]
        operation = TABLE[node.operation]
        inputs = [values[source] for source in node.inputs]
        output = operation.forward(node, inputs, constants[step])
        values[step + 1] = output
        if step in wanted and output.shape[0] == len(latents):
            if operation.slope is None:
                found.append(_shortened(output, share))
            else:
                slope = torch.as_tensor(operation.slope(node, inputs, output, constants[step]))
                found.append(_shortened(slope.to(output.dtype).expand_as(output), share))
                if operation.kind is Kind.PIECEWISE_LINEAR:
                    found.append(_shortened(inputs[0], share))
        del inputs
        for index in released:
            del values[index]
    return torch.cat(found, 1)


def _shortened(value: Float[Tensor, "rows ..."], share: int) -> Float[Tensor, "rows numbers"]:
    """At most about `share` numbers a row, averages of neighbours where there are more."""
    share = min(share, _MOST_OF_A_PICTURE) if value.dim() == 4 else share
    if value.dim() == 4 and value[0].numel() > share:
        channels, height, width = value.shape[1:]
        most = max(height, width)
        fitting = (size for size in range(2, most) if channels * -(-height // size) * -(-width // size) <= share)
        block = next(fitting, most)
        value = nn.functional.avg_pool2d(value, block, ceil_mode=True, count_include_pad=False)
    flat = value.flatten(1) if value.dim() > 1 else value.unsqueeze(1)
    group = -(-flat.shape[1] // share)
    return flat if group == 1 else nn.functional.avg_pool1d(flat.unsqueeze(1), group, ceil_mode=True).squeeze(1)
