"""The passes over many latents: in the engine's precision, in float64 where that fails, and without spectra."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from magnet_service.generator import Precision
from magnet_service.geometry.budget import within_memory
from magnet_service.geometry.crew import Measure, joined, over_tiles
from magnet_service.geometry.engine import Engine
from magnet_service.geometry.reduction import (
    Piece,
    in_directions,
    log_determinant,
    log_spectrum,
    piece_of,
    restricted,
    standing,
)
from magnet_service.geometry.spectrum import gram, gram_log_singular_values, log_singular_values
from magnet_service.geometry.sweep import Sweep, Trace, jacobian_rows
from magnet_service.geometry.sweep import run as run_program
from magnet_service.geometry.tangent_space import tangent_basis
from magnet_service.geometry.tiles import tiles

__all__ = ["Pass", "determinants", "first_pass", "second_pass", "with_gram"]

GRAM_BYTES = 16 << 20
"""Bytes of Gram matrices that wait on a device other than the CPU for their eigenvalues."""


@dataclass(frozen=True)
class Pass:
    """What a pass found, on the CPU.

    Attributes:
        logs: log singular values in nats, descending, [rows, min(columns, width)].
        rank: how many of them count.
        recomputed: whether a row does not stand and needs the pass in float64.
        finite: whether output and Jacobian are finite.
    """

    logs: Tensor
    rank: Tensor
    recomputed: Tensor
    finite: Tensor


def first_pass(
    sweep: Sweep,
    rows: Tensor,
    engine: Engine,
    tangent_space: bool,
    should_stop: Callable[[], bool] | None,
) -> Pass:
    """Log singular values of all rows in the engine's precision.

    Arguments:
        sweep: prepared for the generator in that precision.
        rows: latents, on the engine's device.
        engine: tile rows, threads and memory.
        tangent_space: whether to restrict the Jacobian to the sphere through each latent.
        should_stop: asked before every piece of work.

    Returns:
        The pass; rows that do not stand are marked, their values are no answer.

    Raises:
        OutOfMemory: one tile does not fit.
        Cancelled: `should_stop` answered true.

    Accuracy: that of `log_spectrum`.
    """
    columns = sweep.latent_dim - int(tangent_space)
    least = min(columns, sweep.width)
    if rows.device.type == "cpu":
        measure = Measure(
            lambda found, tile: pushed(sweep, found, basis_of(tile, tangent_space)),
            lambda pieces: log_spectrum(pieces, sweep.outputs, arithmetic(sweep)),
        )
        parts = list(run(sweep, tiles(rows, engine.tile_rows), measure, engine, should_stop))
    else:
        parts = []
        count = max(1, GRAM_BYTES // (engine.tile_rows * columns * columns * 8))
        for block in torch.split(rows, count * engine.tile_rows):
            # Eigenvalues come after the loop: their solvers read a status back from the device.
            grams = run(sweep, tiles(block, engine.tile_rows), with_gram(sweep, tangent_space), engine, should_stop)
            for finite, matrices in list(grams):
                logs = gram_log_singular_values(matrices, least)
                parts.append((logs, standing(logs, (sweep.outputs, columns), engine.precision, finite)))
    blank = (torch.empty(0, least, dtype=torch.float64), torch.ones(0, dtype=torch.bool))
    logs, stands = (torch.cat(found)[: len(rows)].cpu() for found in zip(*(parts or [blank]), strict=True))
    return Pass(logs, torch.full((len(rows),), least), ~stands, torch.ones(len(rows), dtype=torch.bool))


def second_pass(
    sweep: Sweep,
    rows: Tensor,
    packed: Tensor,
    engine: Engine,
    tangent_space: bool,
    should_stop: Callable[[], bool] | None,
) -> Pass:
    """Log singular values and ranks of chosen rows, in float64 and without squaring the condition number.

    Arguments:
        sweep: prepared for the generator in float64.
        rows: latents, on the engine's device.
        packed: row numbers by tile and place, as `packed_by_place` gives them.
        engine: threads and memory.
        tangent_space: whether to restrict the Jacobian to the sphere through each latent.
        should_stop: asked before every piece of work.

    Returns:
        The pass of the flattened `packed`.

    Raises:
        OutOfMemory: one tile does not fit.
        Cancelled: `should_stop` answered true.

    Accuracy: that of `log_singular_values`.
    """

    def decomposed(found: Trace, tile: Tensor) -> tuple[Tensor, ...]:
        tangents = in_directions(jacobian_rows(sweep, found), basis_of(tile, tangent_space))
        logs, rank, finite = log_singular_values(tangents, sweep.outputs)
        both = finite & found.finite
        return torch.where(both[:, None], logs, -torch.inf), torch.where(both, rank, 0), both

    gathered = (rows[places.to(rows.device)].double() for places in packed)
    found = run(sweep, gathered, Measure(decomposed, joined), engine, should_stop)
    logs, rank, finite = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return Pass(logs, rank, torch.zeros_like(finite), finite)


def determinants(
    sweep: Sweep, rows: Tensor, engine: Engine, should_stop: Callable[[], bool] | None
) -> tuple[Tensor, Tensor]:
    """The full log-volume of all rows, and whether it may stand; see `log_determinant`.

    Arguments:
        sweep: prepared for the generator in the engine's precision.
        rows: latents, on the engine's device.
        engine: tile rows, threads and memory.
        should_stop: asked before every piece of work.

    Returns:
        Nats and truth values, on the CPU.

    Raises:
        OutOfMemory: one tile does not fit.
        Cancelled: `should_stop` answered true.

    Accuracy: that of `log_determinant`.
    """

    measure = Measure(
        lambda found, _: pushed(sweep, found, None),
        lambda pieces: log_determinant(pieces, sweep.outputs, arithmetic(sweep)),
    )
    parts = list(run(sweep, tiles(rows, engine.tile_rows), measure, engine, should_stop))
    blank = (torch.empty(0, dtype=torch.float64), torch.ones(0, dtype=torch.bool))
    logs, stands = (torch.cat(found)[: len(rows)].cpu() for found in zip(*(parts or [blank]), strict=True))
    return logs, stands


def with_gram(sweep: Sweep, tangent_space: bool) -> Measure[tuple[Tensor, ...]]:
    """What is kept of a tile on a device that is not to be waited for: whether it is finite, and Gram matrices."""

    def kept(found: Trace, tile: Tensor) -> tuple[Tensor, ...]:
        return found.finite, gram(in_directions(jacobian_rows(sweep, found), basis_of(tile, tangent_space)))

    return Measure(kept, joined)


def arithmetic(sweep: Sweep) -> Precision:
    """What tangents are really computed in: compiled kernels have bfloat16 for some layers only."""
    exact = sweep.program is not None and not sweep.program.rounds
    return Precision.FLOAT32 if exact else sweep.generator.precision


def pushed(sweep: Sweep, found: Trace, basis: Tensor | None) -> Piece:
    """The Jacobians of a piece and their Gram matrices, by compiled kernels where the sweep has a program."""
    if sweep.program is None:
        return piece_of(jacobian_rows(sweep, found), found.finite, basis)
    lines, grams = run_program(sweep.program, found)
    tangents = lines[:, :, : sweep.latent_dim].mT
    return Piece(tangents, found.finite, basis, restricted(grams, basis), lines)


def basis_of(tile: Tensor, tangent_space: bool) -> Tensor | None:
    """Directions to restrict the Jacobian to, float64; None for all."""
    return tangent_basis(tile.double()) if tangent_space else None


def run(
    sweep: Sweep,
    rows: Iterable[Tensor],
    measure: Measure[Any],
    engine: Engine,
    should_stop: Callable[[], bool] | None,
) -> Iterator[tuple[Tensor, ...]]:
    """`over_tiles` with as many workers as threads and memory allow."""
    workers = engine.threads if torch.device(engine.device).type == "cpu" else 1
    return within_memory(
        sweep, engine, workers, lambda count, left: over_tiles(sweep, left, measure, count, should_stop), rows
    )
