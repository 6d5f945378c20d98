"""Where the boundaries of a generator's units lie in a plane."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magnet_client.slices import SliceHeader, SliceLayer, save_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HyperplaneDensity"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HyperplaneDensity:
    """How much boundary of each layer's units lies in the cells of a grid over a window of a plane."""

    header: SliceHeader
    """The slice, its layers and figures."""
    lengths: NDArray[np.float64] = dataclasses.field(repr=False)
    """[layers, rows, columns]: length of boundary in each cell in the latent's units, the first row at the bottom."""

    @property
    def layers(self) -> tuple[SliceLayer, ...]:
        """The nonlinearities taken into account, in order of execution."""
        return self.header.layers

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the grid."""
        (left, bottom), (right, top) = self.header.window.min(axis=0), self.header.window.max(axis=0)
        return float(left), float(right), float(bottom), float(top)

    @property
    def densities(self) -> NDArray[np.float64]:
        """[layers, rows, columns]: length of boundary over area of a cell."""
        left, right, bottom, top = self.extent
        rows, columns = self.lengths.shape[1:]
        found: NDArray[np.float64] = self.lengths * (rows * columns / ((right - left) * (top - bottom)))
        return found

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw the density of boundaries, one panel a layer.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            width: of the figure in inches; by the number of layers when None.
            dpi: pixels an inch.

        Returns:
            The figure.

        Raises:
            InvalidInput: another suffix (field `path`), or no layer (field `layers`).
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: each panel has a scale of its own.

        References: survey, arXiv 2408.04809, Figures 7 and 8.
        """
        from magnet_client.rendering import draw_hyperplanes

        return draw_hyperplanes(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write every array as .npz; as `Tessellation.save`."""
        return save_arrays(path, {**self.header.arrays(), "lengths": self.lengths})
