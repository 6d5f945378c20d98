"""Local complexity: how many units fold the latent space in a small neighbourhood of a latent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Manifold
from magnet_service.geometry.frames import check_frame, check_range, random_frames
from magnet_service.geometry.reach import count_by_reach
from magnet_service.geometry.traversal import finite_latents, traversal_of
from magnet_service.geometry.vertices import Frames, count_at_vertices

__all__ = ["DEFAULT_DIRECTIONS", "ComplexityEstimator", "LocalComplexity", "local_complexity"]

DEFAULT_DIRECTIONS = 25
"""Directions where none are asked for, as published; d of them where d is less."""


MAX_START = 2**62
"""Largest number of a first latent."""


class ComplexityEstimator(StrEnum):
    """How units are counted: at vertices, or in closed form where what feeds a layer is affine in the latent."""

    VERTICES = "vertices"
    FRAME = "frame"
    BALL = "ball"


@dataclass(frozen=True)
class LocalComplexity:
    """How many units change their state around some latents; tensors on the CPU.

    Attributes:
        total: units counted, all layers together, int64.
        by_layer: units counted in each layer, int64.
        layers: names of the layers answered, in order of execution.
        units: how many units each of them has.
        estimator: how they were counted.
        radius: r.
        directions: P; 0 for the ball, which has no frame.
        default_directions: whether P was left open.
        frame: the directions that all latents share, in rows; None where each latent has its own, or for the ball.
    """

    total: Int[Tensor, " rows"]
    by_layer: Int[Tensor, "rows layers"]
    layers: tuple[str, ...]
    units: tuple[int, ...]
    estimator: ComplexityEstimator
    radius: float
    directions: int
    default_directions: bool
    frame: Float[Tensor, "directions latent"] | None


def local_complexity(
    generator: Generator,
    latents: Float[Tensor, "*any"],
    *,
    radius: float,
    directions: int | None = None,
    shared_frame: bool = True,
    seed: int = 0,
    start: int = 0,
    frame: Float[Tensor, "*frame"] | None = None,
    manifold: Manifold = Manifold.PRE_ACTIVATION,
    estimator: ComplexityEstimator | str = ComplexityEstimator.VERTICES,
    max_memory: int | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> LocalComplexity:
    """The number of units whose state changes over the vertices of a cross-polytope around each latent.

        LC(z) = sum over layers of #{units k : s_k(z + e r v_p) is not the same for all p = 1 .. P, e = +1, -1}

    s_k is a unit's state (see `activation_pattern`): every piecewise linear operation counts, max-pools and other
    extrema too, and the network's output is no unit. The same vertices are pushed through all layers; z itself is none
    of them.

    Arguments:
        generator: piecewise affine before the value of the manifold; a conditional one of one condition.
        latents: [rows, d], finite.
        radius: r, above 0, in the units of the latent.
        directions: P, 1 to d; min(25, d) where None.
        shared_frame: the same v_p for all latents, frame 0 of the seed; else frame i for latent i.
        seed: of the frames, 0 to 2^64 - 1.
        start: number of the first latent, so that a page has the frames that it has in the whole.
        frame: the v_p themselves, orthonormal, [P, d] or one a latent, [rows, P, d]; in place of drawn ones.
        manifold: whose units count: PRE_ACTIVATION for those before the smooth head.
        estimator: `vertices` for the definition above. `frame` and `ball` answer only layers that no other layer
            stands before, in closed form: units whose state changes anywhere in the convex hull of the vertices
            (|w . z + b| <= r max_p |w . v_p|), or in the ball (|w . z + b| <= r |w|), which takes no directions.
        max_memory: bytes that the computation may take besides the weights; no bound where None.
        should_stop: asked before every batch; once it answers true the call ends in Cancelled.

    Returns:
        Counts by latent and layer, and what they were counted with.

    Raises:
        InvalidInput: a radius, directions, seed, frame or latents out of range.
        Refused: a smooth operation stands before the value of the manifold, reason NOT_PIECEWISE_AFFINE.
        OutOfMemory: one vertex is above the bound.
        Cancelled: `should_stop` answered true.

    Accuracy: counts are exact for pre-activations rounded to float64; a unit within rounding of a breakpoint at some
        vertex may count or not with the number of latents at once. As the number of units that change anywhere in the
        hull, `vertices` is exact for layers that no other stands before and a lower bound for others: a folded
        hyperplane may enter and leave between the vertices.
    Cost: 2 P forwards a latent up to the last layer in float64, see docs/complexity.md; `frame` and `ball` one.
    References: Humayun, Balestriero, Baraniuk, "Deep Networks Always Grok and Here is Why", arXiv 2402.15555.

    Example:
        >>> from torch import nn
        >>> module = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
        >>> _ = nn.init.constant_(module[0].weight, 1.0)
        >>> corners = torch.tensor([[0.0, 0.1], [3.0, 3.0]])
        >>> local_complexity(Generator.from_module(module, 2), corners, radius=0.5).total.tolist()
        [1, 0]
    """
    if not (math.isfinite(radius) and radius > 0):
        raise InvalidInput(f"radius is {radius}; write a finite number above 0.", field="radius")
    way = estimator_of(estimator)
    placed = finite_latents(generator, latents)
    layers = traversal_of(generator, manifold)
    if way is ComplexityEstimator.BALL:
        chosen = no_directions(directions, frame)
    elif frame is not None:
        chosen = given_directions(frame, placed, directions)
    else:
        chosen = drawn_directions(placed, directions, shared_frame, seed, start)
    with torch.inference_mode():
        if way is ComplexityEstimator.VERTICES and chosen.frames is not None:
            kept = (True,) * len(layers.steps)
            counts = count_at_vertices(layers, placed, chosen.frames, chosen.count, radius, max_memory, should_stop)
        else:
            kept = layers.first
            counts = count_by_reach(layers, placed, chosen.frames, radius, max_memory, should_stop)
    # Outside of inference mode, so that the caller may write to them.
    return LocalComplexity(
        counts.sum(1),
        counts.clone(),
        tuple(compress(layers.names, kept)),
        tuple(compress(layers.units, kept)),
        way,
        radius,
        chosen.count,
        chosen.default,
        chosen.shared,
    )


@dataclass(frozen=True)
class Directions:
    """The v_p of every latent.

    Attributes:
        count: P.
        default: whether it was left open.
        shared: [P, d] on the CPU, where all latents have the same.
        frames: gives those of some rows; None where there are none.
    """

    count: int
    default: bool
    shared: Tensor | None
    frames: Frames | None


def no_directions(directions: int | None, frame: Tensor | None) -> Directions:
    """For the ball; InvalidInput where some are given."""
    if directions is not None or frame is not None:
        raise InvalidInput("a ball has no directions: leave them out, or write estimator frame.", field="estimator")
    return Directions(0, False, None, None)


def given_directions(frame: Tensor, latents: Tensor, directions: int | None) -> Directions:
    """The caller's own, checked."""
    checked = check_frame(frame, len(latents), latents.shape[1])
    count = checked.shape[1]
    if directions not in (None, count):
        raise InvalidInput(
            f"directions is {directions}, and the frame has {count}: leave one of them out.", field="directions"
        )
    placed = checked.to(latents.device)
    if frame.ndim == 2:
        return Directions(count, False, checked[0].cpu().clone(), lambda first, rows: placed)
    return Directions(count, False, None, lambda first, rows: placed[first : first + rows])


def drawn_directions(latents: Tensor, directions: int | None, shared_frame: bool, seed: int, start: int) -> Directions:
    """Drawn from the seed: frame 0 for all latents, or one each."""
    dim = latents.shape[1]
    count = min(DEFAULT_DIRECTIONS, dim) if directions is None else directions
    check_range("directions", count, 1, dim)
    check_range("start", start, 0, MAX_START)
    first_frame = random_frames(seed, 0, 1, count, dim)
    if shared_frame:
        placed = first_frame.to(latents.device)
        return Directions(count, directions is None, first_frame[0], lambda first, rows: placed)
    return Directions(
        count,
        directions is None,
        None,
        lambda first, rows: random_frames(seed, start + first, rows, count, dim).to(latents.device),
    )


def estimator_of(name: ComplexityEstimator | str) -> ComplexityEstimator:
    """The estimator of that name; InvalidInput otherwise."""
    if name not in list(ComplexityEstimator):
        raise InvalidInput(f"estimator is {name}; write {', '.join(ComplexityEstimator)}.", field="estimator")
    return ComplexityEstimator(name)
