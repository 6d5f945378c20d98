"""Points in the plane to train on, and to set batch norms by."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["moons", "square", "star"]


def star(count: int, *, arms: int = 5, depth: float = 0.45) -> Tensor:
    """Points on a star-shaped closed curve of radius 1 + depth cos(arms angle), [count, 2]."""
    angle = torch.arange(count) * (2 * math.pi / count)
    radius = 1 + depth * torch.cos(arms * angle)
    return radius[:, None] * torch.stack([angle.sin(), angle.cos()], dim=1)


def moons(count: int, *, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """Two half circles that reach into one another: points [count, 2] around 0, and which of the two each is on."""
    draws = torch.Generator().manual_seed(seed)
    which = torch.arange(count) % 2
    angle = math.pi * torch.rand(count, generator=draws)
    sign = 1.0 - 2.0 * which
    points = torch.stack([angle.cos() - 0.5 * sign, (angle.sin() - 0.25) * sign], dim=1)
    return points + noise * torch.randn(count, 2, generator=draws), which


def square(half: float) -> tuple[float, float, float, float]:
    """The window [-half, half]^2 of a plane."""
    return -half, half, -half, half
