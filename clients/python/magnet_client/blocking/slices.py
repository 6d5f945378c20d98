"""Slices: tiles of a plane or a line, and where the units' boundaries lie."""

from __future__ import annotations

from numpy.typing import ArrayLike

from magnet_client import codec
from magnet_client.blocking.connection import Connection
from magnet_client.hyperplanes import HyperplaneDensity
from magnet_client.tessellation import Tessellation
from magnet_client.words import ConditionLike, PrecisionWord

__all__ = ["Slices"]


class Slices(Connection):
    """Calls of the geometry service about slices."""

    def slice(
        self,
        generator: str,
        points: ArrayLike | None = None,
        *,
        origin: ArrayLike | None = None,
        directions: ArrayLike | None = None,
        window: ArrayLike | None = None,
        condition: ConditionLike | None = None,
        up_to: str | None = None,
        boundary: bool = False,
        max_tiles: int | None = None,
        patterns: bool = False,
        volumes: bool = False,
        masses: bool = False,
        precision: PrecisionWord = "float64",
        timeout: float | None = None,
    ) -> Tessellation:
        """Cut a window of a plane, or a segment of a line, into the tiles on which the generator is affine.

        Formula: on a tile, value(x) = A x + c at coordinates x of the slice, the latent there being origin + x frame.

        Arguments:
            generator: `name` or `name@version`.
            points: [3, d] for the plane through three latents, [2, d] for the line through two. The origin is the
                first, the first axis leads to the second. Either points, or origin and directions.
            origin: [d], the latent at coordinates 0.
            directions: [2, d] for a plane, [1, d] for a line, of any length; made orthonormal.
            window: (left, right, bottom, top) of a plane, (low, high) of a line, or [corners, 2] of a convex polygon,
                in coordinates of the slice, which are distances in the latent space. What bounds the points, and a
                quarter of their extent on each side, when None.
            condition: held fixed; where the generator takes one.
            up_to: name of the node whose value shall be affine on every tile; what feeds the smooth head when None.
            boundary: also cut along the decision boundary: where the two largest entries of that value tie, or where
                its only one is 0.
            max_tiles: tiles at most; the server's limit (1,000,000 unless set otherwise) when None. The layer whose
                cuts would make more is left out, with all behind it: see `truncated`.
            patterns: whether each tile's activation pattern is answered, one number a unit.
            volumes: whether log singular values and rank of the whole Jacobian are answered for each tile, and the
                prior's log density at its centroid: `log_density` of the answer puts them together.
            masses: whether the probability of each tile of a plane under the prior is answered, conditional on the
                slice where d is above 2; `masses_at` of the answer weights it by a power of the volume.
            precision: of these volumes, `float64` or `float32`; in the latter a tile narrower than its rounding may get
                the volumes of its neighbour. Tiles are always computed in float64.
            timeout: seconds for the whole stream; no limit when None.

        Returns:
            Tiles, edges with the unit that made each, areas and norms; `render` draws them.

        Raises:
            InvalidInput: with field, for what can never be right: points on one line, an empty or concave window, NaN,
                latents of another width, more tiles than the server allows.
            UnknownResource: no such generator or version.
            Refused: the generator is smooth inside (NOT_PIECEWISE_AFFINE); the message names the operation. Masses of a
                prior that has no density on a plane (NO_DENSITY).
            Overloaded, Cancelled, DeadlineExceeded, Unavailable, ServerFault: as their names say.

        Accuracy: exact up to the rounding of float64; crossings nearer than 1e-13 of the window's size to one another
            are one, and `merged` counts them. Masses are integrals to 1e-9 of their sum, `header.masses.error` says how
            far they may be off.

        References: SplineCam, arXiv 2302.12828; survey, arXiv 2408.04809.
        """
        request = codec.slice_request(
            generator,
            points,
            origin,
            directions,
            window,
            condition,
            up_to,
            boundary,
            max_tiles,
            patterns,
            volumes,
            masses,
            precision,
        )
        assembly = codec.SliceAssembly(points)
        parts = self._open(self._geometry.Slice, request, timeout)
        try:
            while (part := self._next(parts)) is not None:
                assembly.add(part)
        finally:
            parts.cancel()
        return assembly.finish()

    def hyperplane_density(
        self,
        generator: str,
        points: ArrayLike | None = None,
        *,
        origin: ArrayLike | None = None,
        directions: ArrayLike | None = None,
        window: ArrayLike | None = None,
        condition: ConditionLike | None = None,
        up_to: str | None = None,
        max_tiles: int | None = None,
        cells: tuple[int, int] = (128, 128),
        timeout: float | None = None,
    ) -> HyperplaneDensity:
        """Measure the length of the units' boundaries in the cells of a grid over a window of a plane, layer by layer.

        Arguments:
            generator, points, origin, directions, window, condition, up_to, max_tiles: as in `slice`, of a plane.
            cells: columns and rows of the grid over the smallest rectangle around the window, each 1 to 4096.
            timeout: seconds; the client's own when None, `math.inf` for no limit.

        Returns:
            Length of boundary by layer and cell; `render` draws a panel a layer.

        Raises:
            The same as `slice`; InvalidInput (field `points` or `directions`) for a line.

        Accuracy: exact up to the rounding of float64; where lines of several units fall together they count once.

        References: survey, arXiv 2408.04809, Figures 7 and 8; Batch Normalization Explained, arXiv 2209.14778.
        """
        sliced = codec.slice_request(
            generator,
            points,
            origin,
            directions,
            window,
            condition,
            up_to,
            False,
            max_tiles,
            False,
            False,
            False,
            "float64",
        )
        request = codec.hyperplane_density_request(sliced, cells)
        return codec.decode_hyperplane_density(self._call(self._geometry.HyperplaneDensity, request, timeout), points)
