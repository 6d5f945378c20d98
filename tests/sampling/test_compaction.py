"""Shards of other sizes: the same rows under the same id, whoever is killed and whoever reads meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import DamagedData, InvalidInput, OutOfSpace, Refused
from magnet_service.generator import Generator
from magnet_service.geometry import stamp
from magnet_service.sampling import Bank, Cache
from magnet_service.sampling.banks.inspection import inspect
from magnet_service.sampling.banks.lease import Lease
from magnet_service.sampling.banks.local_place import LocalPlace
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.banks.transfer import compact, copy_bank
from tests.sampling.small_bank import (
    ROWS,
    SHARD_ROWS,
    TILE_ROWS,
    create,
    files,
    folder_of,
    grow,
    shard_file,
    small_engine,
    small_spec,
)
from tests.sampling.watched import Counting, is_whole, same_rows, sizes, unnamed_shards

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "shard_rows", [48, 128, 4096, *(pytest.param(rows, marks=pytest.mark.long) for rows in (16, 32, 64, 80, 304, 320))]
)
def test_shards_of_any_size_hold_the_same_rows(
    shard_rows: int, bank: Bank, whole: Bank, generator: Generator, tmp_path: Path
) -> None:
    told: list[int] = []
    after = compact(bank, shard_rows, on_rows=told.append)
    assert after.id == whole.id
    assert after.manifest.stamp == whole.manifest.stamp
    assert after.manifest.accuracy == whole.manifest.accuracy
    assert sizes(after) == told == [min(shard_rows, ROWS - first) for first in range(0, ROWS, shard_rows)]
    assert is_whole(after)
    assert same_rows(after.rows(), whole.rows())
    # A bank that was of this size from the beginning is the same files.
    spec = small_spec(generator)
    fresh = Bank.create(tmp_path / "f", spec, stamp=stamp(small_engine(spec)), shard_rows=shard_rows)
    assert files(folder_of(grow(fresh, generator, ROWS))) == files(folder_of(bank))


@pytest.mark.parametrize("shard_rows", [48, 4096, *(pytest.param(rows, marks=pytest.mark.long) for rows in (16, 64))])
def test_a_build_goes_on_behind_it(shard_rows: int, bank: Bank, generator: Generator, tmp_path: Path) -> None:
    compact(bank, shard_rows)
    for rows in (310, 450):
        grown = grow(bank, generator, rows)
        assert is_whole(grown)
        assert grown.manifest.shard_rows == shard_rows
    wanted = grow(create(tmp_path / "w", generator), generator, 450)
    assert same_rows(grown.rows(), wanted.rows())
    assert files(folder_of(compact(grown, SHARD_ROWS))) == files(folder_of(wanted))


def in_memory(bank: Bank, folder: Path) -> Bank:
    return bank.reload()


def in_a_folder(bank: Bank, folder: Path) -> Bank:
    return Bank.open(bank.place, bank.spec, cache=Cache(folder))


@pytest.mark.parametrize("opened", [in_memory, in_a_folder])
@pytest.mark.parametrize("touched", ["nothing", "a column", "everything"])
@pytest.mark.parametrize("shard_rows", [48, 128, 4096])
def test_a_reader_opened_before_goes_on(
    shard_rows: int, touched: str, opened: Callable[[Bank, Path], Bank], bank: Bank, whole: Bank, tmp_path: Path
) -> None:
    reader = opened(bank, tmp_path / "cache")
    if touched == "a column":
        reader.rows().log_volume(2)
    elif touched == "everything":
        reader.rows().span(0, ROWS)
    compact(bank, shard_rows)
    rows, wanted = reader.rows(), whole.rows()
    indices = np.array([299, 0, 63, 64, 255, 256, 128], dtype=np.int64)
    assert rows.latents_at(indices).tobytes() == wanted.latents_at(indices).tobytes()
    for k in (1, 2, 3):
        assert rows.log_volume(k).tobytes() == wanted.log_volume(k).tobytes()
    assert rows.ranks().tobytes() == wanted.ranks().tobytes()
    assert rows.states().tobytes() == wanted.states().tobytes()
    assert same_rows(rows, wanted)
    assert same_rows(reader.rows(100), whole.rows(100))


def test_readers_follow_several_changes_and_growth(
    bank: Bank, whole: Bank, generator: Generator, tmp_path: Path
) -> None:
    readers = [in_memory(bank, tmp_path), in_a_folder(bank, tmp_path / "cache")]
    for shard_rows in (48, 4096, 16):
        compact(bank, shard_rows)
        grow(bank, generator, bank.reload().revision + 7)
    for reader in readers:
        assert len(reader.rows()) == ROWS
        assert same_rows(reader.rows(), whole.rows())


def test_shards_that_are_there_already_are_not_written_again(bank: Bank, whole: Bank) -> None:
    counting = Counting(folder_of(bank))
    after = compact(Bank.open(counting), SHARD_ROWS)
    assert counting.written == []
    assert files(folder_of(after)) == files(folder_of(whole))
    compact(Bank.open(counting), 2 * SHARD_ROWS)
    assert counting.written == ["rows-000000000000-000000128.parquet", "rows-000000000128-000000128.parquet"]


@pytest.mark.parametrize(
    ("shard_rows", "says"), [(0, "multiple"), (-16, "multiple"), (17, "multiple"), (2**40, "or less")]
)
def test_sizes_that_cannot_be_are_refused(shard_rows: int, says: str, bank: Bank, whole: Bank) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        compact(bank, shard_rows)
    assert caught.value.field == "shard_rows"
    assert files(folder_of(bank)) == files(folder_of(whole))


@pytest.mark.parametrize("index", [0, 2, 4])
@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_damaged_shard_stops_it_and_nothing_is_changed(damage: str, index: int, bank: Bank) -> None:
    path = shard_file(bank, index)
    data = path.read_bytes()
    path.unlink()
    if damage == "flipped":
        path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(DamagedData, match=path.name):
        compact(bank, 2 * SHARD_ROWS)
    assert bank.reload().manifest == bank.manifest
    path.write_bytes(data)
    assert not any(finding.problem for finding in inspect(bank))
    assert is_whole(compact(bank, 4096))


def test_it_waits_for_a_writer(bank: Bank, whole: Bank) -> None:
    with Lease(bank.place, "bank x"), pytest.raises(Refused) as caught:
        compact(bank, 128)
    assert caught.value.reason == "BUSY"
    assert files(folder_of(bank)) == files(folder_of(whole))


def test_a_full_disk_changes_nothing(bank: Bank, whole: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    put = LocalPlace.put

    def full(self: LocalPlace, name: str, data: bytes) -> None:
        if name.startswith("rows-000000000128"):
            raise OutOfSpace("no space is left")
        put(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(LocalPlace, "put", full)
        with pytest.raises(OutOfSpace):
            compact(bank, 128)
    assert bank.reload().manifest == whole.manifest
    assert not any(finding.problem for finding in inspect(bank))
    assert is_whole(compact(bank, 128))


@pytest.mark.parametrize(("shard_rows", "steps"), [(128, 8), pytest.param(48, 14, marks=pytest.mark.long)])
def test_kills_in_the_middle_leave_the_bank_whole(
    shard_rows: int, steps: int, whole: Bank, generator: Generator, tmp_path: Path
) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.sampling.crash_compactor", folder_of(whole), tmp_path, str(shard_rows)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    # Shards that are new, the manifest, the one before, and the shards that are old, once each.
    assert json.loads(told.stdout) == {"killed": steps, "status": 0}
    wanted = grow(create(tmp_path / "wanted", generator), generator, 330)
    sizes_seen = set()
    for moment in range(steps):
        after = Bank.open(tmp_path / str(moment))
        sizes_seen.add(after.manifest.shard_rows)
        assert not any(finding.problem for finding in inspect(after))
        for reader in (after, in_a_folder(after, tmp_path / "cache" / str(moment))):
            assert same_rows(reader.rows(), whole.rows())
        grown = grow(after, generator, 330)
        assert is_whole(grown), "growth leaves what the kill left"
        assert len(list((folder_of(grown) / "manifest").iterdir())) == 1
        assert same_rows(grown.rows(), wanted.rows())
    assert sizes_seen == {SHARD_ROWS, shard_rows}


def test_leftovers_of_the_size_in_force_at_other_rows_are_removed(tmp_path: Path, generator: Generator) -> None:
    """The short last shard of 64s has 48 rows: after a kill it lies beside the shards of 48."""
    bank = grow(create(tmp_path / "b", generator), generator, 304)
    last = shard_file(bank, 4)
    data = last.read_bytes()
    after = compact(bank, 3 * TILE_ROWS)
    last.write_bytes(data)
    assert unnamed_shards(after) == [last.name]
    assert is_whole(grow(after, generator, 330))


def test_it_works_in_an_object_store(whole: Bank, bucket: str, generator: Generator) -> None:
    place: Place = place_of(f"{bucket}/compacted/{whole.id}")
    copied = copy_bank(whole, place)
    reader = Bank.open(place)
    after = compact(copied, 128)
    assert sizes(after) == [128, 128, 44]
    assert is_whole(after)
    assert same_rows(reader.rows(), whole.rows())
    assert is_whole(grow(after, generator, 400))
