"""Activation patterns, and in how many units they differ."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from magnet_client.neighbourhoods import Computed, UnitLayer
from magnet_client.slices import save_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Hamming", "NearestPatterns", "Patterns"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Patterns:
    """Activation patterns of the caller's latents, in their order."""

    packed: NDArray[np.uint8] = dataclasses.field(repr=False)
    """[rows, bytes]: layer after layer one plane for every binary digit of its units' codes, the lowest first; of a
    plane one bit a unit, the lowest bit of a byte first, filled up to a multiple of 8 bytes."""
    layers: tuple[UnitLayer, ...]
    computed: Computed

    @property
    def units(self) -> int:
        """Of a pattern."""
        return sum(layer.units for layer in self.layers)

    @property
    def codes(self) -> NDArray[np.int32]:
        """[rows, units]: the state of each unit, or the place of the entry that it takes."""
        rows, start = len(self.packed), 0
        parts = [np.zeros((rows, 0), np.int32)]
        for layer in self.layers:
            size, own = 8 * -(-layer.units // 64), np.zeros((rows, layer.units), np.int32)
            for plane in range((layer.states - 1).bit_length()):
                bits = np.unpackbits(self.packed[:, start : start + size], axis=1, bitorder="little")
                own |= bits[:, : layer.units].astype(np.int32) << plane
                start += size
            parts.append(own)
        return np.concatenate(parts, axis=1)

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw the state of each unit, one panel a layer and one line a latent; as `Hamming.render`."""
        from magnet_client.rendering.patterns import draw_patterns

        return draw_patterns(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        names = np.array([layer.name for layer in self.layers])
        units, states = (np.array([getattr(one, word) for one in self.layers]) for word in ("units", "states"))
        return save_arrays(path, {"packed": self.packed, "layers": names, "units": units, "states": states})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Hamming:
    """In how many units of each layer patterns differ."""

    by_layer: NDArray[np.int64] = dataclasses.field(repr=False)
    """[rows, others, layers], or [rows, layers] for pairs."""
    layers: tuple[UnitLayer, ...]
    computed: Computed

    @property
    def total(self) -> NDArray[np.int64]:
        """[rows, others], or [rows] for pairs: the Hamming distances of the patterns."""
        found: NDArray[np.int64] = self.by_layer.sum(axis=-1)
        return found

    @property
    def share(self) -> NDArray[np.float64]:
        """The distances as shares of all units, 0 to 1."""
        found: NDArray[np.float64] = self.total / max(1, sum(layer.units for layer in self.layers))
        return found

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw the distances: a matrix of all layers together, and one a layer; lines for pairs.

        Arguments:
            path: .png or .svg to write; None to write nothing.
            width: of the figure in inches.
            dpi: pixels an inch.

        Returns:
            The figure.

        Raises:
            InvalidInput: another suffix (field `path`).
            Refused: matplotlib is not installed; the message says how to.
            OSError: if the file cannot be written.

        Accuracy: each panel has a scale of its own.
        """
        from magnet_client.rendering.patterns import draw_hamming

        return draw_hamming(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        return save_arrays(path, {"by_layer": self.by_layer, "layers": np.array([layer.name for layer in self.layers])})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NearestPatterns:
    """The rows of a bank whose patterns are nearest to those of the caller's latents, nearest first."""

    rows: NDArray[np.int64]
    """[rows, k], numbers of rows of the bank; of equally near ones the lower first."""
    distances: NDArray[np.int64]
    """[rows, k], units in another state."""
    latents: NDArray[np.float32] = dataclasses.field(repr=False)
    """[rows, k, d], of these rows."""
    units: int
    """All units, of which so many could be in another state."""
    bank: str
    """Its id."""
    bank_revision: int
    """How many of its first rows were looked at."""
    computed: Computed

    def render(
        self, path: str | os.PathLike[str] | None = None, *, width: float | None = None, dpi: float = 150.0
    ) -> Figure:
        """Draw the distance of each latent's neighbours by their place; as `Hamming.render`."""
        from magnet_client.rendering.patterns import draw_neighbours

        return draw_neighbours(self, path, width, dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the arrays as .npz; as `Tessellation.save`."""
        return save_arrays(path, {"rows": self.rows, "distances": self.distances, "latents": self.latents})
