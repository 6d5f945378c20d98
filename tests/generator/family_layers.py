"""Layers and formulas that the families of generators are made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Formula(nn.Module):
    """Layers and the formula that joins them."""

    def __init__(self, formula: Callable[[nn.ModuleList, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.formula = formula
        self.layers = nn.ModuleList(layers)

    def forward(self, latents: Tensor) -> Tensor:
        return self.formula(self.layers, latents)


def formula(
    function: Callable[[nn.ModuleList, Tensor], Tensor], *make: Callable[[], nn.Module]
) -> Callable[[], nn.Module]:
    return lambda: Formula(function, *(layer() for layer in make))


def dense(
    *widths: int, unit: Callable[[], nn.Module] = nn.ReLU, head: Callable[[], nn.Module] | None = None
) -> nn.Module:
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers += [nn.Linear(first, second), unit()]
    return nn.Sequential(*layers[:-1], *([head()] if head else []))


def dcgan(head: bool = True, unit: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    layers = [
        nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(8),
        unit(),
        nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6),
        unit(),
        nn.ConvTranspose2d(6, 2, 4, 2, 1),
    ]
    return nn.Sequential(*layers, *([nn.Tanh()] if head else []))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 4 * 3 * 3)
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.stem(latents).view(-1, 4, 3, 3)
        inner = self.second(functional.relu(self.first(functional.relu(hidden))))
        hidden = functional.interpolate(torch.add(hidden, inner, alpha=0.5), scale_factor=2)
        return torch.tanh(self.last(functional.relu_(hidden + hidden.mean((2, 3), keepdim=True))))


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Linear(6, 3 * 8 * 8), nn.Conv2d(3, 4, 3, padding="same", dilation=2)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = functional.max_pool2d(self.stem(latents).unflatten(1, (3, 8, 8)), 3, 2, 1)
        hidden = functional.avg_pool2d(self.conv(hidden), 2, 1, count_include_pad=False, padding=1)
        return torch.cat([hidden.flatten(1), functional.adaptive_avg_pool2d(hidden, 2).flatten(1)], 1)


class Learned(nn.Module):
    """A constant feature map that the latent scales and shifts."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.ones(1, 3, 4, 4))
        self.style, self.conv = nn.Linear(6, 6), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        scale, shift = self.style(latents).chunk(2, 1)
        stem = self.constant.expand(latents.shape[0], -1, -1, -1)
        return self.conv(functional.relu(stem * scale[:, :, None, None] + shift[:, :, None, None]))


class Folded(nn.Module):
    """Weights that are computed from other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(6, 7))
        self.direction = nn.Parameter(torch.ones(7))
        self.second = nn.Parameter(torch.ones(5, 7))

    def forward(self, latents: Tensor) -> Tensor:
        weight = self.second / torch.dot(self.direction, self.direction).sqrt()
        return functional.linear(functional.relu(self.first(latents)), weight)


def joined(layers: nn.ModuleList, z: Tensor) -> Tensor:
    left, middle, right = torch.split(z, [1, 3, 2], dim=1)
    hidden = torch.cat([functional.relu(layers[0](middle)), right, z[:, ::2], z[:, 0].unsqueeze(1)], 1)
    hidden = torch.stack([hidden, hidden.flip(1)], 1)[:, :, [0, 2, 1, 5]]
    return torch.cat(
        [hidden.flatten(1), left * 2 - 1, 1 - left, left / 3, torch.zeros(z.shape[0], 2, dtype=z.dtype)], 1
    )


def products(layers: nn.ModuleList, z: Tensor) -> Tensor:
    grid = z.view(-1, 2, 3)
    left = torch.arange(-4, 4, dtype=z.dtype).reshape(4, 2)
    right = (torch.arange(15, dtype=z.dtype) / 7 - 1).reshape(3, 5).expand(z.shape[0], 3, 5)
    return functional.relu(torch.matmul(left, grid)).bmm(right).transpose(1, 2)


def padded(layers: nn.ModuleList, z: Tensor) -> Tensor:
    hidden = functional.pad(z.view(-1, 1, 2, 3).repeat(1, 4, 2, 1), (1, 2, 0, 1), value=0.5)
    hidden = functional.pad(functional.pad(hidden, (1, 1, 1, 1), mode="reflect"), (1, 0, 2, 1), mode="replicate")
    return layers[0](functional.pixel_shuffle(functional.relu(hidden), 2).expand(-1, 2, -1, -1)).permute(0, 2, 3, 1)


def pixel_norm(layers: nn.ModuleList, z: Tensor) -> Tensor:
    hidden = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
    return functional.relu(layers[0](hidden)) / (hidden.pow(2).sum(1, keepdim=True) + 1.0)


def bent(layers: nn.ModuleList, z: Tensor) -> Tensor:
    hidden = layers[0](z)
    parts = [functional.silu, functional.gelu, functional.mish, functional.softplus, functional.elu, torch.selu]
    parts += [functional.celu, torch.exp, torch.sin, torch.cos, functional.logsigmoid, torch.sigmoid]
    parts += [lambda x: functional.gelu(x, approximate="tanh"), lambda x: torch.sqrt(torch.exp(x) + 1.0)]
    parts += [lambda x: torch.reciprocal(torch.exp(x) + 1.0), lambda x: torch.log1p(x.square())]
    return torch.cat([layers[1](part(hidden)) for part in parts], 1).softmax(1)
