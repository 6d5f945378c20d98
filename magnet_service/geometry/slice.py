"""Slices: a line or a plane through the latent space, and a window on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from magnet_service.errors import InvalidInput

__all__ = ["Slice", "slice_along", "slice_through"]

_COLLINEAR = 1e-9
"""Height of a triangle over its longest side, below which its corners count as collinear."""

_MARGIN = 0.25
"""What a window adds on each side of the points that it is made for, as a share of their extent."""


@dataclass(frozen=True)
class Slice:
    """A line or a plane through the latent space with an orthonormal frame, and a convex window on it.

    Coordinates on the slice are distances in the latent space: point x of the slice is origin + x frame.

    Attributes:
        origin: latent at coordinates 0.
        frame: one or two orthonormal directions.
        window: corners of a convex polygon, counterclockwise; the two ends of a segment on a line.
    """

    origin: Float[Tensor, " latent"]
    frame: Float[Tensor, "axes latent"]
    window: Float[Tensor, "corners axes"]

    @property
    def axes(self) -> int:
        """1 or 2."""
        return len(self.frame)

    @cached_property
    def size(self) -> float:
        """Largest distance of two corners of the window."""
        return diameter(self.window)

    @property
    def area(self) -> float:
        """Area of the window, or length of the segment."""
        if self.axes == 1:
            return float((self.window[1] - self.window[0]).abs())
        return enclosed(self.window)

    def lift(self, points: Float[Tensor, "points axes"]) -> Float[Tensor, "points latent"]:
        """Latents of points of the slice.

        Arguments:
            points: coordinates on the slice.

        Returns:
            origin + points frame, float64.

        Raises:
            Nothing.

        Accuracy: rounding of float64.
        """
        return self.origin + points.double() @ self.frame

    def project(self, latents: Float[Tensor, "points latent"]) -> Float[Tensor, "points axes"]:
        """Coordinates of the points of the slice that are nearest to latents.

        Arguments:
            latents: on the slice or beside it.

        Returns:
            (latents - origin) frame^T, float64.

        Raises:
            Nothing.

        Accuracy: rounding of float64.
        """
        return (latents.double() - self.origin) @ self.frame.T


def slice_through(
    points: Float[Tensor, "points latent"], window: Sequence[float] | Float[Tensor, "corners axes"] | None = None
) -> Slice:
    """The plane through three latents, or the line through two.

    The first axis leads from the first point to the second; the origin is the first point.

    Arguments:
        points: two or three latents.
        window: (low, high) of a line, (left, right, bottom, top) of a plane, or the corners of a convex polygon, in
            coordinates of the slice; where None, what bounds the points and a quarter of its extent on each side.

    Returns:
        The slice, float64.

    Raises:
        InvalidInput: another number of points, points that are not finite or lie on one line or in one place (field
            `points`); a window that is none (field `window`).

    Accuracy: rounding of float64.

    Example:
        >>> found = slice_through(torch.eye(3, dtype=torch.float64))
        >>> found.lift(found.project(torch.eye(3, dtype=torch.float64))).round(decimals=12)[1].tolist()
        [0.0, 1.0, 0.0]
    """
    placed = points.detach().cpu().double()
    if len(placed) not in (2, 3):
        raise InvalidInput(f"{len(placed)} points; write three for a plane, or two for a line.", field="points")
    frame = orthonormal(placed[1:] - placed[0], "points")
    coordinates = (placed - placed[0]) @ frame.T
    if window is None:
        low, high = coordinates.aminmax(dim=0)
        margin = _MARGIN * (high - low).max()
        window = torch.stack([low - margin, high + margin], dim=1).flatten().tolist()
    return Slice(placed[0], frame, corners_of(window, len(frame)))


def slice_along(
    origin: Float[Tensor, " latent"],
    directions: Float[Tensor, "axes latent"],
    window: Sequence[float] | Float[Tensor, "corners axes"],
) -> Slice:
    """The slice through a latent that one or two directions span.

    Arguments:
        origin: latent at coordinates 0.
        directions: of any length; the frame is the orthonormal one by Gram and Schmidt, so that coordinates are
            distances.
        window: as for `slice_through`.

    Returns:
        The slice, float64.

    Raises:
        InvalidInput: directions that are not finite, zero or parallel, or more than two (field `directions`); an origin
            of another width or not finite (field `origin`); a window that is none (field `window`).

    Accuracy: rounding of float64.
    """
    spanning = directions.detach().cpu().double()
    if len(spanning) not in (1, 2):
        raise InvalidInput(f"{len(spanning)} directions; write one or two.", field="directions")
    at = origin.detach().cpu().double()
    if at.shape != spanning.shape[1:]:
        raise InvalidInput(
            f"the origin has {len(at)} numbers and the directions {spanning.shape[1]}; write the same.", field="origin"
        )
    if not bool(at.isfinite().all()):
        raise InvalidInput("the origin is not finite; write finite numbers.", field="origin")
    frame = orthonormal(spanning, "directions")
    return Slice(at, frame, corners_of(window, len(frame)))


def orthonormal(directions: Tensor, field: str) -> Tensor:
    """Gram and Schmidt, twice; InvalidInput where they span less than their number."""
    if not bool(directions.isfinite().all()):
        raise InvalidInput(f"{field} hold NaN or infinity; write finite numbers.", field=field)
    if directions.shape[1] < len(directions):
        raise InvalidInput(
            f"a latent space of {directions.shape[1]} dimension has no planes; write one direction.", field=field
        )
    longest = directions.norm(dim=1).max()
    frame: list[Tensor] = []
    for direction in directions:
        rest = direction
        for _ in range(2):
            for known in frame:
                rest = rest - (rest @ known) * known
        size = rest.norm()
        # Points that lie close together count as one; a direction may have any length.
        scale = longest if field == "points" else direction.norm()
        if not bool(size > _COLLINEAR * scale):
            problem = "are one" if not frame else "lie on one line"
            what = f"the points {problem}" if field == "points" else "a direction is zero or parallel to the other"
            raise InvalidInput(f"{what}: they do not span a slice; write others.", field=field)
        frame.append(rest / size)
    return torch.stack(frame)


def corners_of(window: Sequence[float] | Tensor, axes: int) -> Tensor:
    """The corners of a window, counterclockwise."""
    given = torch.as_tensor(window, dtype=torch.float64).detach().cpu()
    if not bool(given.isfinite().all()):
        raise InvalidInput("the window holds NaN or infinity; write finite numbers.", field="window")
    if axes == 1:
        if given.numel() != 2 or not bool(given.flatten()[0] < given.flatten()[1]):
            raise InvalidInput("the window of a line is LOW,HIGH with LOW below HIGH.", field="window")
        return given.reshape(2, 1)
    if given.ndim == 1 and len(given) == 4:
        left, right, bottom, top = given.tolist()
        if not (left < right and bottom < top):
            raise InvalidInput(
                f"the window {left:g},{right:g},{bottom:g},{top:g} is empty; write LEFT,RIGHT,BOTTOM,TOP with LEFT "
                f"below RIGHT and BOTTOM below TOP.",
                field="window",
            )
        return torch.tensor([[left, bottom], [right, bottom], [right, top], [left, top]], dtype=torch.float64)
    if given.ndim != 2 or given.shape[1] != 2 or len(given) < 3:
        raise InvalidInput(
            "a window is LEFT,RIGHT,BOTTOM,TOP, or at least three corners of a convex polygon.", field="window"
        )
    if enclosed(given) < 0:
        given = given.flip(0)
    sides = given.roll(-1, 0) - given
    beyond = given[None, :, :] - given[:, None, :]
    left_of = sides[:, None, 0] * beyond[..., 1] - sides[:, None, 1] * beyond[..., 0]
    # Every corner but an edge's own two lies strictly on its left.
    count = len(given)
    own = torch.eye(count, dtype=torch.bool)
    own = own | own.roll(1, dims=1)
    least = 1e-12 * diameter(given) ** 2
    if not bool((left_of[~own] > least).all()):
        raise InvalidInput(
            "the window is no convex polygon: write its corners in order around it, without repetitions and without "
            "corners on a side.",
            field="window",
        )
    return given


def diameter(corners: Tensor) -> float:
    """Largest distance of two corners."""
    return float((corners[:, None] - corners).norm(dim=2).max())


def enclosed(corners: Tensor) -> float:
    """Area of a polygon, negative for clockwise ones."""
    # From its first corner, so that what is far from 0 loses nothing.
    x, y = (corners - corners[0]).T
    return float((x * y.roll(-1) - y * x.roll(-1)).sum() / 2)
