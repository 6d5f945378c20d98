"""Kills at every moment and full disks: what was complete stays, and building again ends in the same files."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from magnet_service.errors import OutOfSpace
from magnet_service.generator import Generator
from magnet_service.sampling import Bank, build
from tests.sampling.small_bank import SHARD_ROWS, create, files, folder_of, grow, small_engine

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))])
def test_kills_at_any_moment_lose_the_shard_in_work_at_most(seed: int, tmp_path: Path, generator: Generator) -> None:
    folder = tmp_path / "killed"
    told = subprocess.run(
        [sys.executable, "-m", "tests.sampling.crash_builder", str(folder), str(seed)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert sum(event["killed"] for event in events) >= 12
    for event in events:
        # Nothing that was stored is lost, and rows come in whole shards but for the last that was asked for.
        assert event["after"] >= event["before"]
        assert event["after"] % SHARD_ROWS == 0 or event["after"] in (event["before"], event["to"], event["before"] + 1)
    grow(Bank.open(folder), generator, 600)
    whole = grow(create(tmp_path / "whole", generator), generator, 600)
    assert files(folder) == files(folder_of(whole))


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_bank_as_it_was(
    code: int, fails_at: int, tmp_path: Path, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 40)
    write, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        # The first two make the lease, its file and its name; of a shard or a manifest only the file is asked for here.
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            calls += 1
        if calls == fails_at + 1:
            raise OSError(code, os.strerror(code))
        write(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutOfSpace, match="no space"):
            for _ in build(bank, generator, small_engine(bank.spec), 200):
                pass
    assert len(bank.reload().rows()) == (40 if fails_at <= 2 else 64)
    assert files(folder_of(grow(bank, generator, 200))) == files(
        folder_of(grow(create(tmp_path / "w", generator), generator, 200))
    )


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 192 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(place).encode(), b"tmpfs", 0, b"size=192k") != 0:
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    yield place
    libc.umount2(str(place).encode(), 2)


def test_a_disk_that_is_really_full(tiny_disk: Path, tmp_path: Path, generator: Generator) -> None:
    bank = create(tiny_disk / "b", generator)
    bank = grow(bank, generator, 100)
    ballast = tiny_disk / "ballast"
    space = os.statvfs(tiny_disk)
    ballast.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - 12_000)))
    with pytest.raises(OutOfSpace):
        grow(bank, generator, 5000)
    kept = Bank.open(bank.place)
    assert kept.revision >= 100
    assert len(kept.rows()) == kept.revision
    assert not list(folder_of(bank).rglob(".tmp-*"))
    ballast.unlink()
    whole = grow(create(tmp_path / "w", generator), generator, 300)
    assert files(folder_of(grow(kept, generator, 300))) == files(folder_of(whole))
