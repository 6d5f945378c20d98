"""Layers of today's generators that are smooth inside: attention, modulation, norms by a row's own statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "Demodulated", "Extrema", "Functions", "HandWrittenAttention", "Modulated", "Normed"]


class Attention(nn.Module):
    """Two heads over three tokens of four numbers, as one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Linear(6, 12)
        self.project = nn.Linear(4, 12)
        self.out = nn.Linear(12, 9)

    def heads(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tokens = self.project(functional.relu(self.spread(latents)).view(-1, 3, 4))
        query, key, value = tokens.view(-1, 3, 2, 6).transpose(1, 2).chunk(3, -1)
        return query, key, value

    def forward(self, latents: Tensor) -> Tensor:
        mixed = functional.scaled_dot_product_attention(*self.heads(latents))
        return self.out(mixed.transpose(1, 2).flatten(1))


class HandWrittenAttention(Attention):
    """The same written out: two products of values and a softmax."""

    def forward(self, latents: Tensor) -> Tensor:
        query, key, value = self.heads(latents)
        share = torch.softmax(query @ key.transpose(-1, -2) / 2**0.5, -1)
        return self.out((share @ value).transpose(1, 2).flatten(1))


class Modulated(nn.Module):
    """A modulated convolution of a learned constant as StyleGAN2 fuses it: a group for every row."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(3, 4, 4))
        self.weight = nn.Parameter(torch.zeros(5, 3, 3, 3))
        self.style = nn.Linear(6, 3)
        self.out = nn.Conv2d(5, 1, 1)

    def scaled(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        style = self.style(latents)
        weight = self.weight.unsqueeze(0) * style.reshape(latents.shape[0], 1, -1, 1, 1)
        rate = (weight.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt()
        return style, weight, rate

    def forward(self, latents: Tensor) -> Tensor:
        rows = latents.shape[0]
        image = self.constant.unsqueeze(0).repeat(rows, 1, 1, 1)
        _, weight, rate = self.scaled(latents)
        weight = weight * rate.reshape(rows, -1, 1, 1, 1)
        image = image.reshape(1, -1, *image.shape[2:])
        image = functional.conv2d(image, weight.reshape(-1, 3, 3, 3), padding=1, groups=rows)
        image = functional.leaky_relu(image.reshape(rows, -1, 4, 4), 0.2)
        return self.out(image)


class Demodulated(Modulated):
    """The same with one weight for all rows: input scaled, convolved, output scaled."""

    def forward(self, latents: Tensor) -> Tensor:
        image = self.constant.unsqueeze(0).repeat(latents.shape[0], 1, 1, 1)
        style, _, rate = self.scaled(latents)
        image = functional.conv2d(image * style[:, :, None, None], self.weight, padding=1)
        return self.out(functional.leaky_relu(image * rate[:, :, None, None], 0.2))


class Normed(nn.Module):
    """Every norm that a row computes from itself."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Linear(6, 36)
        self.norms = nn.Sequential(
            nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4), nn.LayerNorm(3), nn.RMSNorm(3)
        )
        self.out = nn.Linear(36, 8)

    def forward(self, latents: Tensor) -> Tensor:
        image = self.norms(functional.relu(self.spread(latents)).view(-1, 4, 3, 3) + 0.1 * latents[:, :1, None, None])
        image = functional.normalize(image, dim=1) / image.std(1, keepdim=True)
        return self.out((image + image.var((2, 3), keepdim=True)).flatten(1))


class Functions(nn.Module):
    """Functions of one number that only some generators use."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 8)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = torch.erf(self.first(latents)) + torch.asinh(self.first(latents))
        hidden = self.second(hidden).atan() + 1.3**hidden
        grown = torch.sinh(hidden) / torch.cosh(hidden) + torch.expm1(0.1 * hidden)
        return self.second(torch.log_softmax(grown, 1)) + 2 / (1 + torch.log(1 + hidden.square()))


class Extrema(nn.Module):
    """Maxout, as a maximum over pieces and of two values."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 24)
        self.second = nn.Linear(8, 8)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.first(latents).view(-1, 8, 3).amax(2)
        return self.second(torch.maximum(hidden, -0.3 * self.second(hidden)))
