"""Statuses to errors: the inverse of the server's table."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import magnet_client
from magnet_client import Overloaded, ServerFault, Unavailable
from magnet_client.codec import error_from_call, error_from_status
from magnet_service import errors as core
from magnet_service.rpc.status import internal_status, status_of

DETAILS = "grpc-status-details-bin"


def instances() -> list[core.MagnetError]:
    kinds = [getattr(core, name) for name in core.__all__ if name not in ("MagnetError", "Overloaded")]
    return [kind("what is wrong", field="top_k", metadata={"limit": "3"}) for kind in kinds] + [
        core.Overloaded("full", retry_after=2.5)
    ]


@pytest.mark.parametrize("error", instances(), ids=lambda error: type(error).__name__)
def test_every_error_of_the_server_arrives_as_its_mirror(error: core.MagnetError) -> None:
    status = status_of(error, "0123")
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    got = error_from_call(code, status.message, ((DETAILS, status.SerializeToString()),), "host:1")
    assert type(got) is getattr(magnet_client, type(error).__name__)
    assert (got.message, got.field, got.reason) == (error.message, error.field, error.reason)
    assert got.request_id == "0123"
    assert got.code == code.name
    assert got.metadata == error.metadata
    assert got.retry_after == (2.5 if isinstance(got, Overloaded) else None)
    # The error of a build comes as a status too, without a call around it.
    assert type(error_from_status(status)) is type(got)


def test_an_unexpected_failure_names_its_request() -> None:
    got = error_from_status(internal_status("beef"))
    assert isinstance(got, ServerFault)
    assert got.request_id == "beef"


def test_nobody_at_the_address_says_how_to_start_a_server() -> None:
    got = error_from_call(grpc.StatusCode.UNAVAILABLE, "a: b: Connection refused", None, "10.0.0.1:5")
    assert isinstance(got, Unavailable)
    assert "10.0.0.1:5 (Connection refused)" in got.message
    assert "magnet serve" in got.message


def test_fields_carry_the_names_of_arguments() -> None:
    for wire, argument in {
        "bank_id": "bank",
        "target": "rho",
        "sample.truncation.psi": "truncation_psi",
        "base.uniform.ball.radius": "ball_radius",
        "rhos[3]": "rhos",
        "top_k": "top_k",
    }.items():
        assert error_from_status(status_of(core.InvalidInput("no", field=wire), "1")).field == argument


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_any_status_without_details_is_some_error(code: grpc.StatusCode) -> None:
    got = error_from_call(code, None, (("other", "x"), (DETAILS, b"\xff\xff")), "host:1")
    assert got.code == code.name
    assert got.message


def test_an_answer_too_large_says_to_stream() -> None:
    message = "CLIENT: Received message larger than max (5 vs. 4)"
    got = error_from_call(grpc.StatusCode.RESOURCE_EXHAUSTED, message, None, "host:1")
    assert isinstance(got, magnet_client.MessageTooLarge)
    assert "stream" in got.message


def test_details_that_cannot_be_read_are_left_out() -> None:
    broken = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    delay = any_pb2.Any()
    delay.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)))
    got = error_from_status(status_pb2.Status(code=8, message="full", details=[broken, delay]))
    assert isinstance(got, Overloaded)
    assert got.retry_after == 1.5
