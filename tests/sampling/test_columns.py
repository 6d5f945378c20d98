"""Rows read through side files against the same rows in memory."""

from __future__ import annotations

import multiprocessing
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from magnet_service.sampling import Ball, Base, Normal, Rows, SampleRequest, Weights, describe
from magnet_service.sampling.banks.reader import Wanted
from magnet_service.sampling.diagnostics import figures_of
from tests.sampling.shelves import PRIOR, Asked, made_up, mapped_rows
from tests.sampling.synthetic import draw_of

ROWS = made_up(25_000)
ALL = Wanted(latents=True, ks=(1, 2, 3, 4), rank=True)
SMALL = {"latent_bytes": 0, "volume_bytes": 0}


@pytest.mark.parametrize("limits", [{}, SMALL], ids=["kept", "read"])
def test_columns_are_those_in_memory(limits: dict[str, int], tmp_path: Path) -> None:
    rows = mapped_rows(tmp_path, ROWS, **limits)
    assert (len(rows), rows.dim, rows.columns) == (25_000, 4, 4)
    for k in (3, 1, 4):
        assert rows.log_volume(k).tobytes() == ROWS.log_volume(k).tobytes()
        assert not rows.log_volume(k).flags.writeable
    assert rows.ranks().tobytes() == ROWS.rank.tobytes()
    assert rows.states().tobytes() == ROWS.status.tobytes()
    indices = np.random.default_rng(0).integers(0, 25_000, 300)
    assert rows.latents_at(indices).tobytes() == ROWS.latents_at(indices).tobytes()
    assert rows.latents_at(indices[:0]).shape == (0, 4)
    for start, stop in ((0, 25_000), (2999, 3001), (24_990, 30_000), (5, 5)):
        part, whole = rows.span(start, stop), ROWS.span(start, stop)
        for name in ("latents", "log_volumes", "rank", "status"):
            assert getattr(part, name).tobytes() == getattr(whole, name).tobytes()


@pytest.mark.parametrize("limits", [{}, SMALL], ids=["kept", "read"])
@pytest.mark.parametrize("base", [PRIOR, Ball(4, 2.0)], ids=["own", "corrected"])
def test_figures_and_draws_are_those_in_memory(base: Normal | Ball, limits: dict[str, int], tmp_path: Path) -> None:
    rows = mapped_rows(tmp_path, ROWS, **limits)
    grid = ([-1.0, 0.0, 0.7], [1, 2, 4])
    assert describe(rows, base, PRIOR, *grid) == describe(ROWS, base, PRIOR, *grid)
    given = {} if base == PRIOR else {"ball_radius": 2.0, "base": Base.UNIFORM}
    for replacement in (True, False):
        request = SampleRequest(count=50, rho=0.8, seed=5, replacement=replacement, **given)  # type: ignore[arg-type]  # any attribute
        one, other = (draw_of(request, each, PRIOR, PRIOR) for each in (rows, ROWS))
        assert one.resolved == other.resolved
        assert one.diagnostics == other.diagnostics
        for name in ("indices", "latents", "log_volumes", "log_weights"):
            assert getattr(one, name)(3, 40).tobytes() == getattr(other, name)(3, 40).tobytes()


def test_shards_are_read_once_and_never_by_those_who_come_later(tmp_path: Path) -> None:
    asked: Asked = []
    rows = mapped_rows(tmp_path, ROWS, 3000, asked)
    rows.log_volume(2), rows.ranks(), rows.log_volume(4), rows.latents_at(np.arange(9))
    assert asked == [(index, ALL) for index in range(9)]
    later: Asked = []
    again = mapped_rows(tmp_path, ROWS, 3000, later)
    again.log_volume(1), again.states(), again.latents_at(np.arange(9))
    assert not later


