"""Multilayer perceptrons with stated initial weights, and batch norms set by data."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["Biases", "mlp", "set_batch_norms"]


class Biases(StrEnum):
    """What stands before each nonlinearity besides the weights."""

    ZERO = "zero bias"
    RANDOM = "random bias"
    BATCH_NORM = "batch norm"


def mlp(
    widths: Sequence[int], *, seed: int, biases: Biases = Biases.RANDOM, slope: float = 0.0, spread: float = 0.5
) -> nn.Sequential:
    """Linear layers with a ReLU, or a leaky one, after each but the last.

    Weights are normal with variance 2 / inputs, which keeps the size of values from layer to layer.

    Arguments:
        widths: of the input, of each layer, of the output.
        seed: of the weights.
        biases: `RANDOM` draws them from a normal law of standard deviation `spread`; `BATCH_NORM` has none, and a batch
            norm before each nonlinearity.
        slope: of the nonlinearity below 0.
        spread: standard deviation of random biases.

    Returns:
        The network, in training mode.
    """
    draws = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for place, (before, after) in enumerate(pairwise(widths)):
        linear = nn.Linear(before, after)
        with torch.no_grad():
            linear.weight.normal_(0.0, (2 / before) ** 0.5, generator=draws)
            linear.bias.zero_()
            if biases is Biases.RANDOM:
                linear.bias.normal_(0.0, spread, generator=draws)
        layers.append(linear)
        if place < last:
            if biases is Biases.BATCH_NORM:
                layers.append(nn.BatchNorm1d(after, momentum=None))
            layers.append(nn.LeakyReLU(slope) if slope else nn.ReLU())
    return nn.Sequential(*layers)


def set_batch_norms(network: nn.Module, points: Tensor) -> None:
    """Give batch norms the mean and variance that their inputs have over points, and end training mode.

    Arguments:
        network: its batch norms have `momentum=None`, so that one batch sets their statistics.
        points: [rows, ...], the batch.
    """
    network.train()
    with torch.no_grad():
        network(points)
    network.eval()
