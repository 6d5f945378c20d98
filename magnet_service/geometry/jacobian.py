"""Jacobians by pushing tangent columns forward, no reverse pass and no autograd."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from magnet_service.generator import Generator, Manifold
from magnet_service.geometry.columns import push_columns

__all__ = ["jacobian"]


def jacobian(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    *,
    manifold: Manifold = Manifold.OUTPUT,
    directions: Float[Tensor, "_ columns latent"] | None = None,
) -> Float[Tensor, "rows output columns"]:
    """The Jacobian of the generator at each latent, or its product with given directions.

    J = dG/dz, constant on each region before the smooth head. At a kink the tie rules of the operations hold: a unit
    at exactly zero counts as inactive.

    Arguments:
        generator: the generator, on the device and in the precision of the latents.
        latents: the rows of one tile; no tiling is done here.
        manifold: OUTPUT, or PRE_ACTIVATION for the value that feeds the smooth head.
        directions: v, one set a row or one set (leading size 1) for all rows; None stands for the d unit vectors.

    Returns:
        J V, with the output flattened.

    Raises:
        Nothing.

    Accuracy: rounding of the latents' precision.
    Cost: about one forward a row and direction.
    """
    return push_columns(generator, latents, directions, manifold)[1].mT
