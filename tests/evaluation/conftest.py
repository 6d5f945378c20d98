"""Small generators, a classifier of their images, and real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from magnet_service.generator import export_module
from magnet_service.registry import Registry
from tests.rpc.networks import fill


def network(inputs: int = 64, classes: int = 2, seed: int = 5) -> nn.Sequential:
    """Two layers behind a flattening one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 12), nn.ReLU(), nn.Linear(12, classes)).eval()


def exported(module: nn.Module, path: Path, shape: tuple[int, ...] = (1, 8, 8)) -> Path:
    export_module(module, int(np.prod(shape)), path, latent_shape=shape)
    return path


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    fill(folder, tmp_path_factory.mktemp("exported"))
    return folder


@pytest.fixture(scope="session")
def registry(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry([repository], tmp_path_factory.mktemp("store"), threads=1)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of images of `grey`, two classes."""
    return exported(network(), tmp_path_factory.mktemp("classifier") / "classifier.pt2")
