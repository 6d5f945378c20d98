"""What is exactly true of a generator: forwards and Jacobians in tiles, log singular values, rank and log-volumes."""

from __future__ import annotations

from magnet_service.geometry.accuracy import ERROR_LIMIT, MeasuredError, measure_error
from magnet_service.geometry.complexity import ComplexityEstimator, LocalComplexity, local_complexity
from magnet_service.geometry.density import LogDensity, log_density
from magnet_service.geometry.engine import ENGINE_VERSION, Engine, forward, stamp
from magnet_service.geometry.frames import random_frames
from magnet_service.geometry.hyperplanes import DistanceSpace, HyperplaneDistances, hyperplane_distances
from magnet_service.geometry.jacobian import jacobian
from magnet_service.geometry.kernels.readiness import make_ready
from magnet_service.geometry.volume import Volumes, full_log_volumes, log_volume, prefix_sums, volumes

__all__ = [
    "ENGINE_VERSION",
    "ERROR_LIMIT",
    "ComplexityEstimator",
    "DistanceSpace",
    "Engine",
    "HyperplaneDistances",
    "LocalComplexity",
    "LogDensity",
    "MeasuredError",
    "Volumes",
    "forward",
    "full_log_volumes",
    "hyperplane_distances",
    "jacobian",
    "local_complexity",
    "log_density",
    "log_volume",
    "make_ready",
    "measure_error",
    "prefix_sums",
    "random_frames",
    "stamp",
    "volumes",
]
