"""What is exactly true of a generator: Jacobians, log-volumes, densities; regions, patterns, tiles of its slices."""

from __future__ import annotations

from magnet_service.geometry.accuracy import ERROR_LIMIT, MeasuredError, measure_error
from magnet_service.geometry.chebyshev import InscribedBall, chebyshev
from magnet_service.geometry.complexity import ComplexityEstimator, LocalComplexity, local_complexity
from magnet_service.geometry.density import LogDensity, density_of, log_density
from magnet_service.geometry.engine import ENGINE_VERSION, Engine, forward, stamp
from magnet_service.geometry.filters import matched_filters
from magnet_service.geometry.frames import random_frames
from magnet_service.geometry.half_spaces import HalfSpaces
from magnet_service.geometry.hamming import Hamming, hamming, packed_hamming
from magnet_service.geometry.hamming_matrix import hamming_matrix
from magnet_service.geometry.hyperplanes import DistanceSpace, HyperplaneDistances, hyperplane_distances
from magnet_service.geometry.jacobian import jacobian
from magnet_service.geometry.layers import Layer, layers_of
from magnet_service.geometry.lipschitz import lipschitz
from magnet_service.geometry.neighbours import Neighbours, nearest
from magnet_service.geometry.patterns import Patterns, pack_patterns, patterns_of, unpack_patterns
from magnet_service.geometry.radius import Radii, radii
from magnet_service.geometry.readiness import make_ready
from magnet_service.geometry.region import Region, region_at
from magnet_service.geometry.same_region import same_region
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
    "ComplexityEstimator",
    "DistanceSpace",
    "Engine",
    "Extent",
    "HalfSpaces",
    "Hamming",
    "HyperplaneDistances",
    "InscribedBall",
    "Layer",
    "LayerTiles",
    "LocalComplexity",
    "LogDensity",
    "MeasuredError",
    "Neighbours",
    "Patterns",
    "Radii",
    "Region",
    "Slice",
    "Tessellation",
    "TessellationStatistics",
    "TileMasses",
    "Volumes",
    "chebyshev",
    "density_of",
    "forward",
    "full_log_volumes",
    "hamming",
    "hamming_matrix",
    "hyperplane_density",
    "hyperplane_distances",
    "jacobian",
    "layers_of",
    "lipschitz",
    "local_complexity",
    "log_density",
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
    "random_frames",
    "region_at",
    "same_region",
    "slice_along",
    "slice_through",
    "stamp",
    "statistics",
    "tessellate",
    "tile_maps",
    "tile_masses",
    "tile_patterns",
    "tile_volumes",
    "unpack_patterns",
    "volumes",
]
