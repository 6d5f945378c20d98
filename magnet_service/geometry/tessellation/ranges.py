"""Ranges of values over a window."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["NotFinite", "finite", "passes", "united"]


class NotFinite(Exception):
    """A value overflows over the window; never leaves this package."""


def passes(low: Tensor, high: Tensor, levels: Tensor) -> Tensor:
    """Whether a level lies strictly between two values."""
    found = torch.zeros(low.shape, dtype=torch.bool)
    for level in levels.tolist():
        found |= (low < level) & (high > level)
    return found


def united(ranges: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Ranges over several parts of the vertices, as one."""
    if len(ranges) == 1:
        return ranges[0]
    lows, highs = zip(*ranges, strict=True)
    return torch.stack(lows).amin(0), torch.stack(highs).amax(0)


def finite(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Ranges, where all of them are finite, and so is their sum.

    Raises:
        NotFinite: one is not; the range of values none of which is a number is empty, from inf to -inf.
    """
    if not math.isfinite(float(low.sum()) + float(high.sum())):
        raise NotFinite
    return low, high
