"""One channel to a server, and calls on it whose failures are this package's errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol, Self, TypeVar

import grpc
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from magnet.v1 import bank_pb2_grpc, generator_pb2_grpc, geometry_pb2_grpc, sampling_pb2_grpc
from magnet_client import codec
from magnet_client.connecting import DEFAULT_TIMEOUT, channel_options, resolve_address
from magnet_client.errors import UnknownResource

__all__ = ["Connection", "Responses"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Sent = TypeVar("_Sent", contravariant=True)
_Received = TypeVar("_Received", covariant=True)


class _Sends(Protocol[_Sent, _Received]):
    def __call__(self, request: _Sent, timeout: float | None = None) -> _Received: ...


class Responses(Protocol[_Received]):
    """Answers of a stream as gRPC hands them out."""

    def __next__(self) -> _Received: ...

    def __iter__(self) -> Iterator[_Received]: ...

    def cancel(self) -> bool:
        """End the stream on both sides."""
        ...


class Connection:
    """A channel to one server; closed by `close` or by leaving a `with` block.

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
        if credentials is None:
            channel = grpc.insecure_channel(self.address, options=channel_options())
        else:
            channel = grpc.secure_channel(self.address, credentials, options=channel_options())
        self._channel = channel
        self._generators = generator_pb2_grpc.GeneratorServiceStub(channel)
        self._samples = sampling_pb2_grpc.SamplingServiceStub(channel)
        self._geometry = geometry_pb2_grpc.GeometryServiceStub(channel)
        self._banks = bank_pb2_grpc.BankServiceStub(channel)

    def close(self) -> None:
        """Close the channel; streams in work end, and the server stops computing for them."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def health(self, service: str = "", *, timeout: float | None = None) -> bool:
        """Ask whether the server, or one of its services, is serving.

        Arguments:
            service: full name as `magnet.v1.SamplingService`; the whole server when empty.
            timeout: seconds; the client's own when None.

        Returns:
            Whether it is; False while the server goes down.

        Raises:
            UnknownResource: the server has no such service.
            Unavailable: nothing answers at the address.
            DeadlineExceeded: no answer in time.

        Accuracy: exact at the time of the answer.
        """
        check = health_pb2_grpc.HealthStub(self._channel).Check
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer: health_pb2.HealthCheckResponse = self._call(check, request, timeout)
        except UnknownResource as error:
            error.message = f"{self.address} has no service {service!r} (one is 'magnet.v1.SamplingService')"
            error.field, error.args = "service", (error.message,)
            raise
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _cancel(self, operation: str, timeout: float | None) -> None:
        cancel = self._channel.unary_unary(
            "/google.longrunning.Operations/CancelOperation",
            request_serializer=operations_pb2.CancelOperationRequest.SerializeToString,
            response_deserializer=empty_pb2.Empty.FromString,
        )
        self._call(cancel, operations_pb2.CancelOperationRequest(name=operation), timeout)

    def _call(self, method: _Sends[_Request, _Response], request: _Request, timeout: float | None) -> _Response:
        try:
            return method(request, timeout=_seconds(self.timeout if timeout is None else timeout))
        except grpc.RpcError as error:
            raise self._error(error) from None

    def _open(
        self, method: _Sends[_Request, Responses[_Response]], request: _Request, timeout: float | None
    ) -> Responses[_Response]:
        return method(request, timeout=None if timeout is None else _seconds(timeout))

    def _next(self, responses: Responses[_Response]) -> _Response | None:
        """Return the next answer of a stream, None at its end."""
        try:
            return next(responses, None)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def _error(self, error: Any) -> Exception:
        return codec.error_from_call(error.code(), error.details(), error.trailing_metadata(), self.address)


def _seconds(timeout: float) -> float | None:
    return None if math.isinf(timeout) else timeout
