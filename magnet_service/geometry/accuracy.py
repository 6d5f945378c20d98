"""How far the log-volumes of an arithmetic are from those of float64, measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern
from magnet_service.geometry.engine import Engine, stopped
from magnet_service.geometry.tiles import tiles
from magnet_service.geometry.volume import prefix_sums, volumes

__all__ = ["ERROR_LIMIT", "MeasuredError", "joined", "measure_error"]

ERROR_LIMIT = 0.05
"""Nats by which a log-volume may be off before BFLOAT16 is no longer used for it."""


@dataclass(frozen=True)
class MeasuredError:
    """Largest error of log v_k over some latents.

    Attributes:
        precision: the arithmetic measured.
        log_volume: largest |log v_k - log v_k(FLOAT64)| in nats for k = 1 to the Jacobian's columns; infinite where one
            of the two ranks reaches k and the other does not.
        latents: how many were measured.
        other_pattern: numbers of the latents whose activation pattern is another one in FLOAT64, ascending. They lie in
            another region there and are left out of `log_volume`.
        recomputed: latents that the engine did again in float64 by its own rule; they are as exact as FLOAT64, and as
            slow.
    """

    precision: Precision
    log_volume: tuple[float, ...]
    latents: int
    other_pattern: tuple[int, ...] = ()
    recomputed: int = 0

    @property
    def compared(self) -> int:
        """Latents behind `log_volume`: those in one region in both arithmetics."""
        return self.latents - len(self.other_pattern)

    @property
    def largest_k(self) -> int:
        """The largest k such that no error up to k is above ERROR_LIMIT; 0 where that of k = 1 is, or none is known."""
        beyond = (k for k in range(1, len(self.log_volume) + 1) if self.at(k) > ERROR_LIMIT)
        return next(beyond, len(self.log_volume) + 1) - 1

    def at(self, k: int) -> float:
        """The error of log v_k in nats; infinite where no latent could be compared."""
        return self.log_volume[k - 1] if self.compared else math.inf


def measure_error(
    engine: Engine,
    generator: Generator,
    manifold: Manifold,
    tangent_space: bool,
    latents: Float[Tensor, "rows latent"],
    should_stop: Callable[[], bool] | None = None,
) -> MeasuredError:
    """Compares an engine's log-volumes with those of the same engine in FLOAT64, at the same latents.

        error_k = max over rows of |log v_k - log v_k(FLOAT64)|

    Rows that the engine did again in float64 by its own rule count as it answers them. A rank below k on both sides is
    no error: both say log v_k = -inf.

    Arguments:
        engine: device, precision, tile rows and threads to measure.
        generator: the generator, on any device.
        manifold: where the image is taken.
        tangent_space: take J on the tangent space of the sphere through each latent, d - 1 columns.
        latents: one row each; row i stands at place i mod tile_rows.
        should_stop: asked before every tile.

    Returns:
        The errors. In FLOAT64 they are 0 by definition, and nothing is computed.

    Raises:
        InvalidInput: as `volumes`.
        Cancelled: `should_stop` answered true.

    Accuracy: exact for the latents given, beside the error of FLOAT64 itself; an estimate for all others.
    Cost: the volumes of the latents in both precisions, and two forwards.
    """
    columns = generator.latent_dim - int(tangent_space)
    if engine.precision is Precision.FLOAT64:
        return MeasuredError(Precision.FLOAT64, (0.0,) * columns, len(latents))
    exact = replace(engine, precision=Precision.FLOAT64)
    here, there = (
        volumes(generator, latents, manifold=manifold, engine=one, tangent_space=tangent_space, should_stop=should_stop)
        for one in (engine, exact)
    )
    # A row done again in float64 has the pattern of float64, whatever that of the first pass was.
    compared = _same_pattern(engine, exact, generator, latents, should_stop) | here.recomputed
    found, wanted = prefix_sums(here)[compared], prefix_sums(there)[compared]
    error = torch.where(found == wanted, 0.0, (found - wanted).abs())
    worst = error.amax(0) if len(error) else torch.zeros(columns)
    return MeasuredError(
        engine.precision,
        tuple(worst.tolist()),
        len(latents),
        tuple((~compared).nonzero().flatten().tolist()),
        int(here.recomputed.sum()),
    )


def joined(parts: Sequence[MeasuredError]) -> MeasuredError:
    """The error over the latents of several measurements in one arithmetic, taken one after the other.

    Arguments:
        parts: at least one.

    Returns:
        Their largest errors; latents are numbered through.

    Raises:
        InvalidInput: no part, or parts of several arithmetics or numbers of columns.

    Accuracy: exact.

    Example:
        >>> one = MeasuredError(Precision.FLOAT32, (1e-7, 2e-6), 16, (3,))
        >>> joined([one, MeasuredError(Precision.FLOAT32, (2e-7, 1e-6), 16, (0,))]).other_pattern
        (3, 16)
    """
    if len({(part.precision, len(part.log_volume)) for part in parts}) != 1:
        raise InvalidInput("Errors are joined of one arithmetic and one number of columns; give parts of one.")
    other: list[int] = []
    latents = 0
    for part in parts:
        other += [latents + row for row in part.other_pattern]
        latents += part.latents
    worst = tuple(map(max, zip(*(part.log_volume for part in parts), strict=True)))
    return MeasuredError(parts[0].precision, worst, latents, tuple(other), sum(part.recomputed for part in parts))


def _same_pattern(
    engine: Engine,
    exact: Engine,
    generator: Generator,
    latents: Float[Tensor, "rows latent"],
    should_stop: Callable[[], bool] | None,
) -> Bool[Tensor, " rows"]:
    """Whether each latent has one activation pattern in both arithmetics; all are where there is no unit."""
    if not generator.units:
        return torch.ones(len(latents), dtype=torch.bool)
    same = [torch.ones(0, dtype=torch.bool)]
    with engine.activated(), torch.inference_mode():
        here, rows = engine.place(generator, latents)
        there, exact_rows = exact.place(generator, latents)
        for tile, exact_tile in zip(tiles(rows, engine.tile_rows), tiles(exact_rows, engine.tile_rows), strict=True):
            stopped(should_stop)
            same.append((activation_pattern(here, tile) == activation_pattern(there, exact_tile)).all(1).cpu())
        return torch.cat(same)[: len(latents)].clone()
