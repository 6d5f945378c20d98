from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from magnet_service.errors import DamagedData, DuplicateResource, InvalidInput, OutOfSpace, Refused, UnknownResource
from magnet_service.generator import Generator
from magnet_service.geometry import stamp
from magnet_service.sampling import Store, build
from magnet_service.sampling.banks.local_place import LocalPlace
from tests.sampling.small_bank import (
    folder_of,
    grow,
    manifest_file,
    shard_file,
    small_engine,
    small_spec,
)


def test_banks_come_and_go(tmp_path: Path, generator: Generator) -> None:
    store = Store(tmp_path / "banks")
    assert store.banks() == ()
    specs = [small_spec(generator, seed=seed) for seed in (0, 1)]
    for spec in specs:
        grow(store.create(spec, stamp=stamp(small_engine(spec))), generator, 20)
    assert sorted(bank.id for bank in store.banks()) == sorted(spec.id for spec in specs)
    assert store.open(specs[0].id).revision == 20
    with pytest.raises(DuplicateResource):
        store.create(specs[0], stamp={})
    assert store.ensure(specs[0], stamp={}).revision == 20
    store.delete(specs[0].id)
    assert [bank.id for bank in store.banks()] == [specs[1].id]
    with pytest.raises(UnknownResource):
        store.delete(specs[0].id)
    assert store.ensure(specs[0], stamp={}).revision == 0


@pytest.mark.parametrize("name", ["0" * 16, "", "..", "../banks", "x" * 16, "0" * 15, ".lock"])
def test_unknown_names_are_refused_with_those_there_are(name: str, tmp_path: Path, generator: Generator) -> None:
    store = Store(tmp_path / "banks")
    spec = small_spec(generator)
    store.create(spec, stamp={})
    for call in (store.open, store.delete):
        with pytest.raises(UnknownResource, match=spec.id) as caught:
            call(name)
        assert caught.value.field == "bank_id"


def test_damaged_and_foreign_banks_are_told_and_can_be_deleted(tmp_path: Path, generator: Generator) -> None:
    store = Store(tmp_path)
    good, bad = (store.create(small_spec(generator, seed=seed), stamp={}) for seed in (0, 1))
    manifest_file(bad).write_text("{")
    shutil.copytree(folder_of(good), tmp_path / ("a" * 16))
    assert [bank.id for bank in store.banks()] == [good.id]
    told = store.survey()[1]
    assert isinstance(told[bad.id], DamagedData)
    assert told["a" * 16].reason == "FOREIGN_BANK"
    store.delete(bad.id)
    store.delete("a" * 16)
    assert store.survey()[1] == {}


def test_a_bank_in_work_is_not_deleted(tmp_path: Path, generator: Generator) -> None:
    store = Store(tmp_path)
    spec = small_spec(generator)
    bank = store.create(spec, stamp=stamp(small_engine(spec)))
    builder = build(bank, generator, small_engine(spec), 100)
    next(builder)
    with pytest.raises(Refused) as caught:
        store.delete(bank.id)
    assert caught.value.reason == "BUSY"
    builder.close()  # type: ignore[attr-defined]  # a generator function's iterator
    store.delete(bank.id)


def test_a_killed_deletion_leaves_no_bank_and_hinders_no_new_one(tmp_path: Path, generator: Generator) -> None:
    store = Store(tmp_path)
    spec = small_spec(generator)
    bank = grow(store.create(spec, stamp=stamp(small_engine(spec))), generator, 80)
    before = shard_file(bank, 0).stat().st_mtime_ns
    manifest_file(bank).unlink()
    assert store.banks() == ()
    assert store.survey()[1] == {}
    with pytest.raises(UnknownResource):
        store.open(spec.id)
    again = grow(store.ensure(spec, stamp=stamp(small_engine(spec))), generator, 80)
    assert again.manifest == bank.manifest
    assert shard_file(again, 0).stat().st_mtime_ns == before, "a shard that is whole was computed again"


class Overtaken(LocalPlace):  # type: ignore[misc]  # final for others
    """A folder in which another writer grows a bank just before its manifest is read for the first time."""

    def __init__(self, folder: Path, grown: Callable[[], object], read: list[str]) -> None:
        super().__init__(folder)
        self.grown, self.manifests = grown, read

    def child(self, name: str) -> Overtaken:
        return Overtaken(self.folder / name, self.grown, self.manifests)

    def read(self, name: str) -> bytes:
        self.manifests.append(name)
        if len(self.manifests) == 1:
            self.grown()
        return super().read(name)


def test_a_manifest_that_was_replaced_meanwhile_is_seen_under_its_own_number(
    tmp_path: Path, generator: Generator
) -> None:
    spec = small_spec(generator)
    bank = grow(Store(tmp_path).create(spec, stamp=stamp(small_engine(spec))), generator, 20)
    before = manifest_file(bank).name
    read: list[str] = []
    store = Store(Overtaken(tmp_path, lambda: grow(bank, generator, 40), read))
    assert store.open(spec.id).revision == 40
    assert read == [before, manifest_file(bank).name]
    assert store.open(spec.id).revision == 40
    assert len(read) == 2, "a manifest that was seen is read again"


def test_banks_of_the_format_before_are_told(tmp_path: Path) -> None:
    (tmp_path / ("b" * 16)).mkdir()
    (tmp_path / ("b" * 16) / "manifest.json").write_text("{}")
    store = Store(tmp_path)
    assert store.survey()[1]["b" * 16].reason == "OLDER_FORMAT"
    store.delete("b" * 16)
    assert list(tmp_path.iterdir()) == []


def test_file_urls_and_paths_are_one_place(tmp_path: Path) -> None:
    spaced = tmp_path / "my banks"
    assert {Store(name).place.url for name in (f"file://{tmp_path}/my%20banks", str(spaced), spaced)} == {str(spaced)}


@pytest.mark.parametrize("url", ["nosuch://bucket/banks", "file://host/banks"])
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Store(url)
    assert caught.value.field == "store"


def test_creation_on_a_full_disk_leaves_nothing(
    tmp_path: Path, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutOfSpace):
            store.create(small_spec(generator), stamp={})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
