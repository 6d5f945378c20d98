"""From one law to another: the domain of a uniform base, truncation of a prior, and which law covers which."""

from __future__ import annotations

import math
from dataclasses import replace

from magnet_service.errors import InvalidInput
from magnet_service.sampling.law import Ball, Box, Law, Normal, NormBoundedNormal, Sphere, TruncatedNormal
from magnet_service.sampling.pushforward import Pushforward

__all__ = ["covers", "truncated", "uniform_domain"]

# Bounds that differ by rounding only are the same bound.
_SLACK = 1.0 + 1e-12


def uniform_domain(prior: Law, *, ball_radius: float | None = None, box: tuple[float, float] | None = None) -> Law:
    """The uniform law that stands for base UNIFORM over a given prior.

    With nothing stated: for a normal prior of scale s the ball of radius s sqrt(d + 2), on which the uniform law has
    the prior's second moment s^2 d; within a norm bound if the prior has one; for a prior with independent bounded
    coordinates the cube of its support; for a prior that is uniform already, itself.

    Arguments:
        prior: the generator's own law, truncated if the request says so.
        ball_radius: radius of the ball around the origin; 0 for the default one of a normal prior.
        box: (low, high) of every coordinate.

    Returns:
        A `Ball`, a `Box`, or the prior itself when that is a `Sphere`.

    Raises:
        InvalidInput: both a ball and a box, one that is empty, either over a sphere, the default ball of a prior that
            is not normal, or neither over the law of an inner latent; field `ball_radius` or `box`.

    Accuracy:
        Exact.

    Example:
        >>> uniform_domain(Normal(dim=2)).to_text()
        'ball(dim=2,radius=2.0)'
    """
    if ball_radius is not None and box is not None:
        raise InvalidInput("a ball and a box are both given: write one of ball_radius and box", field="box")
    if isinstance(prior, Sphere):
        if ball_radius is not None or box is not None:
            stated = "box" if ball_radius is None else "ball_radius"
            raise InvalidInput("the prior lives on a sphere, which is its uniform domain: state no other", field=stated)
        return prior
    if isinstance(prior, Pushforward) and not ball_radius and box is None:
        raise InvalidInput(
            f"the latents' law {prior.to_text()} is that of an inner value and has no domain of its own: state one, "
            f"ball_radius=R or box=(LOW, HIGH), from latents that a PRIOR draw answers",
            field="ball_radius",
        )
    if ball_radius == 0.0 and not isinstance(prior, Normal | NormBoundedNormal):
        raise InvalidInput(
            f"the prior {prior.to_text()} has no default ball: write a ball_radius above 0, or leave the ball out",
            field="ball_radius",
        )
    if ball_radius:
        if not (math.isfinite(ball_radius) and ball_radius > 0.0):
            raise InvalidInput(f"ball_radius is {ball_radius}: write a finite number above 0", field="ball_radius")
        return Ball(prior.dim, radius=float(ball_radius))
    if box is not None:
        low, high = box
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InvalidInput(f"box is ({low}, {high}): write two finite numbers, low < high", field="box")
        return Box(prior.dim, low=float(low), high=float(high))
    match prior:
        case Normal(scale=scale):
            return Ball(prior.dim, radius=scale * math.sqrt(prior.dim + 2.0))
        case NormBoundedNormal(bound=bound, scale=scale):
            return Ball(prior.dim, radius=min(bound, scale * math.sqrt(prior.dim + 2.0)))
        case TruncatedNormal(bound=bound):
            return Box(prior.dim, low=-bound, high=bound)
        case _:
            return prior


def truncated(prior: Law, *, psi: float | None = None, norm_bound: float | None = None) -> Law:
    """The prior after truncation: psi shrinks it, z = psi z'; a norm bound conditions a normal one on |z| <= bound.

    Arguments:
        prior: the generator's own law.
        psi: above 0 and at most 1; 1 is no truncation.
        norm_bound: above 0; for a normal prior only.

    Returns:
        The truncated law; `prior` itself where nothing is asked.

    Raises:
        InvalidInput: both given, out of range, or a norm bound on another prior; field `truncation_psi` or
            `truncation_norm`.

    Accuracy:
        Exact.

    References:
        Brock, Donahue, Simonyan, arXiv 1809.11096 (the truncation trick).

    Example:
        >>> truncated(Normal(dim=3), psi=0.5).to_text()
        'normal(dim=3,scale=0.5)'
    """
    if psi is not None and norm_bound is not None:
        raise InvalidInput("two truncations are given: write one of psi and norm bound", field="truncation_norm")
    if isinstance(prior, Pushforward) and (norm_bound is not None or psi not in (None, 1.0)):
        raise InvalidInput(
            f"the latents' law {prior.to_text()} is that of an inner value and is not truncated here: leave it out, or "
            f"export the network with the truncation inside its mapping",
            field="truncation_norm" if psi is None else "truncation_psi",
        )
    if norm_bound is not None:
        if not (math.isfinite(norm_bound) and norm_bound > 0.0):
            raise InvalidInput(f"norm bound {norm_bound}: write a finite number above 0", field="truncation_norm")
        if not isinstance(prior, Normal):
            raise InvalidInput(
                f"a norm bound is for a normal prior, this one is {prior.to_text()}: use psi", field="truncation_norm"
            )
        return NormBoundedNormal(prior.dim, bound=float(norm_bound), scale=prior.scale)
    if psi is None:
        return prior
    if not 0.0 < psi <= 1.0:
        raise InvalidInput(f"psi is {psi}: write a number above 0 and at most 1", field="truncation_psi")
    if psi == 1.0:
        return prior
    match prior:
        case Normal():
            return replace(prior, scale=psi * prior.scale)
        case TruncatedNormal() | NormBoundedNormal():
            return replace(prior, bound=psi * prior.bound, scale=psi * prior.scale)
        case Box():
            return replace(prior, low=psi * prior.low, high=psi * prior.high)
        case Ball() | Sphere():
            return replace(prior, radius=psi * prior.radius)
        case _:
            raise InvalidInput(f"psi has no meaning for {prior.to_text()}", field="truncation_psi")


def covers(outer: Law, inner: Law) -> bool:
    """Whether every latent of one law can be reached by reweighting draws of another.

    Arguments:
        outer: law of the rows at hand.
        inner: law wanted.

    Returns:
        True when the support of `inner` lies inside that of `outer` and both have densities of the same kind.

    Raises:
        Nothing.

    Accuracy:
        Exact, bounds equal within 1e-12 taken as equal.
    """
    if outer.dim != inner.dim:
        return False
    if isinstance(outer, Sphere | Pushforward) or isinstance(inner, Sphere | Pushforward):
        return outer == inner
    if isinstance(outer, Normal):
        return True
    low, high, radius = _extent(inner)
    if isinstance(outer, (Ball, NormBoundedNormal)):
        return radius <= _extent(outer)[2] * _SLACK
    outer_low, outer_high, _ = _extent(outer)
    margin = (_SLACK - 1.0) * (outer_high - outer_low)
    return low >= outer_low - margin and high <= outer_high + margin


def _extent(law: Law) -> tuple[float, float, float]:
    # Smallest and largest coordinate, and the largest norm, over the support.
    match law:
        case Ball(radius=radius):
            return -radius, radius, radius
        case NormBoundedNormal(bound=bound):
            return -bound, bound, bound
        case TruncatedNormal(bound=bound):
            return -bound, bound, bound * math.sqrt(law.dim)
        case Box(low=low, high=high):
            return low, high, max(abs(low), abs(high)) * math.sqrt(law.dim)
        case _:
            return -math.inf, math.inf, math.inf
