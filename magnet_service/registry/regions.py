"""Regions of a held generator: one latent's in full, and rows of the affine maps of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.geometry import (
    InscribedBall,
    Layer,
    Region,
    chebyshev,
    layers_of,
    lipschitz,
    matched_filters,
    region_at,
    same_region,
)
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.registry import Registry

__all__ = ["Described", "RegionRequest", "affine_rows", "bounds_of", "region"]

StopSignal = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class RegionRequest:
    """What to know of a latent's region.

    Attributes:
        manifold: the value that is affine on it.
        minimal: whether to leave out redundant half-spaces.
        box: (low, high) of every coordinate, whose sides are added.
        ball: whether to look for the largest ball inside.
    """

    manifold: Manifold = Manifold.PRE_ACTIVATION
    minimal: bool = False
    box: tuple[float, float] | None = None
    ball: bool = False


@dataclass(frozen=True)
class Described:
    """A region and what was asked of it.

    Attributes:
        held: the generator, its condition held fixed.
        region: of the latent.
        ball: the largest inside; None if not asked for.
        same: whether other latents are in it; None where there are none.
    """

    held: HeldGenerator
    region: Region
    ball: InscribedBall | None
    same: Bool[Tensor, " others"] | None


def bounds_of(held: HeldGenerator, manifold: Manifold, box: bool) -> int:
    """How many half-spaces a region has at most."""
    return 2 * held.generator.latent_dim * box + sum(map(_bounds, layers_of(held.generator, manifold)))


def region(
    registry: Registry,
    held: HeldGenerator,
    latent: Float[np.ndarray, " latent"],
    others: Float[np.ndarray, "others latent"] | None,
    request: RegionRequest,
    should_stop: StopSignal | None = None,
) -> Described:
    """Describes the region of a latent.

    Arguments:
        registry: what the server holds.
        held: the generator, its condition held fixed.
        latent: z.
        others: latents of which to say whether they are in the same region.
        request: what to know.
        should_stop: asked between linear programs and tiles.

    Returns:
        The region.

    Raises:
        InvalidInput: too many others (field `others`), a latent of another width (field `latent`), or as `region_at`.
        Refused, OutOfMemory, Cancelled: as `region_at`.

    Accuracy: as `region_at`, `chebyshev` and `same_region`.
    """
    if len(latent) != held.generator.latent_dim:
        raise InvalidInput(
            f"latent has {len(latent)} numbers; write {held.generator.latent_dim} of them.", field="latent"
        )
    registry.check_rows(0 if others is None else len(others), "others")
    engine = registry.engine(Precision.FLOAT64)
    at = torch.tensor(latent)
    found = region_at(
        held.generator,
        at,
        manifold=request.manifold,
        minimal=request.minimal,
        box=request.box,
        engine=engine,
        should_stop=should_stop,
    )
    same = None
    if others is not None:
        beside = torch.tensor(others, dtype=torch.float64)
        left = at.double().expand_as(beside)
        same = same_region(
            held.generator, left, beside, manifold=request.manifold, engine=engine, should_stop=should_stop
        )
    return Described(held, found, chebyshev(found, should_stop) if request.ball else None, same)


def affine_rows(
    registry: Registry,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    *,
    outputs: Sequence[int],
    lipschitz_constants: bool,
    manifold: Manifold,
    should_stop: StopSignal | None = None,
) -> tuple[Float[Tensor, "rows outputs ..."], Float[Tensor, " rows"] | None]:
    """Computes rows of the affine map on the region of each latent.

    Arguments:
        registry: what the server holds.
        held: the generator, its condition held fixed.
        latents: one row each.
        outputs: numbers of the rows wanted; none for no rows.
        lipschitz_constants: whether to compute these too.
        manifold: of which value.
        should_stop: asked before every tile and output.

    Returns:
        The rows with the shape of the generator's input, and the constants.

    Raises:
        InvalidInput: too many latents (field `latents`), nothing asked for, or as `matched_filters` (`outputs`).
        Refused, OutOfMemory, Cancelled: as `matched_filters` and `lipschitz`.

    Accuracy: as `matched_filters` and `lipschitz`.
    """
    registry.check_rows(len(latents), "latents")
    if not outputs and not lipschitz_constants:
        last = held.generator.output_dim_of(manifold) - 1
        raise InvalidInput(
            f"nothing is asked for: write outputs, numbers from 0 to {last}, or lipschitz.",
            field="outputs",
        )
    engine, rows = registry.engine(Precision.FLOAT64), torch.tensor(latents)
    filters = torch.zeros(len(rows), 0, *held.generator.latent_shape, dtype=torch.float64)
    if outputs:
        filters = matched_filters(
            held.generator, rows, outputs=outputs, manifold=manifold, engine=engine, should_stop=should_stop
        )
    constants = None
    if lipschitz_constants:
        constants = lipschitz(held.generator, rows, manifold=manifold, engine=engine, should_stop=should_stop)
    return filters, constants


def _bounds(layer: Layer) -> int:
    return layer.units * (layer.entries - 1 if layer.entries else min(2, len(layer.breakpoints)))
