"""The progressively grown generator of Karras et al. (arXiv 1710.10196, table 2), narrow, with weights at random.

Blocks of upsampling, two 3 x 3 convolutions with their weights scaled at run time, leaky units and pixel norm; the
latent is normalised first, and the picture of the size before is faded in. Written from the paper; the package
`pro-gan-pth`, which trains such generators, wants torchvision and tensorboard, and is compared only where present.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Progressive"]


class Scaled(nn.Module):
    """A convolution of unit-variance weights, scaled by sqrt(2 / fan in) whenever it runs."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, turned: bool = False) -> None:
        super().__init__()
        self.turned = turned
        shape = (inputs, outputs) if turned else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(*shape, kernel, kernel))
        self.bias = nn.Parameter(0.1 * torch.randn(outputs))
        self.scale = math.sqrt(2.0 / (inputs if turned else inputs * kernel**2))

    def forward(self, image: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if self.turned:
            return functional.conv_transpose2d(image, weight, self.bias)
        return functional.conv2d(image, weight, self.bias, padding=weight.shape[-1] // 2)


def pixel_norm(image: Tensor) -> Tensor:
    return image / image.pow(2.0).mean(dim=1, keepdim=True).add(1e-8).sqrt()


class Progressive(nn.Module):
    """From `latent_dim` numbers to pictures of 3 x size x size, faded in by `alpha`."""

    def __init__(self, latent_dim: int, size: int = 64, width: int = 12, alpha: float = 0.7) -> None:
        super().__init__()
        self.alpha = alpha
        self.start = Scaled(latent_dim, width, 4, turned=True)
        steps = int(math.log2(size)) - 2
        self.first = nn.ModuleList([nn.Identity(), *(Scaled(width, width, 3) for _ in range(steps))])
        self.second = nn.ModuleList(Scaled(width, width, 3) for _ in range(steps + 1))
        self.colours = nn.ModuleList(Scaled(width, 3, 1) for _ in range(steps + 1))

    def forward(self, latents: Tensor) -> Tensor:
        image = functional.leaky_relu(self.start(pixel_norm(latents[:, :, None, None])), 0.2)
        image = pixel_norm(functional.leaky_relu(self.second[0](image), 0.2))
        before = image
        for first, second in zip(self.first[1:], self.second[1:], strict=True):
            before = image
            image = functional.interpolate(image, scale_factor=2)
            image = pixel_norm(functional.leaky_relu(first(image), 0.2))
            image = pixel_norm(functional.leaky_relu(second(image), 0.2))
        faded = functional.interpolate(self.colours[-2](before), scale_factor=2)
        return self.alpha * self.colours[-1](image) + (1 - self.alpha) * faded
