"""The manifolds of a generator: its outputs, what feeds its smooth head, and the features of its outputs."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Manifold"]


class Manifold(StrEnum):
    """Which image of the latent space is meant: the outputs, what feeds the smooth head, or their features."""

    OUTPUT = "output"
    PRE_ACTIVATION = "pre_activation"
    FEATURES = "features"
