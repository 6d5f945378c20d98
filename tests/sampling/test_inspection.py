"""What is damaged is named, and computed again to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import Cancelled, DamagedData, Refused
from magnet_service.generator import Generator
from magnet_service.geometry import stamp
from magnet_service.sampling import Bank, build
from magnet_service.sampling.banks import inspection
from magnet_service.sampling.banks.inspection import Finding, inspect, repair
from magnet_service.sampling.banks.shard import ROWS as ROWS_FOLDER
from magnet_service.sampling.banks.shard import encode, entry_of, key_of
from magnet_service.sampling.banks.transfer import compact
from tests.sampling.small_bank import (
    ROWS,
    SHARD_ROWS,
    files,
    folder_of,
    grow,
    manifest_file,
    shard_file,
    small_engine,
    small_generator,
    small_spec,
)
from tests.sampling.watched import unnamed_shards

SHARDS = -(-ROWS // SHARD_ROWS)


def damaged(bank: Bank) -> list[Finding]:
    return [finding for finding in inspect(bank) if finding.problem]


def flipped(place: Callable[[int], int]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place(len(data))] ^= 0x10
        path.write_bytes(data)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "magic number": flipped(lambda size: 0),
    "first page": flipped(lambda size: 40),
    "data": flipped(lambda size: size // 2),
    "footer": flipped(lambda size: size - 200),
    "length of the footer": flipped(lambda size: size - 6),
    "last byte": flipped(lambda size: size - 1),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "other rows": lambda path: path.write_bytes((path.parent / "rows-000000000064-000000064.parquet").read_bytes()),
    "other file": lambda path: path.write_bytes(b"PAR1" * 100),
}


def test_a_bank_that_is_whole_has_a_finding_a_shard(bank: Bank) -> None:
    found = list(inspect(bank))
    assert [finding.entry for finding in found] == list(bank.manifest.shards)
    assert len(found) == SHARDS
    assert {finding.problem for finding in found} == {""}
    assert unnamed_shards(bank) == []


@pytest.mark.parametrize("index", [0, SHARDS - 1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_repaired_to_the_same_bytes(
    name: str, index: int, bank: Bank, whole: Bank, generator: Generator
) -> None:
    DAMAGES[name](shard_file(bank, index))
    (finding,) = damaged(bank)
    assert finding.entry == bank.manifest.shards[index]
    assert finding.entry.file in finding.problem
    assert bank.spec.id in finding.problem or "missing" in finding.problem
    with pytest.raises(DamagedData, match=finding.entry.file):
        bank.rows()
    told: list[int] = []
    after = repair(bank, generator, small_engine(bank.spec), [finding.entry], on_rows=told.append)
    assert files(folder_of(bank)) == files(folder_of(whole))
    assert damaged(after) == []
    assert sum(told) == finding.entry.count
    assert len(after.rows()) == ROWS


def test_several_are_named_and_repaired_at_once(bank: Bank, whole: Bank, generator: Generator) -> None:
    for index in (0, 1, SHARDS - 1):
        shard_file(bank, index).unlink()
    entries = [finding.entry for finding in damaged(bank)]
    assert entries == [bank.manifest.shards[index] for index in (0, 1, SHARDS - 1)]
    repair(bank, generator, small_engine(bank.spec), entries)
    assert files(folder_of(bank)) == files(folder_of(whole))


@pytest.mark.parametrize("which", ["bank", "rows", "count"])
def test_a_shard_that_the_digest_fits_but_not_the_key_is_named(which: str, bank: Bank, generator: Generator) -> None:
    """As where a manifest was written by hand, or by a program that mixed two banks up."""
    rows = bank.rows().span(0, SHARD_ROWS)
    key = key_of(bank.manifest, 0, SHARD_ROWS)
    if which == "bank":
        key = replace(key, bank=small_spec(generator, seed=9).id)
    elif which == "rows":
        key = replace(key, first=SHARD_ROWS)
    else:
        rows = rows.span(0, SHARD_ROWS - 1)
    data = encode(rows, key)
    shard_file(bank, 0).write_bytes(data)
    content = json.loads(manifest_file(bank).read_text())
    stated = entry_of(key, data)
    content["shards"][0] |= {"sha256": stated.sha256, "bytes": stated.bytes}
    manifest_file(bank).write_text(json.dumps(content))
    (finding,) = damaged(bank.reload())
    assert f"holds {len(rows)} rows from {key.first} of bank {key.bank}" in finding.problem
    assert finding.entry.file == stated.file or which == "rows"
    before = bank.manifest.shards
    after = repair(bank.reload(), generator, small_engine(bank.spec), [finding.entry])
    assert after.manifest.shards == before
    assert damaged(after) == []


def test_numbers_that_are_not_those_of_the_digest_are_told(bank: Bank) -> None:
    rows = bank.rows().span(0, SHARD_ROWS)
    other = replace(rows, log_volumes=np.nextafter(rows.log_volumes, np.float32(0)))
    key = key_of(bank.manifest, 0, SHARD_ROWS)
    data, mine = encode(rows, key), encode(other, key)
    # The numbers of one file under the digest of the other's.
    mixed = data[: data.index(b"magnet.shard")] + mine[mine.index(b"magnet.shard") :]
    assert len(mixed) == len(data)
    shard_file(bank, 0).write_bytes(mixed)
    content = json.loads(manifest_file(bank).read_text())
    content["shards"][0]["sha256"] = entry_of(key, mixed).sha256
    manifest_file(bank).write_text(json.dumps(content))
    (finding,) = damaged(bank.reload())
    assert "numbers are not those" in finding.problem


def test_repair_wants_the_engine_and_the_generator_of_the_bank(bank: Bank, generator: Generator) -> None:
    shard_file(bank, 1).write_bytes(b"")
    entry = bank.manifest.shards[1]
    engine = small_engine(bank.spec)
    calls = {
        "generator": lambda: repair(bank, small_generator(seed=2), engine, [entry]),
        "tile rows": lambda: repair(bank, generator, replace(engine, tile_rows=8), [entry]),
        "threads": lambda: repair(bank, generator, replace(engine, threads=engine.threads + 1), [entry]),
    }
    for name, call in calls.items():
        with pytest.raises(Refused, match=name) as caught:
            call()
        assert caught.value.reason == "FOREIGN_BANK"
    content = json.loads(manifest_file(bank).read_text())
    manifest_file(bank).write_text(json.dumps({**content, "stamp": {**content["stamp"], "torch": "1.0"}}))
    with pytest.raises(Refused, match=r"torch 1\.0") as caught:
        repair(bank.reload(), generator, engine, [entry])
    assert caught.value.reason == "OTHER_ENGINE"
    assert shard_file(bank, 1).read_bytes() == b""


def test_repair_waits_for_a_writer_and_for_none_that_has_left(bank: Bank, whole: Bank, generator: Generator) -> None:
    shard_file(bank, 0).write_bytes(b"")
    entry = bank.manifest.shards[0]
    writer = build(bank, generator, small_engine(bank.spec), ROWS + 100)
    next(writer)
    with pytest.raises(Refused, match="is being written") as caught:
        repair(bank, generator, small_engine(bank.spec), [entry])
    assert caught.value.reason == "BUSY"
    assert shard_file(bank, 0).read_bytes() == b""
    writer.close()  # type: ignore[attr-defined]  # a generator function's iterator
    repair(bank, generator, small_engine(bank.spec), [entry])
    assert files(folder_of(bank)) == files(folder_of(whole))


def test_what_was_looked_at_before_the_bank_changed_is_looked_at_again(bank: Bank, generator: Generator) -> None:
    last = bank.manifest.shards[-1]
    grow(bank, generator, ROWS + 10)
    before = files(folder_of(bank))
    with pytest.raises(Refused, match="verify it again") as caught:
        repair(bank, generator, small_engine(bank.spec), [last])
    assert caught.value.reason == "BUSY"
    assert files(folder_of(bank)) == before


@pytest.mark.parametrize("how", ["growth", "compact"])
def test_shards_that_were_replaced_meanwhile_are_no_damage(how: str, bank: Bank, generator: Generator) -> None:
    looking = inspect(bank)
    first = next(looking)
    if how == "growth":
        grow(bank, generator, ROWS + 100)
    else:
        compact(bank, 3 * SHARD_ROWS)
    findings = [first, *looking]
    assert not shard_file(bank, SHARDS - 1).exists()
    assert [finding.entry for finding in findings] == list(bank.manifest.shards)
    assert [finding.problem for finding in findings] == [""] * SHARDS
    (entry,) = (entry for entry in bank.reload().manifest.shards if entry.first <= ROWS - 1 < entry.first + entry.count)
    bank.place.child(ROWS_FOLDER).remove(entry.file)
    assert f"shard {entry.file} of bank" in [finding.problem for finding in inspect(bank)][-1]


def test_a_repair_that_is_stopped_or_killed_leaves_what_it_had(
    bank: Bank, whole: Bank, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in (0, 1):
        shard_file(bank, index).write_bytes(b"")
    entries = bank.manifest.shards[:2]
    told: list[int] = []
    with pytest.raises(Cancelled):
        repair(bank, generator, small_engine(bank.spec), entries, should_stop=lambda: bool(told), on_rows=told.append)
    assert [finding.entry for finding in damaged(bank)] == [entries[1]]

    def killed(data: object, key: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inspection, "encode", killed)
        with pytest.raises(KeyboardInterrupt):
            repair(bank, generator, small_engine(bank.spec), entries)
    assert [finding.entry for finding in damaged(bank)] == [entries[1]]
    repair(bank, generator, small_engine(bank.spec), [entries[1]])
    assert files(folder_of(bank)) == files(folder_of(whole))


def test_shards_of_another_parquet_are_told_of_in_the_manifest(bank: Bank, generator: Generator) -> None:
    """Where the version of Parquet has changed since, the same rows are other bytes."""
    content = json.loads(manifest_file(bank).read_text())
    content["shards"][1] |= {"sha256": "0" * 64, "bytes": 7}
    manifest_file(bank).write_text(json.dumps(content))
    foreign = bank.reload()
    (finding,) = damaged(foreign)
    after = repair(foreign, generator, small_engine(bank.spec), [finding.entry])
    assert after.manifest.shards == bank.manifest.shards
    assert damaged(after) == []


def test_what_a_killed_build_left_is_told_apart(bank: Bank, generator: Generator) -> None:
    loose = folder_of(bank) / "rows" / "rows-000000000320-000000064.parquet"
    loose.write_bytes(b"half")
    assert unnamed_shards(bank) == [loose.name]
    assert damaged(bank) == []
    grown = grow(bank, generator, 400)
    assert loose.stat().st_size > 1000
    assert unnamed_shards(grown) == []
    assert damaged(grown) == []


def test_an_empty_bank_is_whole(tmp_path: Path, generator: Generator) -> None:
    spec = small_spec(generator)
    empty = Bank.create(tmp_path / "e", spec, stamp=stamp(small_engine(spec)), shard_rows=SHARD_ROWS)
    assert list(inspect(empty)) == []
    assert repair(empty, generator, small_engine(spec), []).revision == 0
