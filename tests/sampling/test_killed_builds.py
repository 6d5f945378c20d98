"""Builds by the command line, killed at random moments and continued: the bytes of an undisturbed one, nobody left."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from magnet_service.config import BUNDLED
from magnet_service.generator import load_version
from magnet_service.sampling import Bank, build, engine_for
from magnet_service.sampling.banks.inspection import inspect
from magnet_service.sampling.banks.place import Place
from tests.sampling.command_builds import SHARD_ROWS, begun, building, completed, contents, leases, stored
from tests.sampling.processes import group_of, until
from tests.sampling.s3 import bucket_at, s3_server

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

ROWS = 47 * SHARD_ROWS + 90  # the last shard is short, its last tile too
WAYS = (("--workers", "local:2"), ("--local",))


def undisturbed(folder: Path) -> dict[str, bytes]:
    """What a build holds that nobody disturbs and no other process helps."""
    place = begun(folder)
    bank = Bank.open(place)
    generator, _, _ = load_version(BUNDLED / "fashion")
    for _ in build(bank, generator, engine_for(bank.spec), ROWS):
        pass
    return contents(place)


def stopped_short(
    place: Place, rows: int, way: tuple[str, ...], shards: int, delay: float, number: int, group: bool
) -> str:
    """Begins or continues a build, ends it by a signal, and returns what it said."""
    before, lease = stored(place), leases(place)
    with building(place, rows, *way) as process:
        until(lambda: process.poll() is not None or (leases(place) != lease and stored(place) >= before + shards), 200)
        time.sleep(delay)
        assert process.poll() is None, f"it ended before it was stopped: {process.communicate()[1]}"
        (os.killpg if group else os.kill)(process.pid, number)
        _, said = process.communicate()
        assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number], said
        assert until(lambda: not group_of(process.pid), 15), "processes outlive the one that started them"
    assert stored(place) >= before
    assert not any(finding.problem for finding in inspect(Bank.open(place)))
    return said


@pytest.mark.parametrize("group", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", WAYS)
def test_a_build_that_is_told_to_stop_says_so_and_leaves_nobody(
    way: tuple[str, ...], number: int, group: bool, tmp_path: Path
) -> None:
    place = begun(tmp_path)
    said = stopped_short(place, ROWS, way, 1, 0.0, number, group)
    assert said == "stopped; rows that are complete stay, and the same command continues\n"
    # Stored is what counts: the signal may come between a shard and the manifest that tells of it.
    assert stored(place) >= 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return undisturbed(tmp_path_factory.mktemp("whole"))


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "banks")
    else:
        with s3_server() as server, bucket_at(server, "killed") as url:
            yield f"{url}/banks"


@pytest.mark.parametrize("seed", [11])
def test_ten_kills_at_random_moments_change_no_byte(seed: int, store: str, whole: dict[str, bytes]) -> None:
    place, source = begun(store), random.Random(seed)
    for _ in range(10):
        way, shards = source.choice(WAYS), source.choice((0, 0, 1, 2, 3))
        # Before the first shard there is most to hit: the measurement of the error, workers that load.
        longest = 0.15 if shards else 3.0 if "--workers" in way else 0.5
        group = source.random() < 0.5
        assert stopped_short(place, ROWS, way, shards, source.uniform(0.0, longest), signal.SIGKILL, group) == ""
    completed(place, ROWS, *source.choice(WAYS))
    assert contents(place) == whole
