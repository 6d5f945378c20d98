"""What the sentences say follows from the figures, whichever way they go."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from magnet_service.evaluation import Family, Interval, Row, Setting, verdict
from magnet_service.evaluation.fronts import compared, front_of
from magnet_service.sampling import Result


def around(value: float, error: float = 0.005) -> Interval:
    return Interval(value, value - 1.959963984540054 * error, value + 1.959963984540054 * error)


def row(
    family: Family,
    value: float,
    recall: float = 0.5,
    precision: float = 0.5,
    tv: float = 0.3,
    frechet: float = 10.0,
    result: Result = Result.OK,
) -> Row:
    other = around(0.5)
    return Row(
        setting=Setting(family, value),
        ess=1000.0,
        khat=None,
        distinct=1000,
        result=result,
        shares=(other, other),
        tv=around(tv),
        kl=other,
        precision=around(precision),
        recall=around(recall),
        density=other,
        coverage=other,
        frechet=around(frechet, 0.1),
        top_probability=around(0.8),
        log_norm=other,
    )


BASE = row(Family.POLARITY, 0.0, recall=0.8, precision=0.7)


def test_a_front_is_what_no_other_row_beats() -> None:
    rng = np.random.default_rng(0)
    rows = [row(Family.POLARITY, i, *rng.uniform(size=2).round(1)) for i in range(40)]
    front = front_of(rows).rows
    for one, other in itertools.product(front, rows):
        beaten = other.recall.value >= one.recall.value and other.precision.value >= one.precision.value
        assert not beaten or (other.recall.value, other.precision.value) == (one.recall.value, one.precision.value)
    assert [one.recall.value for one in front] == sorted({one.recall.value for one in front})
    for one in rows:
        assert any(o.recall.value >= one.recall.value and o.precision.value >= one.precision.value for o in front)


def test_between_rows_it_is_linear_and_below_them_flat() -> None:
    front = front_of([row(Family.PSI, 0.5, 0.4, 0.9), row(Family.PSI, 0.7, 0.6, 0.8)])
    assert front.at(0.5)[0] == pytest.approx(0.85)
    assert front.at(0.5)[1] == pytest.approx(np.hypot(0.005, 0.5 * 0.005))
    assert front.at(0.1) == (0.9, pytest.approx(0.005))
    # At the end it may be the row before that counts.
    assert front.at(0.6) == (0.8, pytest.approx(np.hypot(0.005, 0.5 * 0.005)))


@pytest.mark.parametrize(
    ("precision", "counts", "end"),
    [
        (0.85, (2, 0, 0), "truncation psi is better where they differ"),
        (0.75, (0, 2, 0), "polarity is better where they differ"),
        (0.80, (0, 0, 2), "neither is better here"),
    ],
)
def test_whichever_is_better_is_said(precision: float, counts: tuple[int, int, int], end: str) -> None:
    rows = [
        BASE,
        row(Family.POLARITY, -1.0, recall=0.6, precision=0.8),
        row(Family.PSI, 0.7, recall=0.6, precision=precision),
    ]
    said = verdict(rows)[0]
    # The two rows stand at one recall, which counts once for each of them.
    assert "precision at {}, polarity at {}, and {} are within two standard errors: ".format(*counts) + end in said
    assert f"truncation psi 0.7 reaches precision {precision:.3f} where polarity (rho -1) reaches 0.800" in said


def test_fronts_that_cross_are_mixed() -> None:
    rows = [
        BASE,
        row(Family.POLARITY, -1.0, recall=0.6, precision=0.80),
        row(Family.POLARITY, -2.0, recall=0.4, precision=0.83),
        row(Family.NORM, 0.8, recall=0.61, precision=0.75),
        row(Family.NORM, 0.5, recall=0.41, precision=0.90),
    ]
    said = verdict(rows)[0]
    assert "Jacobian-norm truncation is better at a recall of 0.400 and more, polarity" not in said
    assert "polarity is better at a recall of 0.600 and more, Jacobian-norm truncation at 0.410 and less" in said


def test_of_distance_and_imbalance_less_is_better() -> None:
    rows = [
        BASE,
        row(Family.POLARITY, -1.0, recall=0.6, precision=0.8, tv=0.5, frechet=30.0),
        row(Family.POLARITY, 1.0, recall=0.8, precision=0.6, tv=0.2, frechet=15.0),
        row(Family.PSI, 0.7, recall=0.6, precision=0.8, tv=0.3, frechet=12.5),
    ]
    said = verdict(rows)
    assert "psi 0.7 reaches Frechet distance 12.5 where polarity (rho -1) reaches 30.0" in said[2]
    assert "truncation psi is better where they differ" in said[2]
    assert "truncation psi is better at a precision of 0.800 and more, polarity at 0.600 and less" in said[3]


def test_what_only_one_of_them_reaches_is_said() -> None:
    wide = [BASE, row(Family.POLARITY, 1.0, recall=0.9, precision=0.6), row(Family.PSI, 0.7, recall=0.6, precision=0.8)]
    assert (
        "Only polarity reaches a recall of 0.900, at precision 0.600; the most of truncation psi is" in verdict(wide)[0]
    )
    far = [BASE, row(Family.POLARITY, 1.0, recall=0.5), row(Family.NORM, 0.9, recall=0.9, precision=0.65)]
    assert "Only Jacobian-norm truncation reaches a recall of 0.900" in verdict(far)[0]


def test_degenerate_rows_take_no_part_and_common_rows_are_no_level() -> None:
    best = row(Family.POLARITY, -2.0, recall=0.79, precision=0.99, tv=0.0, frechet=0.0, result=Result.DEGENERATE)
    others = [BASE, row(Family.PSI, 0.7, recall=0.6, precision=0.8)]
    levels = compared(front_of([BASE, best]), front_of(others))
    assert [(level.place, level.polarity, level.other) for level in levels] == [(0.6, 0.7, 0.8)]
    said = " ".join(verdict([*others, best]))
    assert "0.990" not in said
    assert "rho -2" not in said


def test_balance_and_distance_and_recall_are_told() -> None:
    rows = [
        BASE,
        row(Family.POLARITY, 1.0, recall=0.9, precision=0.6, tv=0.15, frechet=20.0),
        row(Family.POLARITY, -1.0, recall=0.6, precision=0.8, tv=0.6, frechet=30.0),
        row(Family.PSI, 0.7, recall=0.6, precision=0.85, tv=0.45, frechet=5.0),
        row(Family.NORM, 0.9, recall=0.8, precision=0.7, tv=0.301),
    ]
    said = " ".join(verdict(rows))
    assert "Recall above that as trained (0.800): rho 1 reaches 0.900" in said
    assert "Polarity lowers the total variation of class shares to uniform from 0.300" in said
    assert "raises it to 0.600 (0.590 to 0.610) at rho -1" in said
    assert "Truncation psi nowhere lowers the total variation" in said
    assert "raises it to 0.450 (0.440 to 0.460) at psi 0.7" in said
    assert "Jacobian-norm truncation nowhere lowers the total variation of class shares (0.300 (0.290 to" in said
    assert "The smallest Frechet distance is that of psi 0.7, 5.00" in said


def test_a_grid_of_one_family_is_enough() -> None:
    said = " ".join(verdict([BASE]))
    assert "No rho raises recall" in said
    assert "No row has a smaller Frechet distance" in said
    assert "psi" not in said
