"""Health of the server, of each service and of each generator, as `grpc.health.v1` tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from grpc_health.v1 import health, health_pb2

__all__ = ["Readiness", "generator_service"]

_SECONDS_BETWEEN_LOOKS = 2.0


def generator_service(name: str) -> str:
    """Name under which a generator's health is asked: `generator/NAME`."""
    return f"generator/{name}"


class Readiness:
    """Keeps the statuses: everything serves until the drain; generators come and go with their folders.

    Arguments:
        services: full names of the gRPC services.
        names: lists the generators on disk; cheap.
    """

    def __init__(self, services: Sequence[str], names: Callable[[], Sequence[str]]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._services = ("", *services)
        self._names = names
        self._known: set[str] = set()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sets every status to SERVING and begins to follow the repositories."""
        for service in self._services:
            await self.servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
        await self._look()
        self._watch = asyncio.create_task(self._follow())

    async def drain(self) -> None:
        """Sets every status to NOT_SERVING for good."""
        if self._watch is not None:
            self._watch.cancel()
        await self.servicer.enter_graceful_shutdown()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            await self._look()

    async def _look(self) -> None:
        names = set(await asyncio.to_thread(self._names))
        for name in names - self._known:
            await self.servicer.set(generator_service(name), health_pb2.HealthCheckResponse.SERVING)
        for name in self._known - names:
            await self.servicer.set(generator_service(name), health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        self._known = names
