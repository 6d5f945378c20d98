"""A small StyleGAN, its synthesis modulated, with constant noise or without; and a feature network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from magnet_service.generator import export_module

__all__ = ["INNER", "OUTER", "WIDE", "Features", "Style", "exported", "features", "style"]

OUTER, INNER, WIDE = 5, 6, 8


class Block(nn.Module):
    """Scaled, convolved, scaled back (arXiv 1912.04958), with a constant picture of noise added or none."""

    def __init__(self, inputs: int, outputs: int, size: int, noisy: bool) -> None:
        super().__init__()
        self.style = nn.Linear(INNER, inputs)
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", torch.zeros(1, 1, size, size) if noisy else None)

    def forward(self, image: Tensor, latent: Tensor) -> Tensor:
        style = self.style(latent) + 1.0
        rate = (style.square() @ self.weight.square().sum((2, 3)).T + 1e-8).rsqrt()
        image = functional.conv2d(image * style[:, :, None, None], self.weight, padding=1) * rate[:, :, None, None]
        if self.noise is not None:
            image = image + self.noise
        return functional.leaky_relu(image + self.bias[:, None, None], 0.2)


class Style(nn.Module):
    """z of OUTER numbers, normalised, mapped to w of INNER numbers, and drawn as a picture of 1 x WIDE x WIDE."""

    def __init__(self, noisy: bool = True, leaking: bool = False) -> None:
        super().__init__()
        self.leaking = leaking
        self.mapping = nn.Sequential(nn.Linear(OUTER, 16), nn.LeakyReLU(0.2), nn.Linear(16, INNER))
        self.constant = nn.Parameter(torch.zeros(4, WIDE // 2, WIDE // 2))
        self.first, self.second = Block(4, 4, WIDE // 2, noisy), Block(4, 4, WIDE, noisy)
        self.picture = nn.Conv2d(4, 1, 1)

    def map(self, latents: Tensor) -> Tensor:
        return self.mapping(latents * (latents.square().mean(1, keepdim=True) + 1e-8).rsqrt())

    def synthesise(self, latent: Tensor) -> Tensor:
        image = self.first(self.constant.unsqueeze(0).repeat(latent.shape[0], 1, 1, 1), latent)
        return torch.tanh(self.picture(self.second(functional.interpolate(image, scale_factor=2), latent)))

    def forward(self, latents: Tensor) -> Tensor:
        image = self.synthesise(self.map(latents))
        return image + latents[:, :1, None, None] if self.leaking else image


class Features(nn.Module):
    """Convolutions, a max-pool and a mean over the picture, as feature networks have them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 24, 3),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.AvgPool2d(2, stride=1),
            nn.Flatten(),
            nn.Linear(24, 7),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def drawn(module: nn.Module, seed: int) -> nn.Module:
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*module.parameters(), *(buffer for name, buffer in module.named_buffers() if "noise" in name)]:
            fan = tensor[0].numel() if tensor.dim() > 1 else 4
            tensor.copy_(torch.randn(tensor.shape, generator=source) * (2 / fan) ** 0.5)
    return module.eval().requires_grad_(False)


def style(seed: int = 0, *, noisy: bool = True, leaking: bool = False) -> Style:
    module = drawn(Style(noisy, leaking), seed)
    assert isinstance(module, Style)
    return module


def features(seed: int = 1) -> Features:
    module = drawn(Features(), seed)
    assert isinstance(module, Features)
    return module


def exported(folder: Path, seed: int = 0, *, noisy: bool = True, leaking: bool = False) -> tuple[Path, Path]:
    """Files of the generator and of the feature network."""
    export_module(style(seed, noisy=noisy, leaking=leaking), OUTER, folder / "style.pt2")
    shape = (1, WIDE, WIDE)
    export_module(features(), WIDE * WIDE, folder / "vgg.pt2", latent_shape=shape, outputs_probe=False)
    return folder / "style.pt2", folder / "vgg.pt2"
