"""Steps of a random walk that leave a base law alone: what is proposed is as likely one way as back."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float64
from scipy import special

from magnet_service.errors import Refused
from magnet_service.sampling.law import Ball, Box, Law, Normal, NormBoundedNormal, Sphere, TruncatedNormal
from magnet_service.sampling.placement import norms
from magnet_service.sampling.pushforward import Pushforward

__all__ = ["normals", "proposed", "walkable"]

_BOUNCES = 64


def proposed(
    law: Law, states: Float64[np.ndarray, "chains latent"], normal: Float64[np.ndarray, "chains latent"], step: float
) -> tuple[Float64[np.ndarray, "chains latent"], Bool[np.ndarray, " chains"]]:
    """One step of each chain, reversible with respect to the law.

        normal laws:  z' = sqrt(1 - b^2) z + b s x     (Crank-Nicolson), refused outside of a bound
        box, ball:    z' = z + b r x, reflected at the boundary
        sphere:       z' = r (z + b r x) / |z + b r x|

    with x standard normal, b the step, s the law's scale, r the half width or radius over sqrt(d).

    Arguments:
        law: the base.
        states: where the chains are.
        normal: standard normal numbers.
        step: b, above 0 and at most 1.

    Returns:
        Proposals, and whether each lies in the law's support.

    Raises:
        Refused: a law that no walk here leaves alone (NO_CHAIN).

    Accuracy:
        float64.

    References:
        Cotter, Roberts, Stuart, White, "MCMC methods for functions", 2013 (arXiv 1202.0709).
    """
    match law:
        case Normal(scale=scale) | TruncatedNormal(scale=scale) | NormBoundedNormal(scale=scale):
            there = math.sqrt(1.0 - step * step) * states + step * scale * normal
            if isinstance(law, TruncatedNormal):
                return there, np.abs(there).max(axis=1) <= law.bound
            if isinstance(law, NormBoundedNormal):
                return there, norms(there) <= law.bound
            return there, np.ones(len(there), dtype=bool)
        case Box(low=low, high=high):
            width = high - low
            folded = np.mod(states + 0.5 * step * width * normal - low, 2.0 * width)
            return low + np.minimum(folded, 2.0 * width - folded), np.ones(len(states), dtype=bool)
        case Ball(radius=radius):
            return _bounced(states, step * radius / math.sqrt(law.dim) * normal, radius)
        case Sphere(radius=radius):
            there = states + step * radius / math.sqrt(law.dim) * normal
            return there * (radius / norms(there))[:, None], np.ones(len(there), dtype=bool)
    raise Refused(
        f"no chain walks over {law.to_text()}: use method SCREENED, whose pool is drawn from it.",
        field="method",
        reason="NO_CHAIN",
    )


def walkable(law: Law) -> bool:
    """Whether `proposed` has a step for a law, or for the one before its mapping."""
    known = law.source if isinstance(law, Pushforward) else law
    return isinstance(known, Normal | TruncatedNormal | NormBoundedNormal | Box | Ball | Sphere)


def normals(uniform: Float64[np.ndarray, "chains latent"]) -> Float64[np.ndarray, "chains latent"]:
    """Standard normal numbers from uniform ones."""
    found: Float64[np.ndarray, "chains latent"] = special.ndtri(uniform)
    return found


def _bounced(
    states: Float64[np.ndarray, "chains latent"], moves: Float64[np.ndarray, "chains latent"], radius: float
) -> tuple[Float64[np.ndarray, "chains latent"], Bool[np.ndarray, " chains"]]:
    """Straight flights within a ball, mirrored at its boundary: the map is its own inverse, flown backwards."""
    place, left = states.copy(), moves.copy()
    for _ in range(_BOUNCES):
        outside = np.flatnonzero(norms(place + left) > radius)
        if outside.size == 0:
            return place + left, np.ones(len(states), dtype=bool)
        start, flight = place[outside], left[outside]
        length = np.square(flight).sum(1)
        along = (start * flight).sum(1)
        inside = np.maximum(radius * radius - np.square(start).sum(1), 0.0)
        share = np.clip((np.sqrt(along * along + length * inside) - along) / length, 0.0, 1.0)[:, None]
        wall = start + share * flight
        normal = wall / norms(wall)[:, None]
        rest = (1.0 - share) * flight
        place[outside] = wall
        left[outside] = rest - 2.0 * (rest * normal).sum(1, keepdims=True) * normal
    there = place + left
    return there, norms(there) <= radius
