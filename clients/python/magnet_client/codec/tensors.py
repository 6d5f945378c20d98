"""Arrays on the wire: magnet.v1.Tensor to and from numpy."""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magnet.v1 import types_pb2
from magnet_client.errors import InvalidInput, ServerFault

__all__ = ["Array", "floats_to_tensor", "from_tensor", "latents_to_tensor", "to_tensor"]

Array = NDArray[np.generic]

_DTYPES: dict[types_pb2.Tensor.Type.ValueType, np.dtype[np.generic]] = {
    types_pb2.Tensor.TYPE_UINT8: np.dtype("|u1"),
    types_pb2.Tensor.TYPE_FLOAT32: np.dtype("<f4"),
    types_pb2.Tensor.TYPE_FLOAT64: np.dtype("<f8"),
    types_pb2.Tensor.TYPE_INT32: np.dtype("<i4"),
    types_pb2.Tensor.TYPE_INT64: np.dtype("<i8"),
}
_TYPES = {dtype.newbyteorder("="): kind for kind, dtype in _DTYPES.items()}


def to_tensor(array: Array) -> types_pb2.Tensor:
    """Pack an array as little-endian bytes, row-major.

    Arguments:
        array: uint8, float32, float64, int32 or int64, at least one axis.

    Returns:
        The message, with a copy of the data.

    Raises:
        InvalidInput: for any other dtype.

    Accuracy: exact.
    """
    kind = _TYPES.get(array.dtype.newbyteorder("="))
    if kind is None:
        raise InvalidInput(
            f"arrays of dtype {array.dtype} cannot be sent; convert to float32 or float64", reason="INVALID_INPUT"
        )
    little = np.ascontiguousarray(array, dtype=_DTYPES[kind])
    return types_pb2.Tensor(type=kind, shape=list(array.shape), data=little.tobytes())


def from_tensor(tensor: types_pb2.Tensor) -> Array:
    """Unpack an array.

    Arguments:
        tensor: a message whose data holds product(shape) elements.

    Returns:
        A writable array in this machine's byte order.

    Raises:
        ServerFault: if type, shape and number of bytes do not belong together.

    Accuracy: exact.
    """
    dtype = _DTYPES.get(tensor.type)
    shape = tuple(tensor.shape)
    if dtype is None or any(size < 0 for size in shape) or len(tensor.data) != math.prod(shape) * dtype.itemsize:
        raise ServerFault(
            f"the answer holds a tensor of type {tensor.type}, shape {shape} and {len(tensor.data)} bytes, "
            "which do not belong together: client and server are of different versions",
            reason="MALFORMED_ANSWER",
        )
    array = np.frombuffer(tensor.data, dtype=dtype).reshape(shape).copy()
    return array if sys.byteorder == "little" else array.astype(dtype.newbyteorder("="))


def latents_to_tensor(latents: ArrayLike) -> types_pb2.Tensor:
    """Pack latents [rows, d]; as `floats_to_tensor`, with field `latents`."""
    return floats_to_tensor(latents, "latents", "[rows, d]", "one latent is z[None, :]")


def floats_to_tensor(values: ArrayLike, field: str, shape: str, hint: str) -> types_pb2.Tensor:
    """Pack real numbers: float32 stays float32, everything else numeric is sent as float64.

    Arguments:
        values: anything that numpy turns into an array of real numbers of that many axes.
        field: the argument's name.
        shape: its axes in words, as `[rows, d]`.
        hint: how to give an array these axes.

    Returns:
        The message.

    Raises:
        InvalidInput: with that field, if that is no such array of real, finite numbers.

    Accuracy: exact for float32, float64 and integers up to 2^53.
    """
    axes = shape.count(",") + 1
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise _invalid(field, f"{field} must be a {shape} array of numbers: {error}") from error
    if array.ndim != axes:
        words = "one axis" if axes == 1 else "two axes"
        raise _invalid(field, f"{field} must have {words}, {shape}; these have shape {array.shape} ({hint})")
    if array.dtype.kind not in "fiu":
        raise _invalid(field, f"{field} must be real numbers, not {array.dtype}")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0])
        raise _invalid(field, f"{field} must be finite; row {row} holds NaN or infinity")
    return to_tensor(array)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, reason=f"INVALID_{field.upper()}")
