"""Three small generators of known shape, and a repository that holds them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from magnet_service.generator import add_generator, export_module

__all__ = ["LATENT_DIM", "fill", "picture"]

LATENT_DIM = 6


def picture(seed: int = 0, *, shape: tuple[int, ...] = (1, 8, 8), smooth: bool = True) -> nn.Module:
    """A three-layer ReLU network, with a tanh behind it or not."""
    size = int(torch.tensor(shape).prod())
    layers = [nn.Linear(LATENT_DIM, 32), nn.ReLU(), nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, size)]
    module = nn.Sequential(*layers, *([nn.Tanh()] if smooth else []), nn.Unflatten(1, shape))
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fan = parameter.shape[1] if parameter.dim() > 1 else 8
            parameter.copy_(torch.randn(parameter.shape, generator=source) * (2 / fan) ** 0.5)
    return module.eval()


def fill(repository: Path, folder: Path) -> None:
    """Adds `grey` (1x8x8, tanh, labels), `colour` (3x4x4, uniform prior) and `plain` (a vector of 9, no head)."""
    made = {"grey": picture(0), "colour": picture(1, shape=(3, 4, 4)), "plain": picture(2, shape=(9,), smooth=False)}
    for name, module in made.items():
        (folder / name).mkdir(parents=True)
        export_module(module, LATENT_DIM, folder / name / "generator.pt2")
        add_generator(
            repository,
            name,
            folder / name / "generator.pt2",
            prior="uniform(low=-1, high=1)" if name == "colour" else "normal",
            output_range=(-4.0, 4.0) if name == "plain" else (-1.0, 1.0),
            labels=("round", "square") if name == "grey" else (),
            training_shares=(0.9, 0.1) if name == "grey" else (),
            description=f"The {name} one.",
            licence="Apache-2.0",
        )
