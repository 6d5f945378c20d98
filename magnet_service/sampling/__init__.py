"""What to draw: laws, banks, weights, presets and resampling, by counter-based random numbers."""

from __future__ import annotations

from magnet_service.sampling.accuracy import Accuracy, check_top_k, probe_latents, shortfall
from magnet_service.sampling.banks.bank import SHARD_ROWS, Bank
from magnet_service.sampling.banks.build import Progress, build
from magnet_service.sampling.banks.cache import Cache
from magnet_service.sampling.banks.computing import compute_rows, engine_for
from magnet_service.sampling.banks.exported import ExportedFile, export_official
from magnet_service.sampling.banks.holder import this_process
from magnet_service.sampling.banks.imported import ImportedBank, import_official
from magnet_service.sampling.banks.official import OfficialFile, read_official
from magnet_service.sampling.banks.operations import (
    OperationRecord,
    OperationRecords,
    RecordedError,
    new_operation_name,
)
from magnet_service.sampling.banks.rows import BankRows, Rows
from magnet_service.sampling.banks.spec import BankSpec
from magnet_service.sampling.banks.store import Store
from magnet_service.sampling.choice import BankChoice, choose_bank
from magnet_service.sampling.classes import resolve_classes
from magnet_service.sampling.counter import Stream, uniforms
from magnet_service.sampling.diagnostics import (
    Diagnostics,
    Result,
    diagnose,
    effective_sample_size,
    judge,
    needed_ess,
    pareto_khat,
)
from magnet_service.sampling.domain import covers, truncated, uniform_domain
from magnet_service.sampling.draw import DirectDraw, Draw, ResampledDraw
from magnet_service.sampling.law import Ball, Box, Law, Normal, NormBoundedNormal, Sphere, TruncatedNormal
from magnet_service.sampling.law_text import from_text, parse_law
from magnet_service.sampling.mapping import bound, prior_law
from magnet_service.sampling.method import Effort, Method
from magnet_service.sampling.mixture import MixtureDraw, places_of
from magnet_service.sampling.outlook import CellOutlook, MethodOutlook, Need, outlook
from magnet_service.sampling.polarity import Cell, TopK, Weights, choose_top_k, describe, log_weights
from magnet_service.sampling.presets import RHO_GRID, Base, Preset, RhoChoice, choose_rho, preset_base
from magnet_service.sampling.pushforward import Pushforward
from magnet_service.sampling.reach import Reach, reach_in_words, reaches
from magnet_service.sampling.readiness import make_draws_ready
from magnet_service.sampling.request import MAX_COUNT, ClassBank, SampleRequest
from magnet_service.sampling.resample import with_replacement, without_replacement
from magnet_service.sampling.resolve import resolve
from magnet_service.sampling.resolved import Resolved
from magnet_service.sampling.spectrum import EffectiveRank, Spectrum, spectrum_of

__all__ = [
    "MAX_COUNT",
    "RHO_GRID",
    "SHARD_ROWS",
    "Accuracy",
    "Ball",
    "Bank",
    "BankChoice",
    "BankRows",
    "BankSpec",
    "Base",
    "Box",
    "Cache",
    "Cell",
    "CellOutlook",
    "ClassBank",
    "Diagnostics",
    "DirectDraw",
    "Draw",
    "EffectiveRank",
    "Effort",
    "ExportedFile",
    "ImportedBank",
    "Law",
    "Method",
    "MethodOutlook",
    "MixtureDraw",
    "Need",
    "NormBoundedNormal",
    "Normal",
    "OfficialFile",
    "OperationRecord",
    "OperationRecords",
    "Preset",
    "Progress",
    "Pushforward",
    "Reach",
    "RecordedError",
    "ResampledDraw",
    "Resolved",
    "Result",
    "RhoChoice",
    "Rows",
    "SampleRequest",
    "Spectrum",
    "Sphere",
    "Store",
    "Stream",
    "TopK",
    "TruncatedNormal",
    "Weights",
    "bound",
    "build",
    "check_top_k",
    "choose_bank",
    "choose_rho",
    "choose_top_k",
    "compute_rows",
    "covers",
    "describe",
    "diagnose",
    "effective_sample_size",
    "engine_for",
    "export_official",
    "from_text",
    "import_official",
    "judge",
    "log_weights",
    "make_draws_ready",
    "needed_ess",
    "new_operation_name",
    "outlook",
    "pareto_khat",
    "parse_law",
    "places_of",
    "preset_base",
    "prior_law",
    "probe_latents",
    "reach_in_words",
    "reaches",
    "read_official",
    "resolve",
    "resolve_classes",
    "shortfall",
    "spectrum_of",
    "this_process",
    "truncated",
    "uniform_domain",
    "uniforms",
    "with_replacement",
    "without_replacement",
]
