"""Tiles, or the rows of a tile, at work on all cores at once, each on one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor

from magnet_service.geometry.allocator import keep_freed_memory
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.sweep import Sweep, Trace, trace

__all__ = ["CHUNK", "ROWS", "Measure", "joined", "over_tiles"]

Found = TypeVar("Found")

CHUNK = 4
"""Tiles that one worker takes at once where tiles are small: eigenvalues of all their rows are found in one call."""

ROWS = 4
"""Rows that one worker takes at once where rows are done one by one."""

Measured = tuple[Tensor, ...]


@dataclass(frozen=True)
class Measure(Generic[Found]):
    """What is made of the Jacobians of some rows, in two steps.

    Attributes:
        first: (trace, latents) -> what is kept of a piece of a tile, while its tangents are in cache.
        then: what is made of the pieces of whole tiles, or of one row; its tensors have rows first.
    """

    first: Callable[[Trace, Tensor], Found]
    then: Callable[[list[Found]], Measured]


def over_tiles(
    sweep: Sweep,
    rows: Iterable[Tensor],
    measure: Measure[Found],
    workers: int,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[Measured]:
    """What `measure` makes of each tile's trace and latents, in order.

    A tile's values are computed in one piece; where the sweep works row by row its rows then are, on as many cores. A
    row's bytes are the same however many workers there are: each works with one thread of torch.

    Arguments:
        sweep: prepared.
        rows: tiles of latents, on the device of the generator and in its precision.
        measure: what is made of each piece, and of the pieces together.
        workers: how many tiles or rows are at work at once; 1 stays in the calling thread.
        should_stop: asked before every piece of work.

    Returns:
        For each tile, or for several of them together, the tensors that `measure` gave.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: that of `measure`.
    """

    def traced(tile: Tensor) -> Trace:
        with torch.inference_mode():
            stopped(should_stop)
            return trace(sweep, tile)

    def some(found: Trace, tile: Tensor, rows: range) -> Measured:
        with torch.inference_mode():
            pieces = []
            for at in range(rows.start, rows.stop, sweep.piece):
                stopped(should_stop)
                end = min(at + sweep.piece, rows.stop)
                pieces.append(measure.first(found.of_rows(at, end), tile[at:end]))
            return measure.then(pieces)

    def by_row(found: Trace, tile: Tensor) -> list[Callable[[], Measured]]:
        step = max(1, min(ROWS, len(tile) // workers))
        return [partial(some, found, tile, range(len(tile))[at : at + step]) for at in range(0, len(tile), step)]

    def together(chunk: list[Tensor]) -> Measured:
        with torch.inference_mode():
            pieces: list[Found] = []
            for tile in chunk:
                found = traced(tile)
                for at in range(0, len(tile), sweep.piece):
                    pieces.append(measure.first(found.of_rows(at, at + sweep.piece), tile[at : at + sweep.piece]))
            return measure.then(pieces)

    left = list(rows)
    size = max(1, min(CHUNK, len(left) // (2 * workers)))
    if workers <= 1 and sweep.row_by_row:
        for tile in left:
            yield joined([work() for work in by_row(traced(tile), tile)])
    elif workers <= 1:
        for at in range(0, len(left), size):
            yield together(left[at : at + size])
    elif sweep.row_by_row:
        with pool(workers) as at_work:
            waiting: deque[list[Future[Measured]]] = deque()
            ahead: deque[tuple[Tensor, Future[Trace]]] = deque()
            for tile in left:
                ahead.append((tile, at_work.submit(traced, tile)))
                if len(ahead) > 1:
                    waiting.append(submitted(at_work, by_row, ahead.popleft()))
                if len(waiting) > 1:
                    yield joined([future.result() for future in waiting.popleft()])
            waiting.extend(submitted(at_work, by_row, pair) for pair in ahead)
            for futures in waiting:
                yield joined([future.result() for future in futures])
    else:
        with pool(workers) as at_work:
            chunks: deque[Future[Measured]] = deque()
            for at in range(0, len(left), size):
                chunks.append(at_work.submit(together, left[at : at + size]))
                if len(chunks) > 2 * workers:
                    yield chunks.popleft().result()
            for future in chunks:
                yield future.result()


def submitted(
    at_work: ThreadPoolExecutor,
    by_row: Callable[[Trace, Tensor], list[Callable[[], Measured]]],
    pair: tuple[Tensor, Future[Trace]],
) -> list[Future[Measured]]:
    """The rows of a tile handed to the pool once its trace is there."""
    tile, found = pair
    return [at_work.submit(work) for work in by_row(found.result(), tile)]


def joined(parts: list[Measured]) -> Measured:
    """The tensors of several pieces, rows after rows."""
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


@contextmanager
def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each use one thread of torch; work not begun is dropped when the block ends."""
    keep_freed_memory()
    at_work = ThreadPoolExecutor(workers, "magnet-tiles", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield at_work
    finally:
        at_work.shutdown(cancel_futures=True)
