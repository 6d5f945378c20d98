"""What a held generator does around given latents: local complexity, distances, and the density of their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from magnet_service.errors import Refused
from magnet_service.generator import Manifold, Precision
from magnet_service.geometry import (
    ComplexityEstimator,
    DistanceSpace,
    HyperplaneDistances,
    Layer,
    LocalComplexity,
    LogDensity,
    MeasuredError,
    density_of,
    hyperplane_distances,
    layers_of,
    local_complexity,
)
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.registry import Registry
from magnet_service.sampling import Pushforward

__all__ = ["ComplexityRequest", "complexity", "hyperplane_means", "layers_named", "log_densities"]

StopSignal = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class ComplexityRequest:
    """How to count units around latents.

    Attributes:
        radius: r, in the units of the latent.
        directions: P; None for the default, or for those of `frame`.
        frame_per_latent: whether each latent has a frame of its own.
        seed: of the frames.
        start: number of the first latent.
        frame: [P, d] or [rows, P, d], in place of drawn ones.
        manifold: whose units count.
        estimator: how.
    """

    radius: float
    directions: int | None = None
    frame_per_latent: bool = False
    seed: int = 0
    start: int = 0
    frame: Float[np.ndarray, "*frame"] | None = None
    manifold: Manifold = Manifold.PRE_ACTIVATION
    estimator: ComplexityEstimator = ComplexityEstimator.VERTICES


def complexity(
    registry: Registry,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    request: ComplexityRequest,
    should_stop: StopSignal | None = None,
) -> LocalComplexity:
    """Counts the units whose state changes around latents.

    Arguments:
        registry: what the server holds.
        held: the generator, its condition held fixed.
        latents: one row each.
        request: how.
        should_stop: asked before every batch.

    Returns:
        Counts by latent and layer.

    Raises:
        InvalidInput: too many latents (field `latents`), or as `local_complexity`.
        Refused, OutOfMemory, Cancelled: as `local_complexity`.

    Accuracy: as `local_complexity`.
    """
    registry.check_rows(len(latents), "latents")
    engine = registry.engine(Precision.FLOAT64)
    with engine.activated():
        return local_complexity(
            held.generator.to(device=engine.device),
            torch.tensor(latents),
            radius=request.radius,
            directions=request.directions,
            shared_frame=not request.frame_per_latent,
            seed=request.seed,
            start=request.start,
            frame=None if request.frame is None else torch.tensor(request.frame),
            manifold=request.manifold,
            estimator=request.estimator,
            max_memory=registry.max_memory,
            should_stop=should_stop,
        )


def hyperplane_means(
    registry: Registry,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    *,
    manifold: Manifold,
    space: DistanceSpace,
    should_stop: StopSignal | None = None,
) -> HyperplaneDistances:
    """Measures how far latents are from the hyperplanes of each layer's units.

    Arguments:
        registry: what the server holds.
        held: the generator, its condition held fixed.
        latents: one row each.
        manifold: whose units count.
        space: where distances are measured.
        should_stop: asked before every batch.

    Returns:
        Means by layer.

    Raises:
        InvalidInput: too many latents (field `latents`), or as `hyperplane_distances`.
        Refused, OutOfMemory, Cancelled: as `hyperplane_distances`.

    Accuracy: as `hyperplane_distances`.
    """
    registry.check_rows(len(latents), "latents")
    engine = registry.engine(Precision.FLOAT64)
    with engine.activated():
        return hyperplane_distances(
            held.generator.to(device=engine.device),
            torch.tensor(latents),
            space=space,
            manifold=manifold,
            max_memory=registry.max_memory,
            should_stop=should_stop,
        )


def layers_named(held: HeldGenerator, manifold: Manifold, names: tuple[str, ...]) -> tuple[Layer, ...]:
    """The layers of units of those names, in their order."""
    by_name = {layer.name: layer for layer in layers_of(held.generator, manifold)}
    return tuple(by_name[name] for name in names)


def log_densities(
    registry: Registry,
    held: HeldGenerator,
    latents: Float[np.ndarray, "rows latent"],
    *,
    top_k: int,
    manifold: Manifold,
    precision: Precision,
    should_stop: StopSignal | None = None,
) -> tuple[LogDensity, MeasuredError | None]:
    """Computes the log density of latents' images, with the generator's own prior as their law.

    Arguments:
        registry: what the server holds.
        held: the generator, its condition held fixed.
        latents: one row each.
        top_k: k of log v_k; 0 for all columns.
        manifold: where the image is taken.
        precision: arithmetic of the volumes.
        should_stop: asked before every tile.

    Returns:
        The densities, and in BFLOAT16 the error measured for this generator.

    Raises:
        Refused: latents of an inner node, whose law has no density (NO_DENSITY).
        InvalidInput, Refused, Cancelled: as `Registry.volumes`.

    Accuracy: log p(z) is exact but for rounding of float64; log-volumes as `geometry.volumes`.
    """
    if isinstance(held.prior, Pushforward):
        raise Refused(
            f"latents of {held.reference} are an inner value of the network, and their law has no density that could "
            "be computed: ask for log-volumes.",
            field="generator",
            reason="NO_DENSITY",
        )
    prior = torch.from_numpy(held.prior.log_density(latents))
    found, k, error = registry.volumes(
        held, latents, manifold=manifold, precision=precision, top_k=top_k, should_stop=should_stop
    )
    return density_of(found, prior, k), error
