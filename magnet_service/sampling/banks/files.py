"""Files that are either whole or absent: temporary name, flush, rename; and one lock a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from magnet_service.errors import OutOfSpace, Refused

__all__ = ["TEMPORARY", "Writer", "locked", "out_of_space", "remove_temporary", "sync_folder", "write_atomically"]

TEMPORARY = ".tmp-"
Writer = Callable[[Path, bytes], None]


@contextmanager
def out_of_space(what: str) -> Iterator[None]:
    """Turns the operating system's word for a full disk or quota into OutOfSpace; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"no space is left to write {what}: free some and build again", field="store") from error
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Puts bytes under a name so that a reader, or a kill at any moment, sees all of them or the file before.

    Arguments:
        path: the file's final name.
        data: its content.

    Returns:
        Nothing, once bytes and name are on the device.

    Raises:
        OutOfSpace: the device is full; nothing is left behind.
        OSError: any other failure of the file system.

    Accuracy:
        Not applicable.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        with out_of_space(path.name):
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporary(folder: Path) -> None:
    """Deletes what killed writers left in a folder; the caller holds its lock."""
    for leftover in folder.glob(TEMPORARY + "*"):
        leftover.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Holds an exclusive lock on a file while the block runs; the system drops it when the process dies.

    Arguments:
        path: the lock file, created when missing.
        what: words for the message.

    Returns:
        A context.

    Raises:
        Refused: another holder; reason BUSY.
        OutOfSpace: the lock file cannot be created on a full device.

    Accuracy:
        Not applicable.
    """
    with out_of_space(path.name):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{what} is in use by another writer: wait until it is done", reason="BUSY") from None
        yield
    finally:
        os.close(descriptor)
