"""Columns of a bank beside it, one `.npy` file each, mapped into memory and shared between processes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magnet_service.errors import DamagedData
from magnet_service.sampling.banks.local_place import TEMPORARY, out_of_space, sync

__all__ = ["Column", "Part", "SideFiles"]

Part = tuple[int, Mapping[str, np.ndarray]]
"""The number of a first row, and by name the columns of the rows from there on."""

_ABANDONED_SECONDS = 3600.0
_COPIED_ROWS = 1 << 18


@dataclass(frozen=True)
class Column:
    """What one file holds.

    Attributes:
        name: first part of the file's name; the second is its number of rows.
        kind: type of its numbers.
        width: numbers of a row where a row has several; 0 for one.
    """

    name: str
    kind: np.dtype[Any]
    width: int = 0

    def shape(self, rows: int) -> tuple[int, ...]:
        """Shape of an array of so many rows."""
        return (rows, self.width) if self.width else (rows,)

    def header(self, rows: int) -> bytes:
        """The first bytes of the file, as `numpy.save` writes them."""
        made = io.BytesIO()
        described = {"descr": self.kind.str, "fortran_order": False, "shape": self.shape(rows)}
        np.lib.format.write_array_header_1_0(made, described)
        return made.getvalue()

    def bytes(self, rows: int) -> int:
        """Bytes of so many rows."""
        return rows * max(1, self.width) * self.kind.itemsize


class SideFiles:
    """Files of columns in a folder that processes share.

    Rows never change, so that a file serves every smaller number of rows, and one of more rows begins with it. A file
    has its name once it is whole; two processes that make it at once write the same bytes under names of their own,
    and the later one takes the place of the other.

    Arguments:
        folder: where they lie, made when the first file is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, column: Column, rows: int) -> np.ndarray | None:
        """The first rows of a column.

        Arguments:
            column: the column.
            rows: how many.

        Returns:
            A read-only array mapped from the file; None where no whole file has as many rows.

        Raises:
            OSError: the folder cannot be read.

        Accuracy:
            Exact.
        """
        if rows == 0:
            return np.empty(column.shape(0), column.kind)
        for held, path in sorted(self._files(column)):
            if held >= rows and (found := _mapped(path, column, held)) is not None:
                return found[:rows]
        return None

    def make(self, columns: Sequence[Column], rows: int, read: Callable[[int], Iterable[Part]]) -> None:
        """Writes columns, beginning each with what a shorter file has of it; the shorter ones are removed.

        Arguments:
            columns: the columns.
            rows: how many rows each shall have.
            read: given a row, parts that begin with it or before and follow each other, all columns in each.

        Returns:
            Nothing, once bytes and names are on the device.

        Raises:
            OutOfSpace: the device is full; nothing is left behind.
            DamagedData: the parts end too early, or hold numbers of another kind.
            OSError: any other failure of the file system.

        Accuracy:
            Exact.
        """
        drafts: list[Draft] = []
        with out_of_space(f"columns of {self.folder.name}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            try:
                for column in columns:
                    drafts.append(Draft(self.folder, column, rows))
                    drafts[-1].begin(self._longest(column, rows))
                for first, part in read(min(draft.rows for draft in drafts)):
                    for draft in drafts:
                        draft.append(first, part[draft.column.name])
                for draft in drafts:
                    draft.finish()
                sync(self.folder)
            finally:
                for draft in drafts:
                    draft.drop()
        for column in columns:
            for held, path in self._files(column):
                if held < rows:
                    path.unlink(missing_ok=True)

    def keep(self, prefix: str, most: int) -> None:
        """Removes all but the files written last of those whose name begins with a prefix."""
        dated = []
        for path in self.folder.glob(f"{prefix}*.npy"):
            with contextlib.suppress(FileNotFoundError):
                dated.append((path.stat().st_mtime, path))
        for _, path in sorted(dated, reverse=True)[most:]:
            path.unlink(missing_ok=True)

    def _longest(self, column: Column, rows: int) -> np.ndarray:
        for held, path in sorted(self._files(column), reverse=True):
            if held < rows and (found := _mapped(path, column, held)) is not None:
                return found
        return np.empty(column.shape(0), column.kind)

    def _files(self, column: Column) -> Iterator[tuple[int, Path]]:
        form = re.compile(re.escape(column.name) + r"-(\d{1,18})\.npy")
        for path in self.folder.glob(f"{column.name}-*.npy"):
            if (match := form.fullmatch(path.name)) is not None:
                yield int(match.group(1)), path

    def _sweep(self) -> None:
        # What killed writers left; one at work writes to its files every few seconds.
        oldest = time.time() - _ABANDONED_SECONDS
        for path in self.folder.glob(TEMPORARY + "*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


class Draft:
    """A file on its way, written from the first row to the last.

    Arguments:
        folder: where it lies.
        column: what it shall hold.
        wanted: how many rows of it.
    """

    def __init__(self, folder: Path, column: Column, wanted: int) -> None:
        self.column, self.wanted, self.rows = column, wanted, 0
        self.path = folder / f"{column.name}-{wanted}.npy"
        self._temporary = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{self.path.name}"

    def begin(self, known: np.ndarray) -> None:
        """Writes the header and the rows known."""
        self._temporary.write_bytes(self.column.header(self.wanted))
        for first in range(0, len(known), _COPIED_ROWS):
            self.append(first, known[first : first + _COPIED_ROWS])

    def append(self, first: int, rows: np.ndarray) -> None:
        """Writes those of the rows, of which one is the next, that are not written yet."""
        part = np.ascontiguousarray(rows[self.rows - first : self.wanted - first])
        if part.dtype != self.column.kind or part.shape != self.column.shape(len(part)):
            raise DamagedData(f"{self.column.name}: rows from {first} on are {part.dtype} of shape {part.shape}")
        # Written and not mapped: on a full device a write fails, where touching a mapped page ends the process.
        with self._temporary.open("ab") as file:
            file.write(part.tobytes())
        self.rows += len(part)

    def finish(self) -> None:
        """Gives the file its name."""
        if self.rows != self.wanted:
            raise DamagedData(f"{self.column.name}: the shards end at row {self.rows}, not {self.wanted}")
        sync(self._temporary)
        self._temporary.replace(self.path)

    def drop(self) -> None:
        """Removes what has not got its name."""
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def _mapped(path: Path, column: Column, rows: int) -> np.ndarray | None:
    """The rows of a file; None where it is gone, or not one that `SideFiles.make` has written to its end."""
    header = column.header(rows)
    try:
        with path.open("rb") as file:
            whole = os.fstat(file.fileno()).st_size == len(header) + column.bytes(rows)
            if not whole or file.read(len(header)) != header:
                return None
            return np.asarray(np.memmap(file, column.kind, "r", len(header), column.shape(rows)))
    except FileNotFoundError:
        return None
