"""Client of magnet servers: draws from a generator where you want on its manifold; numpy out, no torch needed."""

from __future__ import annotations

from magnet_client.advice import Advice, AdviceCell, MethodOutlook, PresetOutlook, Spectrum, SupportedRange
from magnet_client.aio import AsyncClient
from magnet_client.awaiting.stream import AsyncDrawStream
from magnet_client.blocking.stream import DrawStream
from magnet_client.client import Client
from magnet_client.distances import HyperplaneDistances
from magnet_client.draw import Draw, DrawHeader, Result, Screening
from magnet_client.errors import (
    Cancelled,
    DamagedData,
    DeadlineExceeded,
    DuplicateResource,
    InvalidInput,
    MagnetError,
    MessageTooLarge,
    OutOfMemory,
    OutOfSpace,
    Overloaded,
    Refused,
    RefusedArchive,
    ServerFault,
    Unavailable,
    UnknownResource,
    Unreachable,
    UnsupportedOperation,
)
from magnet_client.generators import AutoTopK, Conditions, GeneratorInfo, GeneratorSummary, Operation, RankStatistics
from magnet_client.grids import LatentGrid, latent_grid
from magnet_client.hyperplanes import HyperplaneDensity
from magnet_client.neighbourhoods import Computed, LocalComplexity, LogDensity, UnitLayer
from magnet_client.patterns import Hamming, NearestPatterns, Patterns
from magnet_client.regions import AffineRows, Region, Wall
from magnet_client.resolved import ClassBank, Resolved
from magnet_client.results import (
    BankInfo,
    BankList,
    BankRows,
    Generated,
    MeasuredError,
    PolarityCell,
    PolarityGrid,
    Progress,
    Volumes,
)
from magnet_client.slices import Extent, SliceHeader, SliceLayer, SliceMasses, SliceStatistics
from magnet_client.tessellation import Tessellation
from magnet_client.tile_densities import TileDensity, TileMasses

__all__ = [
    "Advice",
    "AdviceCell",
    "AffineRows",
    "AsyncClient",
    "AsyncDrawStream",
    "AutoTopK",
    "BankInfo",
    "BankList",
    "BankRows",
    "Cancelled",
    "ClassBank",
    "Client",
    "Computed",
    "Conditions",
    "DamagedData",
    "DeadlineExceeded",
    "Draw",
    "DrawHeader",
    "DrawStream",
    "DuplicateResource",
    "Extent",
    "Generated",
    "GeneratorInfo",
    "GeneratorSummary",
    "Hamming",
    "HyperplaneDensity",
    "HyperplaneDistances",
    "InvalidInput",
    "LatentGrid",
    "LocalComplexity",
    "LogDensity",
    "MagnetError",
    "MeasuredError",
    "MessageTooLarge",
    "MethodOutlook",
    "NearestPatterns",
    "Operation",
    "OutOfMemory",
    "OutOfSpace",
    "Overloaded",
    "Patterns",
    "PolarityCell",
    "PolarityGrid",
    "PresetOutlook",
    "Progress",
    "RankStatistics",
    "Refused",
    "RefusedArchive",
    "Region",
    "Resolved",
    "Result",
    "Screening",
    "ServerFault",
    "SliceHeader",
    "SliceLayer",
    "SliceMasses",
    "SliceStatistics",
    "Spectrum",
    "SupportedRange",
    "Tessellation",
    "TileDensity",
    "TileMasses",
    "Unavailable",
    "UnitLayer",
    "UnknownResource",
    "Unreachable",
    "UnsupportedOperation",
    "Volumes",
    "Wall",
    "latent_grid",
]
