"""What came out, in sentences computed from the figures: whichever way it came out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from magnet_service.evaluation.fronts import (
    BALANCE,
    DENSITY,
    FRECHET,
    PRECISION,
    SIGNIFICANT,
    Front,
    Level,
    Trade,
    compared,
    front_of,
)
from magnet_service.evaluation.intervals import Interval
from magnet_service.evaluation.request import Family
from magnet_service.evaluation.row import Row
from magnet_service.sampling import Result

__all__ = ["verdict"]

_NAMES = {Family.POLARITY: "polarity", Family.PSI: "truncation psi", Family.NORM: "Jacobian-norm truncation"}


def verdict(rows: Sequence[Row]) -> tuple[str, ...]:
    """Says of each truncation whether it beats polarity, and what each family does to the balance of classes.

    Arguments:
        rows: of an evaluation, rho 0 among them.

    Returns:
        Plain sentences, one paragraph each.

    Raises:
        Nothing.

    Accuracy: differences within two standard errors are called none. Standard errors are those of the intervals; two
        rows are taken as independent. Rows marked DEGENERATE take no part.
    """
    base = next(row for row in rows if row.setting.family is Family.POLARITY and row.setting.value == 0.0)
    of = {
        family: [base, *(row for row in rows if row.setting.family is family and row is not base)] for family in _NAMES
    }
    said = [
        _against(of[Family.POLARITY], of[family], family, trade)
        for family in (Family.PSI, Family.NORM)
        for trade in (PRECISION, DENSITY, FRECHET, BALANCE)
    ]
    said.append(_beyond(of[Family.POLARITY], base))
    said.extend(_balance(of[family], base, family) for family in _NAMES)
    said.append(_distance(rows, base))
    return tuple(sentence for sentence in said if sentence)


def _against(polarity: Sequence[Row], others: Sequence[Row], family: Family, trade: Trade) -> str:
    if len(others) < 2 or len(polarity) < 2:
        return ""
    name = _NAMES[family]
    mine, theirs = front_of(polarity, trade), front_of(others, trade)
    levels = compared(mine, theirs)
    reach = _reach(mine, theirs, name, trade)
    if not levels:
        return f"Polarity and {name} differ at no {trade.across} that both reach.{reach}"
    worse = [level for level in levels if level.score < -SIGNIFICANT]
    better = [level for level in levels if level.score > SIGNIFICANT]
    even = len(levels) - len(worse) - len(better)
    example = max(levels, key=lambda level: (abs(level.score), level.point is not None))
    counted = f"{len(levels)} {'level' if len(levels) == 1 else 'levels'} of {trade.across}"
    more = f"the {'lower' if trade.falls else 'higher'} {trade.words}"
    return (
        f"{_example(example, name, trade)} Of {counted} compared, {name} has {more} at {len(worse)}, polarity at "
        f"{len(better)}, and {even} are within two standard errors: {_end(worse, better, name, trade)}.{reach}"
    )


def _end(worse: Sequence[Level], better: Sequence[Level], name: str, trade: Trade) -> str:
    if not worse and not better:
        return "neither is better here"
    if not worse or not better:
        return f"{name if worse else 'polarity'} is better where they differ"
    theirs, mine = sorted(level.place for level in worse), sorted(level.place for level in better)
    if theirs[0] > mine[-1]:
        return f"{name} is better at a {trade.across} of {theirs[0]:.3f} and more, polarity at {mine[-1]:.3f} and less"
    if mine[0] > theirs[-1]:
        return f"polarity is better at a {trade.across} of {mine[0]:.3f} and more, {name} at {theirs[-1]:.3f} and less"
    return f"which of the two is better depends on the {trade.across} wanted"


def _example(level: Level, name: str, trade: Trade) -> str:
    rhos = sorted({row.setting.value for row in level.around})
    where = f"rho {rhos[0]:g}" if len(rhos) == 1 else f"rho between {rhos[0]:g} and {rhos[1]:g}"
    which = name
    if level.point is not None:
        trained = level.point.setting.family is Family.POLARITY
        which = "the generator as trained" if trained else f"{name} {level.point.setting.value:g}"
    theirs, mine, error = (f"{abs(value):.{trade.digits}f}" for value in (level.other, level.polarity, level.error))
    return (
        f"At a {trade.across} of {level.place:.3f} or more, {which} reaches {trade.words} {theirs} where polarity "
        f"({where}) reaches {mine} (standard error of the difference {error})."
    )


def _reach(polarity: Front, other: Front, name: str, trade: Trade) -> str:
    """Which of two fronts goes on where the other has ended."""
    (most, up), (others, others_up) = (trade.of(front.rows[-1]) for front in (polarity, other))
    if not _differs(most, others):
        return ""
    ends = [("polarity", most, up), (name, others, others_up)]
    (short, least, _), (long, farthest, height) = sorted(ends, key=lambda end: end[1].value)
    return (
        f" Only {long} reaches a {trade.across} of {farthest.value:.3f}, at {trade.words} "
        f"{abs(height.value):.{trade.digits}f}; the most of {short} is {least.value:.3f}."
    )


def _beyond(polarity: Sequence[Row], base: Row) -> str:
    """What polarity reaches above the recall of the generator as trained, where truncation cannot go."""
    above = [
        row
        for row in polarity
        if row is not base
        and row.result is not Result.DEGENERATE
        and _differs(row.recall, base.recall)
        and row.recall.value > base.recall.value
    ]
    if not above:
        return f"No rho raises recall above the {base.recall.value:.3f} as trained beyond two standard errors."
    best = max(above, key=lambda row: row.recall.value)
    return (
        f"Recall above that as trained ({base.recall.value:.3f}): {best.setting.name} reaches {_written(best.recall)}, "
        f"at precision {_written(best.precision)} against {base.precision.value:.3f}."
    )


def _balance(rows: Sequence[Row], base: Row, family: Family) -> str:
    others = [row for row in rows if row is not base and row.result is not Result.DEGENERATE]
    if not others:
        return ""
    name = _NAMES[family]
    name = name[0].upper() + name[1:]
    lowest, highest = (pick(others, key=lambda row: row.tv.value) for pick in (min, max))
    lowers = lowest.tv.value < base.tv.value and _differs(lowest.tv, base.tv)
    raises = highest.tv.value > base.tv.value and _differs(highest.tv, base.tv)
    parts = []
    if lowers:
        parts.append(
            f"lowers the total variation of class shares to uniform from {_written(base.tv)} as trained to "
            f"{_written(lowest.tv)} at {lowest.setting.name}{_mark(lowest)}, where precision goes from "
            f"{base.precision.value:.3f} to {lowest.precision.value:.3f} and the mean top probability from "
            f"{base.top_probability.value:.3f} to {lowest.top_probability.value:.3f}"
        )
    else:
        parts.append(f"nowhere lowers the total variation of class shares ({_written(base.tv)} as trained)")
    if raises:
        parts.append(f"raises it to {_written(highest.tv)} at {highest.setting.name}{_mark(highest)}")
    return f"{name} {' and '.join(parts)}."


def _distance(rows: Sequence[Row], base: Row) -> str:
    draws = [row for row in rows if row.setting.family is not Family.REAL and row.result is not Result.DEGENERATE]
    nearest = min(draws, key=lambda row: row.frechet.value, default=base)
    if nearest is base or not _differs(nearest.frechet, base.frechet):
        return f"No row has a smaller Frechet distance than the generator as trained ({_written(base.frechet, 2)})."
    return (
        f"The smallest Frechet distance is that of {nearest.setting.name}, {_written(nearest.frechet, 2)} against "
        f"{_written(base.frechet, 2)} as trained."
    )


def _differs(one: Interval, other: Interval) -> bool:
    return abs(one.value - other.value) > SIGNIFICANT * float(np.hypot(one.error, other.error))


def _written(interval: Interval, digits: int = 3) -> str:
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def _mark(row: Row) -> str:
    return "" if row.result is Result.OK else f" (marked {row.result})"
