"""`magnet` as a process: what it imports, how it serves and stops."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from magnet_client import Client
from magnet_service.cli.serve import serve
from magnet_service.config import Settings
from tests.cli.conftest import Magnet

MAGNET = [sys.executable, "-W", "error", "-m", "magnet_service.cli"]


def test_the_command_line_imports_no_torch_and_no_part_of_the_server() -> None:
    code = (
        "import sys, magnet_service.cli\n"
        "roots = {name.split('.')[0] for name in sys.modules}\n"
        "assert not roots & {'torch', 'scipy', 'pyarrow', 'structlog', 'pydantic_settings', 'protovalidate'}, roots\n"
        "assert not [name for name in sys.modules if name.startswith('magnet_service.rpc')]\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_every_setting_is_a_flag_of_serve() -> None:
    flags = set(inspect.signature(serve).parameters) - {"port_file"}
    assert {name.replace("repository", "repositories") for name in flags} == set(Settings.model_fields)


def test_a_server_serves_says_where_and_stops_at_a_signal(magnet: Magnet, repository: Path, tmp_path: Path) -> None:
    port_file = tmp_path / "address"
    command = [*MAGNET, "serve", "--port", "0", "--port-file", str(port_file), "--repository", str(repository)]
    command += ["--store", str(tmp_path / "store"), "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not port_file.exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        address = port_file.read_text().strip()
        with Client(address) as client:
            assert client.health()
            assert len(client.sample("toy", 3, rho=0.0)) == 3
        port = address.rpartition(":")[2]
        error = magnet.error(1, "serve", "--port", port, "--store", tmp_path / "other", "--log-level", "error")
        assert f"Port {port}" in error
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert f"magnet serves at {address}" in output


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_local_build_that_is_stopped_ends_in_one_line(
    number: int, code: int, repository: Path, tmp_path: Path
) -> None:
    command = [*MAGNET, "bank", "build", "toy", "--rows", "1000000", "--local", "--repository", str(repository)]
    command += ["--store", str(tmp_path / "store")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list((tmp_path / "store").rglob("manifest/*.json")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, error = process.communicate()
    assert process.returncode == code
    assert error == "stopped; rows that are complete stay, and the same command continues\n"
