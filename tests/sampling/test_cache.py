"""Columns of banks on this machine: kept within a bound, made anew when they are gone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import Refused
from magnet_service.generator import Generator
from magnet_service.sampling import Bank, Cache
from magnet_service.sampling.banks.columns import MappedRows
from magnet_service.sampling.banks.shards import shard_reader
from tests.sampling.small_bank import create, folder_of, grow, manifest_file


def test_what_was_not_used_for_longest_is_forgotten(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 250)
    for age, name in enumerate(("old", "older", "new")):
        folder = cache.of(name)
        (folder / "column.npy").write_bytes(bytes(100))
        os.utime(folder, (1000.0 - (age == 1), 1000.0 - (age == 1)))
    cache.of("old")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["new", "old"]
    cache.forget("old")
    Cache(tmp_path / "cache", 0).of("new")
    assert (tmp_path / "cache" / "new" / "column.npy").exists(), "the one in use was forgotten"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Refused) as caught:
        Cache(tmp_path / "file" / "cache").of("x")
    assert (caught.value.reason, caught.value.field) == ("CACHE_DENIED", "cache")


def test_a_bank_through_the_cache_is_the_one_in_memory(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 300)
    cached = Bank.open(bank.place, cache=Cache(tmp_path / "cache"))
    for revision in (None, 100):
        plain, mapped = bank.rows(revision), cached.rows(revision)
        assert len(plain) == len(mapped)
        every = np.arange(len(plain))
        assert plain.latents_at(every).tobytes() == mapped.latents_at(every).tobytes()
        assert (plain.ranks() == mapped.ranks()).all()
        for k in range(1, plain.columns + 1):
            assert plain.log_volume(k).tobytes() == mapped.log_volume(k).tobytes()
        assert plain.span(60, 70).log_volumes.tobytes() == mapped.span(60, 70).log_volumes.tobytes()


def test_columns_of_another_engine_are_not_taken(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 100)
    cache = Cache(tmp_path / "cache")
    Bank.open(bank.place, cache=cache).rows().log_volume(1)
    path = manifest_file(bank)
    path.write_text(path.read_text().replace('"torch": "', '"torch": "0'))
    Bank.open(bank.place, cache=cache).rows().log_volume(1)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_latents_too_many_to_keep_are_drawn_anew(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 300)
    reader = shard_reader(bank.place, bank.manifest)
    for shard in (folder_of(bank) / "rows").iterdir():
        shard.unlink()
    rows = MappedRows(tmp_path / "cache", reader, 300, latent_bytes=0)
    indices = np.array([299, 0, 7, 8, 7, 120], dtype=np.int64)
    assert rows.latents_at(indices).tobytes() == bank.spec.base_law.rows(0, 0, 300)[indices].tobytes()
    assert rows.latents_at(np.empty(0, np.int64)).shape == (0, 3)
