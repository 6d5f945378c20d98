"""The Chebyshev centre of a region: the point farthest from all its walls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.geometry.inscribed import inscribed
from magnet_service.geometry.region import Region

__all__ = ["InscribedBall", "chebyshev"]


@dataclass(frozen=True)
class InscribedBall:
    """The largest ball inside of a region.

    Attributes:
        centre: float64, on the CPU; None where there are balls of any radius.
        radius: infinite there; 0 where the region has no inside.
    """

    centre: Float[Tensor, " latent"] | None
    radius: float


def chebyshev(region: Region, should_stop: Callable[[], bool] | None = None) -> InscribedBall:
    """The Chebyshev centre and radius of a region.

        max r over centres y   subject to   n_i y + r <= h_i

    Arguments:
        region: from `region_at`; with a `box` it is the region's part inside of the box, always bounded.
        should_stop: asked before every linear program; once it answers true the call ends in Cancelled.

    Returns:
        The ball. A region that goes on for ever, as an unbounded cone does, has no largest ball: radius infinite and no
        centre. Where several centres are as good, as in a slab, one of them.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: the ball is inside but for rounding of float64; no other is larger by more than 1e-9 of the radius.
    Cost: a few linear programs of d + 1 variables.

    Example:
        >>> from magnet_service.generator import Generator
        >>> from magnet_service.geometry.region import region_at
        >>> square = Generator.from_module(torch.nn.Hardtanh(), 2)
        >>> ball = chebyshev(region_at(square, torch.tensor([0.5, 0.9])))
        >>> ball.radius, ball.centre.tolist()
        (1.0, [0.0, 0.0])
    """
    found = inscribed(region.half_spaces.normals.numpy(), region.half_spaces.distances.numpy(), should_stop)
    if found.unlimited:
        return InscribedBall(None, torch.inf)
    return InscribedBall(region.latent + torch.from_numpy(found.move), found.radius)
