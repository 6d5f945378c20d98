"""Small networks of random architecture, one kind of operation each, for laws that hold for all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.generator.families import Family

__all__ = ["KINDS", "random_net"]

Made = tuple[Callable[[], nn.Module], tuple[int, ...]]


class Written(nn.Module):
    """Layers and the formula that joins them."""

    def __init__(self, layers: Sequence[nn.Module], formula: Callable[[nn.ModuleList, Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.formula = nn.ModuleList(layers), formula

    def forward(self, latents: Tensor) -> Tensor:
        return self.formula(self.layers, latents)


def dense_with(unit: Callable[[random.Random, int], nn.Module]) -> Callable[[random.Random], Made]:
    """Linear layers of random widths with a unit in between."""

    def make(source: random.Random) -> Made:
        latent = source.randint(2, 6)
        widths = [latent, *(source.randint(4, 14) for _ in range(source.randint(1, 3))), source.randint(1, 7)]
        units = [unit(source, width) for width in widths[1:-1]]

        def construct() -> nn.Module:
            layers: list[nn.Module] = []
            for (first, second), bend in zip(pairwise(widths), [*units, nn.Identity()], strict=True):
                layers += [nn.Linear(first, second), bend]
            return nn.Sequential(*layers)

        return construct, (latent,)

    return make


class Abs(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value.abs()


def image(source: random.Random, most: int = 7) -> tuple[int, int, int]:
    return source.randint(1, 2), source.randint(4, most), source.randint(4, most)


def from_linear(shape: tuple[int, int, int], *layers: nn.Module, latent: int = 4) -> nn.Sequential:
    """Maps of a shape made from a short latent, and layers on them."""
    return nn.Sequential(nn.Linear(latent, shape[0] * shape[1] * shape[2]), nn.Unflatten(1, shape), *layers)


def conv(source: random.Random) -> Made:
    shape, width = image(source), source.randint(2, 4)
    step, dilation, pad = source.randint(1, 2), source.randint(1, 2), source.randint(0, 1)
    return lambda: nn.Sequential(
        nn.Conv2d(shape[0], width, 3, step, pad + 1, dilation), nn.ReLU(), nn.Conv2d(width, 2, 2), nn.ReLU()
    ), shape


def conv_transpose(source: random.Random) -> Made:
    width, step, more = source.randint(2, 4), source.randint(2, 3), source.randint(0, 1)
    return lambda: nn.Sequential(
        nn.ConvTranspose2d(3, width, 3), nn.LeakyReLU(0.1), nn.ConvTranspose2d(width, 2, 3, step, 1, more), nn.ReLU()
    ), (3, 1, 1)


def batch_norm(source: random.Random) -> Made:
    shape, width = image(source, 5), source.randint(2, 4)
    return lambda: nn.Sequential(
        nn.BatchNorm2d(shape[0]),
        nn.Conv2d(shape[0], width, 3),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2, 2),
    ), shape


def residual(source: random.Random) -> Made:
    width, blocks = source.randint(4, 9), source.randint(1, 3)

    def formula(layers: nn.ModuleList, z: Tensor) -> Tensor:
        value = layers[0](z)
        for layer in layers[1:]:
            value = functional.relu(value + layer(functional.relu(value)))
        return value

    return lambda: Written([nn.Linear(5, width), *(nn.Linear(width, width) for _ in range(blocks))], formula), (5,)


def concatenation(source: random.Random) -> Made:
    widths = [source.randint(2, 6) for _ in range(source.randint(2, 3))]

    def formula(layers: nn.ModuleList, z: Tensor) -> Tensor:
        value = z
        for layer in layers:
            value = torch.cat([value, functional.relu(layer(value))], 1)
        return value

    def construct() -> nn.Module:
        layers, width = [], 4
        for more in widths:
            layers.append(nn.Linear(width, more))
            width += more
        return Written(layers, formula)

    return construct, (4,)


def max_pool(kernel: int, step: int, pad: int) -> Callable[[random.Random], Made]:
    def make(source: random.Random) -> Made:
        shape = image(source, 6)
        return lambda: from_linear(shape, nn.MaxPool2d(kernel, step, pad), nn.Conv2d(shape[0], 3, 2), nn.ReLU()), (4,)

    return make


def pooled_after_relu(source: random.Random) -> Made:
    """Where most contenders are 0 at once."""
    shape = image(source, 6)
    return lambda: from_linear(shape, nn.ReLU(), nn.MaxPool2d(2, 1), nn.Conv2d(shape[0], 3, 2), nn.ReLU()), (4,)


def maxout(source: random.Random) -> Made:
    width, pieces, other = source.randint(3, 6), source.randint(2, 4), source.randint(2, 4)

    def formula(layers: nn.ModuleList, z: Tensor) -> Tensor:
        value = layers[0](z).unflatten(1, (width, pieces)).amax(2)
        return layers[1](value).unflatten(1, (3, other)).amin(2)

    return lambda: Written([nn.Linear(4, width * pieces), nn.Linear(width, 3 * other)], formula), (4,)


def larger_of_two(source: random.Random) -> Made:
    width = source.randint(4, 8)

    def formula(layers: nn.ModuleList, z: Tensor) -> Tensor:
        value = torch.maximum(layers[0](z), layers[1](z))
        return torch.minimum(layers[2](value), value)

    return lambda: Written([nn.Linear(4, width), nn.Linear(4, width), nn.Linear(width, width)], formula), (4,)


def upsampled(mode: str) -> Callable[[random.Random], Made]:
    def make(source: random.Random) -> Made:
        shape, factor = (2, source.randint(2, 3), source.randint(2, 3)), source.randint(2, 3)
        return lambda: from_linear(
            shape, nn.ReLU(), nn.Upsample(scale_factor=factor, mode=mode), nn.Conv2d(2, 2, 3, padding=1), nn.ReLU()
        ), (4,)

    return make


def average_pool(source: random.Random) -> Made:
    shape, kernel = image(source), source.randint(2, 3)
    return lambda: from_linear(
        shape, nn.ReLU(), nn.AvgPool2d(kernel, 1, 1), nn.Conv2d(shape[0], 2, 2), nn.ReLU(), nn.AvgPool2d(2)
    ), (4,)


KINDS: dict[str, Callable[[random.Random], Made]] = {
    "relu": dense_with(lambda source, width: nn.ReLU()),
    "leaky_relu": dense_with(lambda source, width: nn.LeakyReLU(source.choice((0.01, 0.3, -0.2)))),
    "prelu": dense_with(lambda source, width: nn.PReLU(source.choice((1, width)))),
    "abs": dense_with(lambda source, width: Abs()),
    "hardtanh": dense_with(lambda source, width: nn.Hardtanh(-source.random(), source.random() + 0.1)),
    "relu6": dense_with(lambda source, width: nn.ReLU6()),
    "conv": conv,
    "conv_transpose": conv_transpose,
    "batch_norm": batch_norm,
    "residual": residual,
    "concatenation": concatenation,
    "max_pool": max_pool(2, 2, 0),
    "max_pool_overlapping": max_pool(3, 1, 0),
    "max_pool_padded": max_pool(3, 2, 1),
    "max_pool_after_relu": pooled_after_relu,
    "maxout": maxout,
    "larger_of_two": larger_of_two,
    "upsampling": upsampled("nearest"),
    "upsampling_bilinear": upsampled("bilinear"),
    "average_pool": average_pool,
}
"""Kinds of networks by name."""


def random_net(kind: str, seed: int) -> Family:
    """A network of that kind, its sizes drawn from the seed; `build` draws its weights."""
    construct, shape = KINDS[kind](random.Random(f"{kind} {seed}"))
    return Family(f"{kind}-{seed}", construct, torch.Size(shape).numel(), shape)
