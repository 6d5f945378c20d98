"""One asyncio channel to a server, and calls on it whose failures are this package's errors."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar

import grpc
import grpc.aio
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from magnet.v1 import bank_pb2_grpc, generator_pb2_grpc, geometry_pb2_grpc, sampling_pb2_grpc
from magnet_client import codec
from magnet_client.connecting import DEFAULT_TIMEOUT, channel_options, resolve_address
from magnet_client.errors import UnknownResource

__all__ = ["AsyncConnection", "AsyncResponses"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Sent = TypeVar("_Sent", contravariant=True)
_Received = TypeVar("_Received", covariant=True)


class _Sends(Protocol[_Sent, _Received]):
    def __call__(self, request: _Sent, *, timeout: float | None = None) -> _Received: ...


class AsyncResponses(Protocol[_Received]):
    """Answers of a stream as gRPC hands them out."""

    def __aiter__(self) -> AsyncIterator[_Received]: ...

    def cancel(self) -> bool:
        """End the stream on both sides."""
        ...


class AsyncConnection:
    """A channel to one server, opened at the first call in the loop that makes it; closed by `close` or `async with`.

    Arguments:
        address: `host:port`; MAGNET_ADDRESS, else 127.0.0.1:50051, when not given.
        timeout: seconds that a call with one answer may take, unless the call says otherwise; `math.inf` for no limit.
        credentials: TLS; the channel is in clear text when not given.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.address = resolve_address(address)
        self.timeout = timeout
        self._credentials = credentials

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.address, options=channel_options())
        return grpc.aio.secure_channel(self.address, self._credentials, options=channel_options())

    @cached_property
    def _generators(self) -> generator_pb2_grpc.GeneratorServiceAsyncStub:
        return generator_pb2_grpc.GeneratorServiceStub(self._channel)

    @cached_property
    def _samples(self) -> sampling_pb2_grpc.SamplingServiceAsyncStub:
        return sampling_pb2_grpc.SamplingServiceStub(self._channel)

    @cached_property
    def _geometry(self) -> geometry_pb2_grpc.GeometryServiceAsyncStub:
        return geometry_pb2_grpc.GeometryServiceStub(self._channel)

    @cached_property
    def _banks(self) -> bank_pb2_grpc.BankServiceAsyncStub:
        return bank_pb2_grpc.BankServiceStub(self._channel)

    async def close(self) -> None:
        """Close the channel; streams in work end, and the server stops computing for them."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    async def health(self, service: str = "", *, timeout: float | None = None) -> bool:
        """Ask whether the server, or one of its services, is serving; as `Client.health`, awaited.

        Raises:
            UnknownResource, Unavailable, DeadlineExceeded: as their names say.

        Accuracy: exact at the time of the answer.
        """
        check = health_pb2_grpc.HealthStub(self._channel).Check
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer: health_pb2.HealthCheckResponse = await self._call(check, request, timeout)
        except UnknownResource as error:
            error.message = f"{self.address} has no service {service!r} (one is 'magnet.v1.SamplingService')"
            error.field, error.args = "service", (error.message,)
            raise
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _cancel(self, operation: str, timeout: float | None) -> None:
        cancel = self._channel.unary_unary(
            "/google.longrunning.Operations/CancelOperation",
            request_serializer=operations_pb2.CancelOperationRequest.SerializeToString,
            response_deserializer=empty_pb2.Empty.FromString,
        )
        await self._call(cancel, operations_pb2.CancelOperationRequest(name=operation), timeout)

    async def _call(
        self, method: _Sends[_Request, Awaitable[_Response]], request: _Request, timeout: float | None
    ) -> _Response:
        try:
            return await method(request, timeout=_seconds(self.timeout if timeout is None else timeout))
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None

    async def _iterate(
        self, method: _Sends[_Request, AsyncResponses[_Response]], request: _Request, timeout: float | None
    ) -> AsyncGenerator[_Response, None]:
        responses = method(request, timeout=None if timeout is None else _seconds(timeout))
        try:
            async for response in responses:
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None
        finally:
            responses.cancel()

    def _error(self, error: Any) -> Exception:
        return codec.error_from_call(error.code(), error.details(), error.trailing_metadata(), self.address)


def _seconds(timeout: float) -> float | None:
    return None if math.isinf(timeout) else timeout
