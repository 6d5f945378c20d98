"""Which rho a bank supports at each k, as numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from magnet_service.sampling.diagnostics import KHAT_LIMIT
from magnet_service.sampling.outlook import CellOutlook, supports
from magnet_service.sampling.polarity import SUPPORT_ESS, Cell

__all__ = ["Reach", "reach_in_words", "reaches"]


@dataclass(frozen=True)
class Reach:
    """The rho of a grid that a bank supports at one k, without a hole: from 0 to the last before the first that fails.

    Attributes:
        k: number of singular values.
        low: the least, 0 or below.
        high: the largest, 0 or above.
        below: what it takes at the next rho of the grid below `low`; empty where the grid ends.
        above: the same above `high`.
    """

    k: int
    low: float
    high: float
    below: str = ""
    above: str = ""


def reaches(cells: Sequence[Cell], outlooks: Sequence[CellOutlook] = ()) -> tuple[Reach, ...]:
    """The supported range of every k of a grid.

    Arguments:
        cells: of the grid.
        outlooks: of the same cells, for what lies beyond; may be left out.

    Returns:
        By ascending k.

    Raises:
        Nothing.

    Accuracy:
        Exact for the rho of the grid; between two of them nothing is claimed.
    """
    remedies = {(one.cell.rho, one.cell.k): f"rho {one.cell.rho:g}: {one.remedy}" for one in outlooks}
    found = []
    for k in sorted({cell.k for cell in cells}):
        column = [cell for cell in cells if cell.k == k]
        (low, below), (high, above) = _reach(column, -1.0), _reach(column, 1.0)
        found.append(
            Reach(k, 0.0 - low, high, *("" if rho is None else remedies.get((rho, k), "") for rho in (below, above)))
        )
    return tuple(found)


def reach_in_words(found: Sequence[Reach], *, can_grow: bool = True) -> str:
    """The supported ranges as one sentence.

    Arguments:
        found: from `reaches`.
        can_grow: False for an imported bank, to which no rows are ever advised.

    Returns:
        Plain text: the range of every k that has one, or what to change where none has.

    Raises:
        Nothing.

    Accuracy:
        As `reaches`.
    """
    parts = [f"k = {one.k}: rho {one.low:g} to {one.high:g}" for one in found if one.low < one.high]
    if parts:
        return f"Supported here (ESS >= {SUPPORT_ESS:.0f}, k-hat < {KHAT_LIMIT:g}): {'; '.join(parts)}."
    instead = "build a larger bank, or try smaller |rho| and top_k" if can_grow else "try smaller |rho| and top_k"
    return f"No rho of this grid next to 0 has an ESS of {SUPPORT_ESS:.0f} and k-hat below {KHAT_LIMIT:g}: {instead}."


def _reach(column: Sequence[Cell], sign: float) -> tuple[float, float | None]:
    # The last |rho| of one sign before the first that is not supported, and that first one.
    reach = 0.0
    for cell in sorted((cell for cell in column if sign * cell.rho > 0.0), key=lambda cell: abs(cell.rho)):
        if not supports(cell):
            return reach, cell.rho
        reach = abs(cell.rho)
    return reach, None
