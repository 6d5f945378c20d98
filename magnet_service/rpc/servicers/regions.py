"""The calls of GeometryService about latents: their neighbourhoods, regions and activation patterns."""

# ruff: noqa: N802 - methods are called as in the proto
from __future__ import annotations

from typing import Any

from magnet.v1 import regions_pb2
from magnet_service.generator import Precision
from magnet_service.geometry import layers_of
from magnet_service.registry.neighbourhoods import complexity, hyperplane_means, log_densities
from magnet_service.registry.patterns import bank_neighbours, distances, pattern_bytes, patterns
from magnet_service.registry.regions import affine_rows, region
from magnet_service.rpc.backend import Backend
from magnet_service.rpc.wire.conditions import condition_from
from magnet_service.rpc.wire.neighbourhoods import (
    affine_manifold_from,
    complexity_from,
    complexity_message,
    distances_message,
    log_density_message,
    space_from,
)
from magnet_service.rpc.wire.regions import (
    affine_rows_message,
    neighbours_message,
    patterns_message,
    region_bytes,
    region_from,
    region_message,
)
from magnet_service.rpc.wire.requests import manifold_from, precision_from
from magnet_service.rpc.wire.tensors import floats_from, latents_from
from magnet_service.rpc.worker import StopSignal

__all__ = ["RegionCalls"]

_FEWER = "send fewer latents at once"


