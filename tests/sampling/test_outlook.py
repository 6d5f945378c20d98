"""What it takes where a bank does not support a draw, and the supported ranges."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from magnet_service.sampling import (
    Ball,
    Cell,
    CellOutlook,
    Law,
    MethodOutlook,
    Need,
    Normal,
    Result,
    Rows,
    Weights,
    describe,
    outlook,
    reach_in_words,
    reaches,
    spectrum_of,
)
from magnet_service.sampling.outlook import resampled
from tests.sampling.synthetic import rows_of

PRIOR = Normal(3)
RHOS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


def judged(rows: Rows, *, base: Law = PRIOR, rhos: tuple[float, ...] = RHOS, **more: bool) -> tuple[CellOutlook, ...]:
    weights = Weights(rows, base, PRIOR)
    cells = describe(rows, base, PRIOR, rhos, range(1, rows.columns + 1))
    return outlook(weights, cells, spectrum_of(weights).log_volume_sd, **more)


def slow_ess(logs: np.ndarray) -> float:
    weights = np.exp(logs.astype(np.float64) - logs.max())
    return float(weights.sum() ** 2 / np.square(weights).sum())


def test_verdicts_follow_the_figures() -> None:
    rank = np.full(1200, 3)
    rank[::50] = 2
    found = judged(rows_of(PRIOR, 1200, [0.7, 1.2, 3.0], rank=rank))
    seen = {one.need for one in found}
    assert seen == {Need.NONE, Need.ROWS, Need.UNCERTAIN, Need.OUT_OF_REACH, Need.LOW_RANK}
    for one in found:
        cell = one.cell
        light = cell.khat is None or cell.khat < 0.7
        assert (one.need is Need.LOW_RANK) == (cell.rho < 0 and cell.k == 3)
        if one.need is not Need.LOW_RANK:
            assert one.supported == (cell.ess >= 200 and light)
            assert (one.need is Need.ROWS) == (not one.supported and light)
        assert bool(one.remedy) == (not one.supported)
        assert [(method.method, method.ess, method.evaluations) for method in one.methods] == [
            ("RESAMPLE", cell.ess, 0)
        ]


def test_a_larger_bank_of_the_rows_told_is_enough() -> None:
    checked = 0
    for spread, rho in ((1.6, 1.0), (1.0, 1.5), (0.9, -2.0)):
        (one,) = judged(rows_of(PRIOR, 1000, [spread]), rhos=(rho,))
        if one.need is Need.ROWS:
            assert one.rows_needed is not None
            assert f"{one.rows_needed:,} rows" in one.remedy
            assert one.rows_needed == pytest.approx(1000 * 200 / one.cell.ess, rel=0.11)
            ess = slow_ess(rho * rows_of(PRIOR, one.rows_needed, [spread]).log_volumes[:, 0])
            assert 120 < ess < 400
            checked += 1
    assert checked >= 2


def test_the_lognormal_figure_is_what_a_normal_log_volume_gives() -> None:
    rows = rows_of(PRIOR, 8000, [0.7, 1.2, 3.0])
    for one in judged(rows):
        sd = rows.log_volumes[:, one.cell.k - 1].astype(np.float64).std()
        expected = math.log10(200.0) + (one.cell.rho * sd) ** 2 / math.log(10.0)
        assert one.lognormal_log10_rows == pytest.approx(expected, rel=1e-9)


def test_a_correction_and_rows_of_low_rank_count_in_the_lognormal_figure() -> None:
    ball = Ball(3, radius=1.5)
    rank = np.full(5000, 2)
    rank[::4] = 1
    rows = rows_of(PRIOR, 5000, [0.5, 0.5], rank=rank)
    found = {(one.cell.rho, one.cell.k): one for one in judged(rows, base=ball, rhos=(0.0, 1.0))}
    radius = np.linalg.norm(rows.latents.astype(np.float64), axis=1)
    weights = np.where(radius <= 1.5, np.exp(radius**2 / 2), 0.0)
    plain = weights.sum() ** 2 / np.square(weights).sum()
    share = weights[rank >= 2].sum() / weights.sum()
    logs, masses = rows.log_volumes[rank >= 2, 1].astype(np.float64), weights[rank >= 2]
    centre = np.average(logs, weights=masses)
    variance = np.average(np.square(logs - centre), weights=masses)
    expected = 200.0 * 5000 / plain / share * math.exp(variance)
    assert found[1.0, 2].lognormal_log10_rows == pytest.approx(math.log10(expected), rel=1e-6)
    assert found[0.0, 2].lognormal_log10_rows == pytest.approx(math.log10(200.0 * 5000 / plain), rel=1e-6)


def test_an_imported_bank_is_never_told_to_grow() -> None:
    rows = rows_of(PRIOR, 900, [0.7, 1.2, 3.0])
    found = judged(rows, can_grow=False)
    assert {one.need for one in found} == {Need.NONE, Need.FIXED}
    for one in found:
        assert (one.rows_needed, "bank of about" in one.remedy) == (None, False)
        assert ("imported bank cannot grow" in one.remedy) == (one.need is Need.FIXED)
    assert {one.need for one in judged(rows)} > {Need.NONE, Need.ROWS}
    nothing = reaches([one.cell for one in judged(rows_of(PRIOR, 50, [1.0]))])
    assert "larger bank" in reach_in_words(nothing)
    assert "larger bank" not in reach_in_words(nothing, can_grow=False)


def test_low_rank_names_the_k_that_is_left() -> None:
    rank = np.full(4000, 3)
    rank[::20] = 1
    found = [one for one in judged(rows_of(PRIOR, 4000, [0.1] * 3, rank=rank)) if one.need is Need.LOW_RANK]
    assert {(one.cell.rho < 0, one.cell.k) for one in found} == {(True, 2), (True, 3)}
    assert all("use top_k 1 or less" in one.remedy for one in found)
    rank[::20] = 0
    for one in judged(rows_of(PRIOR, 4000, [0.1] * 3, rank=rank), rhos=(-1.0,)):
        assert "use rho >= 0" in one.remedy


def test_weights_without_a_tail_to_judge() -> None:
    """Few rows have no k-hat: at rho 0 they are alike, elsewhere the heaviest may all be missing."""
    rows = rows_of(PRIOR, 20, [2.0])
    zero, one = judged(rows, rhos=(0.0, 1.0))
    assert zero.cell.khat is None
    assert one.cell.khat is None
    assert (zero.need, zero.rows_needed) == (Need.ROWS, 200)
    assert (one.need, one.rows_needed) == (Need.UNCERTAIN, None)
    assert "a tail too short to judge" in one.remedy


def test_a_heavy_tail_that_no_normal_law_explains_gets_no_number() -> None:
    rows = rows_of(PRIOR, 5000, [0.1])
    volumes = rows.log_volumes.copy()
    volumes[:, 0] = np.random.default_rng(0).exponential(0.75, 5000)  # weights of index 4 / 3
    (one,) = judged(replace(rows, log_volumes=volumes), rhos=(1.0,))
    assert one.cell.khat is not None
    assert one.cell.khat >= 0.7
    assert one.lognormal_log10_rows is not None
    assert 10**one.lognormal_log10_rows < 5000
    assert one.need is Need.UNCERTAIN
    assert "normal" not in one.remedy


def test_an_absurd_rho_is_out_of_reach() -> None:
    for one in judged(rows_of(PRIOR, 500, [0.7, 1.2]), rhos=(-1e300, 1e6, 1e300)):
        assert one.need is Need.OUT_OF_REACH
        assert one.lognormal_log10_rows is not None
        assert 1e9 >= one.lognormal_log10_rows > 1e8


@pytest.mark.parametrize("promised", [500.0, 50.0])
def test_what_screening_promises_is_told_where_it_is_known(promised: float) -> None:
    def screened(weights: Weights, cell: Cell) -> tuple[MethodOutlook, ...]:
        some = ("SCREENED", promised), ("SCREENED_CHAIN", promised / 2)
        return tuple(MethodOutlook(name, ess, None, 4000, "for the test") for name, ess in some) if cell.rho else ()

    rows = rows_of(PRIOR, 1200, [0.7, 1.2, 3.0])
    weights = Weights(rows, PRIOR, PRIOR)
    cells = describe(rows, PRIOR, PRIOR, RHOS, (1, 2, 3))
    spread = spectrum_of(weights).log_volume_sd
    for can_grow in (True, False):
        seen = set()
        for one in outlook(weights, cells, spread, can_grow=can_grow, methods=(resampled, screened)):
            names = ["RESAMPLE", "SCREENED", "SCREENED_CHAIN"] if one.cell.rho else ["RESAMPLE"]
            assert [method.method for method in one.methods] == names
            if not one.supported:
                seen.add(one.need)
                told = f"method SCREENED promises an ESS of {promised:,.0f} by 4,000 evaluations" in one.remedy
                assert told == (promised == 500.0 or one.need in (Need.OUT_OF_REACH, Need.FIXED))
                assert "CHAIN" not in one.remedy
        assert seen == ({Need.ROWS, Need.UNCERTAIN, Need.OUT_OF_REACH} if can_grow else {Need.FIXED})


def test_ranges_have_no_hole_and_say_what_is_beyond() -> None:
    rows = rows_of(PRIOR, 3000, [0.7, 1.2, 3.0])
    found = judged(rows)
    ranges = reaches([one.cell for one in found], found)
    assert [one.k for one in ranges] == [1, 2, 3]
    for one in ranges:
        column = {cell.cell.rho: cell for cell in found if cell.cell.k == one.k}
        inside = [rho for rho in RHOS if one.low <= rho <= one.high]
        assert all(column[rho].supported for rho in inside)
        for told, rho in ((one.below, max([r for r in RHOS if r < one.low], default=None)),
                          (one.above, min([r for r in RHOS if r > one.high], default=None))):  # fmt: skip
            assert bool(told) == (rho is not None)
            if rho is not None:
                assert not column[rho].supported
                assert told == f"rho {rho:g}: {column[rho].remedy}"
    assert all(narrow.high <= wide.high for wide, narrow in pairwise(ranges))
    words = reach_in_words(ranges)
    assert f"k = 2: rho {ranges[1].low:g} to {ranges[1].high:g}" in words


def test_words_name_no_rho_that_is_refused_and_no_range_with_a_hole() -> None:
    def cell(rho: float, k: int, ess: float = 500.0, low_rank_share: float = 0.0) -> Cell:
        return Cell(rho, k, ess, 0.1, 0.01, low_rank_share, Result.OK)

    rhos = (-1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
    deficient = [cell(rho, 2, low_rank_share=0.02) for rho in rhos]
    hole = [cell(rho, 1, ess=100.0 if rho == 1.0 else 500.0) for rho in rhos]
    words = reach_in_words(reaches([*hole, *deficient]))
    assert "k = 1: rho -1 to 0.5;" in words
    assert "k = 2: rho 0 to 2." in words
    assert "larger bank" in reach_in_words(reaches([cell(rho, 1, ess=100.0) for rho in rhos]))
