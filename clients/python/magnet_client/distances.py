"""How far latents are from the hyperplanes of a generator's units."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magnet_client.neighbourhoods import Computed, UnitLayer
from magnet_client.slices import save_arrays
from magnet_client.words import SpaceWord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HyperplaneDistances"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HyperplaneDistances:
    """Distances of the caller's latents to the hyperplanes of each layer's units, over all latents and units."""

    layers: tuple[UnitLayer, ...]
    """The layers answered, in order of execution."""
    mean: NDArray[np.float64]
    """[layers], mean distance; NaN where there is no hyperplane."""
    root_mean_square: NDArray[np.float64]
    """[layers], square root of the mean squared distance, which total least squares minimises; NaN likewise."""
    counted: NDArray[np.int64]
    """[layers], pairs of a latent and a hyperplane."""
    without: NDArray[np.int64]
    """[layers], pairs of a latent and a unit's breakpoint without a hyperplane, as the gradient is 0 there."""
    left_out: dict[str, str]
    """Names of layers that have no such hyperplanes, as max-pools, each with the reason."""
    space: SpaceWord
    """Where distances are measured: the `latent` space, or that of what feeds the `layer`."""
    rows: int
    """How many latents there were."""
    computed: Computed

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw the mean distance of each layer as a bar, and the root mean square above it.

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

        Accuracy: exact.
        """
        from magnet_client.rendering.distances import draw_distances

        return draw_distances(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        given = {name: getattr(self, name) for name in ("mean", "root_mean_square", "counted", "without")}
        names = np.array([layer.name for layer in self.layers])
        return save_arrays(path, given | {"layers": names, "space": np.array(self.space)})
