"""Three conditional generators with random weights in a repository: by index, one-hot, and by a vector."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from magnet_service.generator import add_generator, export_module
from magnet_service.generator.condition import ConditionCard

__all__ = ["CLASSES", "LABELS", "LATENT", "WIDTH", "fill", "module_of"]

LATENT, CLASSES, WIDTH, SIDE = 3, 4, 2, 8
LABELS = ("ant", "bee", "cat", "dog, small")


class Indexed(nn.Module):
    """A class is a factor of the features, so that volumes differ from class to class."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(LATENT, 24), nn.Linear(24, SIDE * SIDE)
        self.factors, self.shifts = nn.Embedding(CLASSES, 24), nn.Embedding(CLASSES, 24)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        features = torch.relu(self.first(latents) * (1 + 0.5 * self.factors(labels)) + self.shifts(labels))
        return torch.tanh(self.second(features)).reshape(-1, 1, SIDE, SIDE)


class Joined(nn.Module):
    """[z, condition] through a dense net."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(LATENT + width, 24), nn.ReLU(), nn.Linear(24, SIDE * SIDE), nn.Tanh())

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        return self.body(torch.cat([latents, condition], 1)).reshape(-1, 1, SIDE, SIDE)


def module_of(name: str) -> nn.Module:
    """`pets` takes an index, `hot` a one-hot vector, `styled` a vector."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        module = Indexed() if name == "pets" else Joined(CLASSES if name == "hot" else WIDTH)
    return module.eval()


def fill(repository: Path, folder: Path) -> Path:
    """Adds the three to a repository."""
    given = {
        "pets": (torch.arange(CLASSES), ConditionCard("index", CLASSES, LABELS)),
        "hot": (torch.eye(CLASSES), ConditionCard("one_hot", CLASSES)),
        "styled": (torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0)), ConditionCard("vector", WIDTH)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, (examples, card) in given.items():
        export_module(module_of(name), LATENT, folder / f"{name}.pt2", condition=examples)
        add_generator(repository, name, folder / f"{name}.pt2", condition=card)
    return repository
