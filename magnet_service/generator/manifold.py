"""The two manifolds of a generator with a smooth head."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Manifold"]


class Manifold(StrEnum):
    """Which image of the latent space is meant: the outputs, or what feeds the smooth head."""

    OUTPUT = "output"
    PRE_ACTIVATION = "pre_activation"
