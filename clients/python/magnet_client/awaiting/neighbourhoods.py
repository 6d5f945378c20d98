"""Neighbourhoods of latents: local complexity, distances to hyperplanes, and the density of their images."""

from __future__ import annotations

from numpy.typing import ArrayLike

from magnet_client import codec
from magnet_client.awaiting.connection import AsyncConnection
from magnet_client.distances import HyperplaneDistances
from magnet_client.neighbourhoods import LocalComplexity, LogDensity
from magnet_client.words import ConditionLike, EstimatorWord, ManifoldWord, PrecisionWord, SpaceWord

__all__ = ["AsyncNeighbourhoods"]


class AsyncNeighbourhoods(AsyncConnection):
    """Calls of the geometry service about what is around latents."""

    async def local_complexity(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        radius: float,
        condition: ConditionLike | None = None,
        seed: int = 0,
        manifold: ManifoldWord = "pre_activation",
        directions: int | None = None,
        frame_per_latent: bool = False,
        start: int = 0,
        frame: ArrayLike | None = None,
        estimator: EstimatorWord = "vertices",
        timeout: float | None = None,
    ) -> LocalComplexity:
        """Count the units whose state changes around each latent; as `Client.local_complexity`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.complexity_request(
            generator,
            latents,
            radius,
            condition,
            seed,
            manifold,
            directions,
            frame_per_latent,
            start,
            frame,
            estimator,
        )
        return codec.decode_complexity(await self._call(self._geometry.LocalComplexity, request, timeout), latents)

    async def log_density(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        top_k: int = 0,
        manifold: ManifoldWord = "output",
        precision: PrecisionWord = "float32",
        timeout: float | None = None,
    ) -> LogDensity:
        """Compute the log density of each latent's image; as `Client.log_density`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.log_density_request(generator, latents, condition, top_k, manifold, precision)
        return codec.decode_log_density(await self._call(self._geometry.LogDensity, request, timeout), latents)

    async def hyperplane_distances(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        space: SpaceWord = "latent",
        timeout: float | None = None,
    ) -> HyperplaneDistances:
        """Measure how far latents are from hyperplanes; as `Client.hyperplane_distances`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.distances_request(generator, latents, condition, manifold, space)
        return codec.decode_distances(await self._call(self._geometry.HyperplaneDistances, request, timeout))
