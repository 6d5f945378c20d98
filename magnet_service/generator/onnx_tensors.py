"""Tensors of an ONNX file: inside it or in data files beside it, never larger than the bytes that are there."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from onnx import StringStringEntryProto, TensorProto

from magnet_service.errors import DamagedData, RefusedArchive
from magnet_service.generator.onnx_values import Array, numpy_dtype

__all__ = ["TensorReader"]

_INTEGER = re.compile(r"\d{1,18}", re.ASCII)
_FIELDS = {
    1: "float_data",
    2: "int32_data",
    3: "int32_data",
    4: "int32_data",
    5: "int32_data",
    6: "int32_data",
    7: "int64_data",
    9: "int32_data",
    10: "int32_data",
    11: "double_data",
    12: "uint64_data",
    13: "uint64_data",
}
_MOST_DIMS = 32


class TensorReader:
    """Reads tensors of one file and counts their bytes.

    Attributes:
        path: the file; its data files must lie in the same folder or below.
        left: bytes that tensors may still take.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.left = max_bytes

    def read(self, tensor: TensorProto, name: str) -> Array:
        """Read one tensor.

        Arguments:
            tensor: its message.
            name: for messages.

        Returns:
            A writable array of its own.

        Raises:
            RefusedArchive: an element type that is not read, a data file outside the folder, more bytes than allowed.
            DamagedData: sizes and bytes do not agree, or a data file is missing.

        Accuracy: exact, bit for bit.
        """
        where = f"{self.path}: tensor {name[:120]!r}"
        dtype = numpy_dtype(tensor.data_type)
        if dtype is None:
            known = tensor.data_type in TensorProto.DataType.values()
            kind = TensorProto.DataType.Name(tensor.data_type) if known else str(tensor.data_type)
            raise RefusedArchive(
                f"{where} is of type {kind}, which is not read: export the generator in float32.",
                reason="ELEMENT_TYPE",
                metadata={"tensor": name[:120]},
            )
        if tensor.HasField("segment"):
            raise RefusedArchive(f"{where} is stored in segments, which are not read; export it again.")
        shape = tuple(tensor.dims)
        if len(shape) > _MOST_DIMS or any(size < 0 for size in shape):
            raise DamagedData(f"{where} has the shape {list(shape)[:8]}; export it again.")
        count = math.prod(shape)
        needed = count * dtype.itemsize
        if needed > self.left:
            raise RefusedArchive(
                f"{where} of shape {list(shape)} takes {needed} bytes, more than allowed; raise the limit."
            )
        self.left -= needed
        if tensor.data_location == TensorProto.EXTERNAL:
            array = np.frombuffer(self._external(tensor, where, needed), dtype.newbyteorder("<"))
        elif tensor.HasField("raw_data"):
            if len(tensor.raw_data) != needed:
                raise DamagedData(
                    f"{where} of shape {list(shape)} needs {needed} bytes, and {len(tensor.raw_data)} are stored: the "
                    f"file is cut short or contradicts itself; export it again."
                )
            array = np.frombuffer(tensor.raw_data, dtype.newbyteorder("<"))
        else:
            array = self._listed(tensor, where, count, dtype)
        return array.astype(dtype).reshape(shape)

    @staticmethod
    def scalar(tensor: TensorProto) -> Array:
        """Read a tensor of one number that lies inside the file."""
        if math.prod(tensor.dims) != 1 or tensor.data_location == TensorProto.EXTERNAL:
            raise DamagedData("A fill value is not one number inside the file; export it again.")
        return TensorReader(Path("fill"), 64).read(tensor, "value")

    def check_location(self, tensor: TensorProto, name: str) -> None:
        """Refuse a tensor whose data file lies outside the folder, whether or not it is ever read."""
        if tensor.data_location == TensorProto.EXTERNAL:
            self._data_file(tensor, f"{self.path}: tensor {name[:120]!r}")

    def _listed(self, tensor: TensorProto, where: str, count: int, dtype: np.dtype[Any]) -> Array:
        values = getattr(tensor, _FIELDS[tensor.data_type])
        if len(values) != count:
            raise DamagedData(
                f"{where} of shape {list(tensor.dims)} needs {count} numbers, and {len(values)} are stored: the file "
                f"is cut short or contradicts itself; export it again."
            )
        if tensor.data_type == TensorProto.FLOAT16:
            return np.array(values, np.int64).astype(np.uint16).view(np.float16)
        return np.array(values).astype(dtype)

    def _external(self, tensor: TensorProto, where: str, needed: int) -> bytes:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = self._data_file(tensor, where)
        offset = self._count(entries.get("offset", "0"), where, "offset")
        try:
            size = file.stat().st_size
            length = self._count(entries.get("length", str(max(size - offset, 0))), where, "length")
            if length != needed or offset + length > size:
                raise DamagedData(
                    f"{where} needs {needed} bytes, and its entry names {length} from byte {offset} of {file.name}, "
                    f"which holds {size}: the data file is cut short or of another export."
                )
            with file.open("rb") as stream:
                stream.seek(offset)
                data = stream.read(needed)
        except OSError as error:
            raise DamagedData(f"{where} lies in {file}, which cannot be read ({error.strerror}).") from error
        if len(data) != needed:
            raise DamagedData(f"{where}: {file.name} became shorter while it was read; try again.")
        return data

    def _data_file(self, tensor: TensorProto, where: str) -> Path:
        location = external_location(list(tensor.external_data))
        if location is None:
            raise DamagedData(f"{where} is stored outside the file, and no location says where; export it again.")
        folder = self.path.parent.resolve()
        parts = location.replace("\\", "/").split("/")
        outside = location.startswith(("/", "\\", "~")) or ".." in parts or ":" in parts[0] or "\0" in location
        file = folder if outside else (folder / location).resolve()
        if outside or folder not in file.parents:
            raise RefusedArchive(
                f"{where} is stored in {location[:200]!r}, which is outside the folder of the file. Put the data file "
                f"beside it and name it relative to it, or export with all weights inside.",
                reason="EXTERNAL_DATA",
                metadata={"location": location[:200]},
            )
        if not file.is_file():
            raise DamagedData(
                f"{where} is stored in {location[:200]!r}, and there is no such file in {folder}: copy it there, "
                f"beside {self.path.name}."
            )
        return file

    @staticmethod
    def _count(text: str, where: str, what: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise DamagedData(f"{where}: the {what} of its bytes is {text[:40]!r}; export it again.")
        return int(text)


def external_location(entries: list[StringStringEntryProto]) -> str | None:
    """Where the bytes of a tensor lie, as its entries say; None where they do not."""
    found = [entry.value for entry in entries if entry.key == "location"]
    return found[0] if len(found) == 1 and found[0] else None
