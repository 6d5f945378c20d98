from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from magnet_service.errors import DamagedData, DuplicateResource, InvalidInput, OutOfSpace, Refused, UnknownResource
from magnet_service.generator import Generator
from magnet_service.geometry import stamp
from magnet_service.sampling import Store, build
from tests.sampling.small_bank import grow, small_engine, small_generator, small_spec


@pytest.fixture(scope="module")
def generator() -> Generator:
    return small_generator()


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
    (bad.folder / "manifest.json").write_text("{")
    shutil.copytree(good.folder, tmp_path / ("a" * 16))
    assert [bank.id for bank in store.banks()] == [good.id]
    told = store.unreadable()
    assert isinstance(told[bad.id], DamagedData)
    assert told["a" * 16].reason == "FOREIGN_BANK"
    store.delete(bad.id)
    store.delete("a" * 16)
    assert store.unreadable() == {}


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


def test_what_killed_writers_left_is_swept(tmp_path: Path, generator: Generator) -> None:
    store = Store(tmp_path)
    for name in (".new-abc", ".deleted-" + "0" * 16):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("x")
    assert store.banks() == ()
    store.create(small_spec(generator), stamp={})
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".new-", ".deleted-"))]


def test_file_urls_and_paths_are_one_place(tmp_path: Path) -> None:
    spaced = tmp_path / "my banks"
    assert Store(f"file://{tmp_path}/my%20banks").root == Store(str(spaced)).root == Store(spaced).root == spaced


@pytest.mark.parametrize("url", ["s3://bucket/banks", "http://host/banks", "file://host/banks"])
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
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
