"""Actors of a real Ray, which the tests start and end: same bytes as one local worker, whoever is killed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from magnet_service.errors import Refused
from magnet_service.sampling.crews import ray_cluster
from magnet_service.sampling.crews.opening import open_crew
from magnet_service.sampling.crews.words import parse_workers
from tests.sampling.command_builds import SHARD_ROWS, begun, building, completed, contents, stored
from tests.sampling.crews.parts import gone, recipe
from tests.sampling.processes import until

ROOT = Path(__file__).parents[3]
FASHION = ROOT / "magnet_service" / "bundled" / "fashion"


@dataclass(frozen=True)
class Cluster:
    """A Ray of two workers at most, and how programs reach it."""

    address: str
    environment: dict[str, str]
    leader: int

    def driver(self, *words: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-m", "tests.sampling.crews.ray_driver", *map(str, words)]
        return subprocess.Popen(
            [*command, self.address], cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True
        )

    def drive(self, *words: str | Path) -> dict[str, Any]:
        with self.driver(*words) as driver:
            try:
                told, _ = driver.communicate(timeout=200)
            finally:
                driver.kill()
        assert driver.returncode == 0
        found: dict[str, Any] = json.loads(told.splitlines()[-1])
        return found


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def session_of(leader: int) -> list[int]:
    """All processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and not gone(int(entry.name)):
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader:
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Sockets lie in this folder, and their names may not be long.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray listens on all addresses of the machine: nobody else may send it anything.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    environment.pop("RAY_ADDRESS", None)
    options = {
        "--port": port,
        "--node-ip-address": "127.0.0.1",
        "--num-cpus": 2,
        "--num-gpus": 0,
        "--memory": 2 << 30,
        "--object-store-memory": 80 << 20,
        "--include-dashboard": "false",
        "--dashboard-port": free_port(),
        "--include-log-monitor": "false",
        "--temp-dir": folder,
    }
    flags = [f"{name}={value}" for name, value in options.items()]
    log = folder / "head.log"
    with log.open("w") as written:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *flags],
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        assert until(lambda: "Ray runtime started" in log.read_text() or head.poll() is not None, 120), log.read_text()
        assert head.poll() is None, log.read_text()
        yield Cluster(f"127.0.0.1:{port}", environment, head.pid)
    finally:
        ours = session_of(head.pid)
        head.terminate()  # it ends the others
        until(lambda: head.poll() is not None and not session_of(head.pid), 30)
        for pid in {*ours, *session_of(head.pid)}:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)
        head.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FASHION, tmp_path / "fashion"))


@pytest.mark.ray
def test_two_actors_of_which_one_is_killed_compute_the_rows_of_one_process(cluster: Cluster, fashion: Path) -> None:
    found = cluster.drive("kill", fashion)
    assert not fashion.exists()  # its files had travelled
    assert found["two"] == found["one"]
    assert (found["owned"], found["size"]) == (True, 2)
    assert len(set(found["pids"])) >= 2
    (told,) = found["told"]
    assert told.startswith(f"worker 0 (pid {found['pids'][0]} on ")
    assert "died (ActorDiedError: The actor is dead because its worker process has died" in told
    assert "it is replaced, " in told
    assert until(lambda: all(gone(pid) for pid in found["pids"]))


def stations(leader: int) -> list[int]:
    """Actors of crews among the processes of a Ray."""
    found = []
    for pid in session_of(leader):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(b"ray::Station"):
            found.append(pid)
    return sorted(found)


@pytest.mark.ray
def test_the_command_on_two_actors_of_which_one_is_killed_builds_the_bank_of_one_process(
    cluster: Cluster, tmp_path: Path
) -> None:
    rows = 40 * SHARD_ROWS + 90
    place, alone = begun(tmp_path / "ray"), begun(tmp_path / "alone")
    workers = ("--workers", f"ray:{cluster.address}")
    with building(place, rows, *workers, environment=cluster.environment) as command:
        assert until(
            lambda: (stored(place) >= 2 and len(stations(cluster.leader)) == 2) or command.poll() is not None, 200
        )
        actors = stations(cluster.leader)
        assert len(actors) == 2, command.poll()
        os.kill(actors[0], signal.SIGKILL)
        assert until(lambda: len({*stations(cluster.leader)} - {*actors}) == 1 or command.poll() is not None, 100)
        _, said = command.communicate(timeout=200)
    assert (command.returncode, said) == (0, "")
    assert until(lambda: not stations(cluster.leader))
    completed(alone, rows, "--workers", "local:1")
    assert contents(place) == contents(alone)


@pytest.mark.ray
def test_what_actors_refuse_is_told_and_the_callers_connection_stays(cluster: Cluster, fashion: Path) -> None:
    found = cluster.drive("errors", fashion)
    assert found["narrow"][:2] == ["OutOfMemory", "OUT_OF_MEMORY"]
    assert found["foreign"][:2] == ["Refused", "FOREIGN_BANK"]
    assert found["other"][:2] == ["Refused", "OTHER_ENGINE"]
    assert "torch 1.0 there and" in found["other"][2]
    assert all(" is left out: bank " in line for line in found["other"][3:])
    assert len(found["other"][3:]) == 2
    assert found["still"] is True


@pytest.mark.ray
def test_actors_end_when_the_driver_is_killed(cluster: Cluster, fashion: Path) -> None:
    with cluster.driver("hang", fashion) as driver:
        try:
            assert driver.stdout is not None
            pids = json.loads(driver.stdout.readline())["pids"]
        finally:
            driver.kill()
    assert len(set(pids)) == 2
    assert until(lambda: all(gone(pid) for pid in pids))


@pytest.mark.ray
def test_what_does_not_speak_as_ray_does_is_no_cluster(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 5.0)
    with closing(socket.create_server(("", 0))) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Refused, match="nothing that speaks as Ray does within 5 s") as caught:
            open_crew(parse_workers(f"ray:127.0.0.1:{port}"), recipe(small))
    assert (caught.value.reason, caught.value.field) == ("NO_CLUSTER", "workers")


def test_an_address_where_nobody_listens_is_no_cluster(small: Path) -> None:
    with pytest.raises(Refused, match=r"no Ray cluster answers at 127\.0\.0\.1:\d+: .*refused") as caught:
        open_crew(parse_workers(f"ray:127.0.0.1:{free_port()}"), recipe(small))
    assert (caught.value.reason, caught.value.field) == ("NO_CLUSTER", "workers")


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as Python itself marks what cannot be imported
    with pytest.raises(Refused, match=r"pip install 'magnet-service\[server,ray\]'") as caught:
        open_crew(parse_workers("ray:2"), recipe(small))
    assert caught.value.reason == "NOT_INSTALLED"
