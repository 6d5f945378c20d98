"""google.longrunning.Operations: long work by name, as generic clients know it."""

# ruff: noqa: N802 - methods are called as in the proto
from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from magnet_service.errors import InvalidInput
from magnet_service.rpc.backend import Backend
from magnet_service.rpc.wire.banks import operation_message

__all__ = ["OperationsServicer"]


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]  # its package has no types
    """Answers about bank builds.

    Arguments:
        backend: whose operations these are.
    """

    def __init__(self, backend: Backend) -> None:
        self._operations = backend.operations

    async def GetOperation(self, request: operations_pb2.GetOperationRequest, context: Any) -> operations_pb2.Operation:
        """Describes one operation."""
        return operation_message(await self._operations.get(request.name))

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Any
    ) -> operations_pb2.ListOperationsResponse:
        """Lists operations, the newest first."""
        if request.filter:
            raise InvalidInput("filter is not supported; leave it empty.", field="filter")
        found, token = await self._operations.page(request.page_size, request.page_token)
        return operations_pb2.ListOperationsResponse(operations=map(operation_message, found), next_page_token=token)

    async def CancelOperation(self, request: operations_pb2.CancelOperationRequest, context: Any) -> empty_pb2.Empty:
        """Asks an operation to end."""
        await self._operations.cancel(request.name)
        return empty_pb2.Empty()

    async def DeleteOperation(self, request: operations_pb2.DeleteOperationRequest, context: Any) -> empty_pb2.Empty:
        """Removes an operation from the list; its work goes on."""
        await self._operations.forget(request.name)
        return empty_pb2.Empty()

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Any
    ) -> operations_pb2.Operation:
        """Waits for the end of an operation, or for the timeout."""
        seconds = request.timeout.ToNanoseconds() / 1e9 if request.HasField("timeout") else None
        return operation_message(await self._operations.wait(request.name, seconds))
