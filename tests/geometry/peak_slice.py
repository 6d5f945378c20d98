"""Measures how much memory a slice along a line takes under a bound; run as a program of its own.

Prints one line of JSON: the growth of the resident set at its peak, in bytes, and what was found.
"""

from __future__ import annotations

import gc
import json
import sys

import torch
from torch import nn

from magnet_service.generator import Generator
from magnet_service.geometry.slice import slice_along
from magnet_service.geometry.tessellation import Tessellation, tessellate
from tests.geometry.peak_memory import FORGET, resident


def network(channels: int) -> Generator:
    """Two layers of convolutions behind a dense one."""
    torch.manual_seed(0)
    layers = [nn.Linear(8, channels * 196), nn.ReLU(), nn.Unflatten(1, (channels, 14, 14))]
    layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 1, 3, padding=1)]
    return Generator.from_module(nn.Sequential(*layers), 8)


def cut(generator: Generator, bound: int) -> Tessellation:
    where = slice_along(torch.zeros(8), torch.eye(8)[:1], torch.tensor([-3.0, 3.0]))
    return tessellate(generator, where, max_memory=bound, threads=1)


def main(channels: int, bound: int) -> None:
    generator = network(channels)
    # Threads and libraries take what they need once.
    cut(network(1), bound)
    gc.collect()
    FORGET.write_text("5")  # the peak from now on
    before = resident("VmRSS")
    found = cut(generator, bound)
    growth = resident("VmHWM") - before
    print(json.dumps({"growth": growth, "tiles": found.tiles, "truncated": bool(found.stopped_at)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
