"""As many tiles as regioncam finds, an independent tool in float32 (T11)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator
from magnet_service.geometry import slice_along, tessellate

regioncam = pytest.importorskip("regioncam", reason="regioncam has no wheel for this platform")

pytestmark = pytest.mark.usefixtures("one_thread")


class Residual(nn.Module):
    """value + inner(value)."""

    def __init__(self, inner: nn.Sequential) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, value: Tensor) -> Tensor:
        return value + self.inner(value)


def theirs(layer: nn.Module) -> object:
    if isinstance(layer, nn.Linear):
        return regioncam.Linear(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy())
    if isinstance(layer, nn.LeakyReLU):
        return regioncam.LeakyReLU(layer.negative_slope)
    if isinstance(layer, Residual):
        return regioncam.Residual(regioncam.Sequential(*(theirs(inner) for inner in layer.inner)))
    assert isinstance(layer, nn.ReLU)
    return regioncam.ReLU()


def random_layers(seed: int, outputs: int) -> Iterator[nn.Module]:
    """Default layers: ReLU for even seeds, leaky for odd ones, with a residual block in every fourth."""
    source = random.Random(seed)
    widths = [2, *(source.randint(6, 32) for _ in range(source.randint(1, 4)))]
    for first, second in pairwise(widths):
        yield nn.Linear(first, second)
        if seed % 4 == 3:
            yield Residual(nn.Sequential(nn.ReLU(), nn.Linear(second, second), nn.ReLU(), nn.Linear(second, second)))
        yield nn.LeakyReLU(0.1) if seed % 2 else nn.ReLU()
    yield nn.Linear(widths[-1], outputs)


def counts(seed: int, outputs: int) -> tuple[int, int]:
    """Tiles of ours and of theirs, with the decision boundary."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(*random_layers(seed, outputs))
    window = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    found = tessellate(Generator.from_module(net, 2), window, boundary=True)
    rival = regioncam.Regioncam(size=1.0)
    for layer in net:
        rival.add(theirs(layer))
    rival.decision_boundary()
    return found.tiles, rival.num_faces


# Of networks this small none has lines so close together that float32 takes them for others.
@pytest.mark.parametrize("seed", range(8))
def test_as_many_tiles_and_signs(seed: int) -> None:
    ours, rival = counts(seed, 1)
    assert ours == rival


@pytest.mark.parametrize("seed", range(20, 24))
def test_as_many_tiles_and_classes(seed: int) -> None:
    ours, rival = counts(seed, 5)
    assert ours == rival


@pytest.mark.long
@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("seed", range(100, 140))
def test_as_many_tiles_of_many_networks(seed: int, outputs: int) -> None:
    ours, rival = counts(seed, outputs)
    assert ours == rival
