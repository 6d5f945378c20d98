"""Building a bank: whole tiles in order, a shard at a time, each step atomic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from magnet_service.errors import InvalidInput, Refused, UnknownResource
from magnet_service.generator import Generator
from magnet_service.geometry import Engine, prefix_sums, stamp, volumes
from magnet_service.sampling.accuracy import Accuracy, probing
from magnet_service.sampling.banks.bank import Bank
from magnet_service.sampling.banks.files import Writer, locked, out_of_space, remove_temporary, write_atomically
from magnet_service.sampling.banks.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from magnet_service.sampling.banks.rows import NON_FINITE, OK, Rows, concatenate
from magnet_service.sampling.banks.shard import encode, entry_of, read_shard
from magnet_service.sampling.banks.spec import BankSpec
from magnet_service.sampling.law import Law
from magnet_service.sampling.mapping import bound

__all__ = ["LOCK", "PROGRESS_ROWS", "Progress", "build", "compute_rows", "engine_for"]

LOCK = "lock"
PROGRESS_ROWS = 128


@dataclass(frozen=True)
class Progress:
    """How far a build is.

    Attributes:
        rows_done: rows computed; those of unfinished shards are not stored yet.
        rows_total: rows wanted.
    """

    rows_done: int
    rows_total: int


def engine_for(spec: BankSpec, device: str = "cpu") -> Engine:
    """The engine that computes a bank of this recipe on a device of its kind."""
    return Engine(device=device, precision=spec.precision, tile_rows=spec.tile_rows, threads=spec.threads)


def build(
    bank: Bank,
    generator: Generator,
    engine: Engine,
    to_rows: int,
    *,
    should_stop: Callable[[], bool] | None = None,
    progress_rows: int = PROGRESS_ROWS,
    write: Writer = write_atomically,
) -> Iterator[Progress]:
    """Grows a bank to a number of rows, yielding after every few tiles so that others can have the device between them.

    Row i of the law goes to place i of the bank and is computed at place i mod tile_rows of its tile, so that a bank
    grown in steps, continued after a kill, or built at once holds the same bytes. Before the first shard the error of
    the recipe's precision is measured, and the manifest keeps it; where BFLOAT16 is too inexact, FLOAT32 computes the
    rows (`accuracy.probing`). The recipe and the id stay those of the precision asked for.

    Arguments:
        bank: the bank; open it again to read what was added.
        generator: the generator of its recipe.
        engine: of its recipe, on a device of its kind.
        to_rows: rows wanted in all; a bank that holds as many stays as it is.
        should_stop: asked between tiles.
        progress_rows: rows between two yields, rounded up to whole tiles.
        write: how files are put in place.

    Returns:
        Progress, first of what is there already. A shard counts when it and the manifest are on the device: leaving the
        iterator early, or a kill at any moment, loses at most the shard in work.

    Raises:
        InvalidInput: to_rows below 1.
        UnknownResource: the bank was deleted meanwhile; field `bank_id`.
        Refused: another generator or engine than the recipe's (FOREIGN_BANK), another engine or torch build,
            instruction set or device than the rows before (OTHER_ENGINE), or another builder at work (BUSY).
        DamagedData: the short last shard is not what the manifest says.
        OutOfSpace: the device is full; the bank stays readable as it was.
        Cancelled: should_stop turned true.

    Accuracy:
        Volumes as `geometry.volumes`, prefix sums in float64, stored as float32.
    """
    if to_rows < 1:
        raise InvalidInput(f"rows is {to_rows}: write 1 or more", field="rows")
    _check_recipe(bank, generator, engine)
    chunk = -(-progress_rows // engine.tile_rows) * engine.tile_rows
    return _grow(bank, generator, engine, to_rows, should_stop, chunk, write)


def compute_rows(
    generator: Generator,
    engine: Engine,
    spec: BankSpec,
    start: int,
    stop: int,
    should_stop: Callable[[], bool] | None = None,
) -> Rows:
    """Rows start to stop - 1 of a recipe, computed; start must begin a tile.

    Arguments:
        generator, engine: of the recipe.
        spec: the recipe.
        start: first row, a multiple of the tile rows.
        stop: behind the last row; the last tile is computed whole.
        should_stop: asked between tiles.

    Returns:
        The rows.

    Raises:
        Cancelled: should_stop turned true.

    Accuracy:
        As `build`.
    """
    law = bound(spec.base_law, generator, engine)
    whole = -(-stop // spec.tile_rows) * spec.tile_rows
    latents = law.rows(spec.seed, start, whole - start)
    found = volumes(
        generator,
        torch.from_numpy(latents),
        manifold=spec.manifold,
        engine=engine,
        tangent_space=law.tangent_space,
        should_stop=should_stop,
    )
    return Rows(
        latents,
        prefix_sums(found).numpy().astype(np.float32),
        found.rank.numpy().astype(np.int16),
        np.where(found.finite.numpy(), OK, NON_FINITE).astype(np.int8),
    ).first(stop - start)


def _grow(
    bank: Bank,
    generator: Generator,
    engine: Engine,
    to_rows: int,
    should_stop: Callable[[], bool] | None,
    chunk: int,
    write: Writer,
) -> Iterator[Progress]:
    manifest = read_manifest(bank.folder)
    if manifest.rows >= to_rows:
        # Nothing is computed, so it matters neither who computed the rows nor who is at work on more of them.
        yield Progress(manifest.rows, manifest.rows)
        return
    with ExitStack() as held:
        try:
            held.enter_context(locked(bank.folder / LOCK, f"bank {bank.id}"))
        except FileNotFoundError:
            raise UnknownResource(
                f"bank {bank.id} was deleted before its build began: build it again", field="bank_id"
            ) from None
        manifest = read_manifest(bank.folder)
        _check_stamp(manifest, engine)
        _clean(bank.folder, manifest)
        state = Progress(manifest.rows, max(to_rows, manifest.rows))
        yield state
        if manifest.accuracy is None:
            law, manifold = manifest.spec.base_law, manifest.spec.manifold
            steps = probing(generator, engine, law, manifold, step_rows=chunk, should_stop=should_stop)
            manifest = replace(manifest, accuracy=(yield from _told(steps, state)))
        engine = replace(engine, precision=manifest.precision_used)
        while manifest.rows < to_rows:
            shard = manifest.rows // manifest.shard_rows
            first, row = shard * manifest.shard_rows, manifest.rows
            stop = min(first + manifest.shard_rows, to_rows)
            parts = [_short_shard(bank.folder, manifest, manifest.spec.base_law)] if row > first else []
            while row < stop:
                # A last tile that was stored in part is computed again, whole: same rows, same places, same bytes.
                start = row - row % engine.tile_rows
                end = min(start + chunk, stop)
                computed = compute_rows(generator, engine, manifest.spec, start, end, should_stop)
                parts.append(computed.span(row - start, end - start))
                row = end
                if row < stop:
                    yield Progress(row, to_rows)
            manifest = _store(bank.folder, manifest, shard, concatenate(parts), write)
            yield Progress(manifest.rows, to_rows)


def _told(steps: Steps[None, None, Accuracy], state: Progress) -> Steps[Progress, None, Accuracy]:
    """Runs the steps of a measurement, telling at each that no row was added yet."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            accuracy: Accuracy = end.value
            return accuracy
        yield state


