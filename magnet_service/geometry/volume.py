"""Log singular values, rank and log-volumes of a generator at given latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry.engine import Engine
from magnet_service.geometry.passes import Pass, determinants, first_pass, second_pass
from magnet_service.geometry.sweep import prepare
from magnet_service.geometry.tiles import packed_by_place

__all__ = ["Volumes", "full_log_volumes", "log_volume", "prefix_sums", "volumes"]


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
        OutOfMemory: one tile needs more than the engine's bound, or than there is.
        Cancelled: `should_stop` answered true.

    Accuracy: against the float64 Jacobian of the same region, at most 1e-6 + 10 d eps cond nats a log-volume, eps of
        the engine's precision. A row with some sigma_i below max(D, d) eps sigma_1 of that precision, or too badly
        conditioned for a Gram matrix, is done again wholly in float64.
        BFLOAT16 rounds tangents to eight bits: measure its error on the generator before trusting it.
    Cost: the columns' share of d forwards a latent, less what is constant, folded or idle, and a d x d eigenvalue
        problem.
    """
    engine = engine if engine is not None else Engine()
    columns = _columns(generator, tangent_space)
    with engine.activated(alone=True), torch.inference_mode():
        placed, rows = engine.place(generator, latents)
        measured = first_pass(prepare(placed, manifold), rows, engine, tangent_space, should_stop)
        _again_in_double(measured, generator, rows, manifold, engine, tangent_space, should_stop)
    # Outside of inference mode, so that the caller may write to them.
    padded = torch.full((len(latents), columns), -torch.inf, dtype=torch.float64)
    padded[:, : measured.logs.shape[1]] = measured.logs
    return Volumes(padded, measured.rank.clone(), measured.recomputed.clone(), measured.finite.clone())


def full_log_volumes(
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    *,
    manifold: Manifold = Manifold.OUTPUT,
    engine: Engine | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Float[Tensor, " rows"]:
    """The full log-volume alone, log v(z) = 1/2 log det(J^T J), without singular values where they are not needed.

    Arguments:
        generator: the generator, on any device.
        latents: one row each, float32 or float64, on any device; rounded to the engine's precision first.
        manifold: OUTPUT, or PRE_ACTIVATION.
        engine: device, precision, tile rows and threads to compute with; None for `Engine()`.
        should_stop: asked before every tile; once it answers true the call ends in Cancelled.

    Returns:
        Nats, float64, on the CPU; -inf where the rank is below d or a row is not finite.

    Raises:
        InvalidInput: latents of another width than the generator's latent dimension.
        OutOfMemory: one tile needs more than the engine's bound, or than there is.
        Cancelled: `should_stop` answered true.

    Accuracy: that of `volumes`; rows whose estimated condition number is above 30 go its way.
    Cost: a Cholesky decomposition in place of the eigenvalue problem of `volumes`.
    """
    engine = engine if engine is not None else Engine()
    with engine.activated(alone=True), torch.inference_mode():
        placed, rows = engine.place(generator, latents)
        sweep = prepare(placed, manifold)
        found, stands = determinants(sweep, rows, engine, should_stop)
        least = min(generator.latent_dim, sweep.width)
        logs = torch.full((len(found), least), -torch.inf, dtype=torch.float64)
        measured = Pass(logs, torch.zeros(len(found), dtype=torch.int64), ~stands, stands)
        _again_in_double(measured, generator, rows, manifold, engine, False, should_stop)
    again = measured.logs.sum(1) if least == generator.latent_dim else torch.full_like(found, -torch.inf)
    return torch.where(measured.recomputed, again, found)


def _columns(generator: Generator, tangent_space: bool) -> int:
    """Columns of the Jacobian."""
    found = generator.latent_dim - int(tangent_space)
    if found < 1:
        raise InvalidInput("A one-dimensional latent has no tangent space; write another law.", field="tangent_space")
    return found


def _again_in_double(
    measured: Pass,
    generator: Generator,
    rows: Tensor,
    manifold: Manifold,
    engine: Engine,
    tangent_space: bool,
    should_stop: Callable[[], bool] | None,
) -> None:
    """Do the rows that do not stand again wholly in float64, each at its own place of a tile, and write them in."""
    chosen = measured.recomputed.nonzero().flatten().tolist()
    if not chosen:
        return
    exact = generator.to(device=engine.device, precision=Precision.FLOAT64)
    packed = packed_by_place(chosen, engine.tile_rows)
    again = second_pass(prepare(exact, manifold), rows, packed, engine, tangent_space, should_stop)
    # A place that repeats a row of its tile writes the same row: keep the one that stands at its own place.
    own = packed.flatten() % engine.tile_rows == torch.arange(packed.numel()) % engine.tile_rows
    places = packed.flatten()[own]
    measured.logs[places] = again.logs[own]
    measured.rank[places] = again.rank[own]
    measured.finite[places] = again.finite[own]
