"""How much is at work at once: what the memory bound allows, and half as much after each failure to get memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from magnet_service.errors import OutOfMemory
from magnet_service.geometry.crew import CHUNK, ROWS
from magnet_service.geometry.engine import Engine
from magnet_service.geometry.memory import is_lack_of_memory
from magnet_service.geometry.sweep import Sweep
from magnet_service.geometry.sweep.preparation import BLOCK_BYTES

__all__ = ["piece_bytes", "tile_bytes", "within_memory"]

COPIES = 3
"""Tensors of the widest layer that a push holds at once: what goes in, what comes out, a copy in the kernel's order."""

CUT_COPIES = 2
"""What all columns hold at the value where they are cut into blocks, and while they get there."""

UNIT_NUMBERS = 4
"""Numbers that a unit of a compiled sweep has beside its line: its slope, and its place in lists of active ones."""

GRAMS = 5
"""Gram matrices of a row: as they are summed, symmetric, those of all rows in one, and in the order of the solver."""


def piece_bytes(sweep: Sweep, tile_rows: int) -> int:
    """Bytes that one worker holds: a block of tangents on its way, and the Jacobians of its rows.

    Arguments:
        sweep: prepared.
        tile_rows: rows of a tile.

    Returns:
        An upper estimate.

    Raises:
        Nothing.

    Accuracy: an estimate from the graph; the memory test holds it against the measured peak.
    """
    rows = min(sweep.piece, tile_rows)
    if sweep.program is not None:
        stride = sweep.program.stride
        return 4 * rows * sweep.numbers * (stride + UNIT_NUMBERS) // stride + line_bytes(sweep, tile_rows)
    size = torch.finfo(sweep.dtype).bits // 8
    whole = torch.finfo(sweep.generator.precision.dtype).bits // 8
    pushed = sweep.block * (COPIES * sweep.numbers + sweep.scratch) * size
    jacobians = COPIES + ROWS if sweep.row_by_row else CHUNK * tile_rows // rows + 2
    kept = jacobians * sweep.latent_dim * sweep.width * whole
    return rows * (pushed + kept) + CUT_COPIES * BLOCK_BYTES * bool(sweep.cut)


def line_bytes(sweep: Sweep, tile_rows: int) -> int:
    """Bytes of the Jacobians and Gram matrices that wait for their eigenvalues, of a sweep that is compiled."""
    program = sweep.program
    if program is None:
        return 0
    waiting = max(ROWS, sweep.piece) if sweep.row_by_row else CHUNK * tile_rows
    jacobian = 4 * program.buffers[program.target].units * program.stride
    return waiting * (jacobian + GRAMS * 8 * program.stride**2)


def tile_bytes(sweep: Sweep, tile_rows: int) -> int:
    """Bytes of the pass over values of the tiles that are looked at at once.

    Arguments:
        sweep: prepared.
        tile_rows: rows of a tile.

    Returns:
        An upper estimate.

    Raises:
        Nothing.

    Accuracy: as `piece_bytes`.
    """
    numbers = 3 * (sweep.kept + 2 * sweep.values) + 2 * sweep.unfolded
    return tile_rows * numbers * torch.finfo(sweep.generator.precision.dtype).bits // 8


def within_memory(
    sweep: Sweep,
    engine: Engine,
    workers: int,
    work: Callable[[int, Iterable[Tensor]], Iterator[tuple[Tensor, ...]]],
    rows: Iterable[Tensor],
) -> Iterator[tuple[Tensor, ...]]:
    """Run `work` with as many workers as fit; where memory runs out, with half as many from the tile reached.

    Arguments:
        sweep: prepared.
        engine: with the bound.
        workers: at most so many.
        work: (workers, tiles) -> what is found of each tile, in order.
        rows: tiles.

    Returns:
        What `work` finds of each tile.

    Raises:
        OutOfMemory: one worker's tile is above the bound, or cannot be had.

    Accuracy: no byte depends on how many work at once.
    """
    piece, tile = piece_bytes(sweep, engine.tile_rows), tile_bytes(sweep, engine.tile_rows)
    if engine.max_memory is not None:
        if piece + tile > engine.max_memory:
            raise refusal(piece + tile, engine, f"the bound is {engine.max_memory / 2**20:.0f} MiB")
        workers = max(1, min(workers, (engine.max_memory - tile) // piece))
    left = list(rows)
    while True:
        done = 0
        try:
            for found in work(workers, iter(left)):
                done += 1
                yield found
            return
        except (RuntimeError, MemoryError) as problem:
            if not is_lack_of_memory(problem):
                raise
            if workers == 1:
                raise refusal(piece + tile, engine, "there is less") from problem
        left = left[done:]
        workers = max(1, workers // 2)


def refusal(needed: int, engine: Engine, bound: str) -> OutOfMemory:
    """The error that says what to write instead."""
    advice = f"fewer tile rows than {engine.tile_rows}" if engine.tile_rows > 1 else "another device"
    return OutOfMemory(
        f"One tile of {engine.tile_rows} latents needs about {needed / 2**20:.0f} MiB on {engine.device}, and {bound}: "
        f"raise max_memory, or write {advice} or a lower precision.",
        metadata={"needed_bytes": str(needed)},
    )
