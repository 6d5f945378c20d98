"""Slow, obvious answers to compare with: autograd Jacobians in float64, singular values in many digits."""

from __future__ import annotations

import copy
import itertools

import mpmath
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator

__all__ = [
    "autograd_jacobian",
    "dense",
    "linear_generator",
    "log_sigma",
    "many_digit_log_sigma",
    "random_latents",
    "without_head",
]


def random_latents(seed: int, rows: int, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def dense(*widths: int, seed: int, head: nn.Module | None = None, gain: float = 1.0) -> nn.Sequential:
    """Linear layers with ReLU in between, weights and biases drawn from the seed alone."""
    source = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.copy_(gain * torch.randn(outputs, inputs, generator=source) / inputs**0.5)
            layer.bias.copy_(0.1 * torch.randn(outputs, generator=source))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1], *([head] if head is not None else []))


def without_head(module: nn.Sequential) -> nn.Sequential:
    return module[:-1]


def autograd_jacobian(module: nn.Module, latents: Tensor) -> Tensor:
    """[rows, output, latent] in float64, one reverse pass for every output of every row."""
    double = copy.deepcopy(module).double().eval()
    rows = []
    for latent in latents.double():
        jacobian = torch.autograd.functional.jacobian(lambda z: double(z[None]).flatten(), latent)
        rows.append(jacobian)
    return torch.stack(rows)


def log_sigma(jacobians: Tensor) -> Tensor:
    return torch.linalg.svdvals(jacobians).log()


def many_digit_log_sigma(jacobian: Tensor, digits: int = 60) -> Tensor:
    with mpmath.workdps(digits):
        matrix = mpmath.matrix(jacobian.tolist())
        found = mpmath.svd_r(matrix, compute_uv=False)
        return torch.tensor([float(mpmath.log(value)) for value in found], dtype=torch.float64)


def linear_generator(matrix: Tensor) -> Generator:
    """G(z) = A z, the matrix held in its own dtype."""
    layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=matrix.dtype)
    with torch.no_grad():
        layer.weight.copy_(matrix)
    return Generator.from_module(layer, matrix.shape[1])
