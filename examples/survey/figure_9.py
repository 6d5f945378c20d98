"""After Figure 9: the tessellation around training images, before training, after fitting, and long after.

A multilayer perceptron of four layers of 200 ReLU units learns 1,000 images of digits. Above: the local complexity of
training images, of other images and of random points against the number of updates (a cross-polytope of radius 0.05
with 25 random directions), with the accuracies. Below: the exact tessellation of the plane through three training
images at initialisation, at the first look at which all training images are classified right, and at the end, with the
decision boundary in red. Long after the fit the lines of the units have left the neighbourhoods of images and gather
along the decision boundary.

Differs from the survey, which trains on MNIST for many more updates: images are 16 x 16 digits drawn here, 20,000
updates of 64 rows with weight decay 0.1, and ReLU. Other images are classified right as soon as training images are, so
that there is no delayed generalisation here; the fall of the local complexity after the fit is what is reproduced.
Radius, pixels and data differ, so that counts cannot be compared with the survey's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from examples.survey.command import run
from examples.survey.digits import digits
from examples.survey.drawing import BOUNDARY, draw_edges, plane
from examples.survey.fitting import fit
from examples.survey.networks import mlp
from magnet_service.generator import Generator
from magnet_service.geometry.complexity import local_complexity
from magnet_service.geometry.slice import slice_through
from magnet_service.geometry.tessellation import Tessellation, tessellate

__all__ = ["Course", "draw", "looks", "make", "picture"]

SIZE = 16
COLOURS = {"training images": "#2563eb", "other images": "#059669", "random points": "#9ca3af"}
IMAGES = ("training images", "other images")
_MEMORY = 1 << 28


@dataclass(frozen=True)
class Course:
    """What was seen of a network while it was trained.

    Attributes:
        places: [3, 2], where three training images lie on the plane.
        steps: numbers of updates at each look.
        complexity: mean local complexity at each look, by what it is taken around.
        accuracy: share of images classified right, at each look, by which images.
        planes: updates and tessellation: before the first, at the first look without an error, at the end.
    """

    places: NDArray[np.float64]
    steps: list[int] = field(default_factory=list)
    complexity: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLOURS})
    accuracy: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in IMAGES})
    planes: list[tuple[int, Tessellation]] = field(default_factory=list)


def looks(steps: int) -> list[int]:
    """Updates after which to look: 0, then from 10 on each half as many again as the one before, and the last."""
    found = {0, steps}
    at = 10.0
    while at < steps:
        found.add(round(at))
        at *= 1.5
    return sorted(found)


def make(
    width: int = 200, steps: int = 20_000, rows: int = 1000, around: int = 200, radius: float = 0.05, seed: int = 0
) -> Course:
    """Train the network, and look at it before, on the way and at the end.

    Arguments:
        width: units of each of the four layers.
        steps: updates.
        rows: training images, and as many others.
        around: points of each kind whose local complexity is taken.
        radius: of the cross-polytopes, in units of pixels' values.
        seed: of everything random.

    Returns:
        The course of the training.
    """
    images, labels = digits(rows, size=SIZE, seed=seed)
    others, truth = digits(rows, size=SIZE, seed=seed + 1)
    images, others = images.flatten(1), others.flatten(1)
    random = torch.rand(around, SIZE * SIZE, generator=torch.Generator().manual_seed(seed + 2))
    sets = dict(zip(COLOURS, (images[:around], others[:around], random), strict=True))
    network = mlp((SIZE * SIZE, *[width] * 4, 10), seed=seed, spread=0.1)
    where = slice_through(images[:3])
    course = Course(where.project(images[:3]).numpy())

    def look(step: int) -> None:
        generator = Generator.from_module(network, SIZE * SIZE)
        course.steps.append(step)
        for name, points in sets.items():
            found = local_complexity(generator, points, radius=radius, max_memory=_MEMORY)
            course.complexity[name].append(float(found.total.double().mean()))
        for name, (points, classes) in zip(IMAGES, ((images, labels), (others, truth)), strict=True):
            with torch.no_grad():
                course.accuracy[name].append(float((network(points).argmax(dim=1) == classes).float().mean()))
        fitted = course.accuracy[IMAGES[0]][-1] == 1.0 and len(course.planes) == 1
        if step in (0, steps) or fitted:
            course.planes.append((step, tessellate(generator, where, boundary=True)))

    goals = nn.functional.one_hot(labels, 10).float()
    fit(
        network,
        images,
        goals,
        nn.functional.mse_loss,
        steps=steps,
        rate=1e-3,
        batch=64,
        decay=0.1,
        anneal=False,
        seed=seed,
        look_at=looks(steps),
        look=look,
    )
    return course


def draw(course: Course) -> Figure:
    """The figure: curves above, planes below."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=(1, 1.06))
    curves(figure.add_subplot(grid[0, :]), course)
    titles = ("at initialisation", "training images fitted", "long after")
    for column, ((step, found), title) in enumerate(zip(course.planes, titles, strict=True)):
        panel = figure.add_subplot(grid[1, column])
        draw_edges(panel, found, ~found.border & ~found.decision, "#1e3a8a", 0.09)
        draw_edges(panel, found, found.decision, BOUNDARY, 1.2)
        panel.scatter(course.places[:, 0], course.places[:, 1], s=28, c="white", edgecolors="black", zorder=5)
        plane(panel, found.slice.window, f"{title}, {step:,} updates: {found.tiles:,} tiles")
    return figure


def curves(axes: Axes, course: Course) -> None:
    """Local complexity and accuracy against updates."""
    steps = np.array(course.steps)
    other = axes.twinx()
    for name, values in course.complexity.items():
        axes.plot(steps, values, color=COLOURS[name], marker="o", markersize=3, label=f"local complexity, {name}")
    for name, shares in course.accuracy.items():
        other.plot(steps, shares, color=COLOURS[name], linestyle=":", label=f"accuracy, {name}")
    for step, _ in course.planes:
        axes.axvline(step, color="#d1d5db", linewidth=1, zorder=0)
    axes.set_xscale("symlog", linthresh=10, linscale=0.4)
    axes.set_xlim(-1, steps[-1] * 1.1)
    axes.set_ylim(0)
    other.set_ylim(0, 1.02)
    axes.set_xlabel("updates")
    axes.set_ylabel("units that change sign around a point")
    other.set_ylabel("share classified right")
    handles = [*axes.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, fontsize=8, loc="lower left", bbox_to_anchor=(0.12, 0.02))


def picture() -> tuple[Figure, list[str]]:
    """The figure at full size, and its facts."""
    course = make()
    facts = []
    for step, found in course.planes:
        at = course.steps.index(step)
        means = ", ".join(f"{name} {values[at]:.2f}" for name, values in course.complexity.items())
        facts.append(f"after {step:,} updates: local complexity of {means}; {found.tiles:,} tiles")
    return draw(course), facts


if __name__ == "__main__":
    run(9, picture, __doc__)
