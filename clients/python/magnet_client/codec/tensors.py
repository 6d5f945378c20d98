"""Arrays on the wire: magnet.v1.Tensor to and from numpy."""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magnet.v1 import types_pb2
from magnet_client.errors import InvalidInput, ServerFault

__all__ = ["Array", "from_tensor", "latents_to_tensor", "to_tensor"]

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
    """Pack latents [rows, d]: float32 stays float32, everything else numeric is sent as float64.

    Arguments:
        latents: anything that numpy turns into a [rows, d] array of real numbers.

    Returns:
        The message.

    Raises:
        InvalidInput: with field `latents`, if that is no matrix of real, finite numbers.

    Accuracy: exact for float32, float64 and integers up to 2^53.
    """
    try:
        array = np.asarray(latents)
    except ValueError as error:
        raise InvalidInput(
            f"latents must be a [rows, d] array of numbers: {error}", field="latents", reason="INVALID_LATENTS"
        ) from error
    if array.ndim != 2:
        raise InvalidInput(
            f"latents must have two axes, [rows, d]; these have shape {array.shape} (one latent is z[None, :])",
            field="latents",
            reason="INVALID_LATENTS",
        )
    if array.dtype.kind not in "fiu":
        raise InvalidInput(
            f"latents must be real numbers, not {array.dtype}", field="latents", reason="INVALID_LATENTS"
        )
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InvalidInput(
            f"latents must be finite; row {row} holds NaN or infinity", field="latents", reason="INVALID_LATENTS"
        )
    return to_tensor(array)
