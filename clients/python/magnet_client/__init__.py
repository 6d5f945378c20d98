"""Client of magnet servers: draws from a generator where you want on its manifold; numpy out, no torch needed."""

from __future__ import annotations

from magnet_client.aio import AsyncClient
from magnet_client.awaiting.stream import AsyncDrawStream
from magnet_client.blocking.stream import DrawStream
from magnet_client.client import Client
from magnet_client.density import HyperplaneDensity
from magnet_client.draw import Draw, DrawHeader, Result
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
    UnsupportedOperation,
)
from magnet_client.generators import AutoTopK, Conditions, GeneratorInfo, GeneratorSummary, Operation, RankStatistics
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
from magnet_client.slices import Extent, SliceHeader, SliceLayer, SliceStatistics
from magnet_client.tessellation import Tessellation

__all__ = [
    "AsyncClient",
    "AsyncDrawStream",
    "AutoTopK",
    "BankInfo",
    "BankList",
    "BankRows",
    "Cancelled",
    "ClassBank",
    "Client",
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
    "HyperplaneDensity",
    "InvalidInput",
    "MagnetError",
    "MeasuredError",
    "MessageTooLarge",
    "Operation",
    "OutOfMemory",
    "OutOfSpace",
    "Overloaded",
    "PolarityCell",
    "PolarityGrid",
    "Progress",
    "RankStatistics",
    "Refused",
    "RefusedArchive",
    "Resolved",
    "Result",
    "ServerFault",
    "SliceHeader",
    "SliceLayer",
    "SliceStatistics",
    "Tessellation",
    "Unavailable",
    "UnknownResource",
    "UnsupportedOperation",
    "Volumes",
]
