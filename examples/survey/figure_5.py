"""After Figure 5: slices of trained networks, tile by tile, with the decision boundary and the zero set in red.

Left: a convolutional network trained on digits, on the plane through three images that it classifies right. Tiles have
a colour for the class that the network gives them; red is where two classes tie for the largest logit. The small panels
above are the squares marked A, where three classes meet, and B, around one of the images. Below them: a multilayer
perceptron trained on the signed distance to a solid, a ring around a ball, on two planes through space: green inside,
brown outside, the zero set in red.

Differs from the survey: its convolutional network has five layers of 160 units on average on 64 x 64 photographs of
animals; this one has three convolutions, a max-pooling and a dense layer, 848 units in all, on 16 x 16 images of digits
drawn here. Its solids are scanned objects; ours is given by a formula.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn

from examples.survey.command import run
from examples.survey.digits import digits
from examples.survey.drawing import BOUNDARY, draw_edges, fill_tiles, plane
from examples.survey.fitting import fit
from examples.survey.networks import mlp
from examples.survey.toys import square
from magnet_service.generator import Generator, Precision
from magnet_service.geometry.slice import slice_along, slice_through
from magnet_service.geometry.tessellation import Tessellation, tessellate

__all__ = ["Digits", "Solid", "classifier", "distance", "draw", "make_digits", "make_solid", "picture"]

SIZE = 16
CHOSEN = (3, 5, 8)
DARK = "#374151"
LIGHT = 0.4 * colormaps["tab10"](range(10))[:, :3] + 0.6
"""A colour for each class."""

HALF = 0.5
"""Of the side of a detail's window, in the units of pixels."""
PLANES = (
    ("plane z = 0", (0.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))),
    ("oblique plane", (0.0, 0.0, 0.0), ((1.0, 0.3, 0.0), (-0.2, 0.4, 1.0))),
)


@dataclass(frozen=True)
class Digits:
    """The classifier on a plane through three images.

    Attributes:
        images: [3, 1, side, side].
        places: [3, 2], where they lie on the plane.
        accuracy: share of 1,000 other images that it gives the right class.
        whole: the plane's tessellation, cut along the decision boundary.
        details: those of small windows: where three classes meet, and around the first image.
        generator: the classifier.
    """

    images: Tensor
    places: NDArray[np.float64]
    accuracy: float
    whole: Tessellation
    details: list[Tessellation]
    generator: Generator


def classifier(channels: int, seed: int) -> nn.Sequential:
    """Three convolutions, a max-pooling, two dense layers; [rows, 1, 16, 16] to ten logits."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * channels, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def make_digits(channels: int = 6, steps: int = 1000, seed: int = 0) -> Digits:
    """Train the classifier and tessellate the plane through a 3, a 5 and an 8 that it never saw.

    Arguments:
        channels: of the first convolution.
        steps: updates.
        seed: of weights and images.

    Returns:
        Tessellations and classes.
    """
    images, labels = digits(4000, size=SIZE, seed=seed)
    others, truth = digits(1000, size=SIZE, seed=seed + 1)
    network = classifier(channels, seed)
    fit(network, images, labels, nn.functional.cross_entropy, steps=steps, batch=128, rate=3e-3, decay=0.01)
    with torch.no_grad():
        right = network(others).argmax(dim=1) == truth
    chosen = others[[int((right & (truth == digit)).nonzero()[0]) for digit in CHOSEN]]
    generator = Generator.from_module(network, SIZE * SIZE, (1, SIZE, SIZE))
    where = slice_through(chosen.flatten(1))
    whole = tessellate(generator, where, boundary=True)
    places = where.project(chosen.flatten(1)).numpy()
    details = []
    for middle in (triple_point(generator, whole), places[0]):
        (left, bottom), (right_, top) = middle - HALF, middle + HALF
        window = slice_along(where.origin, where.frame, (left, right_, bottom, top))
        details.append(tessellate(generator, window, boundary=True))
    return Digits(chosen, places, float(right.float().mean()), whole, details, generator)


def classes_of(generator: Generator, found: Tessellation) -> NDArray[np.int64]:
    """The class of each tile: on a tile cut along the decision boundary it is the same everywhere."""
    exact = generator.to(precision=Precision.FLOAT64)
    latents = found.slice.lift(torch.from_numpy(found.centroids))
    winners = [exact.forward(rows).argmax(dim=1) for rows in latents.split(4096)]
    classes: NDArray[np.int64] = torch.cat(winners).numpy()
    return classes


def triple_point(generator: Generator, found: Tessellation) -> NDArray[np.float64]:
    """Where the decision boundary meets most classes: the boundary's vertex with the smallest third margin."""
    exact = generator.to(precision=Precision.FLOAT64)
    vertices = np.unique(found.ends[found.decision])
    points = found.points[vertices]
    top = exact.forward(found.slice.lift(torch.from_numpy(points))).topk(3, dim=1).values
    best: NDArray[np.float64] = points[int((top[:, 0] - top[:, 2]).argmin())]
    return best


def distance(points: Tensor) -> Tensor:
    """Signed distance to a ring around a ball, negative inside, [rows, 1]."""
    x, y, z = points.T
    ring = torch.hypot(torch.hypot(x, y) - 0.65, z) - 0.18
    ball = points.norm(dim=1) - 0.3
    return torch.minimum(ring, ball)[:, None]


