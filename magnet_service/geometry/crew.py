"""Tiles, or the rows of a tile, at work on all cores at once, each on one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from magnet_service.geometry.engine import stopped
from magnet_service.geometry.sweep import Sweep, Trace, trace

__all__ = ["Measure", "over_tiles"]

Measured = tuple[Tensor, ...]
Measure = Callable[[Trace, Tensor], Measured]


def over_tiles(
    sweep: Sweep,
    rows: Iterable[Tensor],
    measure: Measure,
    workers: int,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[Measured]:
    """What `measure` makes of each tile's trace and latents, in order.

    A tile's values are computed in one piece; where the sweep works row by row its rows then are, on as many cores. A
    row's bytes are the same however many workers there are: each works with one thread of torch.

    Arguments:
        sweep: prepared.
        rows: tiles of latents, on the device of the generator and in its precision.
        measure: called with the trace of a whole tile, or of one row, and its latents; its tensors have rows first.
        workers: how many tiles or rows are at work at once; 1 stays in the calling thread.
        should_stop: asked before every piece of work.

    Returns:
        For each tile the tensors that `measure` gave.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: that of `measure`.
    """

    def traced(tile: Tensor) -> Trace:
        with torch.inference_mode():
            stopped(should_stop)
            return trace(sweep, tile)

    def measured(found: Trace, latents: Tensor) -> Measured:
        with torch.inference_mode():
            stopped(should_stop)
            return measure(found, latents)

    def in_pieces(found: Trace, tile: Tensor) -> list[Callable[[], Measured]]:
        step = sweep.piece
        firsts = range(0, len(tile), step)
        return [partial(piece, found, tile, at, at + step) for at in firsts]

    def piece(found: Trace, tile: Tensor, first: int, last: int) -> Measured:
        return measured(found.of_rows(first, last), tile[first:last])

    def whole_tile(tile: Tensor) -> Measured:
        return joined([work() for work in in_pieces(traced(tile), tile)])

    if workers <= 1:
        for tile in rows:
            yield whole_tile(tile)
        return
    with pool(workers) as at_work:
        if sweep.row_by_row:
            waiting: deque[list[Future[Measured]]] = deque()
            ahead: deque[tuple[Tensor, Future[Trace]]] = deque()
            for tile in rows:
                ahead.append((tile, at_work.submit(traced, tile)))
                if len(ahead) > 1:
                    waiting.append(submitted(at_work, in_pieces, ahead.popleft()))
                if len(waiting) > 1:
                    yield joined([future.result() for future in waiting.popleft()])
            waiting.extend(submitted(at_work, in_pieces, pair) for pair in ahead)
            for futures in waiting:
                yield joined([future.result() for future in futures])
        else:
            whole: deque[Future[Measured]] = deque()
            for tile in rows:
                whole.append(at_work.submit(whole_tile, tile))
                if len(whole) > 2 * workers:
                    yield whole.popleft().result()
            for future in whole:
                yield future.result()


def submitted(
    at_work: ThreadPoolExecutor,
    in_pieces: Callable[[Trace, Tensor], list[Callable[[], Measured]]],
    pair: tuple[Tensor, Future[Trace]],
) -> list[Future[Measured]]:
    """The rows of a tile handed to the pool once its trace is there."""
    tile, found = pair
    return [at_work.submit(work) for work in in_pieces(found.result(), tile)]


def joined(parts: list[Measured]) -> Measured:
    """The tensors of several pieces, rows after rows."""
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


@contextmanager
def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each use one thread of torch; work not begun is dropped when the block ends."""
    at_work = ThreadPoolExecutor(workers, "magnet-tiles", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield at_work
    finally:
        at_work.shutdown(cancel_futures=True)
