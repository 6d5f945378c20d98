"""The server that a command asks: one at an address, or one inside this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magnet_client import Client
from magnet_client.connecting import DEFAULT_TIMEOUT
from magnet_service.cli.failures import needs_server_parts
from magnet_service.errors import InvalidInput

if TYPE_CHECKING:
    from magnet_service.config import Settings

__all__ = ["connected", "settings"]

_MOST_ROWS = 10_000_000_000


def settings(**flags: Any) -> Settings:
    """Read the settings of a server that runs here.

    Where no repository is set anywhere, the one in which `magnet generator add` puts its files is looked in too.

    Arguments:
        flags: settings by name; None means not given.

    Returns:
        Flag, else environment, else file, else default.

    Raises:
        InvalidInput: a setting is wrong; `field` names it.
        Refused: the server's parts are not installed.

    Accuracy: exact.
    """
    try:
        from magnet_service.config import load_settings
    except ModuleNotFoundError as error:
        raise needs_server_parts(error) from error
    found = load_settings(**flags)
    if not found.repositories:
        found = load_settings(**{**flags, "repositories": [_own_repository()]})
    return found


def _own_repository() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "magnet" / "generators"


@contextmanager
def connected(
    address: str | None,
    local: bool,
    repositories: list[Path] | None = None,
    store: str | None = None,
    timeout: float | None = None,
    workers: str | None = None,
) -> Iterator[Client]:
    """Yield a client of the server that a command asks.

    Arguments:
        address: as typed or in MAGNET_ADDRESS; None for 127.0.0.1:50051.
        local: start the same server inside this process, on a free loopback port, and stop it at the end.
        repositories: its folders of generators.
        store: its folder or URL of banks.
        timeout: seconds that a call may take.
        workers: what computes banks there, as settings write it.

    Yields:
        The client; both ways give the same bytes.

    Raises:
        InvalidInput: options that exclude each other.
        Refused: `local` without the server's parts installed.

    Accuracy: exact.
    """
    limit = DEFAULT_TIMEOUT if timeout is None else timeout
    if not local:
        for field, given in (("repository", repositories), ("store", store)):
            if given:
                raise InvalidInput(f"--{field} goes with --local; a server has its own", field=field)
        with Client(address, timeout=limit) as client:
            yield client
        return
    if address is not None and address != os.environ.get("MAGNET_ADDRESS"):
        alone = "--local" if workers is None else "--workers"
        raise InvalidInput(f"write either --address or {alone}: both are given", field="address")
    try:
        from magnet_service.rpc.server import running_server
    except ModuleNotFoundError as error:
        raise needs_server_parts(error, local=True) from error
    here = settings(
        host="127.0.0.1",
        port=0,
        repositories=repositories or None,
        store=store,
        builder=True,
        workers=workers,
        # Who computes here decides how long.
        max_bank_rows=_MOST_ROWS,
        log_level="error",
    )
    with running_server(here) as own, Client(own, timeout=limit) as client:
        yield client
