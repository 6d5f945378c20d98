"""After Figure 7: batch norm draws the tessellation to the data before anything is trained.

Two networks with the same random weights, four layers of six leaky ReLU units on a plane: one with random biases, of
standard deviation 1, one whose batch norms hold the means and variances of 50 points on a star. A row is a network and
a column a layer: the exact lines on which its units are 0 in blue, those of earlier layers in grey, the points in
black. The median distance from a point to the nearest line of that layer stands above each panel.

Differs from the survey: weights and data are our own. The star is not around 0, where lines pass that have no bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from examples.survey.command import run
from examples.survey.drawing import GREY, draw_edges, plane
from examples.survey.networks import Biases, mlp, set_batch_norms
from examples.survey.toys import square, star
from magnet_service.generator import Generator
from magnet_service.geometry.slice import slice_along
from magnet_service.geometry.tessellation import Tessellation, tessellate

__all__ = ["Pair", "distances", "draw", "make", "picture"]

BLUE = "#2563eb"
DEPTH = 4
CENTRE = (0.7, 0.4)
"""Of the star, away from 0, where lines without a bias pass."""


@dataclass(frozen=True)
class Pair:
    """Tessellations of the same weights.

    Attributes:
        points: on the star, [points, 2].
        found: by what stands before the nonlinearities.
    """

    points: Tensor
    found: dict[Biases, Tessellation]


def make(width: int = 6, points: int = 50, seed: int = 0) -> Pair:
    """Initialise both networks and tessellate the window [-2, 2]^2.

    Arguments:
        width: units of each layer.
        points: on the star.
        seed: of weights and biases.

    Returns:
        Both tessellations.
    """
    data = 0.7 * star(points) + torch.tensor(CENTRE)
    window = slice_along(torch.zeros(2), torch.eye(2), square(2.0))
    found = {}
    for biases in (Biases.RANDOM, Biases.BATCH_NORM):
        network = mlp((2, *[width] * DEPTH, 1), seed=seed, biases=biases, slope=0.1, spread=1.0)
        set_batch_norms(network, data)
        found[biases] = tessellate(Generator.from_module(network, 2), window)
    return Pair(data, found)


def distances(tessellation: Tessellation, points: Tensor, layer: int) -> NDArray[np.float64]:
    """Distance of each point to the nearest line of a layer inside of the window, infinite where it has none."""
    ends = tessellation.points[tessellation.ends[tessellation.labels[:, 0] == layer]]
    if not len(ends):
        return np.full(len(points), np.inf)
    at = points.double().numpy()[:, None]
    begin, along = ends[:, 0], ends[:, 1] - ends[:, 0]
    share = ((at - begin) * along).sum(-1) / (along**2).sum(-1)
    nearest = begin + np.clip(share, 0, 1)[..., None] * along
    found: NDArray[np.float64] = np.linalg.norm(at - nearest, axis=-1).min(axis=1)
    return found


def draw(pair: Pair) -> Figure:
    """The figure: rows without and with batch norm, a column for each layer."""
    figure = Figure(figsize=(11, 6.1), layout="constrained")
    panels = figure.subplots(len(pair.found), DEPTH)
    for line, (biases, found) in zip(panels, pair.found.items(), strict=True):
        of_layer = found.labels[:, 0]
        for number, panel in enumerate(line):
            draw_edges(panel, found, (of_layer >= 0) & (of_layer < number), GREY, 0.6)
            draw_edges(panel, found, of_layer == number, BLUE, 1.2)
            panel.scatter(*pair.points.T.numpy(), s=7, c="black", zorder=3)
            near = float(np.median(distances(found, pair.points, number)))
            plane(panel, found.slice.window, f"layer {number + 1}: median distance {near:.2f}")
        line[0].set_ylabel(f"{biases}, {found.tiles} tiles", fontsize=10)
    return figure


def picture() -> tuple[Figure, list[str]]:
    """The figure at full size, and its facts."""
    pair = make()
    facts = []
    for biases, found in pair.found.items():
        near = ", ".join(f"{np.median(distances(found, pair.points, layer)):.3f}" for layer in range(DEPTH))
        facts.append(f"{biases}: {found.tiles} tiles; median distance of a point to layers 1 to {DEPTH}: {near}")
    return draw(pair), facts


if __name__ == "__main__":
    run(7, picture, __doc__)
