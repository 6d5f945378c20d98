"""Local Lipschitz constants: the largest singular value of the Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry.engine import Engine
from magnet_service.geometry.filters import REVERSE, rows_of_jacobian
from magnet_service.geometry.spectrum import log_singular_values
from magnet_service.geometry.volume import volumes

__all__ = ["lipschitz"]


def lipschitz(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    *,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Float[Tensor, " rows"]:
    """The Lipschitz constant of the generator on the region of each latent, or at the latent where it is smooth.

        |G(z') - G(z'')| <= L |z' - z''|   on the region,   L = |A|_2 = sigma_1

    Arguments:
        generator: a generator or a classifier.
        latents: one row each.
        manifold: PRE_ACTIVATION, OUTPUT or FEATURES; before a smooth head the constant is that of the whole region,
            behind it that of the point.
        engine: device, tile rows, threads and memory to compute with; its precision is not read, they are float64.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        Euclidean length of outputs by Euclidean length of latents, float64, on the CPU; 0 where G is constant, NaN
        where its values are not finite.

    Raises:
        InvalidInput: latents of another width than the generator's latent dimension.
        Refused: FEATURES asked of a generator without (NO_FEATURES).
        OutOfMemory: one tile needs more than the engine's bound.
        Cancelled: `should_stop` answered true.

    Accuracy: exact but for rounding of float64, a few eps of the constant; at a latent exactly on a boundary that of
        the region which the tie rule chooses. Over several regions no bound: a path may cross steeper ones.
    Cost: that of `volumes`; with many inputs and few outputs two forwards an output instead.

    Example:
        >>> lipschitz(Generator.from_module(torch.nn.ReLU(), 2), torch.tensor([[1.0, 2.0], [-1.0, -2.0]])).tolist()
        [1.0, 0.0]
    """
    engine = replace(engine if engine is not None else Engine(), precision=Precision.FLOAT64)
    width = generator.output_dim_of(manifold)
    if REVERSE * width < generator.latent_dim:
        rows = rows_of_jacobian(generator, latents, range(width), manifold, engine, should_stop)
        logs, _, finite = log_singular_values(rows)
    else:
        found = volumes(generator, latents, manifold=manifold, engine=engine, should_stop=should_stop)
        logs, finite = found.log_singular_values, found.finite
    return torch.where(finite, logs[:, 0].exp(), torch.nan)
