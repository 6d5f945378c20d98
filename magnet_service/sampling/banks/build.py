"""Building a bank: whole tiles, put together to shards that are stored one by one, each step atomic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Generator as Steps
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import Engine, prefix_sums, stamp, volumes
from magnet_service.sampling.accuracy import Accuracy, probing
from magnet_service.sampling.banks.bank import Bank
from magnet_service.sampling.banks.crew import Crew, StopSignal
from magnet_service.sampling.banks.growth import Growth
from magnet_service.sampling.banks.lease import LEASE_SECONDS, Lease
from magnet_service.sampling.banks.manifest import Manifest
from magnet_service.sampling.banks.rows import NON_FINITE, OK, Rows
from magnet_service.sampling.banks.spec import BankSpec
from magnet_service.sampling.mapping import bound

__all__ = ["PROGRESS_ROWS", "Progress", "build", "compute_rows", "engine_for"]

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
    should_stop: StopSignal | None = None,
    progress_rows: int = PROGRESS_ROWS,
    crew: Callable[[Precision], Crew] | None = None,
    lease_seconds: float = LEASE_SECONDS,
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
        progress_rows: rows between two yields and of a worker's span, rounded up to whole tiles.
        crew: makes the workers that compute rows in an arithmetic; this process where None.
        lease_seconds: after which another may go on where this writer was killed.

    Returns:
        Progress, first of what is there already. A shard counts when it and the manifest are stored: leaving the
        iterator early, or a kill at any moment, loses at most the shards in work.

    Raises:
        InvalidInput: to_rows below 1.
        UnknownResource: the bank was deleted meanwhile; field `bank_id`.
        Refused: another generator or engine than the recipe's (FOREIGN_BANK), another engine or torch build,
            instruction set or device than the rows before (OTHER_ENGINE), rows that were imported (IMPORTED), another
            builder at work (BUSY), or this one's lease lost to another (LEASE_LOST).
        DamagedData: the short last shard is not what the manifest says.
        OutOfSpace, Unreachable: the store is full or does not answer; the bank stays readable as it was.
        Cancelled: should_stop turned true.

    Accuracy:
        Volumes as `geometry.volumes`, prefix sums in float64, stored as float32.
    """
    if to_rows < 1:
        raise InvalidInput(f"rows is {to_rows}: write 1 or more", field="rows")
    _check_recipe(bank, generator, engine)
    chunk = -(-progress_rows // engine.tile_rows) * engine.tile_rows
    return _grow(bank, generator, engine, to_rows, should_stop, chunk, crew, lease_seconds)


def compute_rows(
    generator: Generator,
    engine: Engine,
    spec: BankSpec,
    start: int,
    stop: int,
    should_stop: StopSignal | None = None,
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
    should_stop: StopSignal | None,
    chunk: int,
    crew: Callable[[Precision], Crew] | None,
    lease_seconds: float,
) -> Iterator[Progress]:
    rows = bank.reload().revision
    if rows >= to_rows:
        # Nothing is computed, so it matters neither who computed the rows nor who is at work on more of them.
        yield Progress(rows, rows)
        return
    with Lease(bank.place, f"bank {bank.id}", lease_seconds) as lease:
        growth = Growth(bank.place, lease, to_rows)
        _check_stamp(growth.manifest, engine)
        yield (state := Progress(growth.rows_done, max(to_rows, growth.rows_done)))
        if growth.manifest.accuracy is None:
            law, manifold = bank.spec.base_law, bank.spec.manifold
            steps = probing(generator, engine, law, manifold, step_rows=chunk, should_stop=should_stop)
            growth.measured((yield from _told(steps, state)))
        precision = growth.manifest.precision_used
        workers = (
            _Inline(generator, replace(engine, precision=precision), bank.spec) if crew is None else crew(precision)
        )
        with closing(workers):
            for start, found in workers.compute(growth.spans(chunk), should_stop):
                growth.add(start, found)
                yield Progress(growth.rows_done, to_rows)
        growth.close()
        yield Progress(growth.rows_done, to_rows)


@dataclass(frozen=True)
class _Inline:
    """This process as the only worker."""

    generator: Generator
    engine: Engine
    spec: BankSpec

    def compute(
        self, spans: Iterable[tuple[int, int]], should_stop: StopSignal | None = None
    ) -> Iterator[tuple[int, Rows]]:
        for start, stop in spans:
            yield start, compute_rows(self.generator, self.engine, self.spec, start, stop, should_stop)

    def close(self) -> None:
        """Nothing is left to end."""


def _told(steps: Steps[None, None, Accuracy], state: Progress) -> Steps[Progress, None, Accuracy]:
    """Runs the steps of a measurement, telling at each that no row was added yet."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            accuracy: Accuracy = end.value
            return accuracy
        yield state


def _check_recipe(bank: Bank, generator: Generator, engine: Engine) -> None:
    spec = bank.spec
    if spec.imported:
        raise Refused(
            f"bank {bank.id} was imported: its rows are those of a file and no generator adds to them. Build a bank of "
            "the generator beside it, or import a larger file.",
            field="bank_id",
            reason="IMPORTED",
        )
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