@dataclass(frozen=True)
class Solid:
    """The network of the distance.

    Attributes:
        generator: the network.
        planes: its tessellations, cut along the zero set.
    """

    generator: Generator
    planes: list[Tessellation]


def make_solid(width: int = 28, steps: int = 3000, seed: int = 0) -> Solid:
    """Train a network of three layers on the distance, and tessellate two planes, cut along its zero set.

    Arguments:
        width: units of each layer.
        steps: updates.
        seed: of weights and points.

    Returns:
        The network and a tessellation for each plane.
    """
    points = 2 * torch.rand(40_000, 3, generator=torch.Generator().manual_seed(seed)) - 1
    network = mlp((3, width, width, width, 1), seed=seed, spread=0.3)
    fit(network, points, distance(points), nn.functional.l1_loss, steps=steps, batch=1024, rate=0.01)
    generator = Generator.from_module(network, 3)
    planes = [slice_along(torch.tensor(at), torch.tensor(spanned), square(1.0)) for _, at, spanned in PLANES]
    return Solid(generator, [tessellate(generator, where, boundary=True) for where in planes])


def draw(shown: Digits, solid: Solid) -> Figure:
    """The figure: the plane of images and its details, and two planes through the solid."""
    figure = Figure(figsize=(14.2, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 4, width_ratios=(1.27, 1.27, 1, 1))
    image_plane(figure.add_subplot(grid[:, :2]), shown)
    panels = [[figure.add_subplot(grid[line, column]) for column in (2, 3)] for line in (0, 1)]
    for panel, found, name in zip(panels[0], shown.details, "AB", strict=True):
        class_tiles(panel, shown.generator, found, lines=0.35, boundary=1.6)
        plane(panel, found.slice.window, f"{name}: {found.tiles:,} tiles")
    for panel, found, (name, *_) in zip(panels[1], solid.planes, PLANES, strict=True):
        solid_plane(panel, solid.generator, found)
        plane(panel, found.slice.window, f"{name}: {found.tiles:,} tiles")
    return figure


def image_plane(panel: Axes, shown: Digits) -> None:
    """The plane through the images, with the images, and the windows of the details."""
    found = shown.whole
    class_tiles(panel, shown.generator, found, lines=0.08, boundary=1.3)
    for name, detail in zip("AB", shown.details, strict=True):
        left, bottom = detail.slice.window[0].tolist()
        side = 2 * HALF
        panel.add_patch(Rectangle((left, bottom), side, side, fill=False, edgecolor="black", linewidth=1.2, zorder=4))
        panel.text(left - 0.12, bottom + HALF, name, fontsize=11, ha="right", va="center", zorder=4)
    plane(panel, found.slice.window, f"plane through three images of a classifier's input: {found.tiles:,} tiles")
    side, middle = 0.1 * found.slice.size, shown.places[:, 1].mean()
    for image, (x, y) in zip(shown.images, shown.places, strict=True):
        panel.scatter(x, y, s=26, c="white", edgecolors="black", zorder=5)
        beside = (x + 0.15 * side, y + (0.12 * side if y > middle else -1.12 * side), side, side)
        inset = panel.inset_axes(beside, transform=panel.transData, zorder=5)
        inset.imshow(image[0].numpy(), cmap="gray_r")
        inset.set_xticks([])
        inset.set_yticks([])
    classes = classes_of(shown.generator, found)
    seen = np.unique(classes[found.areas > 1e-4 * found.slice.area])
    panel.legend(
        [Rectangle((0, 0), 1, 1, facecolor=LIGHT[digit], edgecolor=DARK) for digit in seen],
        [f"class {digit}" for digit in seen],
        loc="upper left",
        fontsize=8,
    )


def class_tiles(panel: Axes, generator: Generator, found: Tessellation, *, lines: float, boundary: float) -> None:
    """Tiles in the light colours of their classes, their edges, and the decision boundary."""
    classes = classes_of(generator, found)
    fill_tiles(panel, found, LIGHT[classes])
    draw_edges(panel, found, ~found.border & ~found.decision, DARK, lines)
    draw_edges(panel, found, found.decision, BOUNDARY, boundary)


def solid_plane(panel: Axes, generator: Generator, found: Tessellation) -> None:
    """Tiles coloured by the network's value at their centroids, their edges, and the zero set."""
    values = generator.to(precision=Precision.FLOAT64).forward(found.slice.lift(torch.from_numpy(found.centroids)))
    tiles = fill_tiles(panel, found, values[:, 0].numpy())
    tiles.set_cmap("BrBG_r")
    tiles.set_norm(TwoSlopeNorm(0.0, vmin=-0.25, vmax=1.0))
    draw_edges(panel, found, ~found.border & ~found.decision, DARK, 0.25)
    draw_edges(panel, found, found.decision, BOUNDARY, 1.8)


def picture() -> tuple[Figure, list[str]]:
    """The figure at full size, and its facts."""
    shown, solid = make_digits(), make_solid()
    return draw(shown, solid), [
        f"accuracy on images not trained on: {shown.accuracy:.3f}",
        f"tiles of the image plane: {shown.whole.tiles:,}; of the planes through the solid: "
        + ", ".join(f"{found.tiles:,}" for found in solid.planes),
    ]


if __name__ == "__main__":
    run(5, picture, __doc__)
