"""What the names of an ONNX graph stand for while it is read: a tensor known by now, or a value with rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from magnet_service.generator.onnx_sizes import RowCount

__all__ = ["Held", "Known", "Rows", "numpy_dtype", "settled", "short"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_DTYPES = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}


@dataclass(frozen=True)
class Known:
    """A tensor that depends on no input.

    Attributes:
        array: its numbers; of dtype object where sizes among them count rows.
        name: of the initializer that it is, unchanged; None where it was computed.
    """

    array: Array
    name: str | None = None


@dataclass(frozen=True)
class Rows:
    """A value that has a row for every latent.

    Attributes:
        name: in the program.
        shape: of one row, without the batch.
        dtype: float32 but for indices (int64) and comparisons (bool).
        order: where a transpose has moved the batch away from the front, which of the value's dimensions each dimension
            of the graph's is; only what brings it back, and a selection in between, may read such a value.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    order: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """Number of dimensions with the batch."""
        return len(self.shape) + 1


Held: TypeAlias = Known | Rows


def numpy_dtype(code: int) -> np.dtype[Any] | None:
    """The numpy type of an ONNX element type; None for those that have none (bfloat16, strings, 4 and 8 bits)."""
    found = _DTYPES.get(code)
    return None if found is None else np.dtype(found)


def settled(array: Array) -> Array:
    """An array of sizes in int64 where none of them counts rows, else as objects; OverflowError beyond 64 bits."""
    if array.dtype != object:
        return array
    flat = array.reshape(-1).tolist()
    if any(isinstance(item, RowCount) for item in flat):
        return array
    if all(isinstance(item, bool | np.bool_) for item in flat) and flat:
        return array.astype(np.bool_)
    return array.astype(np.int64)


def short(number: float) -> float:
    """The shortest decimal that rounds to the float32 number: 1e-05 for what is stored of it as 9.99999975e-06."""
    return float(str(np.float32(number)))
