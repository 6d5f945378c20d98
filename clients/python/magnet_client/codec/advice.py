"""Advice on the wire: arguments to DescribePolarityRequest, answers to Advice."""

from __future__ import annotations

from collections.abc import Mapping

from magnet.v1 import bank_pb2, sampling_pb2
from magnet_client.advice import Advice, AdviceCell, MethodOutlook, PresetOutlook, Spectrum, SupportedRange
from magnet_client.codec.scalars import manifold_word, preset_word, word_to_enum
from magnet_client.draw import Result
from magnet_client.errors import ServerFault
from magnet_client.words import EffectiveRankWord, NeedWord

__all__ = ["advise_request", "decode_advice"]

_EFFECTIVE_RANKS: Mapping[EffectiveRankWord, bank_pb2.EffectiveRank.ValueType] = {
    "singular_values": bank_pb2.EFFECTIVE_RANK_SINGULAR_VALUES,
    "squares": bank_pb2.EFFECTIVE_RANK_SQUARES,
}
_NEEDS: Mapping[int, NeedWord] = {
    bank_pb2.NEED_NONE: "none",
    bank_pb2.NEED_ROWS: "rows",
    bank_pb2.NEED_UNCERTAIN: "uncertain",
    bank_pb2.NEED_OUT_OF_REACH: "out_of_reach",
    bank_pb2.NEED_FIXED: "fixed",
    bank_pb2.NEED_LOW_RANK: "low_rank",
}
_RESULTS: Mapping[int, Result | None] = {
    sampling_pb2.RESULT_UNSPECIFIED: None,
    sampling_pb2.RESULT_OK: Result.OK,
    sampling_pb2.RESULT_LOW_ESS: Result.LOW_ESS,
    sampling_pb2.RESULT_DEGENERATE: Result.DEGENERATE,
}


def advise_request(
    grid: bank_pb2.DescribePolarityRequest, effective_rank: EffectiveRankWord
) -> bank_pb2.DescribePolarityRequest:
    """Ask for all that there is beside a grid; InvalidInput for an effective rank that is none."""
    grid.advise = True
    grid.effective_rank = word_to_enum(effective_rank, _EFFECTIVE_RANKS, "effective_rank")
    return grid


def decode_advice(response: bank_pb2.DescribePolarityResponse) -> Advice:
    """Unpack what there is to know of a bank; ServerFault from a server that does not know all of it."""
    if not response.HasField("spectrum"):
        raise ServerFault("the answer holds a grid and no advice: the server is older", reason="MALFORMED_ANSWER")
    return Advice(
        generator=response.generator,
        manifold=manifold_word(response.manifold),
        base=response.base,
        bank_id=response.bank_id,
        bank_revision=response.bank_revision,
        bank_reason=response.bank_reason,
        imported=response.imported,
        spectrum=_spectrum(response.spectrum),
        cells=tuple(map(_cell, response.cells)),
        ranges=tuple(
            SupportedRange(top_k=one.top_k, low=one.low, high=one.high, below=one.below, above=one.above)
            for one in response.ranges
        ),
        presets=tuple(map(_preset, response.presets)),
        advice=response.advice,
    )


def _spectrum(message: bank_pb2.Spectrum) -> Spectrum:
    squares = message.definition == bank_pb2.EFFECTIVE_RANK_SQUARES
    return Spectrum(
        rows=message.rows,
        log_sigma_mean=tuple(message.log_sigma_mean),
        levels=tuple(one.level for one in message.levels),
        log_sigma=tuple(tuple(one.log_sigma) for one in message.levels),
        rank_share=tuple(message.rank_share),
        log_volume_sd=tuple(message.log_volume_sd),
        definition="squares" if squares else "singular_values",
        effective_rank_mean=message.effective_rank_mean,
        effective_rank=tuple(one.effective_rank for one in message.levels),
    )


def _cell(cell: bank_pb2.PolarityCell) -> AdviceCell:
    need = _NEEDS.get(cell.need)
    if need is None:
        raise _of_another_version(f"need {cell.need}")
    return AdviceCell(
        rho=cell.rho,
        top_k=cell.top_k,
        ess=cell.ess,
        khat=cell.khat if cell.HasField("khat") else None,
        largest_weight=cell.largest_weight,
        low_rank_share=cell.low_rank_share,
        need=need,
        rows_needed=cell.rows_needed if cell.HasField("rows_needed") else None,
        lognormal_log10_rows=cell.lognormal_log10_rows if cell.HasField("lognormal_log10_rows") else None,
        remedy=cell.remedy,
        methods=tuple(
            MethodOutlook(
                method=one.method,
                ess=one.ess,
                khat=one.khat if one.HasField("khat") else None,
                evaluations=one.evaluations,
                reason=one.reason,
            )
            for one in cell.methods
        ),
    )


def _preset(message: bank_pb2.PresetOutlook) -> PresetOutlook:
    word = preset_word(message.preset)
    if word is None or message.result not in _RESULTS:
        raise _of_another_version(f"preset {message.preset} with result {message.result}")
    return PresetOutlook(
        preset=word,
        problem=message.problem,
        command=message.command,
        rho=message.rho,
        top_k=message.top_k,
        base=message.base,
        method=message.method,
        law=message.law_in_words,
        bank=message.bank_id or None,
        bank_revision=message.bank_revision or None,
        ess=message.ess,
        khat=message.khat if message.HasField("khat") else None,
        largest_weight=message.largest_weight,
        result=_RESULTS[message.result],
        advice=message.advice,
        rho_reason=message.rho_reason,
        top_k_reason=message.top_k_reason,
        bank_reason=message.bank_reason,
    )


def _of_another_version(what: str) -> ServerFault:
    return ServerFault(f"{what} is unknown: client and server are of different versions", reason="MALFORMED_ANSWER")
