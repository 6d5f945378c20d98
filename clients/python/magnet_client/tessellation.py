"""The tiles of a plane, or the intervals of a line, on each of which a generator is affine."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magnet_client.errors import InvalidInput
from magnet_client.slices import SliceHeader, SliceLayer, SliceStatistics, save_arrays
from magnet_client.tile_densities import TileDensity, TileMasses, tile_density, tile_masses
from magnet_client.words import ColorWord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Tessellation"]

_BORDER, _DECISION = -1, -2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tessellation:
    """The tiles into which a generator cuts a window of a plane, or the intervals of a line; on each it is affine."""

    header: SliceHeader
    """The slice, its layers and figures."""
    points: NDArray[np.float64]
    """[vertices, axes], coordinates on the slice, which are distances in the latent space."""
    ends: NDArray[np.int32]
    """[edges, 2], first and second vertex; on a line the intervals, from low to high."""
    sides: NDArray[np.int32]
    """[edges, 2], the tile on the left from first to second vertex, and on the way back; -1 outside of the window. No
    rows on a line."""
    labels: NDArray[np.int32]
    """[edges, 3], what made each edge: layer (its place in `layers`; -1 the window's border, -2 the decision boundary),
    unit, and which of the unit's functions. On a line [vertices, 3], what made each vertex."""
    starts: NDArray[np.int64]
    """[tiles + 1], where the edges of a tile begin in `cycle`."""
    cycle: NDArray[np.int32]
    """Directed edges around the tiles, counterclockwise: twice the edge's number, and 1 more on the way back."""
    areas: NDArray[np.float64]
    """[tiles], in squares of the latent's units; lengths on a line."""
    centroids: NDArray[np.float64]
    """[tiles, axes]."""
    spreads: NDArray[np.float64]
    """[tiles, 2], longest and shortest distance of two corners."""
    spectral_norms: NDArray[np.float64]
    """[tiles], largest singular value of the affine map of the slice; NaN where TRUNCATED, as the next two."""
    frobenius_norms: NDArray[np.float64]
    """[tiles], Frobenius norm of that map."""
    stretches: NDArray[np.float64]
    """[tiles], factor by which that map stretches areas of the slice, or lengths of a line."""
    patterns: NDArray[np.uint8] | NDArray[np.int32] | None = None
    """[tiles, units], state of each unit of the layers; None if not asked for."""
    log_singular_values: NDArray[np.float64] | None = None
    """[tiles, d], of the whole Jacobian before the smooth head, in nats, descending; -inf beyond the rank. None if not
    asked for, and where TRUNCATED."""
    rank: NDArray[np.int32] | None = None
    """[tiles], of that Jacobian."""
    log_prior: NDArray[np.float64] | None = None
    """[tiles], log p(z) of the prior at the centroid in nats; None without volumes, and where the prior has no density
    on a slice: on a sphere, or as the law of an inner value."""
    masses: NDArray[np.float64] | None = None
    """[tiles], probabilities under the prior, as `header.masses` says; None if not asked for."""

    @property
    def tiles(self) -> int:
        """Number of tiles; of intervals on a line."""
        return len(self.areas)

    @property
    def axes(self) -> int:
        """2 for a plane, 1 for a line."""
        return self.header.axes

    @property
    def window(self) -> NDArray[np.float64]:
        """[corners, axes], counterclockwise; the two ends on a line."""
        return self.header.window

    @property
    def layers(self) -> tuple[SliceLayer, ...]:
        """The nonlinearities taken into account, in order of execution."""
        return self.header.layers

    @property
    def statistics(self) -> SliceStatistics:
        """Figures of the tiles."""
        return self.header.statistics

    @property
    def truncated(self) -> bool:
        """Whether a budget ended it, so that layers from `header.stopped_at` on are left out."""
        return self.header.truncated

    @property
    def log_volumes(self) -> NDArray[np.float64] | None:
        """[tiles], log v for k = d in nats, -inf where rank < d; None where there are no log singular values."""
        return None if self.log_singular_values is None else self.log_singular_values.sum(axis=1)

    def log_density(self, top_k: int = 0) -> TileDensity:
        """Return the log density of the image of each tile's centroid, under the generator's prior.

        Formula: log p(z) - log v(z) for one preimage; with fewer singular values score_k = log p(z) - log v_k(z).

        Arguments:
            top_k: k, 1 to d; 0 for k = d.

        Returns:
            Values in nats, and for each whether it is a density.

        Raises:
            InvalidInput: there are no volumes (field `volumes`), or no such k (field `top_k`).
            Refused: the prior has no density on a slice (NO_DENSITY).

        Accuracy: that of the log singular values. All over a tile v_k is the same, and the prior's density is not.
        """
        return tile_density(self, top_k)

    def masses_at(self, rho: float, top_k: int = 0) -> TileMasses:
        """Return the probabilities of the tiles of a plane under the prior's law at a power of v_k.

        Formula: the integral of p(z) v_k(z)^rho over a tile, over that of the window; for rho = 0 `masses` as they are.

        Arguments:
            rho: the exponent.
            top_k: k, 1 to d; 0 for k = d.

        Returns:
            Probabilities, and under which law.

        Raises:
            InvalidInput: there are no masses (field `masses`), no volumes for a rho other than 0 (field `volumes`), no
                such k, or no tile of that rank (field `top_k`), a rho that is not finite (field `rho`).

        Accuracy: `error` says how far their sum may be off.

        References: Polarity Sampling, arXiv 2203.01993.
        """
        return tile_masses(self, rho, top_k)

    @cached_property
    def corners(self) -> NDArray[np.int32]:
        """The vertices of the tiles, in the order of `cycle`."""
        if self.axes == 1:
            return self.ends.ravel()
        found: NDArray[np.int32] = self.ends[self.cycle >> 1, self.cycle & 1]
        return found

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """The tile beyond each edge of `cycle`, -1 beyond the window; on a plane only."""
        if self.axes == 1:
            raise InvalidInput(
                "intervals of a line stand in order: neighbours are those beside one", reason="INVALID_INPUT"
            )
        found: NDArray[np.int32] = self.sides[self.cycle >> 1, 1 - (self.cycle & 1)]
        return found

    @property
    def lengths(self) -> NDArray[np.float64]:
        """[edges]."""
        found: NDArray[np.float64] = np.linalg.norm(self.points[self.ends[:, 1]] - self.points[self.ends[:, 0]], axis=1)
        return found

    @property
    def border(self) -> NDArray[np.bool_]:
        """Which edges, or vertices of a line, lie on the window's border."""
        found: NDArray[np.bool_] = self.labels[:, 0] == _BORDER
        return found

    @property
    def decision(self) -> NDArray[np.bool_]:
        """Which edges, or vertices of a line, lie on the decision boundary; none unless it was asked for."""
        found: NDArray[np.bool_] = self.labels[:, 0] == _DECISION
        return found

    def polygons(self) -> Iterator[NDArray[np.float64]]:
        """Yield the corners of each tile, [corners, axes], counterclockwise; on a line the ends of each interval."""
        placed = self.points[self.corners]
        for first, last in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            yield placed[first:last]

    def lift(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the latents of points of the slice.

        Arguments:
            points: [points, axes], coordinates on the slice; `centroids` for a latent inside of each tile.

        Returns:
            [points, d].

        Raises:
            Nothing.

        Accuracy: rounding of float64.
        """
        found: NDArray[np.float64] = self.header.origin + np.asarray(points, dtype=np.float64) @ self.header.frame
        return found

    def project(self, latents: ArrayLike) -> NDArray[np.float64]:
        """Return the coordinates of the points of the slice that are nearest to latents.

        Arguments:
            latents: [points, d], on the slice or beside it.

        Returns:
            [points, axes].

        Raises:
            Nothing.

        Accuracy: rounding of float64.
        """
        placed = np.asarray(latents, dtype=np.float64) - self.header.origin
        found: NDArray[np.float64] = placed @ self.header.frame.T
        return found

    def __len__(self) -> int:
        return self.tiles

    def __repr__(self) -> str:
        header = self.header
        kind = "intervals of a line" if self.axes == 1 else "tiles of a plane"
        ended = f"TRUNCATED at {header.stopped_at}" if self.truncated else f"up to {header.target}"
        return f"<Tessellation of {header.generator}: {self.tiles:,} {kind}, {len(self.layers)} layers, {ended}>"

    def render(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        color: ColorWord | None = None,
        top_k: int = 0,
        rho: float = 0.0,
        edges: bool | None = None,
        width: float = 8.0,
        dpi: float = 150.0,
    ) -> Figure:
        """Draw the tiles: coloured, with the edges coloured by layer and the decision boundary red.

        On a line: the norm of the affine map over the segment, and below it where each layer's units bend.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            color: what a plane's tiles are coloured by: `log_volume` (the whole Jacobian's, if volumes were asked for),
                `stretch` (of areas of the slice), `norm` (spectral), `area`, `log_density` (of the tile's centroid, if
                volumes were asked for), `mass` (its probability, if masses were), or `none`. The first of these that
                is there when None.
            top_k: k of `log_volume`, `log_density` and `mass`, 1 to d; 0 for k = d.
            rho: with `mass`, the power of v_k by which the prior is weighted.
            edges: whether to draw a plane's edges; where None, only if they are few enough to leave tiles to be seen,
                and always where `color` is `none`.
            width: of the figure in inches.
            dpi: pixels an inch, of a .png and of the tiles in an .svg where these are too many for shapes.

        Returns:
            The figure, for more to be drawn on it; `figure.axes[0]` is that of the slice.

        Raises:
            InvalidInput: another suffix (field `path`), a colour that is not there (field `color`), or as
                `log_density` and `masses_at`.
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: colours beyond the inner 99 % of the window's area are those of the scale's ends.
        """
        from magnet_client.rendering import draw_line, draw_plane

        if self.axes == 1:
            return draw_line(self, path, width, dpi)
        return draw_plane(self, path, color, top_k, rho, edges, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write every array as .npz.

        Arguments:
            path: where to, with the suffix .npz; an existing file is overwritten.

        Returns:
            The path written.

        Raises:
            InvalidInput: for another suffix; `render` writes pictures.
            OSError: if the file cannot be written.

        Accuracy: exact; read it with `numpy.load`, no pickle.
        """
        return save_arrays(path, {**self.header.arrays(), **self._arrays()})

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        fields = [field.name for field in dataclasses.fields(self) if field.name != "header"]
        return {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
