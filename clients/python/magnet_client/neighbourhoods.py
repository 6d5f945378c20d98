"""What a generator does around latents: local complexity, and the density of their images."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magnet_client.grids import LatentGrid
from magnet_client.results import MeasuredError
from magnet_client.slices import save_arrays
from magnet_client.words import EstimatorWord, ManifoldWord, PrecisionWord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Computed", "LocalComplexity", "LogDensity", "UnitLayer"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitLayer:
    """A layer of units: one piecewise linear node of the network."""

    name: str
    """Of the node."""
    operation: str
    """Name in the table of operations."""
    first: int
    """Number of its first unit in an activation pattern."""
    units: int
    states: int
    """How many states a unit may have: 2 for relu, 3 for hardtanh, as many as there are entries for a max-pool."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Computed:
    """How an answer about latents was computed."""

    generator: str
    """`name@version`."""
    generator_digest: str
    """SHA-256 of the generator."""
    manifold: ManifoldWord
    condition: str | int | tuple[float, ...] | None
    """The condition held fixed; None where the generator takes none."""
    stamp: dict[str, str]
    """How the numbers were computed."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LocalComplexity:
    """How many units change their state around each of the caller's latents, in their order."""

    total: NDArray[np.int64] = dataclasses.field(repr=False)
    """[rows], all layers together."""
    by_layer: NDArray[np.int64] = dataclasses.field(repr=False)
    """[rows, layers]."""
    layers: tuple[UnitLayer, ...]
    """The layers answered, in order of execution."""
    estimator: EstimatorWord
    radius: float
    """r, in the units of the latent."""
    directions: int
    """P; 0 for the ball, which has none."""
    default_directions: bool
    """Whether P was left open."""
    frame: NDArray[np.float64] | None = dataclasses.field(repr=False)
    """[P, d], the directions that all latents share; None where each has its own, and for the ball."""
    grid: LatentGrid | None = dataclasses.field(repr=False)
    """The grid that was given in place of latents."""
    computed: Computed

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw a map of the total and of each layer over the grid; mean and range of each layer where there is none.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            width: of the figure in inches; by the number of layers when None.
            dpi: pixels an inch.

        Returns:
            The figure.

        Raises:
            InvalidInput: another suffix (field `path`).
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: each panel has a scale of its own.
        """
        from magnet_client.rendering.fields import draw_complexity

        return draw_complexity(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        names = np.array([layer.name for layer in self.layers])
        given = {"total": self.total, "by_layer": self.by_layer, "layers": names} | _placed(self.grid)
        return save_arrays(path, given if self.frame is None else given | {"frame": self.frame})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LogDensity:
    """log p(z) - log v_k(z) at each of the caller's latents, in their order; p is the generator's prior."""

    values: NDArray[np.float64] = dataclasses.field(repr=False)
    """[rows], nats: -inf outside of the prior's support, NaN where rank < k."""
    is_density: NDArray[np.bool_] = dataclasses.field(repr=False)
    """[rows]: whether the value is the log density of one preimage, that is k = d and rank = d."""
    label: str
    """`density of one preimage` for k = d, else `score_k` with the number k, which ranks latents and is no density."""
    top_k: int
    """The k used."""
    columns: int
    """Singular values there are: d, and d - 1 for a prior on a sphere."""
    rank: NDArray[np.int32] = dataclasses.field(repr=False)
    """[rows]."""
    log_prior: NDArray[np.float64] = dataclasses.field(repr=False)
    """[rows], log p(z) in nats; on a sphere with respect to its surface."""
    log_volumes: NDArray[np.float64] = dataclasses.field(repr=False)
    """[rows], log v_k in nats; -inf where rank < k."""
    prior: str
    """As `normal(dim=20)`."""
    precision: PrecisionWord
    error: MeasuredError | None
    """In bfloat16 what was measured for this generator; None in the others."""
    grid: LatentGrid | None = dataclasses.field(repr=False)
    """The grid that was given in place of latents."""
    computed: Computed

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw a map of the values over the grid; how often they occur where there is none.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            width: of the figure in inches.
            dpi: pixels an inch.

        Returns:
            The figure; what has no density is grey.

        Raises:
            InvalidInput: another suffix (field `path`).
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: the scale ends at the 1st and 99th percentile of finite values; arrows say that there are more.
        """
        from magnet_client.rendering.fields import draw_log_density

        return draw_log_density(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        given = {name: getattr(self, name) for name in ("values", "is_density", "rank", "log_prior", "log_volumes")}
        return save_arrays(path, given | {"label": np.array(self.label)} | _placed(self.grid))


def _placed(grid: LatentGrid | None) -> dict[str, NDArray[np.generic]]:
    """The grid's arrays for a file."""
    if grid is None:
        return {}
    window, cells = np.array(grid.window), np.array(grid.cells)
    return {"origin": grid.origin, "plane": grid.frame, "window": window, "cells": cells}
