"""Generators: listed, described, measured."""

from __future__ import annotations

from numpy.typing import ArrayLike

from magnet.v1 import generator_pb2
from magnet_client import codec
from magnet_client.awaiting.connection import AsyncConnection
from magnet_client.generators import GeneratorInfo, GeneratorSummary
from magnet_client.results import Volumes
from magnet_client.words import ConditionLike, ManifoldWord, PrecisionWord

__all__ = ["AsyncGenerators"]


class AsyncGenerators(AsyncConnection):
    """Calls of the generator and geometry services."""

    async def generators(self, *, timeout: float | None = None) -> tuple[GeneratorSummary, ...]:
        """List the generators that the server holds; as `Client.generators`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        response = await self._call(self._generators.ListGenerators, generator_pb2.ListGeneratorsRequest(), timeout)
        return tuple(map(codec.decode_summary, response.generators))

    async def generator(
        self, generator: str, rank_latents: int = 0, *, auto_top_k: bool = False, timeout: float | None = None
    ) -> GeneratorInfo:
        """Describe one generator; as `Client.generator`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.generator_request(generator, rank_latents, auto_top_k)
        return codec.decode_generator(await self._call(self._generators.GetGenerator, request, timeout))

    async def log_volume(
        self,
        generator: str,
        latents: ArrayLike,
        *,
        condition: ConditionLike | None = None,
        top_k: int = 0,
        manifold: ManifoldWord = "output",
        precision: PrecisionWord = "float32",
        timeout: float | None = None,
    ) -> Volumes:
        """Compute what the generator does to volume at latents of your own; as `Client.log_volume`, awaited.

        Raises:
            The same.

        Accuracy: the same.
        """
        request = codec.volume_request(generator, latents, condition, top_k, manifold, precision)
        return codec.decode_volumes(await self._call(self._geometry.LogVolume, request, timeout))
