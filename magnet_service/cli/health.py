"""`magnet health`."""

from __future__ import annotations

from typing import Annotated

import typer

from magnet_client import Client, MagnetError
from magnet_service.cli.options import Address, Json
from magnet_service.cli.terminal import STDOUT, print_json

__all__ = ["health"]


def health(
    address: Address = None,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="One service, as magnet.v1.SamplingService; the server when empty.")
    ] = "",
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait for the answer.")] = 5.0,
    json: Json = False,
) -> None:
    """Asks whether a server is serving: exit code 0 if it is, 1 if not. Made for HEALTHCHECK."""
    with Client(address, timeout=timeout) as client:
        try:
            serving = client.health(service)
        except MagnetError:
            if json:
                print_json({"address": client.address, "service": service, "serving": False})
            raise
        if json:
            print_json({"address": client.address, "service": service, "serving": serving})
        else:
            STDOUT.print(f"{service or client.address} {'is serving' if serving else 'is not serving'}")
    if not serving:
        raise typer.Exit(1)
