"""Draws that find the block first against one search in all running sums."""

from __future__ import annotations

import numpy as np
import pytest

from magnet_service.errors import Refused
from magnet_service.sampling import Stream, uniforms, with_replacement
from magnet_service.sampling.blocks import sums_by_block
from magnet_service.sampling.kernels.weighing import BLOCK_ROWS
from magnet_service.sampling.log_weights import LogWeights
from magnet_service.sampling.resample import cumulate, rows_at
from magnet_service.sampling.weighed import WeighedRows
from tests.sampling.weight_cases import cases, flat_sums, plain_figures

CASES = cases()


def weighed(logs: np.ndarray) -> WeighedRows:
    given = LogWeights.given(logs)
    return WeighedRows(given, sums_by_block(given))


@pytest.mark.parametrize("name", CASES)
def test_rows_are_those_of_the_flat_search(name: str) -> None:
    logs = CASES[name]
    uniform = uniforms(3, Stream.RESAMPLE, 0, 20_000, 1)[:, 0]
    sums = flat_sums(logs)
    expected = np.searchsorted(sums, uniform * sums[-1], side="right")
    assert (weighed(logs).at(uniform) == expected).all()
    assert (with_replacement(logs, 3, 0, 20_000) == expected).all()


@pytest.mark.parametrize("name", CASES)
def test_running_sums_are_those_of_the_definition(name: str) -> None:
    logs = CASES[name]
    sums, drawn = cumulate(logs), weighed(logs).sums
    np.testing.assert_allclose(sums, flat_sums(logs), rtol=1e-13)
    assert (np.diff(sums) >= 0.0).all()
    ends = np.minimum(np.arange(1, drawn.ends.size + 1) * BLOCK_ROWS, logs.size) - 1
    assert sums[ends].tobytes() == drawn.ends.tobytes()


@pytest.mark.parametrize("name", CASES)
def test_levels_at_the_edges_of_blocks_and_rows(name: str) -> None:
    logs = CASES[name]
    sums = cumulate(logs)
    source = np.random.default_rng(2)
    places = np.append(np.arange(0, logs.size, BLOCK_ROWS), source.integers(0, logs.size, 300))
    edges = sums[np.concatenate([places, places - 1])] / sums[-1]
    uniform = np.concatenate([edges, np.nextafter(edges, 0.0), np.nextafter(edges, 1.0), [2.0**-53, 1.0 - 2.0**-53]])
    uniform = uniform[(uniform >= 2.0**-53) & (uniform <= 1.0 - 2.0**-53)]
    drawn = weighed(logs).at(uniform)
    assert (drawn == np.searchsorted(sums, uniform * sums[-1], side="right")).all()
    assert np.isfinite(logs[drawn]).all()


def test_no_row_depends_on_threads_or_on_company() -> None:
    logs = LogWeights.given(CASES["plain"])
    sums = sums_by_block(logs)
    uniform = uniforms(9, Stream.RESAMPLE, 0, 1000, 1)[:, 0]
    whole = rows_at(logs, sums, uniform, threads=1)
    assert (rows_at(logs, sums, uniform, threads=3) == whole).all()
    assert [int(rows_at(logs, sums, uniform[i : i + 1])[0]) for i in range(0, 1000, 50)] == whole[::50].tolist()
    assert rows_at(logs, sums, uniform[:0]).size == 0


@pytest.mark.parametrize("name", CASES)
def test_weights_over_their_mean(name: str) -> None:
    logs = CASES[name]
    indices = np.arange(logs.size)[:: max(1, logs.size // 50)]
    expected = logs[indices] - plain_figures(logs)[2]
    np.testing.assert_allclose(weighed(logs).over_mean(indices), expected, atol=1e-10)


def test_nothing_is_drawn_where_nothing_has_weight() -> None:
    for logs in (np.full(3, -np.inf), np.array([0.0, np.nan])):
        with pytest.raises(Refused) as caught:
            weighed(logs).at(np.array([0.5]))
        assert caught.value.reason == "NO_WEIGHT"


def test_any_weights_at_any_levels() -> None:
    for seed in range(300):
        source = np.random.default_rng(seed)
        size = int(source.integers(1, 4 * BLOCK_ROWS))
        logs = source.choice([1.0, 30.0, 600.0]) * source.standard_t(source.choice([1.0, 3.0, 30.0]), size)
        logs[source.random(size) < source.choice([0.0, 0.5, 0.999])] = -np.inf
        logs[source.integers(size)] = 5.0
        sums = cumulate(logs)
        uniform = np.clip(source.random(500) ** source.choice([1.0, 8.0]), 2.0**-53, 1.0 - 2.0**-53)
        drawn = weighed(logs).at(uniform)
        assert (drawn == np.searchsorted(sums, uniform * sums[-1], side="right")).all(), seed
        assert np.isfinite(logs[drawn]).all(), seed
