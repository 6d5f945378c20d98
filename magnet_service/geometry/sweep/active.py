"""The units of a row that are not idle."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["STEP", "ActiveUnits", "active_units"]

STEP = 32
"""Numbers of units are rounded up to a multiple of this: kernels are compiled for every shape that they meet."""


@dataclass(frozen=True)
class ActiveUnits:
    """Units of each row with those of nonzero slope in front.

    Attributes:
        places: of the units.
        slopes: of the units at those places.
        counts: how many of each row to look at: all that are not idle, filled up by idle ones to a multiple of `STEP`.
    """

    places: Int[Tensor, "rows units"]
    slopes: Float[Tensor, "rows units"]
    counts: tuple[int, ...]

    def of_row(self, row: int) -> tuple[Tensor, Tensor]:
        """Places and slopes of one row's units, those that are not idle and some that are."""
        count = self.counts[row]
        return self.places[row, :count], self.slopes[row, :count]


def active_units(slopes: Float[Tensor, "rows units"]) -> ActiveUnits:
    """The units of each row whose slope is not zero.

    Arguments:
        slopes: of each row's units.

    Returns:
        The units, in their order; idle ones follow.

    Raises:
        Nothing.

    Accuracy: exact.

    Example:
        >>> found = active_units(torch.tensor([[0.0, 1.0, 0.5]]))
        >>> found.places.tolist(), found.slopes.tolist(), found.counts
        ([[1, 2, 0]], [[1.0, 0.5, 0.0]], (3,))
    """
    idle = slopes == 0
    places = torch.argsort(idle.to(torch.uint8), dim=1, stable=True)
    units = slopes.shape[1]
    counts = [units - int(count) for count in idle.sum(1).tolist()]
    filled = tuple(min(units, max(1, -(-count // STEP)) * STEP) for count in counts)
    return ActiveUnits(places, slopes.gather(1, places), filled)
