"""A server that holds `style`: a small StyleGAN whose latent is w, with a feature network behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from magnet_service.config import load_settings
from magnet_service.generator import Generator, add_generator, read_archive
from magnet_service.rpc.server import running_server
from tests.composition.networks import INNER, exported
from tests.rpc.calls import Services


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Files of generator and feature network, and the name of w."""
    file, net = exported(tmp_path_factory.mktemp("exports"))
    plain = Generator.from_program(read_archive(file))
    return file, net, next(e.name for e in plain.summary if e.shape == (INNER,) and e.operation == "linear")


@pytest.fixture(scope="session")
def repository(exports: tuple[Path, Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    file, net, name = exports
    add_generator(folder, "style", file, latent_node=name, features=net)
    add_generator(folder, "plain", file)
    return folder


@pytest.fixture(scope="session")
def address(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = load_settings(
        port=0,
        repositories=[repository],
        store=tmp_path_factory.mktemp("store"),
        builder=True,
        threads=1,
        drain_seconds=5.0,
        log_level="error",
    )
    with running_server(settings) as found:
        yield found


@pytest.fixture(scope="session")
def services(address: str) -> Iterator[Services]:
    with grpc.insecure_channel(address) as channel:
        yield Services(channel)
