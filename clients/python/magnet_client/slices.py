"""Slices as they were taken: where, how far, which layers, figures of the tiles."""

from __future__ import annotations

import dataclasses
import json
import os
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnet_client.errors import InvalidInput
from magnet_client.words import PrecisionWord

__all__ = ["Extent", "SliceHeader", "SliceLayer", "SliceMasses", "SliceStatistics", "save_arrays"]


class Extent(StrEnum):
    """How far a tessellation goes."""

    COMPLETE = "COMPLETE"
    """All layers up to the value asked for."""
    TRUNCATED = "TRUNCATED"
    """A budget ended it: the exact tiles of the layers listed, and not of those behind."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceLayer:
    """What one nonlinearity does to a slice."""

    name: str
    """Of the node."""
    operation: str
    """Name in the table of operations."""
    units: int
    """All of its units."""
    bending: int
    """Those that are not affine over the window."""
    tiles: int
    """Tiles of the slice, this layer's cuts among them; intervals on a line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceStatistics:
    """Figures of the tiles of a slice, as SplineCam (arXiv 2302.12828) reports them."""

    area_mean: float
    """Of a tile, in squares of the latent's units; lengths on a line."""
    area_sd: float
    corners_mean: float
    """Corners of a tile."""
    eccentricity_mean: float
    """Longest distance of two corners over the shortest, where no two are the same; 1 on a line."""
    added: tuple[int, ...]
    """Tiles that each layer adds, in order of the layers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceMasses:
    """What the masses of tiles are."""

    law: str
    """`latent law` where d = 2: they add up to the window's probability. `conditional on the slice` where d is larger
    and the plane has no probability: those of the prior restricted to the window, which add up to 1."""
    window: float | None
    """Probability of the window under the latent law; None for `conditional on the slice`."""
    error: float
    """Estimated error of the sum of all masses."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SliceHeader:
    """A slice as it was taken, and figures of what there is of it."""

    generator: str
    """`name@version`."""
    generator_digest: str
    """SHA-256 of the generator."""
    condition: str | int | tuple[float, ...] | None
    """The condition held fixed; None where the generator takes none."""
    origin: NDArray[np.float64]
    """[d]: the latent at coordinates 0."""
    frame: NDArray[np.float64]
    """[axes, d], orthonormal; axes is 2 for a plane, 1 for a line."""
    window: NDArray[np.float64]
    """[corners, axes], counterclockwise; the two ends on a line."""
    through: NDArray[np.float64] | None
    """[points, axes]: the points asked for, in coordinates of the slice; None for an origin and directions."""
    target: str
    """Name of the node whose value is affine on every tile; `latent` for the latent itself."""
    layers: tuple[SliceLayer, ...]
    """The nonlinearities taken into account, in order of execution."""
    extent: Extent
    stopped_at: str
    """The nonlinearity whose cuts would have gone beyond the budget; empty for COMPLETE."""
    merged: int
    """How often the tie rule took two crossings, or a crossing and a vertex, for one."""
    tiles: int
    edges: int
    vertices: int
    statistics: SliceStatistics
    max_tiles: int
    """The budget that was kept to."""
    precision: PrecisionWord | None
    """Arithmetic of the log singular values; None where there are none."""
    prior: str
    """The law of latents, as `normal(dim=20)`."""
    masses: SliceMasses | None
    """What the masses of tiles are; None where there are none."""
    stamp: dict[str, str]
    """How the numbers were computed."""

    @property
    def axes(self) -> int:
        """2 for a plane, 1 for a line."""
        return len(self.frame)

    @property
    def truncated(self) -> bool:
        """Whether a budget ended it."""
        return self.extent is Extent.TRUNCATED

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything here as arrays by name, for a file: text and numbers as JSON in `header`."""
        placed = {name: getattr(self, name) for name in ("origin", "frame", "window", "through")}
        rest = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in placed}
        rest |= {"layers": [dataclasses.asdict(layer) for layer in self.layers]}
        rest |= {"statistics": dataclasses.asdict(self.statistics)}
        rest |= {"masses": None if self.masses is None else dataclasses.asdict(self.masses)}
        return {"header": np.array(json.dumps(rest))} | {n: array for n, array in placed.items() if array is not None}


def save_arrays(path: str | os.PathLike[str], arrays: dict[str, NDArray[np.generic]]) -> Path:
    """Write arrays as .npz without a pickle; InvalidInput for another suffix, OSError where it cannot be written."""
    target = Path(path)
    if target.suffix.lower() != ".npz":
        raise InvalidInput(
            f"save writes .npz (all arrays), and render .png and .svg; not {target.suffix or 'no suffix'!r}",
            field="path",
            reason="INVALID_INPUT",
        )
    with target.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return target
