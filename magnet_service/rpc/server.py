"""The server: one port, all services, one worker; started, drained and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

import grpc
import structlog
from google.longrunning import operations_pb2_grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from magnet.v1 import (
    bank_pb2_grpc,
    generator_pb2_grpc,
    geometry_pb2_grpc,
    sampling_pb2_grpc,
)
from magnet_service.config import Settings
from magnet_service.errors import Refused
from magnet_service.geometry import make_ready
from magnet_service.registry import Registry
from magnet_service.rpc.backend import Backend
from magnet_service.rpc.idleness import grow_while_idle
from magnet_service.rpc.interceptor import CallInterceptor
from magnet_service.rpc.logs import make_logger
from magnet_service.rpc.operations import OperationBoard
from magnet_service.rpc.readiness import Readiness
from magnet_service.rpc.servicers import (
    BankServicer,
    GeneratorServicer,
    GeometryServicer,
    OperationsServicer,
    SamplingServicer,
)
from magnet_service.rpc.worker import Worker
from magnet_service.sampling import Cache, make_draws_ready
from magnet_service.sampling.banks.place import place_of

__all__ = ["SERVICES", "run", "running_server", "serve"]

SERVICES = (
    "google.longrunning.Operations",
    "magnet.v1.BankService",
    "magnet.v1.GeneratorService",
    "magnet.v1.GeometryService",
    "magnet.v1.SamplingService",
)
_PROBED = ("grpc.health.v1.Health", reflection.SERVICE_NAME)
_SECONDS_BETWEEN_LOOKS = 0.02

Ready = Callable[[str], None]


async def serve(settings: Settings, stop: asyncio.Event, ready: Ready | None = None) -> None:
    """Serves until told to stop, then drains: health NOT_SERVING, calls in flight end, the port closes.

    Arguments:
        settings: everything that an operator may choose.
        stop: set to end.
        ready: called once with the address when calls are answered.

    Raises:
        Refused: the port is taken; reason ADDRESS_IN_USE.
        InvalidInput: a device that is not there.
    """
    log = make_logger(settings.log_level, settings.log_format)
    registry = Registry(
        settings.generator_folders,
        settings.store,
        device=settings.device,
        threads=settings.threads,
        tile_rows=settings.tile_rows,
        max_count=settings.max_count,
        max_bank_rows=settings.max_bank_rows,
        max_tiles=settings.max_tiles,
        max_memory=settings.max_memory,
        cache=Cache(settings.cache, settings.cache_bytes or 0),
        builder=settings.builder,
        workers=settings.workers,
        tell=lambda line: log.warning("worker", told=line),
    )
    worker = Worker(settings.queue_limit)
    operations = OperationBoard(worker, registry, log)
    calls = CallInterceptor(log)
    readiness = Readiness(SERVICES, registry.generators.names)
    server = _server(settings, calls, Backend(registry, worker, operations, settings.max_message_bytes), readiness)
    try:
        address = _bind(server, settings)  # a port that is taken is reported at once
        await asyncio.to_thread(make_ready)  # before anyone is told that calls are answered
        await asyncio.to_thread(make_draws_ready)
        await readiness.start()
        await server.start()
        _announce(log, settings, address, registry)
        if ready is not None:
            ready(address)
        idle = asyncio.create_task(_idle(settings, registry, worker, operations, log))
        await stop.wait()
        idle.cancel()
        log.info("draining", calls=calls.in_flight, waiting=worker.waiting)
        await readiness.drain()
        await operations.close()
        await _until_idle(calls, settings.drain_seconds)
    finally:
        await operations.close()
        await server.stop(grace=0)
        await asyncio.to_thread(worker.close)
        log.info("stopped")


def run(settings: Settings, ready: Ready | None = None) -> None:
    """Serves in this process until SIGTERM or SIGINT; a second one cuts the drain short.

    Arguments:
        settings: everything that an operator may choose.
        ready: called once with the address when calls are answered.

    Raises:
        Refused: the port is taken (ADDRESS_IN_USE), or the store may not be read (NO_CREDENTIALS, STORE_DENIED).
        Unreachable: the store is not there or does not answer.
        InvalidInput: a device that is not there, or a store or workers that cannot be.
    """
    place_of(settings.store).folders()  # a store that cannot be read is told now, not by every call

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        serving = asyncio.create_task(serve(settings, stop, ready))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: serving.cancel() if stop.is_set() else stop.set())
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    asyncio.run(main())


@contextlib.contextmanager
def running_server(settings: Settings) -> Iterator[str]:
    """Serves from a thread of this process for the length of a `with` block.

    Arguments:
        settings: everything that an operator may choose; port 0 picks a free one.

    Yields:
        The address, as `127.0.0.1:40123`.

    Raises:
        Refused: the port is taken; reason ADDRESS_IN_USE.
        InvalidInput: a device that is not there.
    """
    started: Future[tuple[str, Callable[[], None]]] = Future()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        await serve(settings, stop, lambda address: started.set_result((address, lambda: _set_later(loop, stop))))

    with ThreadPoolExecutor(1, thread_name_prefix="magnet-server") as thread:
        ended = thread.submit(asyncio.run, main())
        first: list[Future[Any]] = [started, ended]
        wait_for(first, return_when=FIRST_COMPLETED)
        if not started.done():
            ended.result()  # raises what kept it from starting
        address, end = started.result()
        try:
            yield address
        finally:
            end()
            ended.result()


def _set_later(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _server(settings: Settings, calls: CallInterceptor, backend: Backend, readiness: Readiness) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[calls],
        options=[
            ("grpc.so_reuseport", 0),  # else a second server would bind the same port without a word
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    bank_pb2_grpc.add_BankServiceServicer_to_server(BankServicer(backend), server)
    generator_pb2_grpc.add_GeneratorServiceServicer_to_server(GeneratorServicer(backend), server)
    geometry_pb2_grpc.add_GeometryServiceServicer_to_server(GeometryServicer(backend), server)
    sampling_pb2_grpc.add_SamplingServiceServicer_to_server(SamplingServicer(backend), server)
    operations_pb2_grpc.add_OperationsServicer_to_server(OperationsServicer(backend), server)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    reflection.enable_server_reflection((*SERVICES, *_PROBED), server)
    return server


def _bind(server: grpc.aio.Server, settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.port}")
    except RuntimeError as error:
        raise Refused(
            f"Port {settings.port} on {settings.host} cannot be used: {error}. Another server may have it; stop that "
            "one, or choose another port (0 for a free one).",
            field="port",
            reason="ADDRESS_IN_USE",
        ) from error
    return f"{host}:{port}"


async def _idle(
    settings: Settings,
    registry: Registry,
    worker: Worker,
    board: OperationBoard,
    log: structlog.typing.FilteringBoundLogger,
) -> None:
    if settings.builder and settings.grow_rows:
        budget = settings.grow_bytes or 0
        await grow_while_idle(registry, worker, board, log, to_rows=settings.grow_rows, budget=budget)


def _announce(log: structlog.typing.FilteringBoundLogger, settings: Settings, address: str, registry: Registry) -> None:
    memory = f"{registry.max_memory / 2**20:,.0f} MiB"
    role = "builder" if settings.builder else "reader"
    log.info("serving", address=address, store=settings.store, role=role, max_memory=memory, **registry.stamp())
    if not _is_loopback(settings.host):
        log.warning("open to the network: calls are neither encrypted nor authenticated", host=settings.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


async def _until_idle(calls: CallInterceptor, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while calls.in_flight and loop.time() < end:
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
