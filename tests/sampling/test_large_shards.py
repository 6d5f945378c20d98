"""Large shards: a few columns are read alone, in a folder and over HTTP, and their damage is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import DamagedData
from magnet_service.sampling import Bank, BankSpec, Normal, Rows
from magnet_service.sampling.banks.manifest import write_manifest
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.banks.reader import Wanted
from magnet_service.sampling.banks.shard import ROWS, encode, entry_of, key_of
from magnet_service.sampling.banks.shards import shard_reader
from tests.sampling.s3 import bucket_at

COUNT, DIM = 60_000, 40


def bank_of(place: Place, rows: Rows) -> Bank:
    spec = BankSpec(generator_digest="0" * 64, law=Normal(DIM).to_text())
    bank = Bank.create(place, spec, stamp={}, shard_rows=COUNT + COUNT % 16)
    key = key_of(bank.manifest, 0, COUNT)
    data = encode(rows, key)
    assert len(data) > 16 * 2**20
    place.child(ROWS).put(entry_of(key, data).file, data)
    write_manifest(place, 2, replace(bank.manifest, shards=(entry_of(key, data),)))
    return bank.reload()


@pytest.fixture(scope="module")
def rows() -> Rows:
    source = np.random.default_rng(0)
    volumes = source.normal(size=(COUNT, DIM)).astype(np.float32)
    latents = source.normal(size=(COUNT, DIM)).astype(np.float32)
    return Rows(latents, volumes, np.full(COUNT, DIM, np.int16), np.zeros(COUNT, np.int8))


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_columns_of_a_large_shard_are_read_alone(
    where: str, rows: Rows, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_at(s3, f"large-{where}") as url:
        bank = bank_of(place_of(f"{url}/bank" if where == "s3" else tmp_path / "bank"), rows)
        monkeypatch.setattr(type(bank.place), "read", None)  # the whole is not asked for
        piece = shard_reader(bank.place, bank.manifest).read(0, Wanted(ks=(7, 3), rank=True))
        assert {k: column.tobytes() for k, column in piece.log_volumes.items()} == {
            k: rows.log_volumes[:, k - 1].tobytes() for k in (3, 7)
        }
        assert piece.rank is not None
        assert (piece.rank == DIM).all()


def test_damage_to_a_column_of_a_large_shard_is_found_when_it_is_read(rows: Rows, tmp_path: Path) -> None:
    bank = bank_of(place_of(tmp_path / "bank"), rows)
    path = tmp_path / "bank" / ROWS / bank.manifest.shards[0].file
    data = bytearray(path.read_bytes())
    spot = data.find(rows.log_volumes[1000:1010, 6].tobytes())
    assert spot > 0
    data[spot] ^= 1
    path.write_bytes(data)
    reader = shard_reader(bank.place, bank.manifest)
    for wanted in (Wanted(ks=(7,), rank=True), Wanted(latents=True, ks=tuple(range(1, DIM + 1)), rank=True)):
        with pytest.raises(DamagedData, match=path.name):
            reader.read(0, wanted)
    assert reader.read(0, Wanted(ks=(8,))).log_volumes[8].tobytes() == rows.log_volumes[:, 7].tobytes()


def test_damage_to_the_end_of_a_large_shard_never_gives_other_numbers(rows: Rows, tmp_path: Path) -> None:
    bank = bank_of(place_of(tmp_path / "bank"), rows)
    path = tmp_path / "bank" / ROWS / bank.manifest.shards[0].file
    reader = shard_reader(bank.place, bank.manifest)
    good, found = path.read_bytes(), 0
    for spot in range(len(good) - 6000, len(good), 149):
        path.write_bytes(good[:spot] + bytes([good[spot] ^ 4]) + good[spot + 1 :])
        try:
            piece = reader.read(0, Wanted(ks=(7,), rank=True))
        except DamagedData:
            found += 1
        else:  # a part that says nothing of this column
            assert piece.log_volumes[7].tobytes() == rows.log_volumes[:, 6].tobytes()
    assert found > 3
