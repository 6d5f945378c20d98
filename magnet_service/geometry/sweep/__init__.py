"""Sweeps: Jacobians of a whole tile by tangents pushed through what the values have already decided.

A sweep is prepared once for a generator, a manifold and a precision. At a tile, one pass over the values keeps every
slope; then tangents visit only what is linear (dense layers, convolutions), with the slopes between them multiplied
into one factor.
"""

from __future__ import annotations

from magnet_service.geometry.sweep.preparation import prepare
from magnet_service.geometry.sweep.running import run
from magnet_service.geometry.sweep.sweep import Sweep
from magnet_service.geometry.sweep.tangents import jacobian_rows
from magnet_service.geometry.sweep.trace import Trace, trace

__all__ = ["Sweep", "Trace", "jacobian_rows", "prepare", "run", "trace"]
