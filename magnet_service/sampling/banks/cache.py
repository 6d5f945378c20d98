"""The folder in which a machine keeps columns of banks: one folder a bank, the ones used last within a bound."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from magnet_service.errors import Refused

__all__ = ["CACHE_BYTES", "Cache"]

CACHE_BYTES = 20 * 2**30


@dataclass(frozen=True)
class Cache:
    """Where columns are kept. It may be emptied at any time; what is needed is read from the shards again.

    Attributes:
        folder: shared by the processes of a machine.
        most_bytes: above which the banks that were not used for longest are forgotten.
    """

    folder: Path
    most_bytes: int = CACHE_BYTES

    def of(self, name: str) -> Path:
        """The folder of a bank, made if it is not there and marked as used now.

        Arguments:
            name: stands for the bank and for who computed its rows.

        Returns:
            The folder.

        Raises:
            Refused: this user may not write there; field `cache`, reason CACHE_DENIED.

        Accuracy:
            The bound is looked at when a bank is opened, not while its columns are written.
        """
        folder = self.folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        except OSError as error:
            raise Refused(
                f"columns of banks cannot be kept in {self.folder}: {error.strerror}. Name a folder that this user may "
                "write to (cache).",
                field="cache",
                reason="CACHE_DENIED",
            ) from error
        self._trim(folder)
        return folder

    def forget(self, bank_id: str) -> None:
        """Removes what is kept of a bank."""
        for folder in self.folder.glob(f"{bank_id}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _trim(self, used: Path) -> None:
        sizes = {folder: _bytes(folder) for folder in self.folder.iterdir() if folder.is_dir()}
        for folder in sorted(sizes, key=_last_use):
            if sum(sizes.values()) <= self.most_bytes:
                return
            if folder != used:  # what others have mapped stays theirs until they let go
                shutil.rmtree(folder, ignore_errors=True)
                del sizes[folder]


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
