"""Banks written anew elsewhere or in larger shards: the same rows under the same id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from magnet_service.errors import DamagedData, InvalidInput, Refused, UnknownResource
from magnet_service.sampling.banks.bank import Bank
from magnet_service.sampling.banks.lease import Lease
from magnet_service.sampling.banks.manifest import Manifest, ShardEntry, in_force, manifest_number, write_manifest
from magnet_service.sampling.banks.place import Place
from magnet_service.sampling.banks.rows import Rows, concatenate
from magnet_service.sampling.banks.shard import ROWS, encode, entry_of, key_of, matches, read_shard, shard_name
from magnet_service.sampling.banks.surrogates import copy_surrogates

__all__ = ["compact", "copy_bank"]

_MOST_NUMBERS = 2**31 - 1  # of the latents of a shard: a file counts them in 32 bits


def copy_bank(bank: Bank, target: Place, *, on_rows: Callable[[int], object] | None = None) -> Bank:
    """Copies a bank, shard by shard, each checked on its way; the manifest is written last.

    Shards that the target has already are left, so that a copy that was stopped goes on, and a copy of a bank that has
    grown since brings what is new. Surrogates come too, so that a server of the copy answers resolved requests of
    screened draws; the volumes of such draws do not, as they are computed again.

    Arguments:
        bank: the bank, as it stood when opened.
        target: where the copy shall lie; nothing, or a bank of the same recipe.
        on_rows: told the number of rows after each shard.

    Returns:
        The bank there.

    Raises:
        Refused: another bank is there (FOREIGN_BANK), one that another engine computed (OTHER_ENGINE) or whose rows
            were stored otherwise (OTHER_SHARDS); a writer at work on it (BUSY).
        DamagedData: a shard of the source is not what its manifest says; it is named and not copied.
        OutOfSpace, Unreachable: a store's.

    Accuracy:
        Exact: the same bytes.
    """
    with Lease(target, f"bank {bank.id}") as lease:
        number, there = manifest_number(target), None
        if number:
            number, there = in_force(target, number)
        _check_target(bank, there)
        target.child(ROWS).tidy()
        kept = {} if there is None else {entry.file: entry for entry in there.shards}
        enough = there is not None and there.rows >= bank.revision
        for entry in bank.manifest.shards:
            if not enough and kept.get(entry.file) != entry and not _lies(target, entry):
                data = _checked(bank, entry)
                lease.check()
                target.child(ROWS).put(entry.file, data)
            if on_rows is not None:
                on_rows(entry.count)
        copy_surrogates(bank.place, target)
        if not enough:
            lease.check()
            write_manifest(target, number + 1, bank.manifest)
            for name in set(kept) - {entry.file for entry in bank.manifest.shards}:
                target.child(ROWS).remove(name)
    return Bank.open(target)


def compact(bank: Bank, shard_rows: int, *, on_rows: Callable[[int], object] | None = None) -> Bank:
    """Stores a bank's rows in shards of another size: fewer, larger objects are what object stores read fast.

    Arguments:
        bank: the bank.
        shard_rows: rows of a full shard, a multiple of the tile rows.
        on_rows: told the number of rows after each shard.

    Returns:
        The bank as it stands, with the same id, rows and revisions; readers of the old shards go on with the new ones.

    Raises:
        InvalidInput: shards that are not whole tiles, or larger than Parquet files hold; field `shard_rows`.
        Refused: a writer at work on it; reason BUSY.
        DamagedData: a shard is damaged; nothing is changed.
        OutOfSpace, Unreachable: the store's; nothing is changed.

    Accuracy:
        Exact: the same rows.
    """
    with Lease(bank.place, f"bank {bank.id}") as lease:
        number, before = in_force(bank.place)
        after = replace(before, shard_rows=shard_rows, shards=())
        _check_size(after)
        kept = {entry.file: entry for entry in before.shards}
        bank.place.child(ROWS).tidy()
        entries: list[ShardEntry] = []
        for first, rows in _cut(bank.place, before, shard_rows):
            entry = kept.get(shard_name(first, len(rows)))
            if entry is None:
                key = key_of(after, first, len(rows))
                data = encode(rows, key)
                entry = entry_of(key, data)
                lease.check()
                bank.place.child(ROWS).put(entry.file, data)
            entries.append(entry)
            if on_rows is not None:
                on_rows(len(rows))
        after = replace(after, shards=tuple(entries))
        if after != before:
            write_manifest(bank.place, number + 1, after)
            # Shards of other sizes that a killed writer left are removed with the old ones.
            for name in set(bank.place.child(ROWS).names()) - {entry.file for entry in after.shards}:
                bank.place.child(ROWS).remove(name)
    return bank.reload()


def _cut(place: Place, manifest: Manifest, shard_rows: int) -> Iterator[tuple[int, Rows]]:
    """All rows in order, in pieces of `shard_rows`, a few shards in memory at a time."""
    first, parts, held = 0, list[Rows](), 0
    for entry in manifest.shards:
        try:
            parts.append(read_shard(place, manifest, entry))
        except FileNotFoundError:
            raise DamagedData(f"shard {entry.file} of bank {place.name} is missing: verify the bank") from None
        held += entry.count
        while held >= shard_rows or (held and first + held == manifest.rows):
            whole = concatenate(parts)
            count = min(shard_rows, held)
            yield first, whole.first(count)
            first, held, parts = first + count, held - count, [whole.span(count, held)]


def _check_size(manifest: Manifest) -> None:
    most = _MOST_NUMBERS // manifest.spec.base_law.dim
    if manifest.shard_rows > most:
        raise InvalidInput(
            f"shard_rows is {manifest.shard_rows}: write {most - most % manifest.spec.tile_rows} or less, for latents "
            f"of {manifest.spec.base_law.dim} numbers",
            field="shard_rows",
        )


def _check_target(bank: Bank, there: Manifest | None) -> None:
    if there is None:
        return
    if there.spec != bank.spec:
        raise Refused(f"bank {there.spec.id} is there, not {bank.id}: name another place", reason="FOREIGN_BANK")
    if there.rows and there.stamp != bank.manifest.stamp:
        raise Refused(
            f"bank {bank.id} is there too, its rows computed by another engine: they may differ in their last bits. "
            "Name another place, or delete the copy first",
            reason="OTHER_ENGINE",
        )
    shorter, longer = sorted((there, bank.manifest), key=lambda manifest: manifest.rows)
    full = shorter.rows // shorter.shard_rows
    if there.shard_rows != bank.manifest.shard_rows or shorter.shards[:full] != longer.shards[:full]:
        raise Refused(
            f"bank {bank.id} is there too, its rows stored otherwise: `magnet bank compact` both to shards of one "
            "size, or delete the copy first",
            reason="OTHER_SHARDS",
        )


def _lies(target: Place, entry: ShardEntry) -> bool:
    """Whether a copy that was stopped has brought a shard already."""
    try:
        return matches(target.child(ROWS).read(entry.file), entry)
    except FileNotFoundError:
        return False


def _checked(bank: Bank, entry: ShardEntry) -> bytes:
    try:
        data = bank.place.child(ROWS).read(entry.file)
    except FileNotFoundError:
        raise UnknownResource(
            f"shard {entry.file} of bank {bank.id} is gone: the bank has grown or was deleted meanwhile; copy again",
            field="bank_id",
        ) from None
    if not matches(data, entry):
        raise DamagedData(f"shard {entry.file} of bank {bank.id} is damaged and was not copied: verify the bank")
    return data
