"""Log singular values, rank and log-volumes of a generator at given latents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry.columns import push_columns
from magnet_service.geometry.engine import Engine, stopped
from magnet_service.geometry.spectrum import gram, gram_log_singular_values, log_singular_values, trusted
from magnet_service.geometry.tangent_space import tangent_basis
from magnet_service.geometry.tiles import packed_by_place, tiles

__all__ = ["Volumes", "log_volume", "over_tiles", "prefix_sums", "volumes", "with_gram"]

GRAM_BYTES = 16 << 20
"""Bytes of Gram matrices that wait on the device for their eigenvalues."""


@dataclass(frozen=True)
class Volumes:
    """What the Jacobians of some latents do to volume; all tensors on the CPU.

    Attributes:
        log_singular_values: log sigma_i in nats, descending, float64; -inf beyond the rank.
        rank: number of sigma_i above max(D, d) eps sigma_1, eps of float64; int64.
        recomputed: whether the row was done again in float64, without squaring the condition number.
        finite: whether output and Jacobian are finite; a row where they are not has rank 0.
    """

    log_singular_values: Float[Tensor, "rows columns"]
    rank: Int[Tensor, " rows"]
    recomputed: Bool[Tensor, " rows"]
    finite: Bool[Tensor, " rows"]


def prefix_sums(volumes: Volumes) -> Float[Tensor, "rows columns"]:
    """All top-k log-volumes: column k - 1 holds log v_k = sum_{i<=k} log sigma_i.

    Arguments:
        volumes: what `volumes` answered.

    Returns:
        Nats, float64; -inf where the rank is below k.

    Raises:
        Nothing.

    Accuracy: that of the log singular values; the sum itself is rounded to float64.
    """
    return volumes.log_singular_values.cumsum(1)


def log_volume(volumes: Volumes, k: int) -> Float[Tensor, " rows"]:
    """The top-k log-volume, log v_k = sum_{i<=k} log sigma_i.

    Arguments:
        volumes: what `volumes` answered.
        k: how many of the largest singular values count, 1 to the number of columns.

    Returns:
        Nats, float64; -inf where the rank is below k.

    Raises:
        InvalidInput: k below 1 or above the number of columns.

    Accuracy: that of the log singular values; the sum itself is rounded to float64.
    """
    columns = volumes.log_singular_values.shape[1]
    if not 1 <= k <= columns:
        raise InvalidInput(f"top_k is {k}; write a whole number from 1 to {columns}.", field="top_k")
    return prefix_sums(volumes)[:, k - 1]


def volumes(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    *,
    manifold: Manifold = Manifold.OUTPUT,
    engine: Engine | None = None,
    tangent_space: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> Volumes:
    """Log singular values of the Jacobian at each latent: log v(z) = 1/2 log det(J^T J) = sum_i log sigma_i.

    Arguments:
        generator: the generator, on any device.
        latents: one row each, float32 or float64, on any device; rounded to the engine's precision first.
        manifold: OUTPUT for the outputs themselves (exact at a point where the head is smooth), PRE_ACTIVATION for the
            piecewise affine value that feeds the smooth head.
        engine: device, precision, tile rows and threads to compute with; None for `Engine()`.
        tangent_space: take J on the tangent space of the sphere through each latent, d - 1 columns.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        Volumes with d columns, d - 1 on the tangent space. The bytes of row i depend on that latent and on
        i mod tile_rows alone: not on the other rows, nor on how many there are.

    Raises:
        InvalidInput: latents of another width than the generator's latent dimension; a tangent space asked of a
            one-dimensional latent.
        Cancelled: `should_stop` answered true.

    Accuracy: against the float64 Jacobian of the same region, at most 1e-6 + 10 d eps cond nats a log-volume, eps of
        the engine's precision. A row with some sigma_i below max(D, d) eps sigma_1 of that precision, or too badly
        conditioned for a Gram matrix, is done again wholly in float64.
    Cost: about d forwards a latent and a d x d eigenvalue problem.
    """
    engine = engine if engine is not None else Engine()
    columns = generator.latent_dim - int(tangent_space)
    if columns < 1:
        raise InvalidInput("A one-dimensional latent has no tangent space; write another law.", field="tangent_space")
    with engine.activated(), torch.inference_mode():
        placed, rows = engine.place(generator, latents)
        measured = _by_gram(placed, rows, manifold, engine, tangent_space, should_stop)
        chosen = measured.recomputed.nonzero().flatten().tolist()
        if chosen:
            exact = generator.to(device=engine.device, precision=Precision.FLOAT64)
            packed = packed_by_place(chosen, engine.tile_rows)
            again = _by_decomposition(exact, rows, packed, manifold, tangent_space, should_stop)
            # A place that repeats a row of its tile writes the same row: keep the one that stands at its own place.
            own = packed.flatten() % engine.tile_rows == torch.arange(packed.numel()) % engine.tile_rows
            for name, found in again.items():
                getattr(measured, name)[packed.flatten()[own]] = found[own]
    least = measured.log_singular_values.shape[1]
    # Outside of inference mode, so that the caller may write to them.
    padded = torch.full((len(latents), columns), -torch.inf, dtype=torch.float64)
    padded[:, :least] = measured.log_singular_values
    return Volumes(padded, measured.rank.clone(), measured.recomputed.clone(), measured.finite.clone())


def over_tiles(
    measure: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    generator: Generator,
    rows: Iterable[Tensor],
    manifold: Manifold,
    tangent_space: bool,
    should_stop: Callable[[], bool] | None,
) -> list[tuple[Tensor, ...]]:
    """What `measure` makes of each tile's (whether its values are finite, tangents); nothing leaves the device."""

    def measured(tile: Tensor) -> tuple[Tensor, ...]:
        # A function of its own, so that a tile's tangents are gone before the next tile's are made.
        directions = tangent_basis(tile) if tangent_space else None
        values, tangents = push_columns(generator, tile, directions, manifold)
        return measure(values.flatten(1).isfinite().all(1), tangents)

    found = []
    for tile in rows:
        stopped(should_stop)
        found.append(measured(tile))
    return found


