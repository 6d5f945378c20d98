"""A bank: stored latents with their log-volumes, in a folder of shards under one manifest."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from magnet_service.errors import DamagedData, DuplicateResource, InvalidInput, Refused
from magnet_service.sampling.banks.files import out_of_space, sync_folder
from magnet_service.sampling.banks.manifest import Manifest, read_manifest, write_manifest
from magnet_service.sampling.banks.rows import Rows, concatenate
from magnet_service.sampling.banks.shard import read_shard
from magnet_service.sampling.banks.spec import BankSpec

__all__ = ["NEW", "SHARD_ROWS", "Bank"]

SHARD_ROWS = 10_240
NEW = ".new-"


class Bank:
    """A bank as it stood when it was opened: rows may be added behind them, never changed.

    Arguments:
        folder: where it lies.
        manifest: what it held when opened.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._rows: Rows | None = None

    @staticmethod
    def open(folder: Path, expected: BankSpec | None = None) -> Bank:
        """The bank in a folder.

        Arguments:
            folder: the bank's folder.
            expected: recipe that it must have.

        Returns:
            The bank; no shard is read yet.

        Raises:
            UnknownResource: no bank there.
            Refused: a later format (NEWER_FORMAT) or another bank than expected (FOREIGN_BANK).
            DamagedData: a manifest that is not one.

        Accuracy:
            Exact.
        """
        manifest = read_manifest(folder)
        if expected is not None and manifest.spec != expected:
            raise Refused(f"{folder.name} holds bank {manifest.spec.id}, not {expected.id}", reason="FOREIGN_BANK")
        return Bank(folder, manifest)

    @staticmethod
    def create(folder: Path, spec: BankSpec, *, stamp: Mapping[str, str], shard_rows: int = SHARD_ROWS) -> Bank:
        """An empty bank in a new folder, which appears whole or not at all.

        Arguments:
            folder: must not exist.
            spec: the bank's recipe.
            stamp: of the engine that will compute it, from `geometry.stamp`.
            shard_rows: rows of a full shard, a multiple of the tile rows.

        Returns:
            The bank.

        Raises:
            DuplicateResource: the folder exists.
            InvalidInput: shards that are not whole tiles; field `shard_rows`.
            OutOfSpace: the device is full; nothing is left behind.

        Accuracy:
            Exact.
        """
        manifest = Manifest(spec, dict(stamp), shard_rows, ())
        if folder.exists():
            raise DuplicateResource(f"bank {folder.name} exists: open it", field="bank_id")
        with out_of_space(folder.name):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=NEW, dir=folder.parent))
        try:
            # mkdtemp makes folders for its user alone; banks are read by others too.
            temporary.chmod(0o755)
            write_manifest(temporary, manifest)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(folder.parent)
        return Bank(folder, manifest)

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
        return Bank.open(self.folder, self.spec)

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
            self._rows = _read(self.folder, self.manifest)
        return self._rows if revision is None else self._rows.first(revision)


def _read(folder: Path, manifest: Manifest) -> Rows:
    law = manifest.spec.base_law
    try:
        shards = [read_shard(folder, shard, law.dim, law.columns) for shard in manifest.shards]
    except FileNotFoundError as error:
        # A builder may have replaced the short last shard by a longer one, whose first rows are the same.
        later = read_manifest(folder)
        if later.spec != manifest.spec or later.shards == manifest.shards:
            raise DamagedData(f"shard {Path(error.filename).name} of bank {folder.name} is missing") from error
        return _read(folder, later).first(manifest.rows)
    return _frozen(concatenate([_empty(law.dim, law.columns), *shards]))


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
