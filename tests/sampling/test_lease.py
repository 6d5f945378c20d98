"""Leases: one writer at a time, whoever dies or stalls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from magnet_service.errors import DamagedData, Refused
from magnet_service.sampling.banks.holder import this_process
from magnet_service.sampling.banks.lease import LEASES, Lease, lease_in_force
from magnet_service.sampling.banks.place import Place, place_of


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_of(tmp_path / "0123456789abcdef")


def write_lease(place: Place, number: int, end: float, **changes: object) -> None:
    holder = replace(this_process(), **changes)  # type: ignore[arg-type]  # any attribute
    content = {"holder": holder.content(), "end": end}
    place.child(LEASES).put(f"{number:012d}.json", json.dumps(content).encode())


def test_one_holds_it_and_gives_it_back(place: Place) -> None:
    assert lease_in_force(place) is None
    with Lease(place, "bank x") as first:
        first.check()
        with pytest.raises(Refused, match=f"process {os.getpid()}") as caught:
            Lease(place, "bank x")
        assert caught.value.reason == "BUSY"
    with Lease(place, "bank x") as second:
        assert second.number == first.number + 1
    assert len(place.child(LEASES).names()) == 1


def test_of_many_at_once_one_gets_it(place: Place) -> None:
    start, held, reasons = threading.Barrier(8), [], []

    def run() -> None:
        start.wait()
        try:
            held.append(Lease(place, "bank x"))
        except Refused as error:
            reasons.append(error.reason)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    assert reasons == ["BUSY"] * 7
    held[0].give_back()


def test_it_is_renewed_while_it_is_held(place: Place) -> None:
    with Lease(place, "bank x", seconds=0.3) as lease:
        time.sleep(0.9)
        lease.check()
        term = lease_in_force(place)
        assert term is not None
        assert not term.over


def test_a_lease_past_its_end_is_taken_and_its_holder_told(place: Place) -> None:
    lease = Lease(place, "bank x", seconds=600.0)
    write_lease(place, lease.number, time.time() - 1, machine="another", host="elsewhere")
    with Lease(place, "bank x") as later:
        assert later.number == lease.number + 1
        lease._end = time.time() - 1  # its own clock has moved on meanwhile
        with pytest.raises(Refused, match="no longer this writer's") as caught:
            lease.check()
        assert caught.value.reason == "LEASE_LOST"
        lease.give_back()
        later.check()
        with pytest.raises(Refused):
            Lease(place, "bank x")


def test_a_renewal_finds_that_another_took_it(place: Place) -> None:
    with Lease(place, "bank x", seconds=0.6) as lease:
        write_lease(place, lease.number + 1, time.time() + 600, machine="another", host="elsewhere")
        until = time.monotonic() + 10
        while lease._lost is None and time.monotonic() < until:
            time.sleep(0.02)
        with pytest.raises(Refused, match="another writer"):
            lease.check()


def test_a_lease_of_another_machine_is_waited_for(place: Place) -> None:
    write_lease(place, 7, time.time() + 600, machine="another", host="elsewhere", process=1)
    with pytest.raises(Refused, match="process 1 on elsewhere"):
        Lease(place, "bank x")


def test_a_lease_of_a_process_that_was_killed_is_taken_at_once(place: Place) -> None:
    code = (
        "import sys, time; from magnet_service.sampling.banks.lease import Lease;"
        "from magnet_service.sampling.banks.place import place_of;"
        "lease = Lease(place_of(sys.argv[1]), 'bank x', seconds=600.0);"
        "print(lease.number, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, place.url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        with pytest.raises(Refused):
            Lease(place, "bank x")
        process.kill()
    with Lease(place, "bank x") as lease:
        assert lease.number == number + 1


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"holder": {}, "end": 1}'])
def test_what_is_no_lease_is_told(data: bytes, place: Place) -> None:
    place.child(LEASES).put("000000000001.json", data)
    with pytest.raises(DamagedData, match="no lease"):
        Lease(place, "bank x")
