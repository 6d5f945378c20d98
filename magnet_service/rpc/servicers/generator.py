"""GeneratorService: which generators there are and what they are."""

# ruff: noqa: N802 - methods are called as in the proto
from __future__ import annotations

from typing import Any

from magnet.v1 import generator_pb2, generator_pb2_grpc
from magnet_service.rpc.backend import Backend
from magnet_service.rpc.wire.generators import generator_message, listing_message
from magnet_service.rpc.worker import StopSignal

__all__ = ["GeneratorServicer"]


class GeneratorServicer(generator_pb2_grpc.GeneratorServiceServicer):
    """Answers from the repositories.

    Arguments:
        backend: registry and worker.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def ListGenerators(
        self, request: generator_pb2.ListGeneratorsRequest, context: Any
    ) -> generator_pb2.ListGeneratorsResponse:
        """Lists every generator."""
        listings = await self._backend.worker.run(lambda _: self._backend.registry.generators.listings())
        return generator_pb2.ListGeneratorsResponse(generators=map(listing_message, listings))

    async def GetGenerator(
        self, request: generator_pb2.GetGeneratorRequest, context: Any
    ) -> generator_pb2.GetGeneratorResponse:
        """Describes one generator."""
        registry = self._backend.registry

        def work(should_stop: StopSignal) -> generator_pb2.GetGeneratorResponse:
            held = registry.generators.get(request.generator)
            rank = registry.rank(held, request.rank_latents, should_stop)
            auto = registry.auto_top_k(held) if request.auto_top_k else ()
            return generator_message(held, registry.generators.verification(held), rank, auto)

        return await self._backend.worker.run(work)
