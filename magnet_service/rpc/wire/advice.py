"""What a bank supports, written for the wire: its grid, and on request all there is to know before a draw."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from magnet.v1 import bank_pb2, sampling_pb2
from magnet_service.registry import Advice, Description, PresetOutlook
from magnet_service.rpc.wire.draws import law_in_words, manifold_to, result_to
from magnet_service.sampling import Cell, CellOutlook, EffectiveRank, Need, Preset, Spectrum

__all__ = ["description_message", "effective_rank_from"]

_NEEDS: Mapping[Need, bank_pb2.Need.ValueType] = MappingProxyType(
    {
        Need.NONE: bank_pb2.NEED_NONE,
        Need.ROWS: bank_pb2.NEED_ROWS,
        Need.UNCERTAIN: bank_pb2.NEED_UNCERTAIN,
        Need.OUT_OF_REACH: bank_pb2.NEED_OUT_OF_REACH,
        Need.FIXED: bank_pb2.NEED_FIXED,
        Need.LOW_RANK: bank_pb2.NEED_LOW_RANK,
    }
)
_PRESETS: Mapping[Preset, sampling_pb2.Preset.ValueType] = MappingProxyType(
    {
        Preset.AS_TRAINED: sampling_pb2.PRESET_AS_TRAINED,
        Preset.UNIFORM: sampling_pb2.PRESET_UNIFORM,
        Preset.MODE: sampling_pb2.PRESET_MODE,
        Preset.ANTI_MODE: sampling_pb2.PRESET_ANTI_MODE,
    }
)
_DEFINITIONS: Mapping[EffectiveRank, bank_pb2.EffectiveRank.ValueType] = MappingProxyType(
    {
        EffectiveRank.SINGULAR_VALUES: bank_pb2.EFFECTIVE_RANK_SINGULAR_VALUES,
        EffectiveRank.SQUARES: bank_pb2.EFFECTIVE_RANK_SQUARES,
    }
)


def effective_rank_from(value: bank_pb2.EffectiveRank.ValueType) -> EffectiveRank:
    """Reads what an effective rank is of; SINGULAR_VALUES where nothing is stated."""
    known = {number: definition for definition, number in _DEFINITIONS.items()}
    return known.get(value, EffectiveRank.SINGULAR_VALUES)


def description_message(found: Description) -> bank_pb2.DescribePolarityResponse:
    """Writes what a bank supports; of its advice as much as there is."""
    spec = found.choice.spec
    answer = bank_pb2.DescribePolarityResponse(
        cells=[_cell(cell) for cell in found.cells],
        bank_id=spec.id,
        bank_revision=found.rows,
        bank_reason=found.choice.reason,
        base=found.base_law,
        advice=found.in_words,
    )
    if found.advice is not None:
        _add(found.advice, answer)
        answer.generator, answer.manifold, answer.imported = found.reference, manifold_to(spec.manifold), spec.imported
    return answer


def _cell(cell: Cell) -> bank_pb2.PolarityCell:
    return bank_pb2.PolarityCell(
        rho=cell.rho,
        top_k=cell.k,
        ess=cell.ess,
        khat=cell.khat,
        largest_weight=cell.largest_weight,
        low_rank_share=cell.low_rank_share,
    )


def _add(advice: Advice, answer: bank_pb2.DescribePolarityResponse) -> None:
    for message, judged in zip(answer.cells, advice.cells, strict=True):
        message.MergeFrom(_judged(judged))
    answer.spectrum.CopyFrom(_spectrum(advice.spectrum))
    answer.ranges.extend(
        bank_pb2.SupportedRange(top_k=one.k, low=one.low, high=one.high, below=one.below, above=one.above)
        for one in advice.reaches
    )
    answer.presets.extend(map(_preset, advice.presets))


def _judged(found: CellOutlook) -> bank_pb2.PolarityCell:
    return bank_pb2.PolarityCell(
        need=_NEEDS[found.need],
        rows_needed=found.rows_needed,
        lognormal_log10_rows=found.lognormal_log10_rows,
        remedy=found.remedy,
        methods=[
            bank_pb2.MethodOutlook(
                method=one.method, ess=one.ess, khat=one.khat, evaluations=one.evaluations, reason=one.reason
            )
            for one in found.methods
        ],
    )


def _spectrum(found: Spectrum) -> bank_pb2.Spectrum:
    return bank_pb2.Spectrum(
        rows=found.rows,
        log_sigma_mean=found.log_sigma_mean,
        levels=[
            bank_pb2.SpectrumLevel(level=level, log_sigma=log_sigma, effective_rank=rank)
            for level, log_sigma, rank in zip(found.levels, found.log_sigma, found.effective_rank, strict=True)
        ],
        rank_share=found.rank_share,
        log_volume_sd=found.log_volume_sd,
        definition=_DEFINITIONS[found.definition],
        effective_rank_mean=found.effective_rank_mean,
    )


def _preset(found: PresetOutlook) -> bank_pb2.PresetOutlook:
    message = bank_pb2.PresetOutlook(preset=_PRESETS[found.preset], problem=found.problem, command=found.command)
    resolved = found.resolved
    if resolved is None or found.result is None:
        return message
    message.MergeFrom(
        bank_pb2.PresetOutlook(
            rho=resolved.rho,
            top_k=resolved.top_k,
            base=resolved.base_law,
            method=str(resolved.method),
            law_in_words=law_in_words(resolved),
            bank_id=resolved.bank_id or "",
            bank_revision=resolved.bank_revision or 0,
            ess=found.ess,
            khat=found.khat,
            largest_weight=found.largest_weight,
            result=result_to(found.result),
            advice=found.advice,
            rho_reason=resolved.rho_reason,
            top_k_reason=resolved.top_k_reason,
            bank_reason=resolved.bank_reason,
        )
    )
    return message
