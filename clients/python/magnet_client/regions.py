"""Regions of the latent space, and rows of the affine maps on them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magnet_client.errors import InvalidInput
from magnet_client.neighbourhoods import Computed, UnitLayer
from magnet_client.slices import save_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AffineRows", "Region", "Wall"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wall:
    """A way to leave a region."""

    layer: int
    """Of the unit, its place among the layers; -1 for a side of the box."""
    unit: int
    """Number of the unit in its layer; the coordinate for a side of the box."""
    side: int
    """+1 where its pre-activation reaches the next breakpoint above, -1 below, 0 where another entry wins."""
    contender: int
    """Place of the entry that wins beyond, in the node's inputs flattened and joined; -1 elsewhere."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """The region of a latent: all latents with its activation pattern, on which the generator is one affine map."""

    latent: NDArray[np.float64]
    """[d]."""
    pattern: NDArray[np.int32] = dataclasses.field(repr=False)
    """[units], the state of each."""
    layers: tuple[UnitLayer, ...]
    """The layers of units."""
    radius: float
    """Distance from the latent to the nearest other region, the box aside; infinite where there is none."""
    nearest: Wall | None
    """Whose hyperplane that is; None where there is none."""
    count: int
    """How many half-spaces there are."""
    unconstrained: int
    """How many bounds of units carry no constraint, because their gradient is zero on the region."""
    minimal: bool
    """Whether no half-space is redundant; False too where minimal ones were asked for and the region has no inside."""
    output_shape: tuple[int, ...]
    """Of the value; of the generator's output where it has as many numbers."""
    layout: str
    """How that is laid out: HW, CHW, HWC or vector."""
    matrix: NDArray[np.float64] | None = dataclasses.field(repr=False)
    """[D, d]: on the region, value(z) = matrix z + shift, the value flattened; None if not asked for."""
    shift: NDArray[np.float64] | None = dataclasses.field(repr=False)
    """[D]."""
    normals: NDArray[np.float64] | None = dataclasses.field(repr=False)
    """[count, d], of unit length: the region is the set of z with normals z <= offsets; None if not asked for."""
    offsets: NDArray[np.float64] | None = dataclasses.field(repr=False)
    """[count]."""
    distances: NDArray[np.float64] | None = dataclasses.field(repr=False)
    """[count], of the latent to each hyperplane."""
    walls: NDArray[np.int64] | None = dataclasses.field(repr=False)
    """[count, 4]: layer, unit, side and contender of each, as in `Wall`."""
    ball_radius: float | None
    """Of the largest ball inside; infinite where there are balls of any radius, None if not asked for."""
    ball_centre: NDArray[np.float64] | None
    """[d]; None where there are balls of any radius."""
    same_region: NDArray[np.bool_] | None
    """[others]: whether other latents are in this region; None without others."""
    computed: Computed

    def name_of(self, wall: Wall) -> str:
        """Return the unit of a wall in words, as `relu_1[17]`; `box[2]` for a side of the box."""
        name = "box" if wall.layer < 0 else self.layers[wall.layer].name
        return f"{name}[{wall.unit}]"

    def contains(self, latents: ArrayLike, slack: float = 0.0) -> NDArray[np.bool_]:
        """Whether latents [rows, d] are in the region, or outside of a half-space by at most `slack`.

        InvalidInput (field `half_spaces`) where these were not asked for.
        """
        if self.normals is None or self.offsets is None:
            raise InvalidInput(
                "half-spaces are not here: ask for half_spaces=True", field="half_spaces", reason="INVALID_INPUT"
            )
        points: NDArray[np.float64] = np.asarray(latents, dtype=np.float64)
        found: NDArray[np.bool_] = np.all(points @ self.normals.T <= self.offsets + slack, axis=1)
        return found

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw the region of a latent of two numbers; else columns of its map as images, or distances to its walls.

        Column i is what a step along coordinate i of the latent adds to the value, on a scale of two colours around 0.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            width: of the figure in inches.
            dpi: pixels an inch.

        Returns:
            The figure.

        Raises:
            InvalidInput: another suffix (field `path`); neither half-spaces nor a map (field `half_spaces`).
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: of more than 64 columns the 64 longest are drawn, and the title says so.
        """
        from magnet_client.rendering.regions import draw_region

        return draw_region(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        names = (
            "latent", "pattern", "matrix", "shift", "normals", "offsets", "distances", "walls", "ball_centre",
            "same_region",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        given = {name: array for name, array in found.items() if array is not None}
        return save_arrays(path, given | {"layers": np.array([layer.name for layer in self.layers])})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AffineRows:
    """Rows of the affine map on the region of each of the caller's latents, in their order."""

    rows: NDArray[np.float64] = dataclasses.field(repr=False)
    """[rows, outputs, ...]: row i of A is the gradient of output i, with the shape of the generator's input."""
    outputs: tuple[int, ...]
    """The outputs asked for."""
    lipschitz: NDArray[np.float64] | None
    """[rows], largest singular value of the Jacobian; 0 where the value is constant, NaN where it is not finite. None
    if not asked for."""
    computed: Computed

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw the rows on a scale of two colours around 0: as images where the input is one, else as a table.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            width: of the figure in inches.
            dpi: pixels an inch.

        Returns:
            The figure.

        Raises:
            InvalidInput: another suffix (field `path`); no rows (field `outputs`).
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: of more than 8 latents or 16 outputs the first ones are drawn, and the title says so.
        """
        from magnet_client.rendering.regions import draw_rows

        return draw_rows(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        given: dict[str, NDArray[np.generic]] = {"rows": self.rows, "outputs": np.array(self.outputs)}
        return save_arrays(path, given if self.lipschitz is None else given | {"lipschitz": self.lipschitz})
