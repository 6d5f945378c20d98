"""Fronts of precision against recall, and which of two reaches the higher precision at as much recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magnet_service.evaluation.row import Row
from magnet_service.sampling import Result

__all__ = ["Front", "Level", "compared", "front_of"]

SIGNIFICANT = 2.0
"""Standard errors beyond which two precisions are told apart."""


@dataclass(frozen=True)
class Front:
    """The rows of one family that no other row of it beats in both precision and recall, by ascending recall.

    Attributes:
        rows: two rows or more make a curve.
    """

    rows: tuple[Row, ...]

    @property
    def recalls(self) -> list[float]:
        """Recall of each row."""
        return [row.recall.value for row in self.rows]

    def at(self, recall: float) -> tuple[float, float]:
        """Precision that the front reaches at a recall of this or more, up to its highest, and its standard error.

        Linear between rows, and that of the first row below it. The error is that of the precision, interpolated,
        and that of the recall times the slope.
        """
        recalls = self.recalls
        precision = float(np.interp(recall, recalls, [row.precision.value for row in self.rows]))
        error = float(np.interp(recall, recalls, [row.precision.error for row in self.rows]))
        sideways = float(np.interp(recall, recalls, [row.recall.error for row in self.rows]))
        first, second = self.around(recall)
        run = second.recall.value - first.recall.value
        slope = (second.precision.value - first.precision.value) / run if run else 0.0
        return precision, float(np.hypot(error, slope * sideways))

    def around(self, recall: float) -> tuple[Row, Row]:
        """The rows on both sides of a recall; the same row twice at a row's own recall, or on a front of one."""
        recalls = self.recalls
        right = min(int(np.searchsorted(recalls, recall)), len(recalls) - 1)
        if recalls[right] == recall or right == 0:
            return self.rows[right], self.rows[right]
        return self.rows[right - 1], self.rows[right]


@dataclass(frozen=True)
class Level:
    """Two fronts at one recall.

    Attributes:
        recall: the least that is asked for.
        polarity, other: their precisions.
        error: standard error of the difference, the two taken as independent.
        point: the row of the other front whose recall this is; None where it is a row of polarity's.
        around: the rows of polarity's front on both sides.
    """

    recall: float
    polarity: float
    other: float
    error: float
    point: Row | None
    around: tuple[Row, Row]

    @property
    def score(self) -> float:
        """Difference in standard errors: above 0 where polarity is more precise."""
        difference = self.polarity - self.other
        return difference / self.error if self.error else float(np.sign(difference)) * np.inf if difference else 0.0


def front_of(rows: Sequence[Row]) -> Front:
    """The front of some rows; DEGENERATE ones take no part.

    Arguments:
        rows: of one family, the generator as trained among them.

    Returns:
        The rows that no other beats, by ascending recall and so by descending precision.

    Raises:
        Nothing.

    Accuracy: exact comparisons of estimates; the best of noisy rows is a little optimistic, for every family alike.
    """
    alive = [row for row in rows if row.result is not Result.DEGENERATE]
    best: list[Row] = []
    for row in sorted(alive, key=lambda row: (-row.recall.value, -row.precision.value)):
        if not best or row.precision.value > best[-1].precision.value:
            best.append(row)
    return Front(tuple(reversed(best)))


def compared(polarity: Front, other: Front) -> list[Level]:
    """Compares two fronts at every recall that one of them has a row at and the other reaches or surpasses.

    Arguments:
        polarity, other: fronts of two families.

    Returns:
        Levels by ascending recall; rows that are on both fronts are left out.

    Raises:
        Nothing.

    Accuracy: linear between rows; errors as `Front.at`.
    """
    if not polarity.rows or not other.rows:
        return []
    high = min(polarity.recalls[-1], other.recalls[-1])
    common = {id(row) for row in polarity.rows} & {id(row) for row in other.rows}
    candidates = [(row, None) for row in polarity.rows] + [(row, row) for row in other.rows]
    levels = []
    for row, point in candidates:
        recall = row.recall.value
        if id(row) in common or recall > high:
            continue
        (mine, mine_error), (others, others_error) = polarity.at(recall), other.at(recall)
        error = float(np.hypot(mine_error, others_error))
        levels.append(Level(recall, mine, others, error, point, polarity.around(recall)))
    return sorted(levels, key=lambda level: level.recall)
