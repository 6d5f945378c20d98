"""Draws from a pretrained ReLU generator where the user wants on its manifold, behind gRPC."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
