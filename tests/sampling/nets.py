"""Small ReLU networks with known weights, as layers for the oracles and as generators for the package."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from magnet_service.generator import Generator

Layers = list[tuple[np.ndarray, np.ndarray]]


def layers(widths: Sequence[int], seed: int) -> Layers:
    """Random weights that float32 holds exactly; hyperplanes of the first layer spread over the unit cube."""
    source = np.random.RandomState(seed)
    made: Layers = []
    for index, (fan, width) in enumerate(pairwise(widths)):
        first, last = index == 0, index == len(widths) - 2
        weight = source.normal(size=(width, fan)) * (1.0 if first else np.sqrt((1.0 if last else 2.0) / fan))
        bias = source.uniform(-1.0, 1.0, size=width) * np.linalg.norm(weight, axis=1) if first else None
        if bias is None:
            bias = np.zeros(width) if last else 0.3 * source.normal(size=width)
        made.append((weight.astype(np.float32).astype(np.float64), bias.astype(np.float32).astype(np.float64)))
    return made


def generator_of(made: Layers) -> Generator:
    return Generator.from_module(module_of(made), made[0][0].shape[1])


def module_of(made: Layers) -> nn.Module:
    parts: list[nn.Module] = []
    for index, (weight, bias) in enumerate(made):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        parts += [linear] if index == len(made) - 1 else [linear, nn.ReLU()]
    return nn.Sequential(*parts)
