"""How probable the tiles of a slice are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.geometry.engine import stopped
from magnet_service.geometry.slice import Slice
from magnet_service.geometry.tessellation.result import Tessellation
from magnet_service.geometry.tessellation.triangles import areas, clipped, cut_near, fan_of, fans, quartered

__all__ = ["TileMasses", "tile_masses"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Density = Callable[[Tensor], Tensor]

_DEEPEST = 14
"""Times that a triangle is quartered at most."""

_MOST = 1 << 20
"""Triangles above which no more are quartered."""

_NUMBERS = 1 << 22
"""Numbers of latents at work at once."""

# Radon's rule of degree 5 with seven points, 1948: barycentric coordinates and weights.
_ROOT = 15**0.5
_NEAR = ((6 - _ROOT) / 21, (6 + _ROOT) / 21)
_CORNERS = np.eye(3)
_POINTS = np.concatenate([np.full((1, 3), 1 / 3), *(near + (1 - 3 * near) * _CORNERS for near in _NEAR)])
_WEIGHTS = np.array([9 / 40] + [(155 - _ROOT) / 1200] * 3 + [(155 + _ROOT) / 1200] * 3)


@dataclass(frozen=True)
class TileMasses:
    """Probabilities of tiles.

    Attributes:
        masses: [tiles].
        law: `latent law` where the slice is the whole latent plane: its tiles are regions, and their probabilities add
            up to that of the window. `conditional on the slice` for a slice of a larger latent space, in which the
            plane has no probability: those of the law restricted to the window, which add up to 1.
        window: probability of the window under the latent law; NaN for `conditional on the slice`.
        error: estimated error of their sum.
    """

    masses: Floats
    law: str
    window: float
    error: float


def tile_masses(
    tessellation: Tessellation,
    log_prior: Density,
    *,
    tolerance: float = 1e-9,
    support: tuple[Float[Tensor, "sides latent"], Float[Tensor, " sides"]] | None = None,
    bulk: tuple[Float[Tensor, " latent"], float] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TileMasses:
    """Probabilities of the tiles of a plane under a law of latents.

        mass = integral of p(z) over the tile

    Arguments:
        tessellation: of a plane.
        log_prior: latents [rows, d] -> log density [rows] in nats, not normalised if need be for a slice of a larger
            space; -inf outside of its support.
        tolerance: error of all masses together, as a share of their sum.
        support: normals and offsets of half-spaces normals z <= offsets to which tiles are clipped, where the support
            ends within the window; `log_prior` then goes on beyond it.
        bulk: a latent and a distance from it within which much of the law is, as mean and standard deviation of a
            normal one: larger triangles are cut there beforehand, so that the law does not fall between their points.
        should_stop: asked before every batch; once it answers true the call ends in Cancelled.

    Returns:
        Masses, and under which law.

    Raises:
        InvalidInput: a line, or a window outside of the law's support.
        Cancelled: `should_stop` answered true.

    Accuracy: estimated; smooth densities reach the tolerance, clipped ones too. The edge of a support that is not
        given is followed down to 2^-14 of a tile, or to a million triangles, and what falls between the points of a
        tile is not seen. Sums are formed from logarithms: nothing underflows in high dimensions.
    Cost: about 70 densities a tile where these are small for the law; 200 bytes a tile.

    References: Radon, Zur mechanischen Kubatur, Monatshefte fuer Mathematik 52, 1948.
    """
    place = tessellation.slice
    if place.axes != 2:
        raise InvalidInput("a line has no masses of tiles; take a plane.", field="slice")
    triangles, tile = fans(tessellation)
    if support is not None:
        triangles, tile = inside_of(support, triangles, tile, place)
    if bulk is not None:
        triangles, tile = cut_near(triangles, tile, place.project(bulk[0][None])[0].numpy(), bulk[1])
    rule = Rule(place, log_prior, should_stop)
    logs, error = integrated(triangles, tile, tessellation.tiles, rule, tolerance)
    total = log_sum(logs)
    if total == -np.inf:
        raise InvalidInput("the window has no probability under this law; take another window.", field="window")
    if len(place.origin) == 2:
        masses = np.exp(logs)
        return TileMasses(masses, "latent law", float(masses.sum()), error * float(np.exp(total)))
    return TileMasses(np.exp(logs - total), "conditional on the slice", float("nan"), error)


@dataclass(frozen=True)
class Rule:
    """A law on a slice, and how it is integrated over triangles.

    Attributes:
        place: the slice.
        log_prior: the law.
        should_stop: asked before every batch.
    """

    place: Slice
    log_prior: Density
    should_stop: Callable[[], bool] | None

    def batches(self, triangles: Floats) -> Iterator[Floats]:
        """Triangles whose quarters are few enough to be at work at once."""
        rows = max(1, _NUMBERS // (4 * len(_POINTS) * len(self.place.origin)))
        for first in range(0, len(triangles), rows):
            stopped(self.should_stop)
            yield triangles[first : first + rows]

    def log_integrals(self, triangles: Floats) -> Floats:
        """Logs of the integrals over triangles; -inf where the density is 0 at all points of one."""
        latents = self.place.lift(torch.from_numpy((_POINTS @ triangles).reshape(-1, 2)))
        logs: Floats = self.log_prior(latents).double().numpy().reshape(len(triangles), -1)
        with np.errstate(divide="ignore"):
            found: Floats = np.logaddexp.reduce(logs + np.log(_WEIGHTS), axis=1) + np.log(areas(triangles))
        return found


def inside_of(support: tuple[Tensor, Tensor], triangles: Floats, tile: Numbers, place: Slice) -> tuple[Floats, Numbers]:
    """What half-spaces of the latent space leave of triangles on a slice."""
    normals = (support[0].double() @ place.frame.T).numpy()
    offsets = (support[1].double() - support[0].double() @ place.origin).numpy()
    outline = fan_of(place.window.numpy())
    cutting = []
    for side in zip(normals, offsets.tolist(), strict=True):
        if (outline @ side[0] > side[1]).any():
            outline, _ = clipped(outline, np.zeros(len(outline), np.int64), *side)
            cutting.append(side)
    if not cutting or not len(outline):
        return (triangles, tile) if len(outline) else (triangles[:0], tile[:0])
    # Triangles within a disc inside of all sides are not looked at again.
    centre = np.average(outline.mean(axis=1), axis=0, weights=areas(outline) + np.finfo(float).tiny)
    radius = min((offset - normal @ centre) / np.linalg.norm(normal) for normal, offset in cutting)
    near = (np.linalg.norm(triangles - centre, axis=2) <= radius).all(axis=1)
    rest, owner = triangles[~near], tile[~near]
    for normal, offset in cutting:
        rest, owner = clipped(rest, owner, normal, offset)
    return np.concatenate([triangles[near], rest]), np.concatenate([tile[near], owner])


def integrated(triangles: Floats, tile: Numbers, tiles: int, rule: Rule, tolerance: float) -> tuple[Floats, float]:
    """Logs of the integrals over tiles made of triangles, and the relative error of their sum."""
    logs = np.full(tiles, -np.inf)
    estimates = np.concatenate([np.zeros(0), *map(rule.log_integrals, rule.batches(triangles))])
    total, error = log_sum(estimates), 0.0
    for depth in range(_DEEPEST + 1):
        if not len(triangles):
            break
        finer = np.concatenate([rule.log_integrals(quartered(some)) for some in rule.batches(triangles)]).reshape(-1, 4)
        better = np.logaddexp.reduce(finer, axis=1)
        before, now = total, log_sum(logs, better)
        total = now if now > -np.inf else before
        if total == -np.inf:
            break
        error *= float(np.exp(before - total))
        off = np.abs(np.exp(better - total) - np.exp(estimates - total))
        done = off <= tolerance * areas(triangles) / rule.place.area
        if depth == _DEEPEST or 4 * int((~done).sum()) > _MOST or error + float(off.sum()) <= tolerance:
            done[:] = True
        np.logaddexp.at(logs, tile[done], better[done])
        error += float(off[done].sum())
        triangles, estimates, tile = quartered(triangles[~done]), finer[~done].ravel(), np.repeat(tile[~done], 4)
    return logs, error


def log_sum(*logs: Floats) -> float:
    """Log of the sum of exponentials."""
    joined = np.concatenate(logs)
    top = float(joined.max(initial=-np.inf))
    return top if top == -np.inf else top + float(np.log(np.exp(joined - top).sum()))
