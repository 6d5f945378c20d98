"""Calls over a real channel: stubs of all services, arrays out of tensors, statuses taken apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.longrunning import operations_pb2_grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status

from magnet.v1 import (
    bank_pb2,
    bank_pb2_grpc,
    generator_pb2_grpc,
    geometry_pb2_grpc,
    sampling_pb2,
    sampling_pb2_grpc,
    types_pb2,
)

__all__ = ["Failure", "Services", "array", "build_bank", "draw", "everything", "failure", "tensor", "until"]

DTYPES = {
    types_pb2.Tensor.TYPE_UINT8: "u1",
    types_pb2.Tensor.TYPE_FLOAT32: "<f4",
    types_pb2.Tensor.TYPE_FLOAT64: "<f8",
    types_pb2.Tensor.TYPE_INT32: "<i4",
    types_pb2.Tensor.TYPE_INT64: "<i8",
}


class Services:
    """A stub of every service on one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.banks = bank_pb2_grpc.BankServiceStub(channel)
        self.generators = generator_pb2_grpc.GeneratorServiceStub(channel)
        self.geometry = geometry_pb2_grpc.GeometryServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)
        self.operations = operations_pb2_grpc.OperationsStub(channel)
        self.sampling = sampling_pb2_grpc.SamplingServiceStub(channel)


@dataclass
class Failure:
    """A status taken apart."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    retry_seconds: float | None = None
    resource: str = ""


def array(tensor: types_pb2.Tensor) -> np.ndarray:
    return np.frombuffer(tensor.data, DTYPES[tensor.type]).reshape(tuple(tensor.shape))


def tensor(values: Any, dtype: str = "<f4") -> types_pb2.Tensor:
    made = np.asarray(values, dtype)
    names = {spelled: kind for kind, spelled in DTYPES.items()}
    return types_pb2.Tensor(type=names[dtype], shape=made.shape, data=made.tobytes())


def failure(call: Callable[[], object]) -> Failure:
    """Makes a call that must fail, and reads its status."""
    try:
        call()
    except grpc.RpcError as error:
        return taken_apart(error)
    raise AssertionError("the call succeeded")


def taken_apart(error: Any) -> Failure:
    found = Failure(error.code(), error.details())
    status = rpc_status.from_call(error)
    for detail in [] if status is None else status.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RequestInfo,
            error_details_pb2.RetryInfo,
            error_details_pb2.ResourceInfo,
        ):
            message = kind()
            if detail.Unpack(message):
                note(found, message)
    return found


def note(found: Failure, message: Any) -> None:
    match message:
        case error_details_pb2.ErrorInfo():
            found.reason, found.domain, found.metadata = message.reason, message.domain, dict(message.metadata)
        case error_details_pb2.BadRequest():
            found.fields = {violation.field: violation.description for violation in message.field_violations}
        case error_details_pb2.RequestInfo():
            found.request_id = message.request_id
        case error_details_pb2.RetryInfo():
            found.retry_seconds = message.retry_delay.ToNanoseconds() / 1e9
        case error_details_pb2.ResourceInfo():
            found.resource = message.resource_name


def build_bank(services: Services, generator: str, rows: int, **more: Any) -> bank_pb2.Bank:
    """Builds a bank to its end."""
    operation = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator=generator, rows=rows, **more))
    *_, last = services.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=operation.name))
    assert last.operation.done, last
    bank = bank_pb2.Bank()
    assert last.operation.response.Unpack(bank), last.operation.error
    return bank


def draw(services: Services, **request: Any) -> sampling_pb2.SampleResponse:
    """A unary draw that answers everything there is."""
    request.setdefault("outputs", everything())
    return services.sampling.Sample(sampling_pb2.SampleRequest(**request))


def everything(images: int = sampling_pb2.Outputs.IMAGES_FLOAT32) -> sampling_pb2.Outputs:
    return sampling_pb2.Outputs(images=images, latents=True, log_volumes=True, weights=True)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits until something holds; how long it takes does not matter."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
