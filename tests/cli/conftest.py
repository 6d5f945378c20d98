"""The command line run in this process, and a server for it to ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from magnet_service.cli import app
from magnet_service.cli.terminal import STDOUT
from tests.client.toy import repository_with_toy, served


class Magnet:
    """Runs `magnet` and gives what it printed."""

    def __init__(self, **environment: str | None) -> None:
        self._runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", **environment})

    def __call__(self, *arguments: object) -> Result:
        return self._runner.invoke(app, [str(argument) for argument in arguments])

    def done(self, *arguments: object) -> str:
        """What a command that succeeds prints on stdout."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def json(self, *arguments: object) -> Any:
        """The JSON that a command prints, strictly read."""
        return json.loads(
            self.done(*arguments, "--json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
        )

    def error(self, code: int, *arguments: object) -> str:
        """The one line on stderr of a command that fails."""
        result = self(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error ")
        assert result.stderr.count("\n") == 1
        return str(result.stderr)


@pytest.fixture
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns; rich reads COLUMNS only when it is imported."""
    monkeypatch.setattr(STDOUT, "width", 80)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository_with_toy(tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def address(repository: Path, store: Path) -> Iterator[str]:
    with served(repository, store) as running:
        yield running


@pytest.fixture(scope="session")
def magnet(address: str) -> Magnet:
    """`magnet` with MAGNET_ADDRESS set to the server."""
    return Magnet(MAGNET_ADDRESS=address, MAGNET_THREADS="1")


@pytest.fixture(scope="session")
def bank(magnet: Magnet) -> dict[str, Any]:
    """The prior's bank of `toy`."""
    built: dict[str, Any] = magnet.json("bank", "build", "toy", "--rows", 512)
    return built
