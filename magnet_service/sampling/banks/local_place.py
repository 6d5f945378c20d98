"""Objects as files of a local folder: temporary name, flush, rename or link."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import final

from magnet_service.errors import OutOfSpace, Refused
from magnet_service.sampling.banks.place import Place

__all__ = ["TEMPORARY", "LocalPlace", "out_of_space", "sync"]

TEMPORARY = ".tmp-"


@contextmanager
def out_of_space(what: str) -> Iterator[None]:
    """Turns the operating system's word for a full disk or quota into OutOfSpace; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"no space is left to write {what}: free some and try again", field="store") from error
        raise


def sync(path: Path) -> None:
    """Makes a file's bytes, or the names inside a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@final
class LocalPlace(Place):
    """A folder of this machine, or of a disk that it shares; made when the first object is stored.

    Arguments:
        folder: its path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.url = str(folder)

    def child(self, name: str) -> LocalPlace:
        """As `Place.child`."""
        return LocalPlace(self.folder / name)

    def names(self) -> list[str]:
        """As `Place.names`."""
        return sorted(entry.name for entry in self._entries() if not entry.is_dir())

    def folders(self) -> list[str]:
        """As `Place.folders`."""
        return sorted(entry.name for entry in self._entries() if entry.is_dir())

    def read(self, name: str) -> bytes:
        """As `Place.read`."""
        with self._allowed("read"):
            return (self.folder / name).read_bytes()

    @contextmanager
    def opened(self, name: str) -> Iterator[IOBase]:
        """As `Place.opened`."""
        with self._allowed("read"), (self.folder / name).open("rb") as file:
            yield file

    def put(self, name: str, data: bytes) -> None:
        """As `Place.put`."""
        with self._written(name, data) as temporary:
            temporary.replace(self.folder / name)

    def create(self, name: str, data: bytes) -> bool:
        """As `Place.create`: of several links to one name the file system makes one."""
        target = self.folder / name
        if target.exists():
            return False
        with self._written(name, data) as temporary:
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                return False
        return True

    def remove(self, name: str) -> None:
        """As `Place.remove`."""
        with self._allowed("changed"):
            (self.folder / name).unlink(missing_ok=True)

    def remove_all(self) -> None:
        """As `Place.remove_all`."""
        with self._allowed("changed"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def tidy(self) -> None:
        """As `Place.tidy`."""
        for leftover in self.folder.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with self._allowed("read"), os.scandir(self.folder) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []

    @contextmanager
    def _written(self, name: str, data: bytes) -> Iterator[Path]:
        """A file of the bytes under a name that nobody reads, flushed; the block gives it its own."""
        # Two writers of one name, a stalled one and the one that took its place, must not share the draft.
        temporary = self.folder / f"{TEMPORARY}{secrets.token_hex(4)}-{name}"
        try:
            with self._allowed("written"), out_of_space(name):
                self.folder.mkdir(parents=True, exist_ok=True)
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary
                temporary.unlink(missing_ok=True)
                sync(self.folder)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    @contextmanager
    def _allowed(self, what: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise Refused(
                f"{self.folder} cannot be {what} by this user: change its permissions or name another store",
                field="store",
                reason="STORE_DENIED",
            ) from error
