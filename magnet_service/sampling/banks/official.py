"""MaGNET's published volume files: an `.npz` of latents and the singular values of the Jacobian at each."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from jaxtyping import Bool, Float, Int64

from magnet_service.errors import DamagedData, InvalidInput, OutOfMemory, RefusedArchive
from magnet_service.geometry.memory import default_max_memory

__all__ = ["OfficialFile", "read_official"]

_NAMES = ("latents", "svds", "labels")
# Headers are Python literals, and numpy lets pass what their tokenizer and parser say to others.
_NO_HEADER = (ValueError, TypeError, OverflowError, SyntaxError, TokenError, RecursionError, MemoryError)
_SPAN = 16_384
# The arrays themselves, and the rows made of them.
_COPIES = 2


@dataclass(frozen=True)
class OfficialFile:
    """What a volume file says, checked.

    Attributes:
        latents: as the file has them.
        svds: singular values as the file has them, finite, none below 0, in whatever order a row has them.
        labels: class of each row; None where the file has no labels.
        classes: number of classes that the labels tell apart; 0 without labels.
        digest: sha256 of the arrays, hexadecimal; the same however the file is compressed.
        name: of the file, for messages.
    """

    latents: Float[np.ndarray, "rows latent"]
    svds: Float[np.ndarray, "rows columns"]
    labels: Int64[np.ndarray, " rows"] | None
    classes: int
    digest: str
    name: str

    @property
    def nonzero(self) -> Bool[np.ndarray, " rows"]:
        """Rows that have a singular value above 0; the published code drops the others."""
        return np.asarray((self.svds > 0.0).any(axis=1))


def read_official(file: str | Path, *, max_memory: int | None = None) -> OfficialFile:
    """Reads a volume file: `latents` [rows, d], `svds` [rows, K] and, where it has them, one-hot `labels` [rows, C].

    Types, shapes and sizes are those that the file declares, and are checked before anything is read; what it holds
    beside these three arrays is never opened, and no pickle is ever read.

    Arguments:
        file: its path.
        max_memory: bytes that the import may take; where None a share of what is free now.

    Returns:
        The arrays.

    Raises:
        InvalidInput: no such file or no `.npz`, an array that is missing, of another type than float32 or float64
            (labels: any number), of another shape, empty, not finite, singular values below 0, more of them than the
            latents are wide, or labels that are not one-hot; field `file`.
        RefusedArchive: an array of objects, which is a pickle (ragged ones are), or an encrypted member.
        DamagedData: a member is not what it declares, or its checksum is not its own.
        OutOfMemory: twice the arrays do not fit; reason as that error's own.

    Accuracy:
        Exact.

    Cost:
        One pass over the bytes and two over the numbers; memory of the arrays as the file declares them.

    References:
        Humayun, Balestriero, Baraniuk, arXiv 2110.08009, and the volumes published with its code.
    """
    name = Path(file).name
    bound = default_max_memory("cpu") if max_memory is None else max_memory
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = _arrays(archive, name, bound)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InvalidInput(f"there is no file {file}: write the path of a volume file (.npz)", field="file") from error
    except PermissionError:
        raise
    # Offsets of a damaged directory lead anywhere: before the file, into other bytes, out of a name's encoding.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OSError) as error:
        raise DamagedData(f"{name} is no .npz file, or not a whole one: {error}", field="file") from error
    except NotImplementedError as error:  # a compression that nobody here knows
        raise RefusedArchive(f"{name}: {error}; save it by numpy.savez", field="file") from error
    return _checked(arrays, name)


@dataclass(frozen=True)
class _Member:
    """An array as its file declares it."""

    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def bytes(self) -> int:
        count = 1
        for size in self.shape:  # of Python's integers: numpy's would wrap
            count *= size
        return count * self.dtype.itemsize


def _arrays(archive: zipfile.ZipFile, name: str, bound: int) -> dict[str, np.ndarray]:
    members = [_declared(archive, name, key) for key in _NAMES]
    found = {member.name: member for member in members if member is not None}
    for key in _NAMES[:2]:
        if key not in found:
            held = ", ".join(sorted(archive.namelist())[:8]) or "nothing"
            raise _bad(f"{name} has no array {key}, it holds {held}: name a volume file, of `latents` and `svds`")
    _check_shapes(found, name)
    needed = _COPIES * sum(member.bytes for member in found.values())
    if needed > bound:
        raise OutOfMemory(f"importing {name} takes {needed:,} bytes of memory, and {bound:,} are free for it")
    return {key: _read(archive, name, member) for key, member in found.items()}


def _declared(archive: zipfile.ZipFile, name: str, key: str) -> _Member | None:
    infos = [info for info in archive.infolist() if info.filename == f"{key}.npy"]
    if len(infos) > 1:
        raise RefusedArchive(f"{name} holds {key}.npy {len(infos)} times: save it by numpy.savez", field="file")
    if not infos:
        return None
    if infos[0].flag_bits & 1:
        raise RefusedArchive(f"{name} is encrypted: save it by numpy.savez", field="file")
    with archive.open(infos[0]) as stream:
        shape, dtype = _header(stream, name, key)
        before = stream.tell()
    member = _Member(key, infos[0], shape, dtype)
    kinds = "biuf" if key == "labels" else "f"
    if dtype.kind not in kinds or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise _bad(f"{key} of {name} is {dtype}: save it as float32 or float64")
    if len(shape) != 2 or min(shape) < 1:
        raise _bad(f"{key} of {name} has shape {list(shape)}: it must be two-dimensional, a row each, and not empty")
    if infos[0].file_size != before + member.bytes:
        raise DamagedData(
            f"{key}.npy of {name} declares {member.bytes:,} bytes of numbers in a member of {infos[0].file_size:,}",
            field="file",
        )
    return member


def _header(stream: IO[bytes] | BufferedIOBase, name: str, key: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    try:
        with warnings.catch_warnings():  # of Python 2, whose headers are read all the same
            warnings.simplefilter("ignore", UserWarning)
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            elif version == (2, 0):
                shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            else:  # later ones are for records with names that are no plain letters
                raise ValueError(f"version {version} is for records")
    except _NO_HEADER as error:
        raise _bad(f"{key}.npy of {name} is no array of numbers ({error}): save it by numpy.savez") from error
    if dtype.hasobject:
        raise RefusedArchive(
            f"{key} of {name} is an array of objects, which is a pickle and is never read (ragged rows make one): save "
            "a two-dimensional array of float32",
            field="file",
        )
    return shape, dtype


def _check_shapes(found: dict[str, _Member], name: str) -> None:
    rows, dim = found["latents"].shape
    for key, member in found.items():
        if member.shape[0] != rows:
            raise _bad(f"{name} has {rows:,} latents and {member.shape[0]:,} rows of {key}: they go row by row")
    if found["svds"].shape[1] > dim:
        raise _bad(
            f"svds of {name} has {found['svds'].shape[1]} columns: a Jacobian with respect to {dim} numbers has at "
            f"most {dim} singular values"
        )


def _read(archive: zipfile.ZipFile, name: str, member: _Member) -> np.ndarray:
    try:
        with archive.open(member.info) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
            stream.read(1)  # at its end the checksum is compared
    except ValueError as error:
        raise DamagedData(f"{member.name} of {name} ends before its time: {error}", field="file") from error
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _checked(arrays: dict[str, np.ndarray], name: str) -> OfficialFile:
    latents, svds = arrays["latents"], arrays["svds"]
    for key, values in (("latents", latents), ("svds", svds)):
        _refuse_rows(name, key, values, np.isfinite, "not finite: leave such rows out")
    largest = float(np.finfo(np.float32).max)
    _refuse_rows(
        name, "latents", latents, lambda part: np.abs(part) <= largest, "beyond float32, in which latents stay"
    )
    _refuse_rows(name, "svds", svds, lambda part: part >= 0.0, "below 0, as no singular value is")
    digest = _digest(arrays)
    labels = _classes(arrays["labels"], name) if "labels" in arrays else None
    return OfficialFile(latents, svds, labels, arrays["labels"].shape[1] if labels is not None else 0, digest, name)


def _refuse_rows(name: str, key: str, values: np.ndarray, good: Callable[[np.ndarray], np.ndarray], why: str) -> None:
    for start, part in _spans(values):
        right = good(part).all(axis=1)
        if not right.all():
            raise _bad(f"{key} of {name}, row {start + int(np.argmin(right)):,}: a number is {why}")


def _classes(labels: np.ndarray, name: str) -> Int64[np.ndarray, " rows"]:
    found: Int64[np.ndarray, " rows"] = np.empty(len(labels), np.int64)
    for start, part in _spans(labels):
        one_hot = ((part == 1).sum(axis=1) == 1) & ((part != 0).sum(axis=1) == 1)
        if not one_hot.all():
            row = start + int(np.argmin(one_hot))
            raise _bad(f"labels of {name}, row {row:,}: not one-hot, a 1 for the row's class and 0 for all others")
        found[start : start + len(part)] = part.argmax(axis=1)
    return found


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = arrays[key]
        little = array.dtype.newbyteorder("<")
        digest.update(f"{key} {little.str} {array.shape}\n".encode())
        for _, part in _spans(array):
            digest.update(np.ascontiguousarray(part, dtype=little).data)
    return digest.hexdigest()


def _spans(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Some rows at a time, so that what is computed of them stays small."""
    for start in range(0, len(values), _SPAN):
        yield start, values[start : start + _SPAN]


def _bad(message: str) -> InvalidInput:
    return InvalidInput(message, field="file")
