"""From gRPC's status to this package's errors: the inverse of the server's one table."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from magnet_client.errors import (
    Cancelled,
    DamagedData,
    DeadlineExceeded,
    DuplicateResource,
    InvalidInput,
    MagnetError,
    MessageTooLarge,
    OutOfMemory,
    OutOfSpace,
    Overloaded,
    Refused,
    RefusedArchive,
    ServerFault,
    Unavailable,
    UnknownResource,
    Unreachable,
    UnsupportedOperation,
)

__all__ = ["error_from_call", "error_from_status"]

_BY_CODE: dict[int, tuple[type[MagnetError], str]] = {
    1: (Cancelled, "CANCELLED"),
    3: (InvalidInput, "INVALID_INPUT"),
    4: (DeadlineExceeded, "DEADLINE_EXCEEDED"),
    5: (UnknownResource, "UNKNOWN_RESOURCE"),
    6: (DuplicateResource, "DUPLICATE_RESOURCE"),
    8: (Overloaded, "OVERLOADED"),
    9: (Refused, "REFUSED"),
    11: (InvalidInput, "INVALID_INPUT"),
    14: (Unavailable, "UNAVAILABLE"),
    15: (DamagedData, "DAMAGED_DATA"),
}
_BY_REASON: dict[str, type[MagnetError]] = {
    "OUT_OF_MEMORY": OutOfMemory,
    "OUT_OF_SPACE": OutOfSpace,
    "UNREACHABLE": Unreachable,
    "UNSUPPORTED_OPERATION": UnsupportedOperation,
    "REFUSED_ARCHIVE": RefusedArchive,
}
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_ARGUMENTS = {
    "bank_id": "bank",
    "target": "rho",
    "truncation.psi": "truncation_psi",
    "truncation.norm_bound": "truncation_norm",
    "base.uniform.ball.radius": "ball_radius",
    "base.uniform.box.low": "box",
    "base.uniform.box.high": "box",
    "without_replacement": "replacement",
    "outputs.images": "images",
    "placement": "points",
    "along": "origin",
    "along.origin": "origin",
    "along.directions": "directions",
    "rectangle.left": "window",
    "rectangle.right": "window",
    "rectangle.bottom": "window",
    "rectangle.top": "window",
    "segment.low": "window",
    "segment.high": "window",
    "polygon": "window",
    "box.low": "box",
    "box.high": "box",
    "map": "affine_map",
    "cells.columns": "cells",
    "cells.rows": "cells",
}
"""Fields of the requests whose arguments are called otherwise here."""
_DETAILS_KEY = "grpc-status-details-bin"


def error_from_status(status: status_pb2.Status) -> MagnetError:
    """Return the error that a status stands for.

    Arguments:
        status: code, message and, from servers of ours, details: ErrorInfo, BadRequest, RetryInfo, RequestInfo.

    Returns:
        The error, to be raised; ServerFault for a code that has no class of its own.

    Raises:
        Nothing: details that cannot be read are left out.

    Accuracy: exact.
    """
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    for detail in status.details:
        for known in (info, bad, retry, request):
            if detail.Is(known.DESCRIPTOR):
                try:
                    detail.Unpack(known)
                except DecodeError:
                    known.Clear()
    kind, reason = _BY_CODE.get(status.code, (ServerFault, "INTERNAL"))
    message = status.message or _NAMES.get(status.code, "UNKNOWN")
    if status.code == 8 and not info.reason and "larger than max" in status.message:
        kind, reason = MessageTooLarge, "MESSAGE_TOO_LARGE"
        message = f"{message}: use stream, or fewer rows at once"
    kind = _BY_REASON.get(info.reason, kind)
    delay = retry.retry_delay
    return kind(
        message,
        reason=info.reason or reason,
        field=_argument(bad.field_violations[0].field) if bad.field_violations else None,
        code=_NAMES.get(status.code, "UNKNOWN"),
        request_id=request.request_id or info.metadata.get("request_id"),
        metadata=dict(info.metadata),
        retry_after=delay.seconds + delay.nanos * 1e-9 if retry.HasField("retry_delay") else None,
    )


def _argument(path: str) -> str:
    field = path.removeprefix("sample.").removeprefix("slice.").split("[")[0]
    return _ARGUMENTS.get(field, field)


def error_from_call(
    code: grpc.StatusCode, message: str | None, trailers: Iterable[tuple[str, str | bytes]] | None, address: str
) -> MagnetError:
    """Return the error that a failed call stands for.

    Arguments:
        code: the call's status.
        message: its details.
        trailers: its trailing metadata, in which servers of ours send a google.rpc.Status.
        address: where the call went.

    Returns:
        The error, to be raised.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    status = status_pb2.Status(code=code.value[0], message=message or "")
    for key, value in trailers or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                sent = status_pb2.Status.FromString(value)
            except DecodeError:
                continue
            if sent.code == status.code:
                status = sent
    if status.details:
        return error_from_status(status)
    if code is grpc.StatusCode.UNAVAILABLE:
        cause = status.message.rsplit(": ", 1)[-1] or "no connection"
        status.message = (
            f"no magnet server answers at {address} ({cause}): start one with `magnet serve`, or give the address of "
            "one that runs (MAGNET_ADDRESS=host:port)"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        status.message = f"{address} did not answer in time: raise timeout, or ask for fewer rows"
    error = error_from_status(status)
    return error
