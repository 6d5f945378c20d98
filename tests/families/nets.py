"""One small generator of each family met in the field, in forms that every exporter takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.generator.families import Family, by_name

__all__ = ["CLASSES", "CONDITIONAL", "NETS", "Net", "net"]

CLASSES = 5


class View(nn.Module):
    """A row as a map: nn.Unflatten, which the older exporter does not write before opset 13."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, value: Tensor) -> Tensor:
        return value.view(-1, *self.shape)


class OneHot(nn.Module):
    """Latents joined by a one-hot label."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6 + CLASSES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 9))

    def forward(self, latents: Tensor, label: Tensor) -> Tensor:
        return torch.tanh(self.layers(torch.cat([latents, label], 1)))


class Embedded(nn.Module):
    """Latents times an embedding of a label's index."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(CLASSES, 6)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 9))

    def forward(self, latents: Tensor, label: Tensor) -> Tensor:
        return torch.tanh(self.layers(latents * self.table(label)))


def vae_decoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8 * 3 * 3),
        nn.ReLU(),
        View(8, 3, 3),
        nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(0.01),
        nn.ConvTranspose2d(4, 1, 3, 2, 1, output_padding=1),
        nn.Sigmoid(),
    )


def wgan() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8 * 2 * 2),
        View(8, 2, 2),
        nn.BatchNorm2d(8),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 4, 3, padding=1),
        nn.BatchNorm2d(4, 0.8),
        nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4, 1, 3, padding=1),
        nn.Tanh(),
    )


@dataclass(frozen=True)
class Net:
    """A family with what exporting it takes.

    Attributes:
        family: makes the module, its weights and its latents.
        condition: None, "one_hot" or "index".
    """

    family: Family
    condition: str | None = None

    @property
    def name(self) -> str:
        """For test ids and files."""
        return self.family.name

    def module(self) -> nn.Module:
        """In float32 and evaluation mode; BatchNorm's statistics are not trivial."""
        return self.family.build().float()

    def inputs(self, rows: int, seed: int = 1) -> tuple[Tensor, ...]:
        """Latents as the module takes them, and its labels, float32."""
        shape = self.family.latent_shape or (self.family.latent_dim,)
        latents = self.family.latents(rows, seed).float().reshape(rows, *shape)
        if self.condition is None:
            return (latents,)
        labels = torch.arange(rows) % CLASSES
        return latents, functional.one_hot(labels, CLASSES).float() if self.condition == "one_hot" else labels


NETS: tuple[Net, ...] = (
    Net(by_name("mlp")),
    Net(by_name("dcgan")),
    Net(by_name("dcgan_leaky")),
    Net(Family("vae_decoder", vae_decoder, smooth_head=True)),
    Net(Family("upsampling_wgan", wgan, smooth_head=True)),
    Net(by_name("residual")),
)

CONDITIONAL: tuple[Net, ...] = (
    Net(Family("one_hot", OneHot, smooth_head=True), "one_hot"),
    Net(Family("embedded", Embedded, smooth_head=True), "index"),
)


def net(name: str) -> Net:
    """The net of that name; KeyError otherwise."""
    return {one.name: one for one in (*NETS, *CONDITIONAL)}[name]
