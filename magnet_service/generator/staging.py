"""A folder that is prepared out of sight and appears whole, by one rename, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from magnet_service.errors import DuplicateResource, OutOfSpace, Refused

__all__ = ["publish", "staging"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOCKED = (errno.EACCES, errno.EPERM, errno.EROFS)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """Give an empty hidden folder inside `parent`, and remove what is left of it at the end, however that comes.

    Arguments:
        parent: made if missing, and removed again if nothing was published in it.

    Returns:
        A context with the folder's path.

    Raises:
        OutOfSpace: the device is full.
        Refused: reason NOT_WRITABLE where the system forbids to write in `parent`.
        OSError: other failures of the file system.

    Accuracy: exact. A kill in between leaves one hidden folder, `.add-...`, which no listing shows.
    """
    made = not parent.exists()
    stage = parent / f".add-{uuid.uuid4().hex}"
    try:
        stage.mkdir(parents=True)
        yield stage
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfSpace(f"The device under {parent} is full; nothing was added. Free some space.") from error
        if error.errno in _LOCKED:
            raise Refused(
                f"{parent} cannot be written ({error.strerror}); name a repository that can.",
                field="repository",
                reason="NOT_WRITABLE",
            ) from error
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if made:
            with suppress(OSError):  # not empty: something was published
                parent.rmdir()


def publish(source: Path, target: Path) -> None:
    """Flush a staged folder to the device and rename it to where everyone sees it.

    Arguments:
        source: the staged folder, or one inside it.
        target: on the same device; must not exist.

    Returns:
        Nothing.

    Raises:
        DuplicateResource: `target` exists by now.
        OSError: other failures of the file system.

    Accuracy: exact.
    """
    for folder, _, files in os.walk(source, topdown=False):
        for name in files:
            _flush(Path(folder) / name)
        _flush(Path(folder))
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise DuplicateResource(f"{target} was added meanwhile ; try again.", field="name") from error
        raise
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
