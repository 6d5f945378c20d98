"""What a bank is worth at each rho and k: whether it supports a draw there, and what it takes where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from magnet_service.sampling.diagnostics import KHAT_LIMIT
from magnet_service.sampling.polarity import LOW_RANK_LIMIT, SUPPORT_ESS, Cell, Weights

__all__ = ["MOST_ROWS", "CellOutlook", "MethodJudge", "MethodOutlook", "Need", "outlook", "resampled", "supports"]

MOST_ROWS = 10_000_000_000
"""The largest bank that a build may be asked for."""

_MOST_LOG10 = 1e9
"""Where figures end that say no more than that they are absurd: the square of a large rho is infinite."""

_ELSE = "method SCREENED, or a smaller |rho| or top_k"


class Need(StrEnum):
    """What it takes to draw at one (rho, k).

    NONE: nothing, the bank supports it. ROWS: a larger bank, of a size that can be told. UNCERTAIN: a larger bank, of
    a size that this one cannot tell, as its weights have too heavy a tail. OUT_OF_REACH: more rows than any bank may
    have. FIXED: more rows than an imported bank has, which cannot grow. LOW_RANK: a smaller k, whatever the rows.
    """

    NONE = "NONE"
    ROWS = "ROWS"
    UNCERTAIN = "UNCERTAIN"
    OUT_OF_REACH = "OUT_OF_REACH"
    FIXED = "FIXED"
    LOW_RANK = "LOW_RANK"


@dataclass(frozen=True)
class MethodOutlook:
    """What one method is worth at one (rho, k).

    Attributes:
        method: as requests and answers name it.
        ess: effective rows that it gives, or promises.
        khat: Pareto k-hat of its weights; None where it is absent or nobody knows it before the draw.
        evaluations: what it computes for that beside the bank, in exact evaluations, a forward counted as one column.
        reason: one sentence.
    """

    method: str
    ess: float
    khat: float | None
    evaluations: int
    reason: str


@dataclass(frozen=True)
class CellOutlook:
    """One (rho, k) with what it takes to draw there.

    Attributes:
        cell: figures of the bank's weights.
        need: what it takes.
        rows_needed: rows of a bank with an ESS of 200 there, rounded up to two digits; None where none can be told.
        lognormal_log10_rows: log10 of those rows if log v_k were normal under the base law, by its standard deviation
            alone; None where there is none, and where more rows are of no use.
        remedy: one sentence; empty where the bank supports it.
        methods: what each method is worth.
    """

    cell: Cell
    need: Need
    rows_needed: int | None
    lognormal_log10_rows: float | None
    remedy: str
    methods: tuple[MethodOutlook, ...]

    @property
    def supported(self) -> bool:
        """Whether the bank supports a draw here."""
        return self.need is Need.NONE


def supports(cell: Cell) -> bool:
    """Whether a bank supports a draw: ESS >= 200, k-hat < 0.7 or absent, at rho < 0 rank >= k on 99 % of the rows."""
    if cell.rho < 0.0 and cell.low_rank_share > LOW_RANK_LIMIT:
        return False  # a draw there is refused
    return cell.ess >= SUPPORT_ESS and (cell.khat is None or cell.khat < KHAT_LIMIT)


MethodJudge: TypeAlias = Callable[[Weights, Cell], tuple[MethodOutlook, ...]]
"""What some methods are worth at one (rho, k); none of those that cannot draw there."""


def resampled(weights: Weights, cell: Cell) -> tuple[MethodOutlook, ...]:
    """Resampling the bank's own rows: no evaluation beyond it, and an ESS that is the weights'."""
    reason = f"rows of the bank by their weights, {len(weights.rows):,} in all"
    return (MethodOutlook("RESAMPLE", cell.ess, cell.khat, 0, reason),)


def outlook(
    weights: Weights,
    cells: Sequence[Cell],
    log_volume_sd: Sequence[float],
    *,
    can_grow: bool = True,
    methods: Sequence[MethodJudge] = (resampled,),
) -> tuple[CellOutlook, ...]:
    """Judges every cell of a grid.

        rows needed = N 200 / ESS          where k-hat < 0.7
        rows needed ~ 200 exp(rho^2 sd(log v_k)^2) N / ESS(0)          were log v_k normal

    The second is no promise: it is what a bank too small to show its tail can be set against, as ESS / N comes out too
    large while the heaviest rows are missing.

    Arguments:
        weights: rows of the bank, weighted for the base.
        cells: from `describe` on the same rows.
        log_volume_sd: standard deviation of log v_k for k = 1.. under the base law, nats; NaN where there is none.
        can_grow: False for an imported bank, to which no rows are ever advised.
        methods: asked at every cell, in this order.

    Returns:
        One for each cell, in their order.

    Raises:
        Nothing.

    Accuracy:
        Verdicts are exact comparisons of the cells' figures; rows needed are estimates, rounded up to two digits.
    """
    found = []
    for cell in cells:
        each = tuple(one for judge in methods for one in judge(weights, cell))
        found.append(_judged(weights, cell, log_volume_sd[cell.k - 1], can_grow, each))
    return tuple(found)


def _judged(weights: Weights, cell: Cell, sd: float, can_grow: bool, methods: tuple[MethodOutlook, ...]) -> CellOutlook:
    if supports(cell):
        return CellOutlook(cell, Need.NONE, None, _lognormal(weights, cell, sd), "", methods)
    if cell.rho < 0.0 and cell.low_rank_share > LOW_RANK_LIMIT:
        return CellOutlook(cell, Need.LOW_RANK, None, None, _of_low_rank(weights, cell), methods)
    lack, instead = _lack(cell), _instead(methods)
    if not can_grow:
        remedy = f"{lack}, and an imported bank cannot grow: {instead}"
        return CellOutlook(cell, Need.FIXED, None, None, remedy, methods)
    guess = _lognormal(weights, cell, sd)
    if _tail_is_light(cell):
        rows = _rounded(len(weights.rows) * SUPPORT_ESS / cell.ess)
        if rows <= MOST_ROWS:
            return CellOutlook(
                cell, Need.ROWS, rows, guess, f"{lack}: a bank of about {rows:,} rows{_also(methods)}", methods
            )
        return CellOutlook(
            cell, Need.OUT_OF_REACH, rows, guess, f"{lack}: out of reach by resampling; {instead}", methods
        )
    if guess is None or 10.0 ** min(guess, 300.0) <= len(weights.rows):
        # No figure, or one that this bank has reached already: its law is heavier than that.
        remedy = f"{lack}: no number of rows can be promised; {instead}"
        return CellOutlook(cell, Need.UNCERTAIN, None, guess, remedy, methods)
    if guess > math.log10(MOST_ROWS):
        told = f"some 10^{guess:,.0f} rows if log v_{cell.k} were normal"
        remedy = f"{lack}: out of reach by resampling, {told}; {instead}"
        return CellOutlook(cell, Need.OUT_OF_REACH, None, guess, remedy, methods)
    told = f"about {_rounded(10.0**guess):,} if log v_{cell.k} were normal"
    remedy = f"{lack}: no number of rows can be promised from this bank, {told}{_also(methods)}"
    return CellOutlook(cell, Need.UNCERTAIN, None, guess, remedy, methods)


def _instead(methods: Sequence[MethodOutlook]) -> str:
    """What to do other than resample: what screening promises, where that is known."""
    promised = _promised(methods)
    if promised is None:
        return _ELSE
    if promised.ess < SUPPORT_ESS:
        return f"a smaller |rho| or top_k ({_told(promised)})"
    return _told(promised)


def _also(methods: Sequence[MethodOutlook]) -> str:
    """What to do beside building rows; empty where nothing promises enough."""
    promised = _promised(methods)
    return "" if promised is None or promised.ess < SUPPORT_ESS else f"; {_told(promised)}"


def _promised(methods: Sequence[MethodOutlook]) -> MethodOutlook | None:
    return max((one for one in methods if one.evaluations), key=lambda one: one.ess, default=None)


def _told(one: MethodOutlook) -> str:
    return f"method {one.method} promises an ESS of {one.ess:,.0f} by {one.evaluations:,} evaluations"


def _lack(cell: Cell) -> str:
    few = f"ESS {cell.ess:,.0f} of {SUPPORT_ESS:.0f}" if cell.ess < SUPPORT_ESS else ""
    if cell.khat is None:
        tail = "" if _tail_is_light(cell) else "a tail too short to judge"
    else:
        tail = f"k-hat {cell.khat:.2f}" if cell.khat >= KHAT_LIMIT else ""
    return ", ".join(part for part in (few, tail) if part)


def _tail_is_light(cell: Cell) -> bool:
    # Absent, k-hat says nothing of unequal weights, of which the heaviest may all be missing; equal ones have no tail.
    return cell.rho == 0.0 if cell.khat is None else cell.khat < KHAT_LIMIT


def _of_low_rank(weights: Weights, cell: Cell) -> str:
    most = next((k for k in range(cell.k - 1, 0, -1) if weights.low_rank_share(k) <= LOW_RANK_LIMIT), 0)
    instead = f"use top_k {most} or less" if most else "no top_k is small enough, use rho >= 0"
    return f"{cell.low_rank_share:.1%} of the rows have rank below {cell.k}, so that rho < 0 is refused: {instead}"


def _lognormal(weights: Weights, cell: Cell, sd: float) -> float | None:
    usable = 1.0 - cell.low_rank_share
    plain = weights.ess(0.0, 0)
    if not (math.isfinite(sd) and usable > 0.0 and plain > 0.0):
        return None
    rows = math.log10(SUPPORT_ESS * len(weights.rows) / plain)
    # At rho = 0 no row is left out for its rank.
    left_out = -math.log10(usable) if cell.rho else 0.0
    spread = cell.rho * sd
    return min(rows + left_out + spread * spread / math.log(10.0), _MOST_LOG10)


def _rounded(rows: float) -> int:
    if rows < 100.0:
        return math.ceil(rows)
    step = int(10 ** (math.floor(math.log10(rows)) - 1))
    return math.ceil(rows / step - 1e-9) * step
