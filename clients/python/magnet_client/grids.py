"""Latents on a grid over a plane of the latent space."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magnet_client.errors import InvalidInput

__all__ = ["LatentGrid", "latent_grid"]

_MARGIN = 0.25
_COLLINEAR = 1e-9
_MOST = 4096


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LatentGrid:
    """The middles of the cells of a grid over a window of a plane; what calls about latents take for latents."""

    origin: NDArray[np.float64]
    """[d]: the latent at coordinates 0."""
    frame: NDArray[np.float64]
    """[2, d], orthonormal."""
    window: tuple[float, float, float, float]
    """Left, right, bottom and top, in coordinates of the plane, which are distances in the latent space."""
    cells: tuple[int, int]
    """Columns and rows."""
    through: NDArray[np.float64] | None
    """[points, 2]: the points asked for, in coordinates of the plane; None for an origin and directions."""

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """[rows * columns, 2] on the plane, row after row, the first row at the bottom."""
        (left, right, bottom, top), (columns, rows) = self.window, self.cells
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        y = bottom + (np.arange(rows) + 0.5) * (top - bottom) / rows
        return np.stack([np.tile(x, rows), np.repeat(y, columns)], axis=1)

    @property
    def latents(self) -> NDArray[np.float64]:
        """[rows * columns, d], in the same order."""
        found: NDArray[np.float64] = self.origin + self.coordinates @ self.frame
        return found

    def field(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return [rows * columns, ...] values of the latents as [rows, columns, ...], the first row at the bottom."""
        columns, rows = self.cells
        return values.reshape(rows, columns, *values.shape[1:])

    def __len__(self) -> int:
        return self.cells[0] * self.cells[1]

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.float64]:
        found = self.latents
        return found if dtype is None else found.astype(dtype)  # type: ignore[call-overload]


def latent_grid(
    points: ArrayLike | None = None,
    *,
    origin: ArrayLike | None = None,
    directions: ArrayLike | None = None,
    window: tuple[float, float, float, float] | None = None,
    cells: tuple[int, int] = (64, 64),
) -> LatentGrid:
    """Lay a grid over a window of the plane through three latents, or along two directions.

    Arguments:
        points: [3, d]; the origin is the first, the first axis leads to the second, as in `Client.slice`.
        origin: [d], in place of points.
        directions: [2, d] of any length, made orthonormal.
        window: (left, right, bottom, top); where None, what bounds the points and a quarter of its extent on each side.
        cells: columns and rows.

    Returns:
        The grid, which `local_complexity` and `log_density` take in place of latents and draw as a map.

    Raises:
        InvalidInput: naming the field, for points on one line, an empty window, or no cells.

    Accuracy: rounding of float64.

    Example:
        >>> grid = latent_grid([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], window=(0, 2, 0, 1), cells=(2, 1))
        >>> grid.latents.tolist()
        [[0.5, 0.5], [1.5, 0.5]]
    """
    if points is not None:
        if origin is not None or directions is not None:
            raise _invalid("points", "write either points, or an origin and directions: both are given")
        placed = _numbers(points, "points", 3)
        base, frame = placed[0], _orthonormal(placed[1:] - placed[0], "points")
        through = (placed - base) @ frame.T
        if window is None:
            low, high = through.min(axis=0), through.max(axis=0)
            margin = _MARGIN * (high - low).max()
            window = (low[0] - margin, high[0] + margin, low[1] - margin, high[1] + margin)
    elif origin is None or directions is None:
        raise _invalid("points", "write points (three latents), or an origin and directions")
    elif window is None:
        raise _invalid("window", "without points a window is needed: (left, right, bottom, top)")
    else:
        spanning = _numbers(directions, "directions", 2)
        base, frame, through = np.asarray(origin, dtype=np.float64), _orthonormal(spanning, "directions"), None
        if base.shape != spanning.shape[1:] or not np.isfinite(base).all():
            raise _invalid("origin", f"the origin is one latent of {spanning.shape[1]} finite numbers")
    if len(window) != 4 or not np.isfinite(window).all() or not (window[0] < window[1] and window[2] < window[3]):
        raise _invalid("window", f"a window is (left, right, bottom, top), left < right, bottom < top; not {window!r}")
    if len(cells) != 2 or not all(1 <= count <= _MOST for count in cells):
        raise _invalid("cells", f"cells are (columns, rows), each 1 to {_MOST}; not {cells!r}")
    left, right, bottom, top = (float(number) for number in window)
    return LatentGrid(
        origin=base,
        frame=frame,
        window=(left, right, bottom, top),
        cells=(int(cells[0]), int(cells[1])),
        through=through,
    )


def _numbers(values: ArrayLike, field: str, count: int) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or len(found) != count or not np.isfinite(found).all():
        raise _invalid(field, f"{field} must be {count} rows of finite numbers; these have shape {found.shape}")
    return found


def _orthonormal(directions: NDArray[np.float64], field: str) -> NDArray[np.float64]:
    frame: list[NDArray[np.float64]] = []
    longest = np.linalg.norm(directions, axis=1).max()
    for direction in directions:
        rest = direction
        for _ in range(2):
            for known in frame:
                rest = rest - (rest @ known) * known
        size = np.linalg.norm(rest)
        if not size > _COLLINEAR * longest:
            raise _invalid(field, f"{field} span no plane: they lie on one line, or are one; write others")
        frame.append(rest / size)
    return np.stack(frame)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, reason="INVALID_INPUT")
