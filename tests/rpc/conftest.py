"""A real server on a free loopback port for every test of this folder, and stubs over a real channel."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from magnet_service.config import Settings, load_settings
from magnet_service.rpc.server import running_server
from tests.rpc.calls import Services, build_bank
from tests.rpc.networks import fill
from tests.sampling.s3 import s3 as s3


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    fill(folder, tmp_path_factory.mktemp("exported"))
    return folder


@pytest.fixture(scope="session")
def settings(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(
        port=0,
        repositories=[repository],
        store=tmp_path_factory.mktemp("store"),
        builder=True,
        threads=1,
        max_count=3000,
        drain_seconds=5.0,
        log_level="error",
    )


@pytest.fixture(scope="session")
def address(settings: Settings) -> Iterator[str]:
    with running_server(settings) as found:
        yield found


@pytest.fixture(scope="session")
def services(address: str) -> Iterator[Services]:
    with grpc.insecure_channel(address) as channel:
        yield Services(channel)


@pytest.fixture(scope="session")
def bank(services: Services) -> str:
    """Id of a bank of `grey` under its prior, 3000 rows."""
    return build_bank(services, "grey", 3000).bank_id


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 1 MiB large."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", folder], check=True)