def _store(folder: Path, manifest: Manifest, shard: int, rows: Rows, write: Writer) -> Manifest:
    data = encode(rows)
    entry = entry_of(shard * manifest.shard_rows, len(rows), data)
    grown = replace(manifest, shards=(*manifest.shards[:shard], entry))
    with out_of_space(entry.file):
        write(folder / entry.file, data)
        write_manifest(folder, grown, write)
    for old in manifest.shards[shard:]:
        (folder / old.file).unlink(missing_ok=True)
    return grown


def _short_shard(folder: Path, manifest: Manifest, law: Law) -> Rows:
    return read_shard(folder, manifest.shards[-1], law.dim, law.columns)


def _clean(folder: Path, manifest: Manifest) -> None:
    # What a killed builder left: temporary files, a shard whose manifest never came, one that it was about to delete.
    remove_temporary(folder)
    kept = {MANIFEST, LOCK, *(shard.file for shard in manifest.shards)}
    for path in folder.glob("rows-*.parquet"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _check_recipe(bank: Bank, generator: Generator, engine: Engine) -> None:
    spec = bank.spec
    pairs = {
        "generator": (spec.generator_digest[:16], generator.digest[:16]),
        "latent dimension": (spec.base_law.dim, generator.latent_dim),
        "precision": (spec.precision, engine.precision),
        "tile rows": (spec.tile_rows, engine.tile_rows),
        "threads": (spec.threads, engine.threads),
        "device": (spec.device, torch.device(engine.device).type),
    }
    for name, (wanted, found) in pairs.items():
        if wanted != found:
            raise Refused(f"bank {bank.id} is of {name} {wanted}, this is {found}", reason="FOREIGN_BANK")


def _check_stamp(manifest: Manifest, engine: Engine) -> None:
    here = stamp(engine)
    differing = sorted(key for key in {*here, *manifest.stamp} if here.get(key) != manifest.stamp.get(key))
    if differing:
        what = ", ".join(f"{key} {manifest.stamp.get(key)} there and {here.get(key)} here" for key in differing)
        raise Refused(
            f"bank {manifest.spec.id} cannot grow here, its rows would not be one computation: {what}. It can still be "
            "drawn from; build another with another seed, or delete it first.",
            reason="OTHER_ENGINE",
        )
