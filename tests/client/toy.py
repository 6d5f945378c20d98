"""A small image generator in a repository, and a real server that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from magnet_service.config import load_settings
from magnet_service.generator import add_generator, export_module
from magnet_service.rpc.server import running_server

__all__ = ["LATENT_DIM", "export_toy", "repository_with_toy", "served"]

LATENT_DIM = 4


def export_toy(folder: Path) -> Path:
    """Write `toy.pt2`, a ReLU network from 4 latents to pictures of 8 x 8 under a tanh, and its probe."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = nn.Sequential(
            nn.Linear(LATENT_DIM, 32), nn.ReLU(), nn.Linear(32, 64), nn.Unflatten(1, (1, 8, 8)), nn.Tanh()
        )
    export_module(module, LATENT_DIM, folder / "toy.pt2")
    return folder / "toy.pt2"


def repository_with_toy(folder: Path) -> Path:
    """Make a repository that holds the generator `toy`."""
    repository = folder / "generators"
    add_generator(
        repository, "toy", export_toy(folder), labels=("a", "b"), training_shares=(0.25, 0.75), licence="Apache-2.0"
    )
    return repository


@contextmanager
def served(repository: Path, store: Path, **flags: Any) -> Iterator[str]:
    """Serve a repository from this process, on a free loopback port, and yield the address."""
    chosen = {"max_count": 2000, "log_level": "error", "threads": 1, **flags}
    with running_server(
        load_settings(port=0, repositories=[repository], store=store, builder=True, **chosen)
    ) as address:
        yield address
