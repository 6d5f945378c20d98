"""The shards of a bank at its place, as a reader sees them, whatever happens to them meanwhile."""

from __future__ import annotations

from functools import partial

from magnet_service.errors import DamagedData
from magnet_service.sampling.banks.manifest import Manifest, read_manifest
from magnet_service.sampling.banks.place import Place
from magnet_service.sampling.banks.reader import Piece, ShardReader, Wanted
from magnet_service.sampling.banks.rows import Rows, concatenate
from magnet_service.sampling.banks.shard import read_shard
from magnet_service.sampling.pushforward import Pushforward

__all__ = ["shard_reader"]


def shard_reader(bank: Place, manifest: Manifest) -> ShardReader:
    """Reads the shards of a bank as a manifest lists them.

    Rows never change, but shards do: a short last one is replaced by a longer one, and `compact` replaces all. Rows of
    a shard that is gone are read from those that the manifest in force lists.

    Arguments:
        bank: the bank's place.
        manifest: as the bank stood when it was opened.

    Returns:
        The reader; its `read` raises DamagedData and Unreachable as `read_shard`.

    Raises:
        Nothing.

    Accuracy:
        Exact: every shard's digest is checked whenever it is read.
    """
    law = manifest.spec.base_law

    def read(index: int, wanted: Wanted) -> Piece:
        entry = manifest.shards[index]
        try:
            rows = read_shard(bank, manifest, entry, ks=wanted.ks, latents=wanted.latents)
        except FileNotFoundError as error:
            later = read_manifest(bank)
            if later.spec != manifest.spec or entry in later.shards:
                raise DamagedData(f"shard {entry.file} of bank {bank.name} is missing") from error
            rows = _instead(bank, later, entry.first, entry.first + entry.count, wanted)
        return _piece(rows, wanted)

    spans = tuple((entry.first, entry.count) for entry in manifest.shards)
    computable = not isinstance(law, Pushforward) and not manifest.spec.imported
    drawn = partial(law.rows_at, manifest.spec.seed) if computable else None
    return ShardReader(law.dim, manifest.spec.columns, spans, read, drawn)


def _instead(bank: Place, later: Manifest, start: int, stop: int, wanted: Wanted) -> Rows:
    parts = []
    for entry in later.shards:
        if entry.first < stop and start < entry.first + entry.count:
            try:
                rows = read_shard(bank, later, entry, ks=wanted.ks, latents=wanted.latents)
            except FileNotFoundError as error:
                raise DamagedData(f"shard {entry.file} of bank {bank.name} is missing") from error
            parts.append(rows.span(max(0, start - entry.first), min(entry.count, stop - entry.first)))
    if sum(map(len, parts)) != stop - start:
        raise DamagedData(f"bank {bank.name} has lost rows {start} to {stop - 1}")
    return concatenate(parts)


def _piece(rows: Rows, wanted: Wanted) -> Piece:
    return Piece(
        rows.latents if wanted.latents else None,
        {k: rows.log_volumes[:, place] for place, k in enumerate(wanted.ks)},
        rows.rank if wanted.rank else None,
        rows.status if wanted.rank else None,
    )