def test_only_what_is_asked_is_decoded_where_columns_are_large(tmp_path: Path) -> None:
    asked: Asked = []
    rows = mapped_rows(tmp_path, ROWS, 3000, asked, **SMALL)
    rows.log_volume(2)
    assert asked == [(index, Wanted(ks=(2,), rank=True)) for index in range(9)]
    asked.clear()
    rows.ranks()
    rows.log_volume(3)
    assert asked == [(index, Wanted(ks=(3,))) for index in range(9)]
    asked.clear()
    rows.latents_at(np.array([24_000, 3, 24_001, 6]))
    rows.latents_at(np.array([5, 24_002]))
    assert asked == [(index, Wanted(latents=True)) for index in (0, 8)]


def test_more_rows_begin_with_the_file_of_fewer(tmp_path: Path) -> None:
    asked: Asked = []
    mapped_rows(tmp_path, ROWS).first(10_000).log_volume(2)
    early = mapped_rows(tmp_path, ROWS).first(10_000).log_volume(2)
    assert mapped_rows(tmp_path, ROWS, 3000, asked).log_volume(2).tobytes() == ROWS.log_volume(2).tobytes()
    assert [index for index, _ in asked] == [3, 4, 5, 6, 7, 8]
    assert early.tobytes() == ROWS.log_volume(2)[:10_000].tobytes()  # mapped still, though its file is gone
    assert sorted(path.name for path in tmp_path.iterdir() if "volume-2" in path.name) == ["volume-2-25000.npy"]
    asked.clear()
    fewer = mapped_rows(tmp_path, ROWS, 3000, asked).first(7)
    assert fewer.log_volume(2).tobytes() == ROWS.log_volume(2)[:7].tobytes()
    assert len(fewer.first(100)) == 7
    assert not asked


def test_any_reader_of_numpy_files_reads_them(tmp_path: Path) -> None:
    mapped_rows(tmp_path, ROWS).log_volume(2)
    for name, column in (("volume-3", ROWS.log_volume(3)), ("rank", ROWS.rank), ("latents", ROWS.latents)):
        assert np.load(tmp_path / f"{name}-25000.npy", allow_pickle=False).tobytes() == column.tobytes()


def test_corrections_of_the_laws_used_last_are_kept(tmp_path: Path) -> None:
    asked: Asked = []
    rows = mapped_rows(tmp_path, ROWS, 3000, asked)
    for radius in range(2, 14):
        found = Weights(rows, Ball(4, float(radius)), PRIOR).log_weights(0.0, 0)
        assert found.tobytes() == Weights(ROWS, Ball(4, float(radius)), PRIOR).log_weights(0.0, 0).tobytes()
    assert len(list(tmp_path.glob("derived-*.npy"))) == 8
    before = sorted(path.name for path in tmp_path.iterdir())
    Weights(mapped_rows(tmp_path, ROWS, 3000, asked), Ball(4, 13.0), PRIOR)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert len(asked) == 9


def _written(folder: str) -> bytes:
    return mapped_rows(Path(folder), made_up(25_000)).log_volume(2).tobytes()


def test_two_processes_that_write_at_once_both_read_the_rows(tmp_path: Path) -> None:
    with multiprocessing.get_context("forkserver").Pool(2) as crew:
        found = crew.map(_written, [str(tmp_path)] * 4, chunksize=1)
    assert set(found) == {ROWS.log_volume(2).tobytes()}
    assert not list(tmp_path.glob(".tmp-*"))


def test_weights_of_many_rows_need_no_array_of_as_many(tmp_path: Path) -> None:
    count = 1_000_000
    many = Rows(
        np.zeros((count, 4), np.float32),
        np.tile(ROWS.log_volumes, (40, 1)),
        np.tile(ROWS.rank, 40),
        np.tile(ROWS.status, 40),
    )
    rows = mapped_rows(tmp_path, many, 100_000)
    rows.log_volume(3)
    tracemalloc.start()
    try:
        weights = Weights(rows, PRIOR, PRIOR)
        weights.low_rank_share(3)
        weighed = weights.weighed(0.8, 3)
        figures_of(weighed.sums)
        rows.latents_at(weighed.at(np.linspace(0.01, 0.99, 1000)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < count  # a byte a row: not even a mask
    assert weights.log_weights(0.8, 3).nbytes == 8 * count
