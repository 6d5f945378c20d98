"""Which half-spaces an intersection needs: those that are a wall of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.geometry.engine import stopped
from magnet_service.geometry.half_spaces import HalfSpaces
from magnet_service.geometry.inscribed import inscribed
from magnet_service.geometry.linear_programs import maximise, solved

__all__ = ["CUT", "irredundant"]

CUT = 1e-8
"""A half-space that cuts off less than this share of the inner radius is redundant."""

REACH = 1e7
"""Inner radii beyond which a region counts as unbounded along a coordinate."""

SHOTS = 4096
"""Rays that are shot to begin with."""

RAYS = 256
"""Rays that are shot at once."""

Numbers = NDArray[np.float64]


def irredundant(half_spaces: HalfSpaces, should_stop: Callable[[], bool] | None = None) -> Int[Tensor, " walls"] | None:
    """The half-spaces without which the intersection would be another one; of equal ones one.

    Half-space i is redundant where max n_i y over the others is at most its limit. Known walls alone stand for the
    others: where they do not bound it, a ray from the centre to the maximum meets a wall not yet known (Clarkson 1994).
    Walls that rays along all normals meet are known from the start, and half-spaces beyond the bounding box of the
    region need no program.

    Arguments:
        half_spaces: with distances from a point inside.
        should_stop: asked before every linear program.

    Returns:
        Their numbers, ascending; None where the intersection has no inside.

    Raises:
        Cancelled: `should_stop` answered true.

    Accuracy: half-spaces that cut off less than CUT inner radii are left out; one that a program cannot decide stays.
    Cost: one linear program over the walls for every half-space that meets the bounding box, 2 d for the box.
    References: Clarkson, More output-sensitive geometric algorithms, 1994.
    """
    normals, distances = half_spaces.normals.numpy(), half_spaces.distances.numpy()
    ball = inscribed(normals, distances, should_stop)
    if ball.radius <= 0.0:
        return None
    if not len(normals):
        return torch.arange(0)
    limits = (distances - normals @ ball.move) / ball.radius
    walls = _first_walls(normals, limits)
    doubtful: set[int] = set()
    for row in _candidates(normals, limits, should_stop):
        while row not in walls:
            stopped(should_stop)
            point = _beyond(normals, limits, walls, row)
            if point is None:
                break
            met, alone = _met(normals, limits, point[None])
            # A wall that is known already holds at the point but for rounding: nothing decides about the row.
            new = row if np.isnan(point[0]) or met[0] in walls else int(met[0])
            if new == row or not alone[0]:
                doubtful.add(new)
            walls.append(new)
    for row in sorted(doubtful):
        stopped(should_stop)
        others = [wall for wall in walls if wall != row]
        if _beyond(normals, limits, others, row) is None:
            walls = others
    return torch.tensor(sorted(walls), dtype=torch.int64)


def _beyond(normals: Numbers, limits: Numbers, walls: list[int], row: int) -> Numbers | None:
    """A point within all the walls and beyond the row, NaN where the program fails; None where the row is redundant."""
    order = [*walls, row]
    allowed = limits[order]
    allowed[-1] += 1.0  # a bound, and one that leaves room beyond the row
    point = solved(normals[row], normals[order], allowed, np.inf)
    if point is None:
        return np.full(normals.shape[1], np.nan)
    return None if normals[row] @ point <= limits[row] + CUT else point


def _met(normals: Numbers, limits: Numbers, rays: Numbers) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The half-space that each ray from the origin leaves first, and whether it leaves it alone."""
    rates = rays @ normals.T
    with np.errstate(divide="ignore"):
        times = np.where(rates > 0, limits / np.maximum(rates, 0.0), np.inf)
    first = times.argmin(1)
    reached = np.take_along_axis(times, first[:, None], 1)
    return first, (times <= reached * (1.0 + CUT)).sum(1) == 1


def _first_walls(normals: Numbers, limits: Numbers) -> list[int]:
    """Walls that rays along the normals of the nearest half-spaces meet."""
    nearest = np.argsort(limits, kind="stable")[:SHOTS]
    found: set[int] = set()
    for start in range(0, len(nearest), RAYS):
        met, alone = _met(normals, limits, normals[nearest[start : start + RAYS]])
        found.update(met[alone].tolist())
    return sorted(found)


def _candidates(normals: Numbers, limits: Numbers, should_stop: Callable[[], bool] | None) -> list[int]:
    """The half-spaces that do not contain the bounding box well inside, the nearest first."""
    rows, d = normals.shape
    order = np.argsort(limits, kind="stable")
    if rows <= 2 * d:
        return [int(row) for row in order]
    box = np.empty((2, d))
    for axis in range(d):
        for side, sign in enumerate((-1.0, 1.0)):
            stopped(should_stop)
            point = maximise(sign * np.eye(1, d, axis)[0], normals, limits, REACH)
            bounded = point is not None and np.abs(point).max() < REACH / 2
            box[side, axis] = point[axis] if point is not None and bounded else sign * np.inf
    with np.errstate(invalid="ignore"):
        reached = np.where(normals > 0, normals * box[1], np.where(normals < 0, normals * box[0], 0.0)).sum(1)
    # A wall may be a side of the box itself, and so touch it from outside: programs decide about these.
    meets = reached > limits - CUT
    return [int(row) for row in order if meets[row]]
