"""GeometryService: what is exactly true of a generator at given latents."""

# ruff: noqa: N802 - methods are called as in the proto
from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog

from magnet.v1 import geometry_pb2, geometry_pb2_grpc
from magnet_service.geometry import TileMasses
from magnet_service.registry import Sliced
from magnet_service.registry.slices import boundary_density, layers_of, patterns_of, sliced, volumes_of
from magnet_service.registry.tile_densities import check_masses, log_priors_of, masses_of
from magnet_service.rpc.backend import CHUNK_BYTES
from magnet_service.rpc.servicers.regions import RegionCalls
from magnet_service.rpc.wire.conditions import condition_from
from magnet_service.rpc.wire.generators import volumes_message
from magnet_service.rpc.wire.requests import manifold_from, precision_from
from magnet_service.rpc.wire.slices import hyperplane_density_message, slice_from, slice_header
from magnet_service.rpc.wire.tensors import latents_from
from magnet_service.rpc.wire.tessellations import structure_messages, tile_bytes, tile_spans, tiles_message
from magnet_service.rpc.worker import StopSignal

__all__ = ["GeometryServicer"]


class GeometryServicer(RegionCalls, geometry_pb2_grpc.GeometryServiceServicer):
    """Measures latents that clients send, and cuts slices into tiles.

    Arguments:
        backend: registry and worker.
    """

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

    async def Slice(
        self, request: geometry_pb2.SliceRequest, context: Any
    ) -> AsyncIterator[geometry_pb2.SliceResponse]:
        """Cuts a slice into its tiles; patterns and volumes are computed when the client has taken the part before."""
        backend, worker, asked = self._backend, self._backend.worker, slice_from(request)

        def begin(should_stop: StopSignal) -> tuple[Sliced, TileMasses | None, geometry_pb2.SliceHeader]:
            if request.masses:
                check_masses(backend.registry, request.generator, asked)
            found = sliced(backend.registry, request.generator, asked, should_stop)
            backend.check_size(1, tile_bytes(found, request.patterns), "outputs")
            masses = masses_of(found, should_stop) if request.masses else None
            return found, masses, slice_header(found, backend.registry.stamp(), masses)

        def more(first: int, count: int, should_stop: StopSignal) -> geometry_pb2.SliceResponse:
            patterns = patterns_of(found, first, count, should_stop) if request.patterns else None
            volumes, log_prior = volumes_of(found, first, count, should_stop), log_priors_of(found, first, count)
            return tiles_message(found, first, count, patterns, volumes, log_prior, masses)

        found, masses, header = await worker.run(begin)
        structlog.contextvars.bind_contextvars(rows=header.tiles)
        yield geometry_pb2.SliceResponse(header=header)
        for first, count in tile_spans(found, request.patterns, CHUNK_BYTES):
            if request.patterns or found.engine is not None:
                yield await worker.run(partial(more, first, count))
            else:  # a copy of a MiB: no reason to wait for others' computations
                yield tiles_message(found, first, count, masses=masses)
        for part in structure_messages(found, CHUNK_BYTES):
            yield part

    async def HyperplaneDensity(
        self, request: geometry_pb2.HyperplaneDensityRequest, context: Any
    ) -> geometry_pb2.HyperplaneDensityResponse:
        """Measures where the boundaries of each layer's units lie."""
        registry, asked = self._backend.registry, slice_from(request.slice)
        generator, columns, rows = request.slice.generator, request.cells.columns, request.cells.rows

        def work(should_stop: StopSignal) -> geometry_pb2.HyperplaneDensityResponse:
            self._backend.check_size(rows * layers_of(registry, generator, asked), 8 * columns, "cells")
            found, lengths = boundary_density(registry, generator, asked, columns, rows, should_stop)
            return hyperplane_density_message(found, lengths, registry.stamp())

        return await self._backend.worker.run(work)
