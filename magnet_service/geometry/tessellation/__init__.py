"""The exact tessellation of a slice of the latent space."""

from __future__ import annotations

from magnet_service.geometry.tessellation.masses import TileMasses, tile_masses
from magnet_service.geometry.tessellation.result import DECISION, Extent, LayerTiles, Tessellation
from magnet_service.geometry.tessellation.statistics import TessellationStatistics, hyperplane_density, statistics
from magnet_service.geometry.tessellation.subdivision import BORDER
from magnet_service.geometry.tessellation.tessellate import MAX_TILES, tessellate
from magnet_service.geometry.tessellation.tiles import tile_maps, tile_patterns, tile_volumes

__all__ = [
    "BORDER",
    "DECISION",
    "MAX_TILES",
    "Extent",
    "LayerTiles",
    "Tessellation",
    "TessellationStatistics",
    "TileMasses",
    "hyperplane_density",
    "statistics",
    "tessellate",
    "tile_maps",
    "tile_masses",
    "tile_patterns",
    "tile_volumes",
]
