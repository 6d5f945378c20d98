"""The arithmetic in which a generator runs."""

from __future__ import annotations

from enum import StrEnum

import torch

__all__ = ["Precision"]


class Precision(StrEnum):
    """Arithmetic of forwards and tangents.

    BFLOAT16 keeps weights, latents and values in float32 and lets tangents, and the weights that they meet, be rounded
    to bfloat16: activation patterns and images are those of FLOAT32. Compiled kernels on the CPU round wide last
    dense layers alone, where the processor multiplies pairs of bfloat16: all else is faster in float32.
    """

    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def dtype(self) -> torch.dtype:
        """The torch dtype of values, latents and weights."""
        return torch.float64 if self is Precision.FLOAT64 else torch.float32

    @property
    def tangent_dtype(self) -> torch.dtype:
        """The torch dtype of tangents."""
        return torch.bfloat16 if self is Precision.BFLOAT16 else self.dtype
