"""Weights that are not numbers are refused where they are read, by the name that the file gives them."""

from __future__ import annotations

import torch
from torch import Tensor

from magnet_service.errors import Refused

__all__ = ["check_finite"]


def check_finite(tensor: Tensor, what: str) -> None:
    """Refuse a tensor that holds NaN; infinities pass, as masks are made of them.

    Arguments:
        tensor: of any type.
        what: its name and where it stands, for the message.

    Returns:
        Nothing.

    Raises:
        Refused: reason NOT_FINITE.

    Accuracy: exact.
    """
    if tensor.is_floating_point() and (count := int(torch.isnan(tensor).sum())):
        raise Refused(
            f"{what} holds {count} entries that are not a number (NaN), so every output would be. Export a checkpoint "
            f"from before the training diverged.",
            reason="NOT_FINITE",
        )