class RegionCalls:
    """Answers about latents that clients send.

    Arguments:
        backend: registry and worker.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def LocalComplexity(
        self, request: regions_pb2.LocalComplexityRequest, context: Any
    ) -> regions_pb2.LocalComplexityResponse:
        """Counts the units whose state changes around latents."""
        backend, registry, asked = self._backend, self._backend.registry, complexity_from(request)
        condition = condition_from(request.condition)

        def work(should_stop: StopSignal) -> regions_pb2.LocalComplexityResponse:
            held = registry.get(request.generator, condition)
            latents = latents_from(request.latents, held.generator.latent_dim, Precision.FLOAT64)
            layers = len(layers_of(held.generator, asked.manifold))
            backend.check_size(len(latents), 8 * (layers + 1), "latents", _FEWER)
            found = complexity(registry, held, latents, asked, should_stop)
            return complexity_message(held, found, asked.manifold, registry.stamp())

        return await backend.worker.run(work)

    async def LogDensity(self, request: regions_pb2.LogDensityRequest, context: Any) -> regions_pb2.LogDensityResponse:
        """Computes log densities of latents' images."""
        backend, registry = self._backend, self._backend.registry
        manifold, precision = manifold_from(request.manifold), precision_from(request.precision)
        condition, top_k = condition_from(request.condition), request.top_k

        def work(should_stop: StopSignal) -> regions_pb2.LogDensityResponse:
            held = registry.get(request.generator, condition)
            latents = latents_from(request.latents, held.generator.latent_dim, precision)
            backend.check_size(len(latents), 32, "latents", _FEWER)
            found, error = log_densities(
                registry, held, latents, top_k=top_k, manifold=manifold, precision=precision, should_stop=should_stop
            )
            return log_density_message(held, found, manifold, precision, error, registry.stamp())

        return await backend.worker.run(work)

    async def HyperplaneDistances(
        self, request: regions_pb2.HyperplaneDistancesRequest, context: Any
    ) -> regions_pb2.HyperplaneDistancesResponse:
        """Measures how far latents are from the hyperplanes of each layer's units."""
        backend, registry, manifold = self._backend, self._backend.registry, affine_manifold_from(request.manifold)
        condition, space = condition_from(request.condition), space_from(request.space)

        def work(should_stop: StopSignal) -> regions_pb2.HyperplaneDistancesResponse:
            held = registry.get(request.generator, condition)
            latents = latents_from(request.latents, held.generator.latent_dim, Precision.FLOAT64)
            found = hyperplane_means(registry, held, latents, manifold=manifold, space=space, should_stop=should_stop)
            return distances_message(held, found, len(latents), manifold, registry.stamp())

        return await backend.worker.run(work)

    async def Region(self, request: regions_pb2.RegionRequest, context: Any) -> regions_pb2.RegionResponse:
        """Describes the region of a latent."""
        backend, registry, asked = self._backend, self._backend.registry, region_from(request)
        condition = condition_from(request.condition)

        def work(should_stop: StopSignal) -> regions_pb2.RegionResponse:
            held = registry.get(request.generator, condition)
            others = None
            if request.HasField("others"):
                others = latents_from(request.others, held.generator.latent_dim, Precision.FLOAT64, "others")
            less = "leave out map or half_spaces, or ask for minimal ones"
            backend.check_size(1, region_bytes(request, held), "half_spaces", less)
            found = region(registry, held, floats_from(request.latent, 1, "latent"), others, asked, should_stop)
            message = region_message(found, request, registry.stamp())
            backend.check_size(1, message.ByteSize(), "half_spaces", less)
            return message

        return await backend.worker.run(work)

    async def Patterns(self, request: regions_pb2.PatternsRequest, context: Any) -> regions_pb2.PatternsResponse:
        """Computes activation patterns and their Hamming distances."""
        backend, registry, manifold = self._backend, self._backend.registry, affine_manifold_from(request.manifold)
        condition, paired = condition_from(request.condition), request.distances == request.DISTANCES_PAIRED
        wanted = paired or request.distances == request.DISTANCES_MATRIX

        def work(should_stop: StopSignal) -> regions_pb2.PatternsResponse:
            held = registry.get(request.generator, condition)
            width, others, far = held.generator.latent_dim, None, None
            latents = latents_from(request.latents, width, Precision.FLOAT64)
            if request.HasField("others"):
                others = latents_from(request.others, width, Precision.FLOAT64, "others")
            columns = 0 if not wanted else 1 if paired else len(latents if others is None else others)
            row_bytes = pattern_bytes(held, manifold) * request.patterns
            row_bytes += 8 * columns * len(layers_of(held.generator, manifold))
            backend.check_size(len(latents), row_bytes + 1, "latents", f"{_FEWER}, or fewer others")
            if wanted:
                far = distances(
                    registry, held, latents, others, paired=paired, manifold=manifold, should_stop=should_stop
                )
            found = patterns(registry, held, latents, manifold, should_stop) if request.patterns else None
            return patterns_message(held, found, far, manifold, registry.stamp())

        return await backend.worker.run(work)

    async def NearestPatterns(
        self, request: regions_pb2.NearestPatternsRequest, context: Any
    ) -> regions_pb2.NearestPatternsResponse:
        """Finds the rows of a bank whose patterns are nearest."""
        backend, registry, manifold = self._backend, self._backend.registry, affine_manifold_from(request.manifold)
        condition = condition_from(request.condition)

        def work(should_stop: StopSignal) -> regions_pb2.NearestPatternsResponse:
            held = registry.get(request.generator, condition)
            width = held.generator.latent_dim
            latents = latents_from(request.latents, width, Precision.FLOAT64)
            backend.check_size(len(latents), request.count * (16 + 4 * width), "count", "ask for a smaller count")
            found = bank_neighbours(
                registry,
                held,
                latents,
                bank_id=request.bank_id,
                bank_revision=request.bank_revision,
                count=request.count,
                manifold=manifold,
                should_stop=should_stop,
            )
            return neighbours_message(held, found, manifold, registry.stamp())

        return await backend.worker.run(work)

    async def AffineRows(self, request: regions_pb2.AffineRowsRequest, context: Any) -> regions_pb2.AffineRowsResponse:
        """Computes rows of the affine maps of latents' regions."""
        backend, registry, manifold = self._backend, self._backend.registry, affine_manifold_from(request.manifold)
        condition, outputs = condition_from(request.condition), tuple(request.outputs)

        def work(should_stop: StopSignal) -> regions_pb2.AffineRowsResponse:
            held = registry.get(request.generator, condition)
            width = held.generator.latent_dim
            latents = latents_from(request.latents, width, Precision.FLOAT64)
            backend.check_size(len(latents), 8 * (len(outputs) * width + 1), "outputs", f"{_FEWER}, or fewer outputs")
            rows, lipschitz = affine_rows(
                registry,
                held,
                latents,
                outputs=outputs,
                lipschitz_constants=request.lipschitz,
                manifold=manifold,
                should_stop=should_stop,
            )
            return affine_rows_message(held, rows, outputs, lipschitz, manifold, registry.stamp())

        return await backend.worker.run(work)
