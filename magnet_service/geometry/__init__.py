"""What is exactly true of a generator: forwards, Jacobians, log-volumes; regions, their walls and affine maps."""

from __future__ import annotations

from magnet_service.geometry.accuracy import ERROR_LIMIT, MeasuredError, measure_error
from magnet_service.geometry.chebyshev import InscribedBall, chebyshev
from magnet_service.geometry.engine import ENGINE_VERSION, Engine, forward, stamp
from magnet_service.geometry.filters import matched_filters
from magnet_service.geometry.half_spaces import HalfSpaces
from magnet_service.geometry.hamming import Hamming, hamming, packed_hamming
from magnet_service.geometry.jacobian import jacobian
from magnet_service.geometry.kernels.readiness import make_ready
from magnet_service.geometry.layers import Layer, layers_of
from magnet_service.geometry.lipschitz import lipschitz
from magnet_service.geometry.neighbours import Neighbours, nearest
from magnet_service.geometry.patterns import Patterns, pack_patterns, patterns_of, unpack_patterns
from magnet_service.geometry.radius import Radii, radii
from magnet_service.geometry.region import Region, region_at
from magnet_service.geometry.same_region import same_region
from magnet_service.geometry.volume import Volumes, full_log_volumes, log_volume, prefix_sums, volumes

__all__ = [
    "ENGINE_VERSION",
    "ERROR_LIMIT",
    "Engine",
    "HalfSpaces",
    "Hamming",
    "InscribedBall",
    "Layer",
    "MeasuredError",
    "Neighbours",
    "Patterns",
    "Radii",
    "Region",
    "Volumes",
    "chebyshev",
    "forward",
    "full_log_volumes",
    "hamming",
    "jacobian",
    "layers_of",
    "lipschitz",
    "log_volume",
    "make_ready",
    "matched_filters",
    "measure_error",
    "nearest",
    "pack_patterns",
    "packed_hamming",
    "patterns_of",
    "prefix_sums",
    "radii",
    "region_at",
    "same_region",
    "stamp",
    "unpack_patterns",
    "volumes",
]
