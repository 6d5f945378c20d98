"""One server for all tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from magnet_client import BankInfo, Client
from tests.client.toy import repository_with_toy, served

ROWS = 1024


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository_with_toy(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def address(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(repository, tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[Client]:
    with Client(address) as connected:
        yield connected


@pytest.fixture(scope="session")
def bank(client: Client) -> BankInfo:
    """The prior's bank."""
    return client.build_bank("toy", ROWS, seed=5)
