"""Whether latents are in one region."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from magnet_service.generator import Generator, Manifold
from magnet_service.geometry.codes import paired_codes
from magnet_service.geometry.engine import Engine

__all__ = ["same_region"]


def same_region(
    generator: Generator,
    left: Float[Tensor, "*rows latent"],
    right: Float[Tensor, "*_rows latent"],
    *,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Bool[Tensor, "*rows"]:
    """Whether two latents have one activation pattern, and so one region and one affine map.

    Arguments:
        generator: the generator, piecewise affine up to the manifold's value.
        left: one latent, or several.
        right: as many.
        manifold: PRE_ACTIVATION for what feeds the smooth head, OUTPUT or FEATURES where nothing smooth is before them.
        engine: device and tile rows to compute with; its precision is not read, patterns are those of float64.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        One truth value for each pair, on the CPU.

    Raises:
        Refused: something smooth stands before that value (NOT_PIECEWISE_AFFINE), or there is none (NO_FEATURES).
        InvalidInput: latents of another width than the generator's latent dimension, or not as many of both.
        Cancelled: `should_stop` answered true.

    Accuracy: exact for the pre-activations computed in float64. Two latents stand at the same place of a tile, so that
        equal ones have equal bits.
    Cost: one forward a latent.

    Example:
        >>> sign = Generator.from_module(torch.nn.ReLU(), 2)
        >>> same_region(sign, torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[3.0, 1.0], [3.0, -1.0]])).tolist()
        [True, False]
    """
    pairs = paired_codes(generator, left, right, manifold, engine, should_stop)
    same = [torch.ones(0, dtype=torch.bool), *((one == other).all(1).cpu() for one, other in pairs)]
    return torch.cat(same).reshape(left.shape[:-1])
