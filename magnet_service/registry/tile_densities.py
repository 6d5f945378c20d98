"""How probable the tiles of a slice are under a held generator's prior."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from magnet_service.errors import InvalidInput, Refused
from magnet_service.geometry import Slice, TileMasses, tile_masses
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.registry import Registry
from magnet_service.registry.slices import Sliced, SliceRequest
from magnet_service.sampling import Ball, Box, Law, Normal, Pushforward, TruncatedNormal

__all__ = ["check_masses", "log_priors_of", "masses_of"]

StopSignal = Callable[[], bool]
Support = tuple[Tensor, Tensor]

_SIDES = 512
"""Sides of the polygon that a disc is taken for: one of equal area is at most 1.3e-5 of the radius off."""


def check_masses(registry: Registry, reference: str, request: SliceRequest) -> None:
    """Refuses masses of tiles that there cannot be, before anything is computed.

    Arguments:
        registry: what the server holds.
        reference: `name` or `name@version`.
        request: the slice.

    Raises:
        InvalidInput: a line (field `points` or `directions`).
        Refused: a prior on a sphere, or of an inner value, which has no density on a plane (NO_DENSITY).
        As `Registry.get`.

    Accuracy: exact.
    """
    if request.place.axes == 1:
        raise InvalidInput(
            "a line has no masses of tiles: write three points, or two directions.", field=request.place.field
        )
    held = registry.get(reference, request.condition)
    if not _has_density(held):
        raise Refused(
            f"the prior of {held.reference}, {held.prior.to_text()}, has no density on a plane of the latent space: "
            "leave masses out.",
            field="generator",
            reason="NO_DENSITY",
        )


def log_priors_of(found: Sliced, first: int, count: int) -> Float64[np.ndarray, " tiles"] | None:
    """Log density of the prior at the centroids of some tiles.

    Arguments:
        found: the slice.
        first: number of the first tile.
        count: tiles.

    Returns:
        Nats, -inf outside of the support; None where the slice has no volumes, or the prior no density on it.

    Raises:
        Nothing.

    Accuracy: rounding of float64.
    """
    if found.engine is None or not _has_density(found.held):
        return None
    tessellation = found.tessellation
    latents = tessellation.slice.lift(torch.from_numpy(tessellation.centroids[first : first + count]))
    return found.held.prior.log_density(latents.numpy())


def masses_of(found: Sliced, should_stop: StopSignal | None = None) -> TileMasses:
    """Probabilities of all tiles of a plane under the prior.

    Arguments:
        found: a slice that passed `check_masses`.
        should_stop: asked before every batch.

    Returns:
        As `tile_masses`.

    Raises:
        InvalidInput: the window has no probability (field `window`).
        Cancelled: `should_stop` answered true.

    Accuracy: as `tile_masses`, 1e-9 of the sum; balls are taken as polygons of 512 sides.
    """
    place, prior = found.tessellation.slice, found.held.prior
    centre, radius = _bulk(prior)
    return tile_masses(
        found.tessellation,
        _boundless(prior, centre),
        support=_support(prior, place),
        bulk=(torch.full((prior.dim,), centre, dtype=torch.float64), radius),
        should_stop=should_stop,
    )


def _has_density(held: HeldGenerator) -> bool:
    return not isinstance(held.prior, Pushforward) and not held.prior.tangent_space


def _bulk(prior: Law) -> tuple[float, float]:
    """Every coordinate of the middle of a law, and a distance from it within which much of it is."""
    match prior:
        case Box():
            return (prior.low + prior.high) / 2, (prior.high - prior.low) / 2
        case Ball():
            return 0.0, prior.radius
        case TruncatedNormal():
            return 0.0, min(prior.scale, prior.bound)
        case Normal():
            return 0.0, prior.scale
    raise TypeError(f"{prior.name} has no density on a plane")


def _boundless(prior: Law, centre: float) -> Callable[[Tensor], Tensor]:
    """The log density of a law, going on beyond its support as it is within."""
    middle = float(prior.log_density(np.full((1, prior.dim), centre))[0])
    # A normal law that is bounded is a normal one but for a factor, a uniform one is a constant.
    scale = getattr(prior, "scale", math.inf)

    def log_density(latents: Tensor) -> Tensor:
        return middle - 0.5 * ((latents - centre) / scale).square().sum(1)

    return log_density


def _support(prior: Law, place: Slice) -> Support | None:
    """Half-spaces that make the support of a law on a plane; None where it is everywhere."""
    match prior:
        case Box():
            return _cube(prior.dim, prior.low, prior.high)
        case TruncatedNormal():
            return _cube(prior.dim, -prior.bound, prior.bound)
        case Ball():
            return _disc(place, prior.radius)
    return None


def _cube(dim: int, low: float, high: float) -> Support:
    unit, ends = torch.eye(dim, dtype=torch.float64), torch.ones(dim, dtype=torch.float64)
    return torch.cat([unit, -unit]), torch.cat([high * ends, -low * ends])


def _disc(place: Slice, radius: float) -> Support:
    """The disc in which a plane meets a ball around 0, as a polygon."""
    centre = place.project(torch.zeros(1, len(place.origin), dtype=torch.float64))
    height = float(place.lift(centre).norm())
    inner = math.sqrt(max(radius**2 - height**2, 0.0)) * math.sqrt(math.pi / (_SIDES * math.tan(math.pi / _SIDES)))
    angles = torch.arange(_SIDES, dtype=torch.float64) * (2 * math.pi / _SIDES)
    outward = torch.stack([angles.cos(), angles.sin()], dim=1)
    normals = outward @ place.frame
    return normals, normals @ place.origin + outward @ centre[0] + inner
