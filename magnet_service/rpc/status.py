"""The one table from the errors of the core to gRPC status codes, with machine-readable details.

Every status carries ErrorInfo (reason, domain `magnet-service`) and RequestInfo; BadRequest where a field is at fault,
ResourceInfo where something named does not exist or is taken, RetryInfo where a new try makes sense.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import MappingProxyType

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from magnet_service.errors import (
    Cancelled,
    DamagedData,
    DuplicateResource,
    InvalidInput,
    MagnetError,
    OutOfMemory,
    OutOfSpace,
    Overloaded,
    Refused,
    UnknownResource,
    Unreachable,
)
from magnet_service.rpc.validation import InvalidRequest

__all__ = ["CODES", "DOMAIN", "code_of", "internal_status", "status_of"]

DOMAIN = "magnet-service"

CODES: Mapping[type[MagnetError], grpc.StatusCode] = MappingProxyType(
    {
        InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
        UnknownResource: grpc.StatusCode.NOT_FOUND,
        DuplicateResource: grpc.StatusCode.ALREADY_EXISTS,
        Refused: grpc.StatusCode.FAILED_PRECONDITION,
        DamagedData: grpc.StatusCode.DATA_LOSS,
        OutOfMemory: grpc.StatusCode.RESOURCE_EXHAUSTED,
        OutOfSpace: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Unreachable: grpc.StatusCode.UNAVAILABLE,
        Cancelled: grpc.StatusCode.CANCELLED,
        MagnetError: grpc.StatusCode.INTERNAL,
    }
)

# Fields that the core calls otherwise than the protos. A box is at fault at its upper end, which must be above `low`.
_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "ball_radius": "base.uniform.ball.radius",
        "box": "base.uniform.box.high",
        "directions": "along.directions",
        "origin": "along.origin",
        "replacement": "without_replacement",
        "truncation_norm": "truncation.norm_bound",
        "truncation_psi": "truncation.psi",
    }
)


def code_of(error: MagnetError) -> grpc.StatusCode:
    """Finds the status code of an error: that of its own class, else of the nearest base.

    Arguments:
        error: an expected error of the core.

    Returns:
        Its code; subclasses of Refused answer FAILED_PRECONDITION.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    return next(CODES[base] for base in type(error).__mro__ if base in CODES)


def status_of(error: MagnetError, request_id: str, own: Container[str] = ()) -> status_pb2.Status:
    """Writes an expected error as `google.rpc.Status`.

    Arguments:
        error: what happened; its message is sent as it is.
        request_id: under which the server logged the call.
        own: names of the request's fields, which stand for themselves.

    Returns:
        The status with its details.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if error.field is not None:
        path = error.field if error.field in own else _PATHS.get(error.field, error.field)
        pairs = error.violations if isinstance(error, InvalidRequest) else ((path, error.message),)
        violations = [error_details_pb2.BadRequest.FieldViolation(field=f, description=text) for f, text in pairs]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if isinstance(error, UnknownResource | DuplicateResource):
        resource = error_details_pb2.ResourceInfo(
            resource_type=error.field or "", resource_name=error.metadata.get("name", ""), description=error.message
        )
        details.append(resource)
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(code_of(error), error.message, details)


def internal_status(request_id: str) -> status_pb2.Status:
    """Writes an unexpected error: opaque, with the id under which the server logged what really happened.

    Arguments:
        request_id: id in the server's log.

    Returns:
        An INTERNAL status that tells nothing else.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    message = f"The server failed unexpectedly; its log has the cause under request {request_id}."
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    return _status(grpc.StatusCode.INTERNAL, message, details)


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
