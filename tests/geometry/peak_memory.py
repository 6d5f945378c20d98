"""Measures how much memory the volumes of a convolutional generator take under a bound; run as a program of its own.

Weights are prepared before, and the kernels have run once on a tiny network: what is measured is the computation
alone. Prints one line of JSON: the bound, and the growth of the resident set at its peak, in bytes; and whether
the sweep was compiled.
"""

from __future__ import annotations

import gc
import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, volumes
from magnet_service.geometry.budget import piece_bytes, tile_bytes
from magnet_service.geometry.sweep import prepare

STATUS = Path("/proc/self/status")
FORGET = Path("/proc/self/clear_refs")


def convolutional(latent: int, channels: int) -> Generator:
    """Five transposed convolutions from a latent to 3 x 64 x 64 under a tanh."""
    widths = [latent, 4 * channels, 2 * channels, channels, channels, 3]
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1))]
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2 if number else 1, 1 if number else 0), nn.ReLU()]
    return Generator.from_module(nn.Sequential(*layers[:-1], nn.Tanh()), latent)


def resident(key: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def main(precision: str, tile_rows: int, threads: int, workers: int) -> None:
    torch.manual_seed(0)
    generator = convolutional(32, 32)
    engine = Engine(precision=Precision(precision), tile_rows=tile_rows, threads=threads)
    with torch.inference_mode():
        placed, _ = engine.place(generator, torch.zeros(1, 32))
        sweep = prepare(placed, Manifold.OUTPUT)
    bound = workers * piece_bytes(sweep, tile_rows) + tile_bytes(sweep, tile_rows)
    volumes(convolutional(4, 2), torch.randn(4 * tile_rows, 4), engine=engine)
    gc.collect()
    FORGET.write_text("5")  # the peak from now on
    before = resident("VmRSS")
    volumes(generator, torch.randn(4 * tile_rows, 32), engine=replace(engine, max_memory=bound))
    growth = resident("VmHWM") - before
    print(json.dumps({"bound": bound, "growth": growth, "compiled": sweep.program is not None}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
