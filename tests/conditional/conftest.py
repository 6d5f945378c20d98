"""A repository of conditional generators, a server that holds it, and banks of all classes of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from magnet_client import BankInfo, Client
from tests.client.toy import served
from tests.conditional.pets import CLASSES, fill

ROWS = 1024


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditional")
    return fill(folder / "generators", folder / "files")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def address(repository: Path, store: Path) -> Iterator[str]:
    with served(repository, store) as running:
        yield running


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[Client]:
    with Client(address) as connected:
        yield connected


@pytest.fixture(scope="session")
def banks(client: Client) -> tuple[BankInfo, ...]:
    """Banks of every class of `pets`."""
    return tuple(client.build_bank("pets", ROWS, condition=index) for index in range(CLASSES))
