"""Building a bank: whole tiles, put together to shards that are stored one by one, each step atomic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from contextlib import closing
from dataclasses import dataclass, replace

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import Engine
from magnet_service.sampling.accuracy import Accuracy, probing
from magnet_service.sampling.banks.bank import Bank
from magnet_service.sampling.banks.computing import check_recipe, check_stamp
from magnet_service.sampling.banks.growth import Growth
from magnet_service.sampling.banks.lease import LEASE_SECONDS, Lease
from magnet_service.sampling.crews.crew import Crew, Inline, StopSignal
from magnet_service.sampling.crews.recipe import Bench

__all__ = ["PROGRESS_ROWS", "Progress", "build"]

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
    check_recipe(bank, generator, engine)
    chunk = -(-progress_rows // engine.tile_rows) * engine.tile_rows
    return _grow(bank, generator, engine, to_rows, should_stop, chunk, crew, lease_seconds)


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
        check_stamp(growth.manifest, engine)
        yield (state := Progress(growth.rows_done, max(to_rows, growth.rows_done)))
        if growth.manifest.accuracy is None:
            law, manifold = bank.spec.base_law, bank.spec.manifold
            steps = probing(generator, engine, law, manifold, step_rows=chunk, should_stop=should_stop)
            growth.measured((yield from _told(steps, state)))
        precision = growth.manifest.precision_used
        alone = Bench(bank.spec, generator, replace(engine, precision=precision))
        workers: Crew = Inline(alone) if crew is None else crew(precision)
        with closing(workers):
            for start, found in workers.compute(growth.spans(chunk), should_stop):
                growth.add(start, found)
                yield Progress(growth.rows_done, to_rows)
        growth.close()
        yield Progress(growth.rows_done, to_rows)


def _told(steps: Steps[None, None, Accuracy], state: Progress) -> Steps[Progress, None, Accuracy]:
    """Runs the steps of a measurement, telling at each that no row was added yet."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            accuracy: Accuracy = end.value
            return accuracy
        yield state
