"""Tangent columns pushed through a generator in blocks that fit a memory bound."""

from __future__ import annotations

from math import ceil, prod

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.generator import Generator, Manifold

__all__ = ["push_columns"]

BLOCK_BYTES = 64 << 20
"""Bytes of the widest layer's tangents that one push may hold; more columns go in several pushes.

A constant, never free memory: the split decides the shape of every product and with it the last bits.
"""


def push_columns(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    directions: Float[Tensor, "_ columns latent"] | None,
    manifold: Manifold,
) -> tuple[Float[Tensor, "rows ..."], Float[Tensor, "rows columns output"]]:
    """Values and directional derivatives J v of every direction, in blocks of columns that fit the memory bound.

    Arguments:
        generator: the generator, on the device and in the precision of the latents.
        latents: the rows of one tile.
        directions: v, one set a row or one for all rows; None stands for the d unit vectors.
        manifold: OUTPUT, or PRE_ACTIVATION for the value that feeds the smooth head.

    Returns:
        The values, and for each row J v by direction (the transposed Jacobian where the directions are unit vectors).

    Raises:
        Nothing.

    Accuracy: rounding of the latents' precision.
    Cost: about one forward a row and direction.
    """
    columns = generator.latent_dim if directions is None else directions.shape[1]
    widest = max((prod(node.shape) for node in generator.summary), default=generator.latent_dim)
    column_bytes = len(latents) * max(widest, generator.output_dim) * latents.element_size()
    blocks = ceil(columns / max(1, BLOCK_BYTES // column_bytes))
    if blocks <= 1:
        return generator.push(latents, directions, manifold)
    if directions is None:
        directions = torch.eye(columns, dtype=latents.dtype, device=latents.device)[None]
    width = ceil(columns / blocks)
    pushed = [
        generator.push(latents, directions[:, first : first + width].contiguous(), manifold)
        for first in range(0, columns, width)
    ]
    return pushed[0][0], torch.cat([tangents for _, tangents in pushed], dim=1)
