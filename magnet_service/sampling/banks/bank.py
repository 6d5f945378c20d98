"""A bank: stored latents with their log-volumes, in shards under one manifest, in a folder or at a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from magnet_service.errors import DamagedData, DuplicateResource, InvalidInput, Refused
from magnet_service.sampling.banks.manifest import Manifest, manifest_number, read_manifest, write_manifest
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.banks.rows import Rows, concatenate
from magnet_service.sampling.banks.shard import read_shard
from magnet_service.sampling.banks.spec import BankSpec

__all__ = ["SHARD_ROWS", "Bank"]

SHARD_ROWS = 10_240


class Bank:
    """A bank as it stood when it was opened: rows may be added behind them, never changed.

    Arguments:
        place: where it lies.
        manifest: what it held when opened.
    """

    def __init__(self, place: Place, manifest: Manifest) -> None:
        self.place = place
        self.manifest = manifest
        self._rows: Rows | None = None

    @staticmethod
    def open(where: str | Path | Place, expected: BankSpec | None = None) -> Bank:
        """The bank at a place.

        Arguments:
            where: the bank's folder or URL.
            expected: recipe that it must have.

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
        return Bank(place, manifest)

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
        return Bank.open(self.place, self.spec)

    def rows(self, revision: int | None = None) -> Rows:
        """The first rows, from memory after the first call.

        Arguments:
            revision: how many; all where None.

        Returns:
            Read-only arrays.

        Raises:
            InvalidInput: more rows than there are, or none; field `bank_revision`.
            DamagedData: a shard is missing or is not what the manifest says; the message names it.

        Accuracy:
            Exact.
        """
        if revision is not None and not 1 <= revision <= self.revision:
            raise InvalidInput(
                f"bank_revision is {revision}: bank {self.id} holds {self.revision} rows", field="bank_revision"
            )
        if self._rows is None:
            self._rows = _read(self.place, self.manifest)
        return self._rows if revision is None else self._rows.first(revision)


def _read(place: Place, manifest: Manifest) -> Rows:
    try:
        shards = [read_shard(place, manifest, shard) for shard in manifest.shards]
    except FileNotFoundError as error:
        # A builder may have replaced the short last shard by a longer one, whose first rows are the same.
        later = read_manifest(place)
        if later.spec != manifest.spec or later.shards == manifest.shards:
            raise DamagedData(f"a shard of bank {place.name} is missing: {error}") from error
        return _read(place, later).first(manifest.rows)
    return _frozen(concatenate([_empty(manifest.spec.base_law.dim, manifest.spec.columns), *shards]))


def _empty(latent: int, columns: int) -> Rows:
    return Rows(
        np.empty((0, latent), np.float32),
        np.empty((0, columns), np.float32),
        np.empty(0, np.int16),
        np.empty(0, np.int8),
    )


def _frozen(rows: Rows) -> Rows:
    for array in (rows.latents, rows.log_volumes, rows.rank, rows.status):
        array.setflags(write=False)
    return rows
