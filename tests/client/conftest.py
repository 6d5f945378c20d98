"""One server for all tests of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from magnet_client import BankInfo, Client
from tests.client.toy import repository_with_toy, served

ROWS = 1024


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("client")
    with served(repository_with_toy(folder), folder / "store") as running:
        yield running


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[Client]:
    with Client(address) as connected:
        yield connected


@pytest.fixture(scope="session")
def bank(client: Client) -> BankInfo:
    """The prior's bank."""
    return client.build_bank("toy", ROWS, seed=5)
