"""Whether a bank holds what it says, and its damaged shards computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from magnet_service.errors import DamagedData, Refused
from magnet_service.generator import Generator
from magnet_service.geometry import Engine
from magnet_service.sampling.banks.bank import Bank
from magnet_service.sampling.banks.build import PROGRESS_ROWS
from magnet_service.sampling.banks.computing import check_recipe, check_stamp, compute_rows
from magnet_service.sampling.banks.lease import Lease
from magnet_service.sampling.banks.manifest import ShardEntry, in_force, write_manifest
from magnet_service.sampling.banks.reader import Wanted
from magnet_service.sampling.banks.rows import concatenate
from magnet_service.sampling.banks.shard import ROWS, encode, entry_of, key_of, read_shard
from magnet_service.sampling.banks.shards import shard_reader
from magnet_service.sampling.crews.crew import StopSignal

__all__ = ["Finding", "inspect", "repair"]


@dataclass(frozen=True)
class Finding:
    """One shard, looked at.

    Attributes:
        entry: what the manifest says of it.
        problem: what is wrong with it; empty for one that is whole.
    """

    entry: ShardEntry
    problem: str


def inspect(bank: Bank) -> Iterator[Finding]:
    """Reads every shard of a bank and checks size, digest, key and numbers; the bank may grow meanwhile.

    Arguments:
        bank: the bank.

    Yields:
        A finding for each shard in order.

    Raises:
        Unreachable: the store does not answer.

    Accuracy:
        Exact: SHA-256 of the bytes and of the numbers.
    """
    for index, entry in enumerate(bank.manifest.shards):
        problem = ""
        try:
            read_shard(bank.place, bank.manifest, entry)
        except FileNotFoundError:
            problem = _elsewhere(bank, index)
        except DamagedData as error:
            problem = error.message
        yield Finding(entry, problem)


def _elsewhere(bank: Bank, index: int) -> str:
    # Growth and `compact` replace shards: the rows of one that is gone are looked for where they are now.
    reader = shard_reader(bank.place, bank.manifest)
    try:
        reader.read(index, Wanted(latents=True, ks=tuple(range(1, reader.columns + 1)), rank=True))
    except DamagedData as error:
        return error.message
    return ""


def repair(
    bank: Bank,
    generator: Generator,
    engine: Engine,
    damaged: Sequence[ShardEntry],
    *,
    should_stop: StopSignal | None = None,
    on_rows: Callable[[int], object] | None = None,
) -> Bank:
    """Computes damaged or missing shards again: the same rows, as the same engine gives the same bits.

    Arguments:
        bank: the bank.
        generator: of its recipe.
        engine: of its recipe, the one that computed its rows.
        damaged: entries of shards, from `inspect`.
        should_stop: asked between tiles.
        on_rows: told the number of rows after each step.

    Returns:
        The bank as it stands.

    Raises:
        Refused: as `build`; rows that were imported (IMPORTED) cannot be computed.
        OutOfSpace, Unreachable: the store's.
        Cancelled: should_stop turned true.

    Accuracy:
        As `build`: rows are equal to those that were lost.
    """
    check_recipe(bank, generator, engine)
    step = -(-PROGRESS_ROWS // engine.tile_rows) * engine.tile_rows
    with Lease(bank.place, f"bank {bank.id}") as lease:
        number, manifest = in_force(bank.place)
        check_stamp(manifest, engine)
        engine = replace(engine, precision=manifest.precision_used)
        entries = list(manifest.shards)
        for entry in damaged:
            if entry not in entries:
                raise Refused(f"bank {bank.id} has changed since it was looked at: verify it again", reason="BUSY")
            stop, parts = entry.first + entry.count, []
            for start in range(entry.first, stop, step):
                end = min(start + step, stop)
                parts.append(compute_rows(generator, engine, bank.spec, start, end, should_stop))
                if on_rows is not None:
                    on_rows(end - start)
            key = key_of(manifest, entry.first, entry.count)
            data = encode(concatenate(parts), key)
            lease.check()
            bank.place.child(ROWS).put(entry.file, data)
            entries[entries.index(entry)] = entry_of(key, data)
        if tuple(entries) != manifest.shards:  # another version of Parquet writes the same rows otherwise
            write_manifest(bank.place, number + 1, replace(manifest, shards=tuple(entries)))
    return bank.reload()
