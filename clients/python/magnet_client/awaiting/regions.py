"""Regions of latents, activation patterns, rows of affine maps."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from magnet_client import codec
from magnet_client.awaiting.connection import AsyncConnection
from magnet_client.patterns import Hamming, NearestPatterns, Patterns
from magnet_client.regions import AffineRows, Region
from magnet_client.words import ConditionLike, ManifoldWord

__all__ = ["AsyncRegions"]


class AsyncRegions(AsyncConnection):
    """Calls of the geometry service about the regions that latents are in."""

    async def region(
        self,
        generator: str,
        latent: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        box: tuple[float, float] | None = None,
        manifold: ManifoldWord = "pre_activation",
        affine_map: bool = False,
        half_spaces: bool = False,
        minimal: bool = False,
        ball: bool = True,
        others: ArrayLike | None = None,
        timeout: float | None = None,
    ) -> Region:
        """Describe the region of a latent; as `Client.region`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.region_request(
            generator,
            latent,
            condition,
            box,
            manifold,
            affine_map,
            half_spaces,
            minimal,
            ball,
            others,
        )
        return codec.decode_region(await self._call(self._geometry.Region, request, timeout))

    async def patterns(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        timeout: float | None = None,
    ) -> Patterns:
        """Compute activation patterns; as `Client.patterns`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.patterns_request(generator, latents, condition, manifold)
        return codec.decode_patterns(await self._call(self._geometry.Patterns, request, timeout))

    async def hamming(
        self,
        generator: str,
        latents: ArrayLike,
        others: ArrayLike | None = None,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        paired: bool = False,
        timeout: float | None = None,
    ) -> Hamming:
        """Count in how many units patterns differ; as `Client.hamming`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.hamming_request(generator, latents, others, condition, manifold, paired)
        return codec.decode_hamming(await self._call(self._geometry.Patterns, request, timeout))

    async def nearest_patterns(
        self,
        generator: str,
        latents: ArrayLike,
        count: int = 10,
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        bank: str,
        bank_revision: int | None = None,
        timeout: float | None = None,
    ) -> NearestPatterns:
        """Find the rows of a bank with the nearest patterns; as `Client.nearest_patterns`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.nearest_request(generator, latents, count, bank, condition, manifold, bank_revision)
        return codec.decode_nearest(await self._call(self._geometry.NearestPatterns, request, timeout))

    async def affine_rows(
        self,
        generator: str,
        latents: ArrayLike,
        outputs: Sequence[int] = (),
        *,
        condition: ConditionLike | None = None,
        manifold: ManifoldWord = "pre_activation",
        lipschitz: bool = False,
        timeout: float | None = None,
    ) -> AffineRows:
        """Compute rows of the affine map at each latent; as `Client.affine_rows`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.affine_rows_request(generator, latents, outputs, condition, manifold, lipschitz)
        return codec.decode_affine_rows(await self._call(self._geometry.AffineRows, request, timeout))
