"""Small conditional generators with random weights: every way that conditions enter the networks people have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CLASSES", "LATENT", "NETS", "Net", "example_of", "module_of"]

CLASSES, LATENT, WIDTH, SIDE = 4, 3, 4, 4


@dataclass(frozen=True)
class Net:
    """A network and the condition that it takes.

    Attributes:
        make: the module, its weights drawn from torch's generator.
        kind: one_hot, index or vector.
        piecewise_affine: whether it is, for a fixed condition, up to its head.
    """

    make: Callable[[], nn.Module]
    kind: str
    piecewise_affine: bool = True


class Concatenated(nn.Module):
    """[z, condition] through a dense net, as in the first conditional GANs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(LATENT + WIDTH, 12), nn.ReLU(), nn.Linear(12, SIDE * SIDE), nn.Tanh())

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        return self.body(torch.cat([latents, condition], 1)).reshape(-1, 1, SIDE, SIDE)


class Embedded(nn.Module):
    """The embedding of an index, as a factor of the latent and beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.factors = nn.Embedding(CLASSES, 5), nn.Embedding(CLASSES, LATENT)
        self.body = nn.Sequential(nn.Linear(LATENT + 5, 12), nn.LeakyReLU(0.2), nn.Linear(12, SIDE * SIDE))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        joined = torch.cat([latents * self.factors(labels), functional.relu(self.table(labels))], 1)
        return torch.sigmoid(self.body(joined)).reshape(-1, 1, SIDE, SIDE)


class OneHotInside(nn.Module):
    """An index made one-hot inside, and an embedding looked up by indexing."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(CLASSES, 2))
        self.body = nn.Sequential(nn.Linear(LATENT + CLASSES + 2, 12), nn.ReLU(), nn.Linear(12, SIDE * SIDE))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        hot = functional.one_hot(labels, CLASSES).to(latents.dtype)
        return self.body(torch.cat([latents, hot, self.table[labels]], 1)).reshape(-1, 1, SIDE, SIDE)


class ScaledByClass(nn.Module):
    """Conditional batch norm over channels, as BigGAN has it: gain and shift are dense maps of an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(CLASSES, 3)
        self.first = nn.Linear(LATENT, 6 * 2 * 2)
        self.norm = nn.BatchNorm2d(6, affine=False)
        self.gain, self.shift = nn.Linear(3, 6, bias=False), nn.Linear(3, 6, bias=False)
        self.last = nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 1, 3, padding=1))
        nn.init.uniform_(self.norm.running_mean, -0.1, 0.1)
        nn.init.uniform_(self.norm.running_var, 0.5, 1.5)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        code = self.table(labels)
        value = self.norm(self.first(latents).reshape(-1, 6, 2, 2))
        value = value * (1 + self.gain(code))[:, :, None, None] + self.shift(code).view(-1, 6, 1, 1)
        return torch.tanh(self.last(functional.interpolate(functional.relu(value), scale_factor=2)))


class MappedVector(nn.Module):
    """A vector through a small net of its own, added to the features."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(WIDTH, 7), nn.SiLU(), nn.Linear(7, 12))
        self.first, self.last = nn.Linear(LATENT, 12), nn.Linear(12, SIDE * SIDE)

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        unit = condition / condition.norm(dim=1, keepdim=True)
        return self.last(functional.relu(self.first(latents) + self.mapping(unit))).reshape(-1, 1, SIDE, SIDE)


NETS = {
    "concatenated": Net(Concatenated, "one_hot"),
    "embedded": Net(Embedded, "index"),
    "one-hot-inside": Net(OneHotInside, "index"),
    "scaled-by-class": Net(ScaledByClass, "index"),
    "mapped-vector": Net(MappedVector, "vector"),
}


def module_of(name: str, seed: int = 0) -> nn.Module:
    """One of the nets, its weights drawn from a seed, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NETS[name].make().eval()


def example_of(name: str) -> Tensor:
    """Conditions that the net takes, one a row."""
    kind = NETS[name].kind
    if kind == "index":
        return torch.arange(CLASSES)
    if kind == "one_hot":
        return torch.eye(CLASSES)
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
