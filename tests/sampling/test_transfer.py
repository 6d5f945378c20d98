"""Copies and larger shards: the same rows under the same id, whatever stops the writer and whoever reads meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import DamagedData, InvalidInput, OutOfSpace, Refused, UnknownResource
from magnet_service.generator import Generator
from magnet_service.geometry import stamp
from magnet_service.sampling import Bank, BankRows, Cache, build
from magnet_service.sampling.banks.inspection import inspect, unnamed_shards
from magnet_service.sampling.banks.lease import Lease
from magnet_service.sampling.banks.local_place import TEMPORARY, LocalPlace
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.banks.shard import ROWS as ROWS_FOLDER
from magnet_service.sampling.banks.transfer import compact, copy_bank
from tests.sampling.s3 import bucket_at, s3_server
from tests.sampling.small_bank import (
    SHARD_ROWS,
    TILE_ROWS,
    create,
    files,
    folder_of,
    grow,
    manifest_file,
    shard_file,
    small_engine,
    small_generator,
    small_spec,
)

ROOT = Path(__file__).parents[2]
ROWS = 300


@pytest.fixture(scope="module")
def generator() -> Generator:
    return small_generator()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, generator: Generator) -> Bank:
    """A bank that no test changes."""
    return grow(create(tmp_path_factory.mktemp("whole") / "b", generator), generator, ROWS)


@pytest.fixture
def bank(whole: Bank, tmp_path: Path) -> Bank:
    return Bank.open(Path(shutil.copytree(folder_of(whole), tmp_path / "b")))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as server, bucket_at(server, "copies") as url:
        yield url


def same_rows(one: BankRows, other: BankRows) -> bool:
    """Of every column, bit for bit."""
    rows, others = one.span(0, len(one)), other.span(0, len(other))
    names = ("latents", "log_volumes", "rank", "status")
    return all(getattr(rows, name).tobytes() == getattr(others, name).tobytes() for name in names)


def sizes(bank: Bank) -> list[int]:
    return [entry.count for entry in bank.manifest.shards]


def is_whole(bank: Bank) -> bool:
    return not any(finding.problem for finding in inspect(bank)) and not unnamed_shards(bank)


# Copies


def test_a_copy_there_and_back_is_the_same_files(whole: Bank, bucket: str, tmp_path: Path) -> None:
    told: list[int] = []
    there = copy_bank(whole, place_of(f"{bucket}/there/{whole.id}"), on_rows=told.append)
    assert told == sizes(whole)
    assert there.manifest == whole.manifest
    assert same_rows(there.rows(), whole.rows())
    back = copy_bank(there, place_of(tmp_path / "back"))
    assert files(folder_of(back)) == files(folder_of(whole))


@pytest.mark.parametrize("where", ["folder", "s3"])
@pytest.mark.parametrize("brought", [0, 1, 3, 5])
def test_a_copy_that_was_stopped_goes_on(
    brought: int, where: str, whole: Bank, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    target = place_of(tmp_path / "copy")
    if where == "s3":
        target = place_of(f"{request.getfixturevalue('bucket')}/stopped/{brought}")
    told: list[int] = []

    def stop(rows: int) -> None:
        told.append(rows)
        if len(told) == brought:
            raise KeyboardInterrupt

    if brought:
        with pytest.raises(KeyboardInterrupt):
            copy_bank(whole, target, on_rows=stop)
        with pytest.raises(UnknownResource):  # the manifest is written last
            Bank.open(target)
    source = Counting(folder_of(whole))
    copied = copy_bank(Bank.open(source), target)
    assert len(source.read_names) == len(whole.manifest.shards) - brought
    assert copied.manifest == whole.manifest
    assert is_whole(copied)


class Counting(LocalPlace):  # type: ignore[misc]  # final for others
    """A folder that notes which shards are read and written."""

    def __init__(self, folder: Path, read: list[str] | None = None, written: list[str] | None = None) -> None:
        super().__init__(folder)
        self.read_names: list[str] = [] if read is None else read
        self.written: list[str] = [] if written is None else written

    def child(self, name: str) -> Counting:
        return Counting(self.folder / name, self.read_names, self.written)

    def read(self, name: str) -> bytes:
        if name.endswith(".parquet"):
            self.read_names.append(name)
        return super().read(name)

    def put(self, name: str, data: bytes) -> None:
        if name.endswith(".parquet"):
            self.written.append(name)
        super().put(name, data)


def test_a_damaged_half_of_a_copy_is_brought_again(whole: Bank, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    (target / "rows").mkdir(parents=True)
    (target / "rows" / whole.manifest.shards[0].file).write_bytes(b"half")
    (target / "rows" / f"{TEMPORARY}killed").write_bytes(b"half")
    assert files(folder_of(copy_bank(whole, place_of(target)))) == files(folder_of(whole))


@pytest.mark.parametrize("steps", [(40, 100), (64, 300), (100, 130, 300), (300, 300)])
def test_a_copy_of_a_bank_that_has_grown_brings_what_is_new(
    steps: tuple[int, ...], tmp_path: Path, generator: Generator
) -> None:
    bank, target = create(tmp_path / "b", generator), Counting(tmp_path / "copy")
    known: set[str] = set()
    for rows in steps:
        bank = grow(bank, generator, rows)
        del target.written[:]
        copied = copy_bank(bank, target)
        assert files(target.folder) == files(folder_of(bank))
        assert copied.revision == rows
        assert is_whole(copied)
        now = {entry.file for entry in bank.manifest.shards}
        assert set(target.written) == now - known, "a shard that was there is brought again"
        known = now


def test_a_reader_of_a_copy_goes_on_while_it_grows(tmp_path: Path, generator: Generator, whole: Bank) -> None:
    bank, target = grow(create(tmp_path / "b", generator), generator, 100), place_of(tmp_path / "copy")
    reader = copy_bank(bank, target)
    copy_bank(grow(bank, generator, ROWS), target)
    assert same_rows(reader.rows(), whole.rows(100))


def test_a_copy_that_has_more_rows_is_left(tmp_path: Path, generator: Generator) -> None:
    bank, target = grow(create(tmp_path / "b", generator), generator, 100), place_of(tmp_path / "copy")
    copy_bank(bank, target)
    grown = grow(Bank.open(target), generator, 130)
    before = files(folder_of(grown))
    assert copy_bank(bank, target).revision == 130
    assert files(folder_of(grown)) == before
    assert is_whole(grown)


def test_equal_rows_in_other_bytes_are_left(tmp_path: Path, generator: Generator) -> None:
    """As where another version of Parquet has written the copy."""
    bank = grow(create(tmp_path / "b", generator), generator, 40)
    copied = copy_bank(bank, place_of(tmp_path / "copy"))
    content = json.loads(manifest_file(bank).read_text())
    content["shards"][0]["sha256"] = "0" * 64
    manifest_file(bank).write_text(json.dumps(content))
    assert is_whole(copy_bank(bank.reload(), copied.place))


def test_another_bank_is_not_overwritten(whole: Bank, tmp_path: Path, generator: Generator) -> None:
    spec = small_spec(generator, seed=5)
    other = Bank.create(tmp_path / "other", spec, stamp=stamp(small_engine(spec)), shard_rows=SHARD_ROWS)
    grow(other, generator, 40)
    before = files(folder_of(other))
    with pytest.raises(Refused, match=f"bank {spec.id} is there") as caught:
        copy_bank(whole, other.place)
    assert caught.value.reason == "FOREIGN_BANK"
    assert files(folder_of(other)) == before


@pytest.mark.parametrize("longer", [True, False])
def test_rows_stored_otherwise_are_not_mixed(longer: bool, bank: Bank, tmp_path: Path, generator: Generator) -> None:
    copied = copy_bank(bank, place_of(tmp_path / "copy"))
    compact(copied if longer else bank, 2 * SHARD_ROWS)
    grow(bank, generator, ROWS + 40)
    before = files(folder_of(copied))
    with pytest.raises(Refused, match="magnet bank compact") as caught:
        copy_bank(bank.reload(), copied.place)
    assert caught.value.reason == "OTHER_SHARDS"
    assert files(folder_of(copied)) == before
    assert len(Bank.open(copied.place).rows()) == ROWS
    compact(bank if longer else copied, 2 * SHARD_ROWS)
    assert files(folder_of(copy_bank(bank.reload(), copied.place))) == files(folder_of(bank))


def test_rows_of_another_engine_are_not_mixed(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 40)
    copied = copy_bank(bank, place_of(tmp_path / "copy"))
    content = json.loads(manifest_file(copied).read_text())
    manifest_file(copied).write_text(json.dumps({**content, "stamp": {**content["stamp"], "torch": "1.0"}}))
    before = files(folder_of(copied))
    with pytest.raises(Refused, match="another engine") as caught:
        copy_bank(grow(bank, generator, 100), copied.place)
    assert caught.value.reason == "OTHER_ENGINE"
    assert files(folder_of(copied)) == before


@pytest.mark.parametrize("index", [0, 3, 4])
@pytest.mark.parametrize("before", [0, 100])
def test_a_damaged_shard_is_not_copied(index: int, before: int, tmp_path: Path, generator: Generator) -> None:
    bank, target = create(tmp_path / "b", generator), place_of(tmp_path / "copy")
    if before:
        copy_bank(grow(bank, generator, before), target)
    bank = grow(bank, generator, ROWS)
    path = shard_file(bank, index)
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    if index == 0 and before:  # that one is there, whole
        assert is_whole(copy_bank(bank, target))
        return
    with pytest.raises(DamagedData, match=path.name):
        copy_bank(bank, target)
    assert path.name not in target.child(ROWS_FOLDER).names()
    if before:
        there = Bank.open(target)
        assert len(there.rows()) == before
        assert not any(finding.problem for finding in inspect(there))
    path.write_bytes(data)
    assert files(folder_of(copy_bank(bank, target))) == files(folder_of(bank))


def test_a_bank_that_grew_on_the_way_is_copied_at_the_next_try(
    bank: Bank, tmp_path: Path, generator: Generator
) -> None:
    grow(bank, generator, ROWS + 1)
    with pytest.raises(UnknownResource, match="copy again"):
        copy_bank(bank, place_of(tmp_path / "copy"))
    assert is_whole(copy_bank(bank.reload(), place_of(tmp_path / "copy")))


def test_a_writer_at_the_target_is_waited_for(bank: Bank, tmp_path: Path, generator: Generator) -> None:
    copied = copy_bank(bank, place_of(tmp_path / "copy"))
    writer = build(copied, generator, small_engine(bank.spec), ROWS + 100)
    next(writer)
    with pytest.raises(Refused) as caught:
        copy_bank(grow(bank, generator, ROWS + 50), copied.place)
    assert caught.value.reason == "BUSY"
    writer.close()  # type: ignore[attr-defined]  # a generator function's iterator


def test_an_empty_bank_is_copied(tmp_path: Path, generator: Generator) -> None:
    copied = copy_bank(create(tmp_path / "b", generator), place_of(tmp_path / "copy"))
    assert copied.revision == 0
    assert grow(copied, generator, 40).revision == 40


# Shards of other sizes


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
