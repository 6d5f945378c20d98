"""Rows of a bank read through side files: a column is decoded once and mapped from then on."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int8, Int16, Int64

from magnet_service.errors import DamagedData
from magnet_service.sampling.banks.reader import Piece, ShardReader, Wanted, rows_of
from magnet_service.sampling.banks.rows import BankRows, Rows, by_blocks, concatenate, no_rows
from magnet_service.sampling.banks.side_files import Column, Part, SideFiles

__all__ = ["LATENT_BYTES", "VOLUME_BYTES", "MappedRows"]

LATENT_BYTES = 2 << 30
VOLUME_BYTES = 256 << 20

_RANK = Column("rank", np.dtype(np.int16))
_STATUS = Column("status", np.dtype(np.int8))
_DERIVED = "derived-"
_DERIVED_KEPT = 8
_PIECES_KEPT = 4


class MappedRows(BankRows):
    """The first rows of a bank, their columns in files of a local folder that processes share.

    The first use reads the shards once, for ranks, volumes and latents together; later ones, of whatever process, map
    what was written. The folder may be emptied at any time.

    Arguments:
        folder: of this bank alone.
        shards: its shards.
        count: how many rows.
        latent_bytes: latents that take more are drawn anew at every use, or read from the shards that hold them.
        volume_bytes: log-volumes of all k that together take more are written one k at a time.
    """

    def __init__(
        self,
        folder: Path,
        shards: ShardReader,
        count: int,
        *,
        latent_bytes: int = LATENT_BYTES,
        volume_bytes: int = VOLUME_BYTES,
    ) -> None:
        self._files = SideFiles(folder)
        self._shards = shards
        self._count = count
        self._limits = (latent_bytes, volume_bytes)
        self._firsts = np.array([first for first, _ in shards.spans], dtype=np.int64)
        self._mapped: dict[str, np.ndarray] = {}
        self._pieces: OrderedDict[tuple[int, Wanted], Piece] = OrderedDict()

    def __len__(self) -> int:
        """Number of rows."""
        return self._count

    @property
    def dim(self) -> int:
        """As `BankRows.dim`."""
        return self._shards.dim

    @property
    def columns(self) -> int:
        """As `BankRows.columns`."""
        return self._shards.columns

    def ranks(self) -> Int16[np.ndarray, " rows"]:
        """As `BankRows.ranks`."""
        return self._column(_RANK)

    def states(self) -> Int8[np.ndarray, " rows"]:
        """As `BankRows.states`."""
        return self._column(_STATUS)

    def log_volume(self, k: int) -> Float32[np.ndarray, " rows"]:
        """As `BankRows.log_volume`."""
        return self._column(_volume(k))

    def latents_at(self, indices: Int64[np.ndarray, " answer"]) -> Float32[np.ndarray, "answer latent"]:
        """As `BankRows.latents_at`; where they are read from shards, each that holds some of them is read once."""
        found: Float32[np.ndarray, "answer latent"]
        if self._keeps_latents:
            found = self._column(self._latents)[indices]
            return found
        if self._shards.drawn is not None:
            return self._shards.drawn(indices)
        found = np.empty((indices.size, self.dim), dtype=np.float32)
        places = np.searchsorted(self._firsts, indices, side="right") - 1
        for index in np.unique(places).tolist():
            here = places == index
            latents = self._piece(index, Wanted(latents=True)).latents
            if latents is None:
                raise TypeError("latents were wanted")
            found[here] = latents[indices[here] - self._firsts[index]]
        return found

    def span(self, start: int, stop: int) -> Rows:
        """As `BankRows.span`; the shards that hold them are read."""
        stop = min(stop, self._count)
        wanted = Wanted(latents=True, ks=tuple(range(1, self.columns + 1)), rank=True)
        parts = [no_rows(self.dim, self.columns)]
        for index, (first, count) in enumerate(self._shards.spans):
            if first < stop and start < first + count:
                rows = rows_of(self._piece(index, wanted))
                parts.append(rows.span(max(0, start - first), min(count, stop - first)))
        return concatenate(parts)

    def first(self, count: int) -> MappedRows:
        """As `BankRows.first`."""
        latent_bytes, volume_bytes = self._limits
        folder = self._files.folder
        count = min(count, self._count)
        return MappedRows(folder, self._shards, count, latent_bytes=latent_bytes, volume_bytes=volume_bytes)

    def derived(
        self, key: str, of: Callable[[Float32[np.ndarray, "some latent"]], Float64[np.ndarray, " some"]]
    ) -> Float64[np.ndarray, " rows"]:
        """As `BankRows.derived`: in a file too, and the files of the keys used last are kept."""
        name = _DERIVED + hashlib.sha256(key.encode()).hexdigest()[:16]
        column = Column(name, np.dtype(np.float64))

        def read(start: int) -> Iterator[Part]:
            for first, stop in by_blocks(start, self._count):
                yield first, {name: of(self.latents_at(np.arange(first, stop)))}

        def make() -> None:
            self._files.make((column,), self._count, read)
            self._files.keep(_DERIVED, _DERIVED_KEPT)

        return self._opened(column, make)

    @property
    def _keeps_latents(self) -> bool:
        return self._latents.bytes(self._count) <= self._limits[0]

    @property
    def _latents(self) -> Column:
        return Column("latents", np.dtype(np.float32), self.dim)

    def _column(self, column: Column) -> np.ndarray:
        return self._opened(column, lambda: self._pass(column))

    def _opened(self, column: Column, make: Callable[[], None]) -> np.ndarray:
        known = self._mapped.get(column.name)
        if known is None:
            known = self._files.open(column, self._count)
        if known is None:
            make()
            known = self._files.open(column, self._count)
        if known is None:
            raise DamagedData(f"{column.name} was written to {self._files.folder} and is gone again")
        self._mapped[column.name] = known
        return known

    def _pass(self, column: Column) -> None:
        """Writes a column, and with it all that is missing and small enough to be written beforehand."""
        wide = 4 * self.columns * self._count > self._limits[1]
        volumes = {_volume(k).name: k for k in range(1, self.columns + 1)}
        others = [_RANK, _STATUS, *(() if wide else map(_volume, volumes.values()))]
        others += [self._latents] if self._keeps_latents else []
        missing = [other for other in others if other != column and self._files.open(other, self._count) is None]
        columns = [column, *missing]
        names = [each.name for each in columns]
        wanted = Wanted(
            latents=self._latents.name in names,
            ks=tuple(k for name, k in volumes.items() if name in names),
            rank=_RANK.name in names or _STATUS.name in names,
        )

        def read(start: int) -> Iterator[Part]:
            for index, (first, count) in enumerate(self._shards.spans):
                if first < self._count and start < first + count:
                    yield first, _named(self._shards.read(index, wanted), count)

        self._files.make(columns, self._count, read)

    def _piece(self, index: int, wanted: Wanted) -> Piece:
        found = self._pieces.pop((index, wanted), None)
        if found is None:
            found = self._shards.read(index, wanted)
        self._pieces[index, wanted] = found
        while len(self._pieces) > _PIECES_KEPT:
            self._pieces.popitem(last=False)
        return found


def _volume(k: int) -> Column:
    return Column(f"volume-{k}", np.dtype(np.float32))


def _named(piece: Piece, count: int) -> dict[str, np.ndarray]:
    found = {_volume(k).name: numbers for k, numbers in piece.log_volumes.items()}
    others = {"latents": piece.latents, _RANK.name: piece.rank, _STATUS.name: piece.status}
    found |= {name: numbers for name, numbers in others.items() if numbers is not None}
    return {name: numbers[:count] for name, numbers in found.items()}
