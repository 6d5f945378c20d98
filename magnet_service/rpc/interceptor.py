"""What every call passes: checked against the rules in its proto, its errors made statuses, one line in the log."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from magnet_service.errors import MagnetError
from magnet_service.rpc.status import code_of, internal_status, status_of
from magnet_service.rpc.validation import decoded

__all__ = ["CallInterceptor"]

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]

_PROBES = ("/grpc.health.v1.", "/grpc.reflection.")


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every unary and server-streaming method.

    The only place that catches every exception: an expected one (`MagnetError`) becomes the status of the table, any
    other is logged with its traceback under a request id and answered as an opaque INTERNAL.

    Arguments:
        log: where each call's line goes: method, code, milliseconds, request id, and rows where there are any.
    """

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        self._log = log
        self.in_flight = 0
        """Calls in work, health and reflection not counted."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Finds the method's handler and wraps it; health, reflection and unknown methods pass as they are."""
        # The stubs of grpc know handlers of the threaded server only; those of this one are coroutines.
        handler: Any = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith(_PROBES):
            return cast("Handler | None", handler)
        read, write = handler.request_deserializer, handler.response_serializer
        # Requests arrive as bytes, so that those which are no message get a status of the table too.
        if handler.response_streaming:
            call = self._streaming(method, read, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(call, None, write)
        return grpc.unary_unary_rpc_method_handler(self._unary(method, read, handler.unary_unary), None, write)

    def _unary(
        self, method: str, read: Callable[[bytes], Message], behaviour: Callable[[Any, Context], Awaitable[Any]]
    ) -> Callable[[bytes, Any], Any]:
        async def call(data: bytes, context: Context) -> Any:
            with self._logged(method) as outcome:
                own: Container[str] = ()
                try:
                    request = decoded(data, read)
                    own = request.DESCRIPTOR.fields_by_name
                    response = await behaviour(request, context)
                except asyncio.CancelledError:
                    raise
                except Exception as error:
                    await _abort(context, self._failed(error, outcome, own))
                outcome["code"] = grpc.StatusCode.OK.name
                return response

        return call

    def _streaming(
        self, method: str, read: Callable[[bytes], Message], behaviour: Callable[[Any, Context], AsyncIterator[Any]]
    ) -> Callable[[bytes, Any], Any]:
        async def call(data: bytes, context: Context) -> AsyncIterator[Any]:
            with self._logged(method) as outcome:
                own: Container[str] = ()
                try:
                    request = decoded(data, read)
                    own = request.DESCRIPTOR.fields_by_name
                    async for response in behaviour(request, context):
                        yield response
                except (asyncio.CancelledError, GeneratorExit):
                    raise
                except Exception as error:
                    await _abort(context, self._failed(error, outcome, own))
                outcome["code"] = grpc.StatusCode.OK.name

        return call

    @contextmanager
    def _logged(self, method: str) -> Iterator[dict[str, str]]:
        structlog.contextvars.clear_contextvars()
        start = time.perf_counter()
        outcome = {"method": method, "code": grpc.StatusCode.CANCELLED.name, "request_id": secrets.token_hex(8)}
        self.in_flight += 1
        try:
            yield outcome
        finally:
            self.in_flight -= 1
            self._log.info("call", **outcome, ms=round(1e3 * (time.perf_counter() - start), 2))

    def _failed(self, error: Exception, outcome: dict[str, str], own: Container[str]) -> status_pb2.Status:
        if isinstance(error, MagnetError):
            outcome["code"] = code_of(error).name
            return status_of(error, outcome["request_id"], own)
        outcome["code"] = grpc.StatusCode.INTERNAL.name
        self._log.error("unexpected failure", exc_info=error, **outcome)
        return internal_status(outcome["request_id"])


async def _abort(context: Context, status: status_pb2.Status) -> None:
    raw = rpc_status.to_status(status)
    await context.abort(raw.code, raw.details or "", raw.trailing_metadata or ())
