"""The table from errors to statuses, and what the interceptor makes of what was never expected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

import magnet_service.errors
from magnet.v1 import generator_pb2, sampling_pb2
from magnet_client.codec import error_from_status
from magnet_service.config import LogFormat, LogLevel
from magnet_service.errors import InvalidInput, MagnetError, Overloaded, UnsupportedOperation
from magnet_service.rpc.interceptor import CallInterceptor
from magnet_service.rpc.logs import make_logger
from magnet_service.rpc.status import CODES, code_of, status_of
from tests.rpc.calls import Failure, failure, taken_apart

KINDS = [getattr(magnet_service.errors, name) for name in magnet_service.errors.__all__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_and_an_error_info(kind: type[MagnetError]) -> None:
    error = kind("What is wrong.")
    status = status_of(error, "abc")
    assert status.code == code_of(error).value[0] != grpc.StatusCode.OK.value[0]
    assert status.message == "What is wrong."
    assert status.details[0].type_url.endswith("google.rpc.ErrorInfo")
    assert status.details[1].type_url.endswith("google.rpc.RequestInfo")


def test_only_the_base_is_internal() -> None:
    assert [kind for kind in KINDS if code_of(kind("x")) is grpc.StatusCode.INTERNAL] == [MagnetError]
    assert set(CODES) <= set(KINDS)


def test_a_subclass_takes_the_code_of_its_base() -> None:
    assert code_of(UnsupportedOperation("x")) is grpc.StatusCode.FAILED_PRECONDITION


class Handlers(grpc.GenericRpcHandler):
    """Two methods that fail as they are told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def service(self, handler_call_details: Any) -> Any:
        async def unary(request: Any, context: Any) -> Any:
            raise self.error

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            yield generator_pb2.ListGeneratorsResponse()
            raise self.error

        coders = {
            "request_deserializer": generator_pb2.ListGeneratorsRequest.FromString,
            "response_serializer": generator_pb2.ListGeneratorsResponse.SerializeToString,
        }
        if handler_call_details.method == "/test/Unary":
            return grpc.unary_unary_rpc_method_handler(unary, **coders)
        return grpc.unary_stream_rpc_method_handler(stream, **coders)


def asked(error: Exception, method: str) -> tuple[Failure, int]:
    """What a client sees of an error, and the calls left in flight."""

    async def main() -> tuple[Failure, int]:
        calls = CallInterceptor(make_logger(LogLevel.ERROR, LogFormat.JSON))
        server = grpc.aio.server(interceptors=[calls])
        server.add_generic_rpc_handlers((Handlers(error),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        found = await asyncio.to_thread(ask, port)
        await server.stop(0)
        return found, calls.in_flight

    def ask(port: int) -> Failure:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            if method == "Unary":
                return failure(lambda: channel.unary_unary("/test/Unary")(b""))
            received = []
            try:
                received.extend(channel.unary_stream("/test/Stream")(b""))
            except grpc.RpcError as error:
                return taken_apart(error)
            raise AssertionError(received)

    return asyncio.run(main())


@pytest.mark.parametrize("method", ["Unary", "Stream"])
def test_an_unexpected_error_is_opaque_and_logged_under_its_request(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, in_flight = asked(ZeroDivisionError("secret of the house"), method)
    assert (found.code, found.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in found.message
    assert found.request_id in found.message
    assert in_flight == 0
    log = capsys.readouterr().err
    assert "secret of the house" in log
    assert found.request_id in log


@pytest.mark.parametrize("method", ["Unary", "Stream"])
def test_an_expected_error_keeps_its_words(method: str) -> None:
    found, _ = asked(InvalidInput("Write 1.", field="top_k", metadata={"columns": "6"}), method)
    assert (found.code, found.message, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "Write 1.", "INVALID_INPUT")
    assert found.fields == {"top_k": "Write 1."}
    assert found.metadata == {"columns": "6"}


def test_overloaded_says_when_to_come_again() -> None:
    found, _ = asked(Overloaded("Later.", retry_after=2.5), "Unary")
    assert (found.code, found.retry_seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 2.5)


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ("ball_radius", "ball_radius"),
        ("box", "box"),
        ("replacement", "replacement"),
        ("truncation_norm", "truncation_norm"),
        ("truncation_psi", "truncation_psi"),
    ],
)
def test_fields_are_paths_of_the_protos_which_clients_know(field: str, argument: str) -> None:
    status = status_of(InvalidInput("no", field=field), "1")
    bad = error_details_pb2.BadRequest()
    assert status.details[2].Unpack(bad)
    message: Any = sampling_pb2.SampleRequest.DESCRIPTOR
    for name in bad.field_violations[0].field.split("."):
        message = message.fields_by_name[name].message_type
    assert error_from_status(status).field == argument
