"""The units of a row that are not idle."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["STEP", "active_units"]

STEP = 32
"""Numbers of units are rounded up to a multiple of this: kernels are compiled for every shape that they meet."""


def active_units(slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The places of slopes that are not zero, and the slopes there, filled up to a multiple of `STEP` by zeros.

    Arguments:
        slopes: of one row's units.

    Returns:
        Places, int64, where those that fill up repeat the first unit; slopes, zero for those.

    Raises:
        Nothing.

    Accuracy: exact.

    Example:
        >>> import torch
        >>> places, slopes = active_units(torch.tensor([0.0, 1.0, 0.5]))
        >>> places[:3].tolist(), slopes[:3].tolist(), len(places)
        ([1, 2, 0], [1.0, 0.5, 0.0], 32)
    """
    places = slopes.nonzero().flatten()
    missing = -len(places) % STEP or (STEP if len(places) == 0 else 0)
    return functional.pad(places, (0, missing)), functional.pad(slopes.index_select(0, places), (0, missing))