def with_gram(finite: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """What the first pass keeps of a tile: whether its values are finite, and its Gram matrices."""
    return finite, gram(tangents)


def with_decomposition(finite: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the second pass keeps of a tile: log singular values, rank, and whether values and Jacobian are finite."""
    logs, rank, jacobian_finite = log_singular_values(tangents)
    both = finite & jacobian_finite
    return torch.where(both[:, None], logs, -torch.inf), torch.where(both, rank, 0), both


def _by_gram(
    generator: Generator,
    rows: Tensor,
    manifold: Manifold,
    engine: Engine,
    tangent_space: bool,
    should_stop: Callable[[], bool] | None,
) -> Volumes:
    """First pass over all rows, in the engine's precision; `recomputed` marks the rows that need the second."""
    outputs, columns = generator.output_dim_of(manifold), generator.latent_dim - int(tangent_space)
    least = min(outputs, columns)
    block_tiles = max(1, GRAM_BYTES // (engine.tile_rows * least * least * 8))
    logs, stands = [], []
    for block in torch.split(rows, block_tiles * engine.tile_rows):
        block_of_tiles = tiles(block, engine.tile_rows)
        # Eigenvalues come after the loop: their solvers read a status back from the device.
        for finite, grams in over_tiles(with_gram, generator, block_of_tiles, manifold, tangent_space, should_stop):
            found = gram_log_singular_values(grams)
            logs.append(found)
            stands.append(trusted(found, (outputs, columns), rows.dtype, finite))
    known = torch.cat(stands)[: len(rows)].cpu() if stands else torch.ones(0, dtype=torch.bool)
    joined = torch.cat(logs)[: len(rows)].cpu() if logs else torch.empty(0, least, dtype=torch.float64)
    return Volumes(joined, torch.full((len(rows),), least), ~known, torch.ones(len(rows), dtype=torch.bool))


def _by_decomposition(
    generator: Generator,
    rows: Tensor,
    packed: Tensor,
    manifold: Manifold,
    tangent_space: bool,
    should_stop: Callable[[], bool] | None,
) -> dict[str, Tensor]:
    """Second pass over chosen rows, in float64: the fields of Volumes by name, for the flattened `packed`."""
    gathered = (rows[places.to(rows.device)].double() for places in packed)
    measured = over_tiles(with_decomposition, generator, gathered, manifold, tangent_space, should_stop)
    logs, ranks, finites = zip(*measured, strict=True)
    return {
        "log_singular_values": torch.cat(logs).cpu(),
        "rank": torch.cat(ranks).cpu(),
        "finite": torch.cat(finites).cpu(),
    }
