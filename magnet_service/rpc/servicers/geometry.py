"""GeometryService: what is exactly true of a generator at given latents."""

# ruff: noqa: N802 - methods are called as in the proto
from __future__ import annotations

from typing import Any

from magnet.v1 import geometry_pb2, geometry_pb2_grpc
from magnet_service.rpc.backend import Backend
from magnet_service.rpc.wire.conditions import condition_from
from magnet_service.rpc.wire.generators import volumes_message
from magnet_service.rpc.wire.requests import manifold_from, precision_from
from magnet_service.rpc.wire.tensors import latents_from
from magnet_service.rpc.worker import StopSignal

__all__ = ["GeometryServicer"]


class GeometryServicer(geometry_pb2_grpc.GeometryServiceServicer):
    """Measures latents that clients send.

    Arguments:
        backend: registry and worker.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def LogVolume(self, request: geometry_pb2.LogVolumeRequest, context: Any) -> geometry_pb2.LogVolumeResponse:
        """Computes log singular values, rank and log-volumes."""
        backend = self._backend
        manifold, precision = manifold_from(request.manifold), precision_from(request.precision)
        condition = condition_from(request.condition)

        def work(should_stop: StopSignal) -> geometry_pb2.LogVolumeResponse:
            held = backend.registry.get(request.generator, condition)
            latents = latents_from(request.latents, held.generator.latent_dim, precision)
            backend.check_size(len(latents), 8 * (held.prior.columns + 2), "latents")
            found, top_k, error = backend.registry.volumes(
                held, latents, manifold=manifold, precision=precision, top_k=request.top_k, should_stop=should_stop
            )
            return volumes_message(held, found, top_k, manifold, precision, error, backend.registry.stamp())

        return await backend.worker.run(work)
