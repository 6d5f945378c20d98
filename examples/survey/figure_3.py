"""After Figure 3: a small ReLU network cuts its input plane layer by layer, along lines that fold.

A network of three layers of eight ReLU units is trained here to tell two half circles apart. The panels show the exact
tessellation of the plane up to each layer: a light colour for each activation pattern, the lines of earlier layers in
grey, and the lines on which each unit of the new layer is 0 in a colour of its own, so that they can be followed. Those
of the first layer are straight; each later one is a line inside of every tile that was there, and folds where it leaves
one. The last panel has all tiles, the points, and the decision boundary, made of the same kind of pieces.

Differs from the survey: network and data are our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from examples.survey.command import run
from examples.survey.drawing import BOUNDARY, GREY, draw_edges, fill_tiles, pattern_colours, plane
from examples.survey.fitting import fit
from examples.survey.networks import Biases, mlp
from examples.survey.toys import moons, square
from magnet_service.generator import Generator
from magnet_service.geometry.slice import slice_along
from magnet_service.geometry.tessellation import Tessellation, tessellate

__all__ = ["Layers", "draw", "make", "picture"]

LAYERS = ("relu", "relu_1", "relu_2")


@dataclass(frozen=True)
class Layers:
    """What the figure shows.

    Attributes:
        generator: the trained network.
        layers: tessellations up to each nonlinearity.
        whole: that of the network's value, cut along the decision boundary too.
        points, classes: trained on.
    """

    generator: Generator
    layers: list[Tessellation]
    whole: Tessellation
    points: Tensor
    classes: Tensor


def make(width: int = 8, steps: int = 1500, seed: int = 8) -> Layers:
    """Train the network and tessellate it up to each layer.

    Arguments:
        width: units of each layer.
        steps: updates.
        seed: of weights and data.

    Returns:
        Tessellations of the window [-2, 2]^2.
    """
    points, classes = moons(300, noise=0.12, seed=seed)
    network = mlp((2, width, width, width, 1), seed=seed, biases=Biases.RANDOM)
    fit(
        network,
        points,
        classes.float()[:, None],
        nn.functional.binary_cross_entropy_with_logits,
        steps=steps,
        rate=0.01,
        decay=0.02,
    )
    generator = Generator.from_module(network, 2)
    window = slice_along(torch.zeros(2), torch.eye(2), square(2.0))
    layers = [tessellate(generator, window, up_to=name) for name in LAYERS]
    return Layers(generator, layers, tessellate(generator, window, boundary=True), points, classes)


def draw(shown: Layers) -> Figure:
    """The figure: a panel for each layer, and one for the classifier."""
    figure = Figure(figsize=(12.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 4)
    for number, (panel, found) in enumerate(zip(panels[:3], shown.layers, strict=True)):
        layer(panel, shown.generator, found, number)
    panel, found = panels[3], shown.whole
    fill_tiles(panel, found, pattern_colours(shown.generator, found))
    draw_edges(panel, found, ~found.border & ~found.decision, GREY, 0.5)
    draw_edges(panel, found, found.decision, BOUNDARY, 2.0)
    for index, (colour, mark) in enumerate((("#111827", "o"), ("white", "^"))):
        x, y = shown.points[shown.classes == index].T.numpy()
        panel.scatter(x, y, s=8, c=colour, marker=mark, edgecolors="#111827", linewidths=0.4, zorder=3)
    plane(panel, found.slice.window, f"classes and decision boundary (red), {found.tiles} tiles")
    return figure


def layer(panel: Axes, generator: Generator, found: Tessellation, number: int) -> None:
    """One layer's lines over the tiles."""
    fill_tiles(panel, found, pattern_colours(generator, found))
    of_layer = found.labels[:, 0]
    draw_edges(panel, found, (of_layer >= 0) & (of_layer < number), GREY, 0.6)
    new = of_layer == number
    draw_edges(panel, found, new, colormaps["Dark2"](found.labels[new, 1] % 8), 1.5)
    bending = len(np.unique(found.labels[new, 1]))
    plane(panel, found.slice.window, f"layer {number + 1}: lines of {bending} units, {found.tiles} tiles")


def picture() -> tuple[Figure, list[str]]:
    """The figure at full size, and its facts."""
    shown = make()
    tiles = ", ".join(str(found.tiles) for found in shown.layers)
    return draw(shown), [f"tiles up to layers 1 to 3: {tiles}"]


if __name__ == "__main__":
    run(3, picture, __doc__)
