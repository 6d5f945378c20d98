"""Copies: the same bytes, whatever stops the writer, and no bank mixed with another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from magnet_service.errors import DamagedData, Refused, UnknownResource
from magnet_service.generator import Generator
from magnet_service.geometry import stamp
from magnet_service.sampling import Bank, Store, build
from magnet_service.sampling.banks.inspection import inspect
from magnet_service.sampling.banks.local_place import TEMPORARY
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.banks.shard import ROWS as ROWS_FOLDER
from magnet_service.sampling.banks.transfer import compact, copy_bank
from tests.sampling.small_bank import (
    ROWS,
    SHARD_ROWS,
    create,
    files,
    folder_of,
    grow,
    manifest_file,
    shard_file,
    small_engine,
    small_spec,
)
from tests.sampling.watched import Counting, is_whole, same_rows, sizes

ROOT = Path(__file__).parents[2]


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


def screened(bank: Bank, content: bytes = b"a surrogate") -> str:
    """Puts beside a bank what a screened draw leaves there, and gives the surrogate's name."""
    name = f"{bank.revision:012d}-{hashlib.sha256(content).hexdigest()[:16]}.npz"
    bank.place.child("surrogates").put(name, content)
    bank.place.child("screened").put(f"{17:015d}-{'0' * 32}.npz", b"volumes of a draw")
    return name


@pytest.fixture(params=["folder", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return place_of(tmp_path / "copy")
    return place_of(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def test_surrogates_are_copied_and_volumes_of_draws_are_not(bank: Bank, target: Place) -> None:
    names = {screened(bank), screened(bank, b"another")}
    copied = copy_bank(bank, target)
    assert set(target.child("surrogates").names()) == names
    for name in names:
        assert target.child("surrogates").read(name) == bank.place.child("surrogates").read(name)
    assert "screened" not in target.folders()
    assert is_whole(bank)
    assert is_whole(copied)
    # A surrogate fitted since comes with the next copy, though no row is new.
    later = screened(bank, b"later")
    copy_bank(bank, target)
    assert later in target.child("surrogates").names()


def test_a_damaged_surrogate_is_not_copied_and_one_there_is_replaced(bank: Bank, target: Place) -> None:
    whole, damaged = screened(bank), screened(bank, b"to be damaged")
    bank.place.child("surrogates").put(damaged, b"to be damage")
    bank.place.child("surrogates").put("notes.txt", b"no surrogate")
    target.child("surrogates").put(whole, b"a surr")
    assert is_whole(copy_bank(bank, target))
    assert target.child("surrogates").names() == [whole]
    assert target.child("surrogates").read(whole) == b"a surrogate"


def test_a_copy_has_its_surrogates_before_it_is_a_bank(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = screened(bank)
    place = place_of(tmp_path / "copy")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("magnet_service.sampling.banks.transfer.write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            copy_bank(bank, place)
    assert place.child("surrogates").names() == [name]
    with pytest.raises(UnknownResource):
        Bank.open(place)
    assert is_whole(copy_bank(bank, place))


def test_a_bank_is_deleted_with_all_that_screening_left(bank: Bank, target: Place) -> None:
    store = Store(target)
    made = copy_bank(bank, target.child(bank.id))
    screened(made)
    store.delete(bank.id)
    assert store.banks() == ()
    assert target.child(bank.id).folders() == []
    for folder in ("surrogates", "screened", "rows", "manifest"):
        assert target.child(bank.id).child(folder).names() == []
