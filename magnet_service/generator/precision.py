"""The arithmetic in which a generator runs."""

from __future__ import annotations

from enum import StrEnum

import torch

__all__ = ["Precision"]


class Precision(StrEnum):
    """Arithmetic of forwards and tangents."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def dtype(self) -> torch.dtype:
        """The torch dtype of this precision."""
        return torch.float32 if self is Precision.FLOAT32 else torch.float64
