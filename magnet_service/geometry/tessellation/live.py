"""Values of a network over a slice, as functions of numbers at the vertices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from magnet_service.geometry.planar.interpolation import bend

__all__ = ["Bends", "Live", "with_columns"]


@dataclass(frozen=True)
class Live:
    """A value of the graph over the slice: constant + columns @ matrix.

    Attributes:
        constant: [1, *shape].
        matrix: [1, columns, *shape], for the first so many columns; None for a constant.
    """

    constant: Tensor
    matrix: Tensor | None

    @property
    def width(self) -> int:
        """Columns that may enter."""
        return 0 if self.matrix is None else self.matrix.shape[1]

    def flat(self) -> tuple[Tensor, Tensor]:
        """Constant [features] and matrix [columns, features]."""
        constant = self.constant.flatten()
        if self.matrix is None:
            return constant, constant.new_zeros(0, len(constant))
        return constant, self.matrix.flatten(2)[0]

    def widened(self, width: int) -> Live:
        """The same for more columns."""
        if self.matrix is None or self.width == width:
            return self
        blank = self.matrix.new_zeros(1, width - self.width, *self.matrix.shape[2:])
        return Live(self.constant, torch.cat([self.matrix, blank], dim=1))


@dataclass(frozen=True)
class Bends:
    """Units as functions of the columns: a piecewise linear function of an affine one, each.

    Attributes:
        constant, matrix: the affine functions, [units] and [columns, units].
        breakpoints: of all of them, ascending.
        slopes, offsets: [breakpoints + 1, units]: piece j is slope x + offset, above breakpoint j - 1.
        reach: [units], largest magnitude over the slice.
    """

    constant: Tensor
    matrix: Tensor
    breakpoints: Tensor
    slopes: Tensor
    offsets: Tensor
    reach: Tensor

    def apply(self, values: Tensor) -> None:
        """Turn values of the affine functions [rows, units] into the units' own, in place."""
        bend(values.numpy(), self.breakpoints.numpy(), self.slopes.numpy(), self.offsets.numpy())

    def chosen(self, units: Tensor) -> Bends:
        """Some of the units, in their order."""
        if len(units) == len(self.constant):
            return self
        return replace(
            self,
            constant=self.constant[units],
            matrix=self.matrix.index_select(1, units),
            slopes=self.slopes.index_select(1, units),
            offsets=self.offsets.index_select(1, units),
            reach=self.reach[units],
        )


def with_columns(straight: Live, width: int, units: Tensor) -> Live:
    """A value some of whose units are the last columns."""
    matrix = torch.zeros(width, straight.constant.numel(), dtype=torch.float64)
    if straight.matrix is not None:
        known = straight.matrix.flatten(2)[0]
        matrix[: len(known)] = known
    matrix[torch.arange(width - len(units), width), units] = 1.0
    return Live(straight.constant, matrix.reshape(1, width, *straight.constant.shape[1:]))
