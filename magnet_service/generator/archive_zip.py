"""The container of a `.pt2` archive: a zip file whose members are looked up by name and never extracted."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magnet_service.errors import DamagedData, InvalidInput, RefusedArchive

__all__ = ["Container", "open_container"]

_EXPORT_AGAIN = "Export it again with torch 2.9 or newer: magnet_service.generator.export_module or torch.export.save."
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,  # includes NotImplementedError: encrypted members, unknown compression
    OSError,
)
_MOST_MEMBERS = 100_000


class Container:
    """The members of an open archive by their name below its root folder; see `open_container`.

    Arguments:
        path: the file, for messages.
        archive: the open zip file.
        members: by name without the root folder.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> None:
        self.path = path
        self._archive = archive
        self._members = members

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members, sorted."""
        return tuple(sorted(self._members))

    def size(self, name: str) -> int:
        """Return the size in bytes that the archive states for a member."""
        return self._member(name).file_size

    def read(self, name: str) -> bytes:
        """Return the bytes of one member after its checksum was compared.

        Raises:
            DamagedData: the member is absent, truncated, or its checksum differs.
        """
        member = self._member(name)
        try:
            return self._archive.read(member)
        except _UNREADABLE as error:
            raise DamagedData(f"{self.path}: member {name!r} cannot be read ({error}). {_EXPORT_AGAIN}") from error

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise DamagedData(f"{self.path}: member {name!r} is missing. {_EXPORT_AGAIN}")
        return self._members[name]


@contextmanager
def open_container(path: Path, *, max_bytes: int) -> Iterator[Container]:
    """Open a `.pt2` archive and refuse every other kind of file by its name.

    Arguments:
        path: the file.
        max_bytes: bound on the sum of the uncompressed sizes of all members, so that a zip bomb is refused unread.

    Returns:
        A context that holds the file open.

    Raises:
        InvalidInput: there is no such file (field `file`).
        RefusedArchive: a pickle, a TorchScript archive, an older form of `.pt2`, native code, encrypted or too large.
        DamagedData: not a zip file, or one whose directory is damaged.

    Accuracy: exact.
    """
    try:
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be opened ({error}); name a .pt2 file.", field="file") from error
    with stream:
        _refuse_foreign(path, stream.read(8))
        try:
            archive = zipfile.ZipFile(stream)
            members = archive.infolist()
        except _UNREADABLE as error:
            raise DamagedData(f"{path} is not a readable zip archive ({error}). {_EXPORT_AGAIN}") from error
        with archive:
            yield Container(path, archive, _check(path, members, max_bytes))


def _refuse_foreign(path: Path, head: bytes) -> None:
    if head.startswith(b"PK"):
        return
    if head.startswith(b"\x80"):
        raise RefusedArchive(
            f"{path} is a pickle (a file of torch.save or pickle.dump), which can run code when it is loaded and is "
            f"never read. Build the module in Python, load its weights there and write it with "
            f"magnet_service.generator.export_module.",
            reason="PICKLE",
        )
    raise DamagedData(f"{path} is not a .pt2 archive. {_EXPORT_AGAIN}")


def _check(path: Path, members: list[zipfile.ZipInfo], max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > max_bytes:
        raise RefusedArchive(
            f"{path} would unpack to more than {max_bytes} bytes or {_MOST_MEMBERS} members; raise the limit if that "
            f"is meant.",
            reason="ARCHIVE_TOO_LARGE",
        )
    roots = {member.filename.partition("/")[0] for member in members}
    names = [member.filename.partition("/")[2] for member in members]
    if "archive_format" not in names:
        raise _other_form(path, [member.filename for member in members])
    if len(roots) != 1:
        raise DamagedData(f"{path} has members outside one root folder: {sorted(roots)[:4]}. {_EXPORT_AGAIN}")
    if len(set(names)) != len(names):
        raise DamagedData(f"{path} holds two members of the same name. {_EXPORT_AGAIN}")
    for name, member in zip(names, members, strict=True):
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedArchive(f"{path}: member {name!r} is encrypted or packed in an unknown way. {_EXPORT_AGAIN}")
        if name.startswith(("data/aotinductor/", "data/executorch/", "data/mtia/")):
            raise RefusedArchive(
                f"{path} holds compiled code ({name!r}), which is never loaded. {_EXPORT_AGAIN}", reason="NATIVE_CODE"
            )
        if name.startswith(("data/weights/", "data/constants/")) and name.endswith(".pt"):
            raise RefusedArchive(
                f"{path}: {name!r} holds its weights as a pickle, as torch 2.8 wrote them. {_EXPORT_AGAIN}",
                reason="PICKLE",
            )
    return dict(zip(names, members, strict=True))


def _other_form(path: Path, names: list[str]) -> RefusedArchive | DamagedData:
    files = {name.rpartition("/")[2] for name in names}
    if "serialized_exported_program.json" in files:
        return RefusedArchive(
            f"{path} is an archive of torch 2.7 or older, which keeps its weights in a pickle. {_EXPORT_AGAIN}",
            reason="OLDER_ARCHIVE",
        )
    if "data.pkl" in files:
        kind = "a TorchScript archive" if any("/code/" in name for name in names) else "a file of torch.save"
        return RefusedArchive(
            f"{path} is {kind}: it holds a pickle, which can run code when it is loaded and is never read. Build the "
            f"module in Python, load its weights there and write it with magnet_service.generator.export_module.",
            reason="PICKLE",
        )
    return DamagedData(f"{path} is a zip file but no .pt2 archive: 'archive_format' is missing. {_EXPORT_AGAIN}")
