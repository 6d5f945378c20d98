"""SamplingService: draws, in one message or in chunks, and outputs at the client's own latents."""

# ruff: noqa: N802 - methods are called as in the proto
from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog

from magnet.v1 import sampling_pb2, sampling_pb2_grpc
from magnet_service.registry import Clock, Plan, page, spans
from magnet_service.rpc.backend import CHUNK_BYTES, Backend
from magnet_service.rpc.wire.conditions import condition_from
from magnet_service.rpc.wire.draws import (
    plan_row_bytes,
    row_bytes,
    rows_message,
    sample_header,
    stamp_entries,
    wanted_from,
)
from magnet_service.rpc.wire.requests import draw_from, manifold_from, precision_from
from magnet_service.rpc.wire.tensors import latents_from
from magnet_service.rpc.worker import StopSignal
from magnet_service.sampling import Method, SampleRequest

__all__ = ["SamplingServicer"]


class SamplingServicer(sampling_pb2_grpc.SamplingServiceServicer):
    """Draws.

    Arguments:
        backend: registry and worker.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Generate(self, request: sampling_pb2.GenerateRequest, context: Any) -> sampling_pb2.GenerateResponse:
        """Runs the generator on the client's latents."""
        backend, precision = self._backend, precision_from(request.precision)
        condition = condition_from(request.condition)

        def work(should_stop: StopSignal) -> sampling_pb2.GenerateResponse:
            held = backend.registry.get(request.generator, condition)
            latents = latents_from(request.latents, held.generator.latent_dim, precision)
            backend.check_size(len(latents), row_bytes(request.outputs, held), "latents")
            found = backend.registry.generate(
                held,
                latents,
                wanted_from(request.outputs),
                manifold=manifold_from(request.manifold),
                precision=precision,
                top_k=request.top_k,
                should_stop=should_stop,
            )
            return sampling_pb2.GenerateResponse(
                rows=rows_message(found, request.outputs, held.card),
                generator_digest=held.generator.digest,
                stamp=stamp_entries(backend.registry.stamp()),
            )

        response = await backend.worker.run(work)
        structlog.contextvars.bind_contextvars(rows=request.latents.shape[0])
        return response

    async def Sample(self, request: sampling_pb2.SampleRequest, context: Any) -> sampling_pb2.SampleResponse:
        """Draws in one message."""
        draw = draw_from(request)

        await self._prepared(request.generator, draw)
        clock = _clock(context)

        def work(should_stop: StopSignal) -> sampling_pb2.SampleResponse:
            plan = self._backend.registry.plan(request.generator, draw, clock=clock, should_stop=should_stop)
            self._backend.check_size(draw.count, plan_row_bytes(request.outputs, plan), "count")
            rows = _rows(plan, draw.offset, draw.count, request.outputs, should_stop)
            return sampling_pb2.SampleResponse(header=self._header(plan, request.outputs), rows=rows)

        response = await self._backend.worker.run(work)
        structlog.contextvars.bind_contextvars(rows=draw.count)
        return response

    async def StreamSamples(
        self, request: sampling_pb2.StreamSamplesRequest, context: Any
    ) -> AsyncIterator[sampling_pb2.StreamSamplesResponse]:
        """Draws in chunks; each is computed when the client has taken the one before."""
        sample, worker = request.sample, self._backend.worker
        draw = draw_from(sample, endless=request.endless)
        registry = self._backend.registry

        await self._prepared(sample.generator, draw)
        clock = _clock(context)

        def begin(should_stop: StopSignal) -> tuple[Plan, sampling_pb2.DrawHeader]:
            plan = registry.plan(sample.generator, draw, clock=clock, should_stop=should_stop)
            # No chunk but the last is below a tile.
            rows = plan.engine.tile_rows if request.endless else min(plan.engine.tile_rows, draw.count)
            self._backend.check_size(rows, plan_row_bytes(sample.outputs, plan), "outputs")
            return plan, self._header(plan, sample.outputs)

        plan, header = await worker.run(begin)
        yield sampling_pb2.StreamSamplesResponse(header=header)
        rows_a_chunk = CHUNK_BYTES // plan_row_bytes(sample.outputs, plan)
        count = None if request.endless else draw.count
        for start, length in spans(draw.offset, count, rows_a_chunk, plan.step(rows_a_chunk)):
            rows = await worker.run(partial(_rows, plan, start, length, sample.outputs))
            structlog.contextvars.bind_contextvars(rows=start + length - draw.offset)
            chunk = sampling_pb2.StreamSamplesResponse.Chunk(offset=start, rows=rows)
            yield sampling_pb2.StreamSamplesResponse(chunk=chunk)
        trailer = sampling_pb2.StreamSamplesResponse.Trailer(
            rows=draw.count, distinct=min(plan.draw.diagnostics.distinct, draw.count)
        )
        yield sampling_pb2.StreamSamplesResponse(trailer=trailer)

    async def _prepared(self, generator: str, draw: SampleRequest) -> None:
        """Fits a surrogate that is missing, between the requests of others."""
        if draw.method is not Method.RESAMPLE:
            async for _ in self._backend.worker.steps(self._backend.registry.preparing(generator, draw)):
                pass

    def _header(self, plan: Plan, outputs: sampling_pb2.Outputs) -> sampling_pb2.DrawHeader:
        return sample_header(plan, outputs, self._backend.registry.stamp())


def _clock(context: Any) -> Clock:
    left = context.time_remaining()
    return Clock(None if left is None else time.monotonic() + left)


def _rows(
    plan: Plan, start: int, count: int, outputs: sampling_pb2.Outputs, should_stop: StopSignal
) -> sampling_pb2.Rows:
    found = page(plan, start, count, wanted_from(outputs), should_stop)
    return rows_message(found, outputs, None if plan.held is None else plan.held.card, first=start)
