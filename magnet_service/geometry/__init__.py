"""What is exactly true of a generator: Jacobians, log-volumes, and the tiles of its slices."""

from __future__ import annotations

from magnet_service.geometry.accuracy import ERROR_LIMIT, MeasuredError, measure_error
from magnet_service.geometry.complexity import Estimator, LocalComplexity, local_complexity
from magnet_service.geometry.density import LogDensity, log_density
from magnet_service.geometry.engine import ENGINE_VERSION, Engine, forward, stamp
from magnet_service.geometry.frames import random_frames
from magnet_service.geometry.jacobian import jacobian
from magnet_service.geometry.readiness import make_ready
from magnet_service.geometry.slice import Slice, slice_along, slice_through
from magnet_service.geometry.tessellation import (
    Extent,
    LayerTiles,
    Tessellation,
    TessellationStatistics,
    TileMasses,
    hyperplane_density,
    statistics,
    tessellate,
    tile_maps,
    tile_masses,
    tile_patterns,
    tile_volumes,
)
from magnet_service.geometry.volume import Volumes, full_log_volumes, log_volume, prefix_sums, volumes

__all__ = [
    "ENGINE_VERSION",
    "ERROR_LIMIT",
    "Engine",
    "Estimator",
    "Extent",
    "LayerTiles",
    "LocalComplexity",
    "LogDensity",
    "MeasuredError",
    "Slice",
    "Tessellation",
    "TessellationStatistics",
    "TileMasses",
    "Volumes",
    "forward",
    "full_log_volumes",
    "hyperplane_density",
    "jacobian",
    "local_complexity",
    "log_density",
    "log_volume",
    "make_ready",
    "measure_error",
    "prefix_sums",
    "random_frames",
    "slice_along",
    "slice_through",
    "stamp",
    "statistics",
    "tessellate",
    "tile_maps",
    "tile_masses",
    "tile_patterns",
    "tile_volumes",
    "volumes",
]
