"""Measures how much memory local complexity takes under a bound; run as a program of its own.

Prints one line of JSON: the growth of the resident set at its peak, in bytes.
"""

from __future__ import annotations

import gc
import json
import sys

import torch
from torch import nn

from magnet_service.generator import Generator, Precision
from magnet_service.geometry import local_complexity
from tests.geometry.peak_memory import FORGET, convolutional, resident

__all__ = ["network"]


def network(kind: str, channels: int = 32) -> Generator:
    """Transposed convolutions, or convolutions and max-pools."""
    torch.manual_seed(0)
    if kind == "transposed":
        return convolutional(32, channels)
    layers = [nn.Unflatten(1, (1, 32, 32)), nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(channels * 256, 4)]
    return Generator.from_module(nn.Sequential(*layers), 1024)


def main(kind: str, bound: int) -> None:
    generator = network(kind).to(precision=Precision.FLOAT64)
    latents = torch.randn(1, generator.latent_dim, dtype=torch.float64)
    # Threads and libraries take what they need once.
    local_complexity(network(kind, 2), latents, radius=0.1)
    gc.collect()
    FORGET.write_text("5")  # the peak from now on
    before = resident("VmRSS")
    local_complexity(generator, latents, radius=0.1, max_memory=bound)
    print(json.dumps({"growth": resident("VmHWM") - before}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
