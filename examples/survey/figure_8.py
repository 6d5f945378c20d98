"""After Figure 8: where the units of a deep network are 0, for zero biases, random biases and batch norm.

Networks of 11 layers of 1024 ReLU units on a plane, with the same random weights, and 50 points on a star. For layers
3, 7 and 11 a grid of cells shows how many of the layer's units change sign over the four corners of each cell: the
local complexity of the cell, with its diagonals as directions. With zero biases all lines are rays from 0. Random
biases, normal with standard deviation 0.5, spread them with no regard to the points. Batch norms that hold the points'
means and variances draw them to the points, and more so in deeper layers. Colours end at the panel's 99.5th percentile.

Differs from the survey: depth, width and number of points are its own; weights, the star and the law of the biases are
ours, and so is the measure. A unit counts once in a cell however long its line there, and not at all where it enters
and leaves between two corners. (Exact lengths, `hyperplane_density`, need all tiles, and by these counts the network
with batch norm has hundreds of millions of them; on narrow networks the tests compare both.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from examples.survey.command import run
from examples.survey.networks import Biases, mlp, set_batch_norms
from examples.survey.toys import star
from magnet_service.generator import Generator
from magnet_service.geometry.complexity import local_complexity

__all__ = ["Grids", "cell_counts", "draw", "make", "picture"]

HALF = 2.0
"""Of the side of the window around 0."""

_MEMORY = 1 << 28
"""Bytes that the counts may take at once."""


@dataclass(frozen=True)
class Grids:
    """Units that change sign in each cell.

    Attributes:
        points: on the star, [points, 2].
        layers: numbers of the layers, from 1.
        counts: by what stands before the nonlinearities, [layers, rows, columns], the first row at the bottom.
    """

    points: Tensor
    layers: tuple[int, ...]
    counts: dict[Biases, NDArray[np.int64]]

    def near(self, biases: Biases) -> NDArray[np.float64]:
        """Mean count of the cells that hold points, over the mean of all cells, for each layer."""
        counts = self.counts[biases]
        cells = counts.shape[1]
        columns, rows = ((self.points + HALF) / (2 * HALF) * cells).long().T.numpy()
        held = np.zeros((cells, cells), bool)
        held[rows, columns] = True
        found: NDArray[np.float64] = counts[:, held].mean(axis=1) / counts.mean(axis=(1, 2))
        return found


def make(
    width: int = 1024, layers: Sequence[int] = (3, 7, 11), points: int = 50, cells: int = 48, seed: int = 0
) -> Grids:
    """Count for all three kinds of biases.

    Arguments:
        width: units of each layer.
        layers: whose counts to keep; the last is the network's depth.
        points: on the star.
        cells: of a side of the grid.
        seed: of weights and biases.

    Returns:
        The counts.
    """
    data = star(points)
    counts = {}
    for biases in Biases:
        network = mlp((2, *[width] * layers[-1], 1), seed=seed, biases=biases)
        set_batch_norms(network, data)
        counts[biases] = cell_counts(Generator.from_module(network, 2), cells)[np.subtract(layers, 1)]
    return Grids(data, tuple(layers), counts)


def cell_counts(generator: Generator, cells: int) -> NDArray[np.int64]:
    """Units of each layer that change sign over the corners of each cell, [layers, rows, columns]."""
    side = 2 * HALF / cells
    middles = (torch.arange(cells, dtype=torch.float64) + 0.5) * side - HALF
    centres = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), dim=-1).reshape(-1, 2)
    diagonals = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    found = local_complexity(generator, centres, radius=side / 2**0.5, frame=diagonals, max_memory=_MEMORY)
    counts: NDArray[np.int64] = found.by_layer.T.reshape(-1, cells, cells).numpy()
    return counts


def draw(grids: Grids) -> Figure:
    """The figure: a row for each kind of biases, a column for each layer."""
    figure = Figure(figsize=(10.2, 9.2), layout="constrained")
    panels = figure.subplots(len(grids.counts), len(grids.layers), squeeze=False)
    extent = (-HALF, HALF, -HALF, HALF)
    for line, (biases, counts) in zip(panels, grids.counts.items(), strict=True):
        for panel, number, count in zip(line, grids.layers, counts, strict=True):
            high = float(np.quantile(count, 0.995))
            image = panel.imshow(count, origin="lower", extent=extent, cmap="magma", vmin=0, vmax=high)
            figure.colorbar(image, ax=panel, shrink=0.9, extend="max").ax.tick_params(labelsize=8)
            panel.scatter(*grids.points.T.numpy(), s=5, c="#22d3ee")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_title(f"layer {number}", fontsize=10)
        line[0].set_ylabel(biases, fontsize=11)
    figure.suptitle("units of a layer that change sign in a cell", fontsize=11)
    return figure


def picture() -> tuple[Figure, list[str]]:
    """The figure at full size, and its facts."""
    grids = make()
    facts = []
    for biases in grids.counts:
        near = ", ".join(f"{ratio:.2f}" for ratio in grids.near(biases))
        facts.append(f"{biases}: cells with points over all cells, layers 3, 7, 11: {near}")
    return draw(grids), facts


if __name__ == "__main__":
    run(8, picture, __doc__)
