"""Banks: what they hold, how they grow, whom they refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from magnet_service.errors import Cancelled, DamagedData, DuplicateResource, InvalidInput, Refused, UnknownResource
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import Engine, prefix_sums, stamp, volumes
from magnet_service.sampling import Bank, BankSpec, Box, Normal, Sphere, build, engine_for
from tests.sampling.nets import generator_of, layers
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


def test_rows_are_the_laws_rows_with_their_volumes(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 150)
    rows = bank.rows()
    assert bank.revision == len(rows) == 150
    assert (rows.latents == Normal(3).rows(bank.spec.seed, 0, 150)).all()
    found = volumes(generator, torch.from_numpy(rows.latents[:144].copy()), engine=small_engine(bank.spec))
    assert (rows.log_volumes[:144] == prefix_sums(found).numpy().astype(np.float32)).all()
    assert (rows.rank[:144] == found.rank.numpy()).all()
    assert (rows.status == 0).all()
    assert [shard.count for shard in bank.manifest.shards] == [64, 64, 22]


@pytest.mark.parametrize("steps", [(150,), (64, 150), (1, 2, 3, 150), (70, 71, 128, 129, 150), (17, 96, 149, 150)])
def test_a_bank_grown_in_steps_is_the_bank_built_at_once(
    steps: tuple[int, ...], tmp_path: Path, generator: Generator
) -> None:
    whole = grow(create(tmp_path / "whole", generator), generator, 150)
    bank = create(tmp_path / "steps", generator)
    for rows in steps:
        bank = grow(bank, generator, rows, progress_rows=16)
        assert bank.revision == rows
        assert (bank.rows().latents == whole.rows().latents[:rows]).all()
        assert bank.rows().log_volumes.tobytes() == whole.rows().log_volumes[:rows].tobytes()
    assert files(tmp_path / "steps") == files(tmp_path / "whole")


def test_progress_comes_every_few_tiles_and_ends_at_the_total(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    steps = [
        (p.rows_done, p.rows_total) for p in build(bank, generator, small_engine(bank.spec), 100, progress_rows=20)
    ]
    # The error is measured first, in steps that add no row.
    assert list(dict.fromkeys(steps)) == [(0, 100), (32, 100), (64, 100), (96, 100), (100, 100)]
    again = [(p.rows_done, p.rows_total) for p in build(bank, generator, small_engine(bank.spec), 50)]
    assert again == [(100, 100)]


def test_leaving_early_loses_the_shard_in_work_at_most(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    for progress in build(bank, generator, small_engine(bank.spec), 200, progress_rows=16):
        if progress.rows_done == 96:
            break
    assert bank.reload().revision == 64
    grown = grow(bank, generator, 200)
    assert files(folder_of(grown)) == files(folder_of(grow(create(tmp_path / "whole", generator), generator, 200)))


def test_a_stop_is_heard_between_tiles(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    steps = build(
        bank, generator, small_engine(bank.spec), 200, should_stop=lambda: bank.reload().revision > 0, progress_rows=16
    )
    with pytest.raises(Cancelled):
        for _ in steps:
            pass
    assert bank.reload().revision == 64


def test_an_earlier_revision_is_the_first_rows(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 100)
    assert (bank.rows(70).latents == bank.rows().latents[:70]).all()
    for revision in (0, -1, 101):
        with pytest.raises(InvalidInput) as caught:
            bank.rows(revision)
        assert caught.value.field == "bank_revision"


def test_an_empty_bank_has_rows_of_no_length(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    assert (bank.revision, len(bank.rows()), bank.rows().columns) == (0, 0, 3)


def test_rows_cannot_be_written_to(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 20)
    with pytest.raises(ValueError, match="read-only"):
        bank.rows().latents[0, 0] = 1.0


def test_a_reader_outlives_the_shard_that_growth_replaces(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 100)
    reader = Bank.open(bank.place)
    grow(bank, generator, 120)
    assert len(reader.rows()) == 100
    assert reader.reload().revision == 120


def test_shards_are_parquet_that_others_read(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 80)
    table = pq.read_table(shard_file(bank, 1))
    assert table.column_names == ["latent", "log_v_1", "log_v_2", "log_v_3", "rank", "status"]
    assert table.column("latent").to_pylist() == bank.rows().latents[64:].tolist()


def test_non_finite_rows_are_marked_and_leave_their_neighbours_alone(tmp_path: Path) -> None:
    made = layers((2, 8, 8, 3), seed=3)
    # One unit wakes where the first latent is above 10 and grows beyond float64 on its way to the output.
    made[0][0][0], made[0][1][0] = (1.0, 0.0), -10.0
    grower = (np.diag([1e35, *[1.0] * 7]), np.zeros(8))
    generator = generator_of([made[0], *[grower] * 9, made[2]])
    spec = BankSpec(generator_digest=generator.digest, law=Box(2, low=0.0, high=20.0).to_text())
    engine = engine_for(spec)
    bank = Bank.create(tmp_path / "b", spec, stamp=stamp(engine))
    bank = grow(bank, generator, 64)
    rows = bank.rows()
    bad = rows.latents[:, 0] > 10.1
    good = rows.latents[:, 0] < 10.0
    assert bad.any()
    assert good.any()
    assert (rows.status[bad] == 1).all()
    assert (rows.status[good] == 0).all()
    assert np.isfinite(rows.log_volumes[good, 0]).all()
    assert (rows.rank[bad] == 0).all()
    assert not np.isnan(rows.log_volumes).any()


def test_a_sphere_bank_has_one_column_less(tmp_path: Path, generator: Generator) -> None:
    spec = small_spec(generator, law=Sphere(3, radius=1.5).to_text())
    bank = Bank.create(tmp_path / "b", spec, stamp=stamp(engine_for(spec)))
    assert grow(bank, generator, 32).rows().columns == 2


def test_what_exists_is_not_created_again(tmp_path: Path, generator: Generator) -> None:
    create(tmp_path / "b", generator)
    with pytest.raises(DuplicateResource):
        create(tmp_path / "b", generator)


def test_shards_are_whole_tiles(tmp_path: Path, generator: Generator) -> None:
    spec = small_spec(generator)
    with pytest.raises(InvalidInput) as caught:
        Bank.create(tmp_path / "b", spec, stamp={}, shard_rows=TILE_ROWS + 1)
    assert caught.value.field == "shard_rows"
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "engine",
    [
        Engine(tile_rows=32, threads=1),
        Engine(tile_rows=16, threads=2),
        Engine(tile_rows=16, threads=1, precision=Precision.FLOAT64),
    ],
)
def test_another_engine_is_refused(engine: Engine, tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    with pytest.raises(Refused) as caught:
        build(bank, generator, engine, 16)
    assert caught.value.reason == "FOREIGN_BANK"


def test_another_generator_and_another_recipe_are_refused(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    other = small_generator(seed=2)
    with pytest.raises(Refused) as caught:
        build(bank, other, small_engine(bank.spec), 16)
    assert caught.value.reason == "FOREIGN_BANK"
    with pytest.raises(Refused) as caught:
        Bank.open(bank.place, expected=small_spec(other))
    assert caught.value.reason == "FOREIGN_BANK"
    with pytest.raises(InvalidInput):
        build(bank, generator, small_engine(bank.spec), 0)


def test_a_bank_of_another_build_of_torch_is_read_but_not_grown(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 20)
    edit(bank, lambda content: content["stamp"].update(torch="0.0"))
    assert len(Bank.open(bank.place).rows()) == 20
    with pytest.raises(Refused, match=r"torch 0\.0") as caught:
        grow(bank, generator, 40)
    assert caught.value.reason == "OTHER_ENGINE"


def test_rows_that_exist_are_done_at_once_whoever_computed_or_builds_them(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 80)
    first = build(bank, generator, small_engine(bank.spec), 200)
    next(first)
    assert [state.rows_done for state in build(bank, generator, small_engine(bank.spec), 64)] == [80]
    first.close()  # type: ignore[attr-defined]  # a generator function's iterator
    edit(bank, lambda content: content["stamp"].update(torch="0.0"))
    assert [state.rows_done for state in build(bank, generator, small_engine(bank.spec), 80)] == [80]


def test_a_bank_deleted_before_its_build_began_is_named(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    steps = build(bank, generator, small_engine(bank.spec), 64)
    shutil.rmtree(folder_of(bank))
    with pytest.raises(UnknownResource) as caught:
        next(steps)
    assert caught.value.field == "bank_id"


def test_two_builders_at_once_are_refused(tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    first = build(bank, generator, small_engine(bank.spec), 100)
    next(first)
    with pytest.raises(Refused) as caught:
        grow(bank, generator, 100)
    assert caught.value.reason == "BUSY"
    first.close()  # type: ignore[attr-defined]  # a generator function's iterator
    assert grow(bank, generator, 100).revision == 100


def edit(bank: Bank, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(manifest_file(bank).read_text())
    change(content)
    manifest_file(bank).write_text(json.dumps(content))


def test_a_damaged_shard_is_refused_by_name(tmp_path: Path, generator: Generator) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 100)
    path = shard_file(bank, 1)
    good = path.read_bytes()
    for bad in (good[:-1], good[:50] + bytes([good[50] ^ 1]) + good[51:], b""):
        path.write_bytes(bad)
        with pytest.raises(DamagedData, match=path.name):
            Bank.open(bank.place).rows()
        with pytest.raises(DamagedData, match=path.name):
            grow(bank, generator, SHARD_ROWS * 2)
    path.unlink()
    with pytest.raises(DamagedData, match=path.name):
        Bank.open(bank.place).rows()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda c: c.update(format=3), Refused),
        (lambda c: c.update(format="1"), DamagedData),
        (lambda c: c.pop("format"), DamagedData),
        (lambda c: c.update(id="0" * 16), DamagedData),
        (lambda c: c["spec"].update(seed=5), DamagedData),
        (lambda c: c["spec"].update(law="gauss"), DamagedData),
        (lambda c: c["spec"].update(extra=1), DamagedData),
        (lambda c: c["spec"].pop("law"), DamagedData),
        (lambda c: c["shards"].pop(0), DamagedData),
        (lambda c: c["shards"][0].update(file="../../elsewhere.parquet"), DamagedData),
        (lambda c: c["shards"][0].update(count="64"), DamagedData),
        (lambda c: c.update(shards=3), DamagedData),
        (lambda c: c.update(shard_rows=60), DamagedData),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    change: Callable[[dict[str, object]], object], error: type[Exception], tmp_path: Path, generator: Generator
) -> None:
    bank = grow(create(tmp_path / "b", generator), generator, 100)
    edit(bank, change)
    with pytest.raises(error):
        Bank.open(bank.place)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_manifest_that_is_not_json_is_refused(text: str, tmp_path: Path, generator: Generator) -> None:
    bank = create(tmp_path / "b", generator)
    manifest_file(bank).write_text(text)
    with pytest.raises(DamagedData):
        Bank.open(bank.place)


def test_no_bank_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(UnknownResource):
        Bank.open(tmp_path)
