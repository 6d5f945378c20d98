"""Fronts of one figure against another, and which of two reaches the higher one at as much of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from magnet_service.evaluation.intervals import Interval
from magnet_service.evaluation.row import Row
from magnet_service.sampling import Result

__all__ = [
    "BALANCE",
    "DENSITY",
    "FRECHET",
    "PRECISION",
    "SIGNIFICANT",
    "Front",
    "Level",
    "Trade",
    "compared",
    "front_of",
]

SIGNIFICANT = 2.0
"""Standard errors beyond which two figures are told apart."""


class Trade(NamedTuple):
    """Two figures of a row that are bought with one another.

    Attributes:
        across: more of it is better.
        up: more of it is better, or less where `falls`.
        words: `up` in words.
        digits: to write of it.
        falls: whether less is better; `of` then has it below zero, so that more is better of both.
    """

    across: Literal["recall", "coverage", "precision"]
    up: Literal["precision", "density", "frechet", "tv"]
    words: str
    digits: int = 3
    falls: bool = False

    def of(self, row: Row) -> tuple[Interval, Interval]:
        """Both figures of a row, the larger the better."""
        across, up = getattr(row, self.across), getattr(row, self.up)
        return across, Interval(-up.value, -up.high, -up.low) if self.falls else up


PRECISION = Trade("recall", "precision", "precision")
DENSITY = Trade("coverage", "density", "density")
FRECHET = Trade("precision", "frechet", "Frechet distance", digits=1, falls=True)
BALANCE = Trade("precision", "tv", "total variation to uniform", falls=True)


@dataclass(frozen=True)
class Front:
    """The rows of one family that no other row of it beats in both figures, by ascending `across`.

    Attributes:
        trade: the figures.
        rows: two rows or more make a curve.
    """

    trade: Trade
    rows: tuple[Row, ...]

    @property
    def places(self) -> list[float]:
        """`across` of each row."""
        return [self.trade.of(row)[0].value for row in self.rows]

    def at(self, place: float) -> tuple[float, float]:
        """`up` that the front reaches at this much of `across` or more, up to its most, and its standard error.

        Linear between rows, and that of the first row below it. The error is that of `up`, interpolated, and the most
        that the height changes within one standard error of `across`: on a steep front nobody knows which row counts.
        """
        both = [self.trade.of(row) for row in self.rows]
        places = self.places
        heights = [up.value for _, up in both]
        error = float(np.interp(place, places, [up.error for _, up in both]))
        aside = float(np.interp(place, places, [across.error for across, _ in both]))
        height, left, right = (float(np.interp(x, places, heights)) for x in (place, place - aside, place + aside))
        return height, float(np.hypot(error, max(abs(left - height), abs(right - height))))

    def around(self, place: float) -> tuple[Row, Row]:
        """The rows on both sides of a place; one row twice at its own place, and outside of the front."""
        places = self.places
        right = min(int(np.searchsorted(places, place)), len(places) - 1)
        if places[right] <= place or right == 0:
            return self.rows[right], self.rows[right]
        return self.rows[right - 1], self.rows[right]


@dataclass(frozen=True)
class Level:
    """Two fronts at one place.

    Attributes:
        place: the least that is asked of `across`.
        polarity, other: `up` of each.
        error: standard error of the difference, the two taken as independent.
        point: the row of the other front whose place this is; None where it is a row of polarity's.
        around: the rows of polarity's front on both sides.
    """

    place: float
    polarity: float
    other: float
    error: float
    point: Row | None
    around: tuple[Row, Row]

    @property
    def score(self) -> float:
        """Difference in standard errors: above 0 where polarity is higher."""
        difference = self.polarity - self.other
        if not self.error:
            return float(np.sign(difference)) * np.inf if difference else 0.0
        return difference / self.error


def front_of(rows: Sequence[Row], trade: Trade = PRECISION) -> Front:
    """The front of some rows; DEGENERATE ones take no part.

    Arguments:
        rows: of one family, the generator as trained among them.
        trade: the figures.

    Returns:
        The rows that no other beats, by ascending `across` and so by descending `up`.

    Raises:
        Nothing.

    Accuracy: exact comparisons of estimates; the best of noisy rows is a little optimistic, for every family alike.
    """
    alive = [(trade.of(row), row) for row in rows if row.result is not Result.DEGENERATE]
    best: list[Row] = []
    highest = -np.inf
    for (_, up), row in sorted(alive, key=lambda item: (-item[0][0].value, -item[0][1].value)):
        if up.value > highest:
            best.append(row)
            highest = up.value
    return Front(trade, tuple(reversed(best)))


def compared(polarity: Front, other: Front) -> list[Level]:
    """Compares two fronts at every place that one of them has a row at and the other reaches or surpasses.

    Arguments:
        polarity, other: fronts of two families in the same figures.

    Returns:
        Levels by ascending place; rows that are on both fronts are left out.

    Raises:
        Nothing.

    Accuracy: linear between rows; errors as `Front.at`.
    """
    if not polarity.rows or not other.rows:
        return []
    most = min(polarity.places[-1], other.places[-1])
    common = {id(row) for row in polarity.rows} & {id(row) for row in other.rows}
    candidates = [(row, None) for row in polarity.rows] + [(row, row) for row in other.rows]
    levels = []
    for row, point in candidates:
        place = polarity.trade.of(row)[0].value
        if id(row) in common or place > most:
            continue
        (mine, mine_error), (others, others_error) = polarity.at(place), other.at(place)
        error = float(np.hypot(mine_error, others_error))
        levels.append(Level(place, mine, others, error, point, polarity.around(place)))
    return sorted(levels, key=lambda level: level.place)
