"""Growth: what is stored is not computed again, two writers never mix, and stores may be far or gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import Refused, Unreachable
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import stamp
from magnet_service.sampling import Bank, Rows, Store, build, compute_rows
from magnet_service.sampling.banks.manifest import MANIFESTS, manifest_number, write_manifest
from magnet_service.sampling.banks.place import place_of
from magnet_service.sampling.banks.shard import ROWS
from magnet_service.sampling.crews.crew import StopSignal
from tests.sampling.s3 import bucket_at
from tests.sampling.small_bank import (
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


class Shuffled:
    """Workers that answer in another order than they were asked, and note what they were asked."""

    def __init__(self, generator: Generator, bank: Bank) -> None:
        self.generator, self.bank = generator, bank
        self.asked: list[tuple[int, int]] = []
        self.closed = False

    def compute(
        self, spans: Iterable[tuple[int, int]], should_stop: StopSignal | None = None
    ) -> Iterator[tuple[int, Rows]]:
        spec = self.bank.spec
        self.asked = list(spans)
        for start, stop in np.random.default_rng(3).permutation(self.asked).tolist():
            yield start, compute_rows(self.generator, small_engine(spec), spec, start, stop)

    size, names = 1, ("shuffled",)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("steps", [(300,), (40, 300), (64, 100, 300), (300, 310)])
def test_parts_may_come_in_any_order(steps: tuple[int, ...], tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    for rows in steps:
        crews: list[Shuffled] = []

        def crew(precision: Precision, crews: list[Shuffled] = crews) -> Shuffled:
            assert precision is Precision.FLOAT32
            crews.append(Shuffled(generator, bank))
            return crews[-1]

        done = [
            state.rows_done
            for state in build(bank, generator, small_engine(bank.spec), rows, progress_rows=16, crew=crew)
        ]
        assert done == sorted(done), "progress went back"
        assert done[-1] == rows
        assert crews[0].closed
    whole = grow(create(tmp_path / "whole", generator), generator, steps[-1])
    assert files(tmp_path / "b") == files(folder_of(whole))


def test_shards_that_a_killed_writer_stored_are_not_computed_again(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 300)
    expected = files(tmp_path / "b")
    manifest_file(bank).unlink()
    write_manifest(bank.place, 9, create(tmp_path / "empty", generator).manifest)
    damaged, missing = shard_file(bank, 1), shard_file(bank, 3)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    missing.unlink()
    crew = Shuffled(generator, bank)
    for _ in build(bank, generator, small_engine(bank.spec), 300, progress_rows=16, crew=lambda _: crew):
        pass
    assert {start // SHARD_ROWS for start, _ in crew.asked} == {1, 3}
    assert files(tmp_path / "b") == expected


def test_shards_of_another_engine_are_not_taken(tmp_path: Path, generator: Generator) -> None:
    spec = small_spec(generator)
    other = Bank.create(tmp_path / "other", spec, stamp={"engine": "other"}, shard_rows=SHARD_ROWS)
    bank = grow(create(tmp_path / "b", generator), generator, 128)
    for index in range(2):
        (tmp_path / "other" / "rows").mkdir(exist_ok=True)
        (tmp_path / "other" / "rows" / shard_file(bank, index).name).write_bytes(shard_file(bank, index).read_bytes())
    before = shard_file(bank, 0).read_bytes()
    content = manifest_file(other).read_text()
    manifest_file(other).write_text(content.replace('"engine": "other"', '"engine": "mine"'))
    with pytest.raises(Refused) as caught:  # the stamp is looked at first, whatever lies there
        grow(Bank.open(other.place), generator, 128)
    assert caught.value.reason == "OTHER_ENGINE"
    assert (tmp_path / "other" / "rows" / shard_file(bank, 0).name).read_bytes() == before


def test_a_writer_that_lost_its_lease_replaces_nothing(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    engine = small_engine(bank.spec)
    stalled = build(bank, generator, engine, 300, progress_rows=16)
    next(stalled)
    # The clock passes its end: another goes on.
    for name in bank.place.child("lease").names():
        bank.place.child("lease").remove(name)
    grow(bank, generator, 130)
    before = bank.reload()
    with pytest.raises(Refused) as caught:
        for _ in stalled:
            pass
    assert caught.value.reason == "LEASE_LOST"
    assert bank.reload().manifest == before.manifest
    assert len(before.rows()) == 130
    whole = grow(create(tmp_path / "whole", generator), generator, 300)
    assert files(folder_of(grow(bank, generator, 300))) == files(folder_of(whole))


def test_a_reader_follows_manifests_that_come_and_go(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 20)
    number = manifest_number(bank.place)
    for rows in (30, 40, 70):
        grow(bank, generator, rows)
        assert bank.reload().revision == rows
        assert len(bank.place.child(MANIFESTS).names()) == 1
    assert manifest_number(bank.place) > number


def test_a_bank_in_an_object_store_is_the_one_in_a_folder(s3: str, tmp_path: Path, generator: Generator) -> None:
    spec = small_spec(generator)
    with bucket_at(s3, "banks") as url:
        store = Store(f"{url}/of/mine")
        bank = store.ensure(spec, stamp=stamp(small_engine(spec)), shard_rows=SHARD_ROWS)
        for rows in (100, 300):
            bank = grow(bank, generator, rows)
        assert [found.revision for found in store.banks()] == [300]
        assert [found.id for found in store.glance()] == [bank.id]
        whole = grow(create(tmp_path / "whole", generator), generator, 300)
        assert bank.manifest == whole.manifest
        for name in bank.place.child(ROWS).names():
            assert bank.place.child(ROWS).read(name) == (tmp_path / "whole" / "rows" / name).read_bytes()
        assert bank.rows().log_volumes.tobytes() == whole.rows().log_volumes.tobytes()
        first = build(bank, generator, small_engine(spec), 400)
        next(first)
        with pytest.raises(Refused) as caught:
            grow(bank, generator, 400)
        assert caught.value.reason == "BUSY"
        first.close()  # type: ignore[attr-defined]  # a generator function's iterator
        store.delete(bank.id)
        assert store.banks() == ()
        assert place_of(f"{url}/of/mine").folders() == []


def test_a_bucket_that_vanishes_in_the_middle_ends_the_build_and_says_so(s3: str, generator: Generator) -> None:
    spec = small_spec(generator)
    with bucket_at(s3, "fleeting") as url:
        store = Store(url + "/banks")
        bank = store.ensure(spec, stamp=stamp(small_engine(spec)), shard_rows=SHARD_ROWS)
        steps = build(bank, generator, small_engine(spec), 300, progress_rows=16)
        next(steps)
        place_of(url).remove_all()
        with pytest.raises(Unreachable, match="fleeting"):
            for _ in steps:
                pass
        with pytest.raises(Unreachable, match="fleeting"):
            store.open(bank.id)
