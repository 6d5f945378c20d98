"""A bank: stored latents with their log-volumes, in shards under one manifest, in a folder or at a URL."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from magnet_service.errors import DuplicateResource, InvalidInput, Refused
from magnet_service.sampling.banks.cache import Cache
from magnet_service.sampling.banks.columns import MappedRows
from magnet_service.sampling.banks.manifest import Manifest, manifest_number, read_manifest, write_manifest
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.banks.reader import Wanted, rows_of
from magnet_service.sampling.banks.rows import BankRows, Rows, concatenate, no_rows
from magnet_service.sampling.banks.shard import key_of
from magnet_service.sampling.banks.shards import shard_reader
from magnet_service.sampling.banks.spec import BankSpec

__all__ = ["SHARD_ROWS", "Bank"]

SHARD_ROWS = 10_240
_REVISIONS_KEPT = 4


class Bank:
    """A bank as it stood when it was opened: rows may be added behind them, never changed.

    Arguments:
        place: where it lies.
        manifest: what it held when opened.
        cache: where columns that are read are kept, for all processes; in memory where None.
    """

    def __init__(self, place: Place, manifest: Manifest, cache: Cache | None = None) -> None:
        self.place = place
        self._cache = cache
        self.manifest = manifest
        self._rows: BankRows | None = None
        self._earlier: OrderedDict[int, BankRows] = OrderedDict()

    @staticmethod
    def open(where: str | Path | Place, expected: BankSpec | None = None, cache: Cache | None = None) -> Bank:
        """The bank at a place.

        Arguments:
            where: the bank's folder or URL.
            expected: recipe that it must have.
            cache: as the class has it.

        Returns:
            The bank; no shard is read yet.

        Raises:
            UnknownResource: no bank there.
            Refused: another format (NEWER_FORMAT, OLDER_FORMAT) or another bank than expected (FOREIGN_BANK).
            DamagedData: a manifest that is not one.
            Unreachable: the store does not answer.

        Accuracy:
            Exact.
        """
        place = place_of(where)
        manifest = read_manifest(place)
        if expected is not None and manifest.spec != expected:
            raise Refused(f"{place.name} holds bank {manifest.spec.id}, not {expected.id}", reason="FOREIGN_BANK")
        return Bank(place, manifest, cache)

    @staticmethod
    def create(
        where: str | Path | Place, spec: BankSpec, *, stamp: Mapping[str, str], shard_rows: int = SHARD_ROWS
    ) -> Bank:
        """An empty bank at a place, which appears whole or not at all.

        Arguments:
            where: a folder or URL that holds no bank.
            spec: the bank's recipe.
            stamp: of the engine that will compute it, from `geometry.stamp`.
            shard_rows: rows of a full shard, a multiple of the tile rows.

        Returns:
            The bank.

        Raises:
            DuplicateResource: a bank is there.
            InvalidInput: shards that are not whole tiles; field `shard_rows`.
            OutOfSpace: the device is full; nothing is left behind.
            Unreachable: the store does not answer.

        Accuracy:
            Exact.
        """
        manifest, place = Manifest(spec, dict(stamp), shard_rows, ()), place_of(where)
        taken = DuplicateResource(f"bank {place.name} exists: open it", field="bank_id")
        if manifest_number(place):
            raise taken
        try:
            write_manifest(place, 1, manifest)
        except Refused as error:
            if error.reason != "LEASE_LOST":
                raise
            raise taken from error
        return Bank(place, manifest)

    @property
    def spec(self) -> BankSpec:
        """The bank's recipe."""
        return self.manifest.spec

    @property
    def id(self) -> str:
        """Digest of the recipe."""
        return self.manifest.spec.id

    @property
    def revision(self) -> int:
        """Rows that it held when opened."""
        return self.manifest.rows

    @property
    def bytes(self) -> int:
        """Size of its shards."""
        return sum(shard.bytes for shard in self.manifest.shards)

    def reload(self) -> Bank:
        """The bank as it stands now."""
        return Bank.open(self.place, self.spec, self._cache)

    def rows(self, revision: int | None = None) -> BankRows:
        """The first rows.

        Arguments:
            revision: how many; all where None.

        Returns:
            The rows: read into memory at the first call, or read by column when a column is asked for.

        Raises:
            InvalidInput: more rows than there are, or none; field `bank_revision`.
            DamagedData: a shard is missing or is not what the manifest says; the message names it.
            Unreachable: the store does not answer.

        Accuracy:
            Exact.
        """
        if revision is not None and not 1 <= revision <= self.revision:
            raise InvalidInput(
                f"bank_revision is {revision}: bank {self.id} holds {self.revision} rows", field="bank_revision"
            )
        count = self.revision if revision is None else revision
        if self._rows is None:
            self._rows = self._opened()
        if count == self.revision:
            return self._rows
        known = self._earlier.pop(count, None)
        self._earlier[count] = self._rows.first(count) if known is None else known
        while len(self._earlier) > _REVISIONS_KEPT:
            self._earlier.popitem(last=False)
        return self._earlier[count]

    def _opened(self) -> BankRows:
        shards = shard_reader(self.place, self.manifest)
        if self._cache is not None:
            # Rows are a function of recipe and engine: a bank that was deleted and built anew may have others.
            key = key_of(self.manifest, 0, 0)
            return MappedRows(self._cache.of(f"{key.bank}-{key.engine}"), shards, self.revision)
        everything = Wanted(latents=True, ks=tuple(range(1, shards.columns + 1)), rank=True)
        parts = [rows_of(shards.read(index, everything)) for index in range(len(shards.spans))]
        return _frozen(concatenate([no_rows(shards.dim, shards.columns), *parts]))


def _frozen(rows: Rows) -> Rows:
    for array in (rows.latents, rows.log_volumes, rows.rank, rows.status):
        array.setflags(write=False)
    return rows
