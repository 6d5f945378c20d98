"""The largest ball inside of an intersection of half-spaces, by linear programs that zoom in on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from magnet_service.geometry.engine import stopped
from magnet_service.geometry.linear_programs import maximise

__all__ = ["Inscribed", "inscribed", "median_distance"]

REACH = 1e6
"""How far, in units of the scale, a program looks where it has no bound."""

OPEN = 1e-7
"""A direction that leaves all hyperplanes at more than this rate leads into balls without end."""

CLOSE = 0.01
"""A radius found again within this share, at its own scale, is final."""

SHRINK = 1e-4
ROUNDS = 30


@dataclass(frozen=True)
class Inscribed:
    """A ball inside.

    Attributes:
        move: from the point that distances are taken from to the centre.
        radius: distance from the centre to the nearest hyperplane; 0 where there is no inside.
        unlimited: whether there are balls of any radius; this one then has about the size of a middling distance.
    """

    move: NDArray[np.float64]
    radius: float
    unlimited: bool


def inscribed(
    normals: Float[NDArray[np.float64], "rows latent"],
    distances: Float[NDArray[np.float64], " rows"],
    should_stop: Callable[[], bool] | None = None,
) -> Inscribed:
    """The largest ball with normals (z + y) <= distances for all its points y around a centre.

        max r   subject to   n_i y + r <= distance_i

    Arguments:
        normals: of unit length.
        distances: of a point inside, at least 0, to each hyperplane.
        should_stop: asked before every program.

    Returns:
        The ball; where the largest has no bound one of the size of the median distance.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: the radius is the smallest distance from the centre as computed in float64, so the ball is inside but for
        rounding. Each program starts at the last centre and in units of the last radius, so that the solver's tolerance
        is 1e-10 of the radius itself, however small the region is beside the distances.
    Cost: a few linear programs of d + 1 variables, each over the half-spaces that matter.
    """
    rows, d = normals.shape
    move, radius = np.zeros(d), float(distances.min(initial=np.inf))
    unlimited = rows == 0 or _opens(normals)
    if rows == 0:
        return Inscribed(move, np.inf, True)
    scale = median_distance(distances)
    wide = np.concatenate([normals, np.ones((rows, 1))], 1)
    if unlimited:
        wide = np.concatenate([wide, np.eye(1, d + 1, d)])
    goal = np.eye(1, d + 1, d)[0]
    slack, smallest = distances, 1e-9 * scale
    for _ in range(ROUNDS):
        stopped(should_stop)
        limits = slack / scale
        found = maximise(goal, wide, np.append(limits, 1.0) if unlimited else limits, REACH)
        if found is None:
            break
        moved = move + scale * found[:-1]
        left = distances - normals @ moved
        better = float(left.min())
        grown, far = better > (1.0 + CLOSE) * radius, np.abs(found).max() > REACH / 2
        if better > radius:
            move, radius, slack = moved, better, left
        if unlimited:
            break
        if far and grown:
            scale *= 1.0 / SHRINK
        elif found[-1] < SHRINK:
            if scale < smallest:
                break
            scale = max(radius, SHRINK * scale)
        elif abs(found[-1] - 1.0) > CLOSE and radius > 0:
            scale = radius
        else:
            break
    return Inscribed(move, radius, unlimited)


def median_distance(distances: Float[NDArray[np.float64], " rows"]) -> float:
    """The median of the distances that are not 0; 1 where all are."""
    positive = distances[distances > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def _opens(normals: NDArray[np.float64]) -> bool:
    """Whether some direction leaves every hyperplane."""
    rows, d = normals.shape
    wide = np.concatenate([normals, np.ones((rows, 1))], 1)
    sides = np.concatenate([np.eye(d + 1), -np.eye(d + 1)])
    found = maximise(
        np.eye(1, d + 1, d)[0],
        np.concatenate([sides, wide]),
        np.concatenate([np.ones(2 * d + 2), np.zeros(rows)]),
        1.0,
    )
    return found is not None and bool(found[-1] > OPEN)
