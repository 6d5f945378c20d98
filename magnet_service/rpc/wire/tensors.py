"""Dense arrays on the wire: little-endian, row-major."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from magnet.v1 import types_pb2
from magnet_service.errors import InvalidInput
from magnet_service.generator import Precision

__all__ = ["floats_from", "latents_from", "tensor_from"]

_TYPES: Mapping[types_pb2.Tensor.Type.ValueType, np.dtype[Any]] = MappingProxyType(
    {
        types_pb2.Tensor.TYPE_UINT8: np.dtype("u1"),
        types_pb2.Tensor.TYPE_FLOAT32: np.dtype("<f4"),
        types_pb2.Tensor.TYPE_FLOAT64: np.dtype("<f8"),
        types_pb2.Tensor.TYPE_INT32: np.dtype("<i4"),
        types_pb2.Tensor.TYPE_INT64: np.dtype("<i8"),
    }
)
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


def tensor_from(array: npt.NDArray[np.generic]) -> types_pb2.Tensor:
    """Writes an array.

    Arguments:
        array: uint8, float32, float64, int32 or int64, any shape.

    Returns:
        The message; one copy of the data.

    Raises:
        KeyError: another type of element.

    Accuracy: exact.
    """
    dtype = array.dtype.newbyteorder("<")
    return types_pb2.Tensor(type=_NAMES[dtype], shape=array.shape, data=array.astype(dtype, copy=False).tobytes())


def floats_from(tensor: types_pb2.Tensor, axes: int, field: str) -> npt.NDArray[np.floating]:
    """Reads numbers that a client sent.

    Arguments:
        tensor: their message.
        axes: 1 for a vector, 2 for rows of them.
        field: of the request, for messages.

    Returns:
        Float32 or float64, of that many axes; a read-only view of the message's data.

    Raises:
        InvalidInput: no floats, another number of axes, or data of another length; the field is `field`.

    Accuracy: exact.
    """
    dtype, shape = _TYPES[tensor.type], tuple(tensor.shape)
    if dtype.kind != "f":
        raise InvalidInput(f"{field} must be TYPE_FLOAT32 or TYPE_FLOAT64.", field=field)
    if len(shape) != axes:
        raise InvalidInput(
            f"{field} has shape {list(shape)}; write {'one row of numbers' if axes == 1 else 'rows of numbers'}.",
            field=field,
        )
    if len(tensor.data) != math.prod(shape) * dtype.itemsize:
        raise InvalidInput(
            f"{field} of shape {list(shape)} takes {math.prod(shape) * dtype.itemsize} bytes, not {len(tensor.data)}.",
            field=field,
        )
    return np.frombuffer(tensor.data, dtype).reshape(shape)


def latents_from(
    tensor: types_pb2.Tensor, width: int, precision: Precision, field: str = "latents"
) -> npt.NDArray[np.floating]:
    """Reads latents that a client sent.

    Arguments:
        tensor: its message.
        width: latent dimension d of the generator.
        precision: in which they are computed.
        field: of the request, for messages.

    Returns:
        Float32 or float64, [rows, d], finite; a read-only view of the message's data.

    Raises:
        InvalidInput: no floats, another width, no rows, data of another length, or a value that is not finite in
            that precision; the message names the first such row and the field is `field`.

    Accuracy: exact.
    """
    dtype = _TYPES[tensor.type]
    shape = tuple(tensor.shape)
    if dtype.kind != "f":
        raise InvalidInput(f"{field} must be TYPE_FLOAT32 or TYPE_FLOAT64.", field=field)
    if len(shape) != 2 or shape[1] != width:
        raise InvalidInput(f"{field} have shape {list(shape)}; write one row of {width} numbers a latent.", field=field)
    if shape[0] < 1:
        raise InvalidInput(f"There are no {field}; send at least one row.", field=field)
    if len(tensor.data) != math.prod(shape) * dtype.itemsize:
        raise InvalidInput(
            f"{field} of shape {list(shape)} take {math.prod(shape) * dtype.itemsize} bytes, not {len(tensor.data)}.",
            field=field,
        )
    array: npt.NDArray[np.floating] = np.frombuffer(tensor.data, dtype).reshape(shape)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise InvalidInput(f"Latent {int(np.argmin(finite))} is not finite; send finite numbers only.", field=field)
    if precision is not Precision.FLOAT64 and dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32)).all(axis=1)
        if not finite.all():
            raise InvalidInput(
                f"Latent {int(np.argmin(finite))} is not finite in float32; send smaller values, or ask for precision "
                "FLOAT64.",
                field=field,
            )
    return array
