"""What a server holds: generators by name, banks by id, and the draws made from them."""

from __future__ import annotations

from magnet_service.registry.auto_top_k import AutoTopK
from magnet_service.registry.building import Build, BuildRequest
from magnet_service.registry.generators import HeldGenerator, Listing
from magnet_service.registry.official import Imports, export_banks, import_banks, reference_of
from magnet_service.registry.pages import Page, Plan, Wanted, page, spans
from magnet_service.registry.polarity import Advice, DescribeRequest, Description
from magnet_service.registry.preset_outlook import PresetOutlook
from magnet_service.registry.registry import Registry
from magnet_service.registry.screening import Clock
from magnet_service.registry.slices import Sliced, SlicePlace, SliceRequest
from magnet_service.registry.spectrum import RankStatistics

__all__ = [
    "Advice",
    "AutoTopK",
    "Build",
    "BuildRequest",
    "Clock",
    "DescribeRequest",
    "Description",
    "HeldGenerator",
    "Imports",
    "Listing",
    "Page",
    "Plan",
    "PresetOutlook",
    "RankStatistics",
    "Registry",
    "SlicePlace",
    "SliceRequest",
    "Sliced",
    "Wanted",
    "export_banks",
    "import_banks",
    "page",
    "reference_of",
    "spans",
]
