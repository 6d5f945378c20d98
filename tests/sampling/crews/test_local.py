"""Workers that are processes of this machine: same bytes, whoever is killed and when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from magnet_service.errors import Cancelled, OutOfMemory, Refused
from magnet_service.generator import load_version
from magnet_service.sampling.crews.local import local_crew
from magnet_service.sampling.crews.opening import open_crew
from magnet_service.sampling.crews.recipe import Recipe
from magnet_service.sampling.crews.team import Team
from magnet_service.sampling.crews.words import parse_workers
from tests.sampling.crews.parts import Deadly, expected, gone, joined, recipe, spans

ROOT = Path(__file__).parents[3]
ROWS = 64 * 40


@pytest.fixture(scope="module")
def given(small: Path) -> Recipe:
    return recipe(small)


@pytest.fixture(scope="module")
def wanted(small: Path, given: Recipe) -> tuple[bytes, ...]:
    return expected(load_version(small)[0], given.spec, ROWS)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def crew(given: Recipe, told: list[str]) -> Iterator[Team]:
    made = open_crew(parse_workers("local:2"), given, told.append)
    assert isinstance(made, Team)
    pids = []
    try:
        yield made
        pids = [presence.pid for presence in made.present]
    finally:
        made.close()
    assert pids
    assert all(gone(pid) for pid in pids)


def ready(crew: Team) -> None:
    """Has rows computed until every worker has loaded its recipe."""
    while len(crew.present) < crew.size:
        list(crew.compute(spans(64 * 4)))


def test_two_workers_compute_the_rows_of_one(crew: Team, wanted: tuple[bytes, ...]) -> None:
    ready(crew)
    assert len({presence.pid for presence in crew.present} | {os.getpid()}) == 3
    assert joined(crew.compute(spans(ROWS))) == wanted
    assert joined(crew.compute(spans(ROWS, 1024))) == wanted


def test_a_worker_killed_in_the_middle_changes_no_byte(crew: Team, wanted: tuple[bytes, ...], told: list[str]) -> None:
    ready(crew)
    told.clear()
    victim = crew.present[0].pid
    found = []
    for number, part in enumerate(crew.compute(spans(ROWS))):
        found.append(part)
        if number == 0:
            os.kill(victim, signal.SIGSTOP)  # whatever it has now, it will not answer
        if number == 20:
            os.kill(victim, signal.SIGKILL)
    assert joined(found) == wanted
    assert len(told) == 1
    assert told[0].startswith(f"worker 0 (pid {victim} on ")
    assert "ended by SIGKILL: it is replaced, " in told[0]
    ready(crew)
    assert victim not in {presence.pid for presence in crew.present}


def test_a_worker_killed_while_idle_is_replaced(crew: Team, wanted: tuple[bytes, ...], told: list[str]) -> None:
    ready(crew)
    told.clear()
    os.kill(crew.present[1].pid, signal.SIGKILL)
    assert joined(crew.compute(spans(ROWS))) == wanted
    assert len(told) == 1


def test_ctrl_c_is_left_to_the_driver(crew: Team, wanted: tuple[bytes, ...], told: list[str]) -> None:
    ready(crew)
    told.clear()
    before = crew.present
    for presence in before:
        os.kill(presence.pid, signal.SIGINT)
    assert joined(crew.compute(spans(ROWS))) == wanted
    assert (crew.present, told) == (before, [])


def test_a_stop_signal_ends_the_computation(crew: Team, wanted: tuple[bytes, ...]) -> None:
    found: list[object] = []
    endless = ((start, start + 64) for start in count(step=64))

    def collect() -> None:
        for part in crew.compute(endless, lambda: len(found) >= 3):
            found.append(part)

    with pytest.raises(Cancelled):
        collect()
    assert 3 <= len(found) <= 3 + 2 * crew.size
    assert joined(crew.compute(spans(ROWS))) == wanted


def test_errors_cross_and_workers_of_them_are_ended(given: Recipe) -> None:
    narrow = replace(given, engine=replace(given.engine, max_memory=1_000))
    crew = local_crew(narrow, 1)
    try:
        with pytest.raises(OutOfMemory, match="memory") as caught:
            list(crew.compute(spans(64)))
        assert caught.value.reason == "OUT_OF_MEMORY"
        pids = [presence.pid for presence in crew.present]
    finally:
        crew.close()
    assert pids
    assert all(gone(pid) for pid in pids)


def test_another_generator_is_refused(given: Recipe) -> None:
    crew = local_crew(replace(given, spec=replace(given.spec, generator_digest="0" * 64)), 1)
    try:
        with pytest.raises(Refused, match="of generator 0000000000000000") as caught:
            list(crew.compute(spans(64)))
    finally:
        crew.close()
    assert caught.value.reason == "FOREIGN_BANK"


def test_workers_that_die_at_once_end_in_an_error(given: Recipe, small: Path) -> None:
    told: list[str] = []
    crew = local_crew(replace(given, origin=Deadly(small, 1)), 1, told.append)
    try:
        with pytest.raises(Refused, match="ended by SIGKILL, 3 times in a row") as caught:
            list(crew.compute(spans(64)))
    finally:
        crew.close()
    assert caught.value.reason == "WORKERS_DIED"
    assert len(told) == 3


DRIVER = """
import sys
from pathlib import Path
from magnet_service.sampling.crews.local import local_crew
from tests.sampling.crews.parts import recipe, spans

if __name__ == "__main__":
    crew = local_crew(recipe(Path(sys.argv[1])), 2)
    told = False
    for start, _ in crew.compute((start, start + 4096) for start in range(0, 1 << 40, 4096)):
        if not told and len(crew.present) == 2:
            print(*(presence.pid for presence in crew.present), flush=True)
            told = True
"""


def test_workers_end_when_the_driver_is_killed(small: Path, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    path = os.pathsep.join([str(ROOT), *sys.path])
    driver = subprocess.Popen(
        [sys.executable, str(script), str(small)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        assert driver.stdout is not None
        pids = [int(word) for word in driver.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(gone(pid) for pid in pids)
    finally:
        driver.kill()
        driver.communicate()
    end = time.monotonic() + 30
    while not all(gone(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    left = [pid for pid in pids if not gone(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
