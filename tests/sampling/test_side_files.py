"""Side files under faults: kills, damage, full disks, shards that end too early."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import DamagedData, OutOfSpace
from magnet_service.sampling.banks.columns import MappedRows
from magnet_service.sampling.banks.reader import Wanted
from magnet_service.sampling.banks.side_files import Column, SideFiles
from tests.sampling.shelves import Asked, made_up, mapped_rows, reader_of

ROOT = Path(__file__).resolve().parents[2]
ROWS = made_up(20_000)
VOLUMES = ROWS.log_volume(2).tobytes()


@pytest.mark.parametrize("last", [0, 4])
def test_a_killed_writer_leaves_nothing_that_is_read_and_nothing_for_ever(last: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.sampling.side_file_writer", str(tmp_path), str(last)]
    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".tmp-")]
    assert len(left) == len(list(tmp_path.iterdir())) == 7
    assert mapped_rows(tmp_path, ROWS).log_volume(2).tobytes() == VOLUMES
    assert all(path.exists() for path in left)  # for all that is known they are being written
    ago = time.time() - 7200.0
    for path in left:
        os.utime(path, (ago, ago))
    (tmp_path / "rank-20000.npy").unlink()
    mapped_rows(tmp_path, ROWS).ranks()
    assert not any(path.exists() for path in left)


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "short": data[:-1],
            "long": data + b"\0",
            "header": data[:20] + b"x" + data[21:],
            "pickle": b"\x80\x04" + data[2:],
            "kind": data.replace(b"'<f4'", b"'<i4'"),
            "zeros": bytes(len(data)),
        }[kind]
    )


@pytest.mark.parametrize("kind", ["empty", "short", "long", "header", "pickle", "kind", "zeros"])
def test_a_damaged_file_is_made_again(kind: str, tmp_path: Path) -> None:
    mapped_rows(tmp_path, ROWS).log_volume(2)
    damage(tmp_path / "volume-2-20000.npy", kind)
    asked: Asked = []
    assert mapped_rows(tmp_path, ROWS, 3000, asked).log_volume(2).tobytes() == VOLUMES
    assert {wanted for _, wanted in asked} == {Wanted(ks=(2,))}
    again: Asked = []
    assert mapped_rows(tmp_path, ROWS, 3000, again).log_volume(2).tobytes() == VOLUMES
    assert not again


def test_damage_is_not_copied_into_a_longer_file(tmp_path: Path) -> None:
    mapped_rows(tmp_path, ROWS).first(9000).log_volume(2)
    damage(tmp_path / "volume-2-9000.npy", "short")
    assert mapped_rows(tmp_path, ROWS).log_volume(2).tobytes() == VOLUMES


def test_a_file_that_says_more_rows_than_it_has_is_not_read(tmp_path: Path) -> None:
    mapped_rows(tmp_path, ROWS).first(9000).log_volume(2)
    (tmp_path / "volume-2-9000.npy").rename(tmp_path / "volume-2-20000.npy")
    assert mapped_rows(tmp_path, ROWS).log_volume(2).tobytes() == VOLUMES


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_nothing_is_left(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, writes = Path.open, 0

    def full(path: Path, mode: str = "r") -> object:
        nonlocal writes
        writes += mode == "ab"
        if writes == 12:
            raise OSError(code, "No space left on device")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutOfSpace, match="no space"):
        mapped_rows(tmp_path / "columns", ROWS).log_volume(2)
    assert writes == 12
    assert list((tmp_path / "columns").iterdir()) == []


def test_shards_that_end_too_early_are_damaged(tmp_path: Path) -> None:
    reader = reader_of(ROWS, 3000)
    with pytest.raises(DamagedData, match="end at row 18000, not 20000"):
        MappedRows(tmp_path, replace(reader, spans=reader.spans[:-1]), 20_000).ranks()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [np.zeros(10), np.zeros((10, 1), np.float32)], ids=["kind", "shape"])
def test_numbers_of_another_kind_are_damaged(rows: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(DamagedData, match="volume-2"):
        SideFiles(tmp_path).make((Column("volume-2", np.dtype(np.float32)),), 10, lambda _: [(0, {"volume-2": rows})])
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_no_rows(tmp_path: Path) -> None:
    found = SideFiles(tmp_path / "none").open(Column("wide", np.dtype(np.float32), 3), 0)
    assert found is not None
    assert found.shape == (0, 3)
    assert len(mapped_rows(tmp_path, ROWS).first(0).log_volume(1)) == 0
