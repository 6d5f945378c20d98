"""Weights and constants of a `.pt2` archive: raw bytes laid out by dtype, sizes, strides and offset, never a pickle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from magnet_service.errors import DamagedData, RefusedArchive
from magnet_service.generator.archive_json import Field, parse_json
from magnet_service.generator.archive_zip import Container

__all__ = ["DTYPES", "read_tensors"]

DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_STRIDED = 7


def read_tensors(container: Container, config: str, folder: str, *, max_bytes: int) -> dict[str, Tensor]:
    """Read every tensor that a payload configuration lists.

    Arguments:
        container: the open archive.
        config: name of the configuration, as `data/weights/model_weights_config.json`.
        folder: where its payloads lie, as `data/weights/`.
        max_bytes: bound on the sum of numel x itemsize over all tensors: an expanded view can be larger than its bytes.

    Returns:
        Contiguous CPU tensors by their fully qualified name, in the dtype of the file.

    Raises:
        RefusedArchive: a payload is a pickle or a custom object, has a dtype or layout outside the table, or all
            together are larger than `max_bytes`.
        DamagedData: sizes, strides or offset reach beyond the bytes stored.

    Accuracy: exact, bit for bit.
    """
    payloads: dict[str, Tensor] = {}
    tensors: dict[str, Tensor] = {}
    left = max_bytes
    document = parse_json(container.read(config), f"{container.path}: {config}")
    for name, entry in document.get("config").entries().items():
        path_name = entry.get("path_name").text()
        if entry.get("use_pickle").boolean() or path_name.startswith(("custom_obj", "opaque_obj")):
            raise RefusedArchive(
                f"{container.path}: {name!r} is stored as a pickle ({folder}{path_name}), which is never read. "
                f"Replace tensor subclasses and custom objects by plain tensors and export again.",
                reason="PICKLE",
                metadata={"tensor": name},
            )
        if path_name not in payloads:
            payloads[path_name] = _bytes(container.read(folder + path_name))
        tensor, left = _view(payloads[path_name], entry.get("tensor_meta"), left)
        tensors[name] = tensor
    return tensors


def _bytes(payload: bytes) -> Tensor:
    # Of no bytes at all torch makes no tensor.
    return torch.frombuffer(bytearray(payload), dtype=torch.uint8) if payload else torch.empty(0, dtype=torch.uint8)


def _view(payload: Tensor, meta: Field, left: int) -> tuple[Tensor, int]:
    code = meta.get("dtype").integer()
    if code not in DTYPES or meta.get("layout").integer() != _STRIDED:
        raise RefusedArchive(f"{meta.place}: dtype {code} or a layout that is not strided is not read; use float32.")
    dtype = DTYPES[code]
    sizes = [_plain(size) for size in meta.get("sizes").items()]
    strides = [_plain(stride) for stride in meta.get("strides").items()]
    offset = _plain(meta.get("storage_offset"))
    if len(sizes) != len(strides) or len(sizes) > 32:
        raise meta.damaged("sizes and strides of equal length, at most 32")
    needed = math.prod(sizes) * dtype.itemsize
    if needed > left:
        raise RefusedArchive(f"{meta.place}: the tensors of this file take more bytes than allowed; raise the limit.")
    if needed == 0:
        # Also of a tensor without elements torch computes the strides, in 64 bits.
        if math.prod(max(size, 1) for size in sizes) * dtype.itemsize >= 2**63:
            raise meta.damaged("sizes whose strides take at most 64 bits")
        return torch.empty(sizes, dtype=dtype), left
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if (last + 1) * dtype.itemsize > len(payload):
        raise DamagedData(
            f"{meta.place}: the tensor needs {(last + 1) * dtype.itemsize} bytes but {len(payload)} are stored; "
            f"export the file again."
        )
    # Booleans are looked at as bytes first: another value than 0 and 1 must never become one.
    stored = torch.uint8 if dtype == torch.bool else dtype
    whole = payload[: len(payload) // dtype.itemsize * dtype.itemsize].view(stored)
    tensor = whole.as_strided(sizes, strides, offset).clone(memory_format=torch.contiguous_format)
    if dtype == torch.bool and bool((tensor > 1).any()):
        raise DamagedData(f"{meta.place}: a boolean tensor holds a byte other than 0 and 1; export the file again.")
    return tensor.view(dtype), left - needed


def _plain(size: Field) -> int:
    tag, value = size.tagged()
    if tag != "as_int" or value.integer() < 0:
        raise size.damaged("a plain integer of at least 0")
    return value.integer()
