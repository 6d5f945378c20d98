"""What the package shows: sorted names, one signature for both clients, no torch."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import magnet_client
from magnet_client import AsyncClient, Client, MagnetError
from magnet_service import errors as core

CALLS = sorted(name for name in dir(Client) if not name.startswith("_"))


def modules() -> list[str]:
    return [magnet_client.__name__] + [
        found.name for found in pkgutil.walk_packages(magnet_client.__path__, "magnet_client.")
    ]


@pytest.mark.parametrize("name", modules())
def test_all_is_sorted_and_exists(name: str) -> None:
    module = importlib.import_module(name)
    if name not in ("magnet_client.blocking", "magnet_client.awaiting"):
        assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, shown) for shown in getattr(module, "__all__", []))


def test_import_brings_neither_torch_nor_the_service() -> None:
    code = (
        "import sys, magnet_client\n"
        "magnet_client.Client('127.0.0.1:1').close()\n"
        "roots = {name.split('.')[0] for name in sys.modules}\n"
        "assert not roots & {'torch', 'magnet_service', 'scipy', 'pydantic'}, roots\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_both_clients_have_the_same_calls() -> None:
    assert sorted(name for name in dir(AsyncClient) if not name.startswith("_")) == CALLS


@pytest.mark.parametrize("name", ["__init__", *(name for name in CALLS if callable(getattr(Client, name)))])
def test_parameters_are_the_same_in_the_same_order(name: str) -> None:
    def shown(client: type) -> list[tuple[str, object, object, object]]:
        signature = inspect.signature(getattr(client, name))
        return [(p.name, p.kind, p.default, p.annotation) for p in signature.parameters.values()]

    assert shown(Client) == shown(AsyncClient)


def test_parameters_keep_their_order_across_calls() -> None:
    order = list(inspect.signature(Client.sample).parameters)
    builds = ("stream", "build_bank", "start_build", "describe_polarity", "advise", "slice", "region")
    measured = ("generate", "log_volume", "local_complexity", "log_density", "patterns", "hamming", "affine_rows")
    for name in (*builds, *measured, "nearest_patterns", "hyperplane_distances"):
        shared = [p for p in inspect.signature(getattr(Client, name)).parameters if p in order]
        if name not in builds:  # there `latents` is what is asked about, not whether they are answered
            shared.remove("latents")
        assert shared == sorted(shared, key=order.index), name
    assert list(inspect.signature(Client.stream).parameters) == order


def test_every_error_of_the_server_has_its_mirror() -> None:
    for name in core.__all__:
        assert issubclass(getattr(magnet_client, name), MagnetError)
        assert name in magnet_client.__all__


def test_every_public_call_says_what_it_raises_and_how_exact_it_is() -> None:
    for client in (Client, AsyncClient):
        for name in CALLS:
            call = getattr(client, name)
            if name != "close" and callable(call):
                assert "Raises:" in (call.__doc__ or ""), name
                assert "Accuracy:" in (call.__doc__ or ""), name
