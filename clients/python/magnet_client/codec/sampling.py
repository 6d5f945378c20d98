"""Draws on the wire: arguments to SampleRequest, answers to Draw."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from magnet.v1 import sampling_pb2
from magnet_client.codec.bases import base_to_wire, base_word
from magnet_client.codec.conditions import class_banks_to_wire, condition_to_wire, condition_word
from magnet_client.codec.scalars import (
    IMAGES,
    MANIFOLDS,
    METHODS,
    PRECISIONS,
    PRESETS,
    bank_id,
    finite,
    images_word,
    integer,
    manifold_word,
    method_word,
    precision_word,
    preset_word,
    word_to_enum,
)
from magnet_client.codec.tensors import from_tensor
from magnet_client.draw import Draw, DrawHeader, Result, Screening
from magnet_client.errors import InvalidInput, ServerFault
from magnet_client.resolved import ClassBank, Resolved

__all__ = [
    "decode_chunk",
    "decode_header",
    "decode_resolved",
    "decode_sample",
    "generator_or_bank",
    "sample_request",
    "stamp_to_dict",
]

_RESULTS = {
    sampling_pb2.RESULT_OK: Result.OK,
    sampling_pb2.RESULT_LOW_ESS: Result.LOW_ESS,
    sampling_pb2.RESULT_DEGENERATE: Result.DEGENERATE,
}


def sample_request(wanted: Resolved, *, endless: bool = False) -> sampling_pb2.SampleRequest:
    """Check a draw's arguments and pack them.

    Arguments:
        wanted: the arguments by name.
        endless: whether a stream without end is meant, the only one whose count is 0.

    Returns:
        The message; what was not given is not set.

    Raises:
        InvalidInput: naming the field, for what can never be right.

    Accuracy: exact.
    """
    generator = generator_or_bank(wanted.generator, wanted.bank)
    if not generator and wanted.images:
        raise _invalid("images", "without a generator there are no images: write images=None, or name the generator")
    if not (wanted.images or wanted.latents or wanted.log_volumes or wanted.weights):
        raise _invalid("images", "nothing is asked for: set images, latents, log_volumes or weights")
    request = sampling_pb2.SampleRequest(
        generator=generator,
        count=integer(wanted.count, "count", 0 if endless else 1),
        offset=integer(wanted.offset, "offset", 0),
        seed=None if wanted.seed is None else integer(wanted.seed, "seed", 0, 2**64 - 1),
        base=base_to_wire(wanted.preset, wanted.base, wanted.ball_radius, wanted.box),
        top_k=integer(wanted.top_k, "top_k", 0, 2**31 - 1),
        manifold=word_to_enum(wanted.manifold, MANIFOLDS, "manifold"),
        bank_id="" if wanted.bank is None else bank_id(wanted.bank),
        bank_revision=integer(wanted.bank_revision or 0, "bank_revision", 0),
        without_replacement=not wanted.replacement,
        truncation=_truncation(wanted),
        precision=word_to_enum(wanted.precision, PRECISIONS, "precision"),
        condition=condition_to_wire(wanted.condition),
        class_banks=class_banks_to_wire(wanted.class_banks),
        outputs=sampling_pb2.Outputs(
            images=word_to_enum(wanted.images, IMAGES, "images"),
            latents=wanted.latents,
            log_volumes=wanted.log_volumes,
            weights=wanted.weights,
        ),
        min_ess=finite(wanted.min_ess, "min_ess", 0, strict=False),
        method=word_to_enum(wanted.method, METHODS, "method"),
        budget=_budget(wanted),
        surrogate=_digest(wanted.surrogate),
    )
    given = [name for name in ("preset", "rho", "det_rho") if getattr(wanted, name) is not None]
    if len(given) != 1:
        said = "none of them is" if not given else " and ".join(given) + " are"
        raise _invalid(
            given[-1] if given else "rho",
            f"exactly one of preset, rho and det_rho says what to draw, and {said} given: write preset='uniform', or "
            "rho=1.0 (the exponent of v), or det_rho=0.5 (the exponent of det A^T A)",
        )
    if wanted.preset is not None:
        request.preset = word_to_enum(wanted.preset, PRESETS, "preset")
    elif wanted.rho is not None:
        request.rho = finite(wanted.rho, "rho")
    else:
        request.det_rho = finite(wanted.det_rho, "det_rho")
    return request


def generator_or_bank(generator: str | None, bank: str | None) -> str:
    """The generator as requests carry it, empty for a bank alone; InvalidInput where neither is named."""
    if not (isinstance(generator, str) and generator) and (generator or bank is None):
        raise _invalid(
            "generator", "generator must be a name, as 'fashion' or 'fashion@1', or None beside the id of a bank"
        )
    return generator or ""


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, reason="INVALID_INPUT")


def _budget(wanted: Resolved) -> sampling_pb2.Budget | None:
    evaluations = finite(wanted.evaluations, "evaluations", 0, strict=False)
    exact, forwards = integer(wanted.exact, "exact", 0), integer(wanted.forwards, "forwards", 0)
    if not (evaluations or exact or forwards):
        return None
    return sampling_pb2.Budget(evaluations=evaluations, exact=exact, forwards=forwards)


def _digest(surrogate: str | None) -> str:
    if surrogate is None:
        return ""
    if not (isinstance(surrogate, str) and re.fullmatch("[0-9a-f]{16}", surrogate)):
        raise _invalid("surrogate", f"surrogate is {surrogate!r}: write the 16 digits of a digest, or None")
    return surrogate


def _truncation(wanted: Resolved) -> sampling_pb2.Truncation | None:
    if wanted.truncation_psi is not None and wanted.truncation_norm is not None:
        raise _invalid("truncation_norm", "truncation is either truncation_psi or truncation_norm, and both are given")
    if wanted.truncation_psi is not None:
        return sampling_pb2.Truncation(psi=finite(wanted.truncation_psi, "truncation_psi", 0, 1))
    if wanted.truncation_norm is not None:
        return sampling_pb2.Truncation(norm_bound=finite(wanted.truncation_norm, "truncation_norm", 0))
    return None


def decode_resolved(request: sampling_pb2.SampleRequest) -> Resolved:
    """Unpack the request that an answer echoes.

    Arguments:
        request: with exactly one target set.

    Returns:
        The same by argument names.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    target = request.WhichOneof("target")
    uniform = request.base.uniform
    truncation = request.truncation
    return Resolved(
        generator=request.generator,
        count=request.count,
        offset=request.offset,
        seed=request.seed if request.HasField("seed") else None,
        preset=preset_word(request.preset) if target == "preset" else None,
        rho=request.rho if target == "rho" else None,
        det_rho=request.det_rho if target == "det_rho" else None,
        base=base_word(request.base),
        ball_radius=uniform.ball.radius or None,
        box=(uniform.box.low, uniform.box.high) if uniform.HasField("box") else None,
        top_k=request.top_k,
        manifold=manifold_word(request.manifold),
        bank=request.bank_id or None,
        bank_revision=request.bank_revision or None,
        replacement=not request.without_replacement,
        truncation_psi=truncation.psi if truncation.HasField("psi") else None,
        truncation_norm=truncation.norm_bound if truncation.HasField("norm_bound") else None,
        precision=precision_word(request.precision),
        condition=condition_word(request.condition),
        class_banks=tuple(
            ClassBank(index=bank.index, bank=bank.bank_id, revision=bank.revision) for bank in request.class_banks
        ),
        min_ess=request.min_ess,
        method=method_word(request.method),
        evaluations=request.budget.evaluations,
        exact=request.budget.exact,
        forwards=request.budget.forwards,
        surrogate=request.surrogate or None,
        images=images_word(request.outputs.images),
        latents=request.outputs.latents,
        log_volumes=request.outputs.log_volumes,
        weights=request.outputs.weights,
    )


def decode_header(header: sampling_pb2.DrawHeader) -> DrawHeader:
    """Unpack what a draw came from.

    Arguments:
        header: as answered.

    Returns:
        The same, frozen.

    Raises:
        ServerFault: if the verdict is none that this client knows.

    Accuracy: exact.
    """
    diagnostics = header.diagnostics
    result = _RESULTS.get(header.result)
    if result is None:
        raise ServerFault(
            f"the answer's result {header.result} is unknown: client and server are of different versions",
            reason="MALFORMED_ANSWER",
        )
    return DrawHeader(
        resolved=decode_resolved(header.resolved),
        rho=header.rho,
        det_rho=header.det_rho,
        top_k=header.top_k,
        base=header.base,
        bank_law=header.bank_law,
        method=header.method,
        manifold=manifold_word(header.resolved.manifold),
        generator_digest=header.generator_digest,
        ess=diagnostics.ess,
        khat=diagnostics.khat if diagnostics.HasField("khat") else None,
        largest_weight=diagnostics.largest_weight,
        distinct=diagnostics.distinct,
        weighted_rows=diagnostics.bank_rows,
        low_rank_share=diagnostics.low_rank_share,
        weakest_class=diagnostics.weakest_class if diagnostics.HasField("weakest_class") else None,
        weakest_ess=diagnostics.weakest_ess if diagnostics.HasField("weakest_ess") else None,
        class_labels=tuple(header.class_labels),
        result=result,
        advice=header.advice,
        law=header.law_in_words,
        rho_reason=header.rho_reason,
        top_k_reason=header.top_k_reason,
        bank_reason=header.bank_reason,
        precision_used=precision_word(header.precision_used),
        precision_reason=header.precision_reason,
        volume_error=header.volume_error if header.HasField("volume_error") else None,
        stamp=stamp_to_dict(header.stamp),
        method_reason=header.method_reason,
        screening=_screening(header.screening) if header.HasField("screening") else None,
    )


def _screening(message: sampling_pb2.Screening) -> Screening:
    def given(name: Literal["promised_ess", "pool_ess", "acceptance", "autocorrelation"]) -> float | None:
        return getattr(message, name) if message.HasField(name) else None

    return Screening(
        residual=message.residual,
        promised_ess=given("promised_ess"),
        exact=message.exact,
        forwards=message.forwards,
        pool_ess=given("pool_ess"),
        acceptance=given("acceptance"),
        autocorrelation=given("autocorrelation"),
        kept=message.kept,
    )


def stamp_to_dict(entries: Any) -> dict[str, str]:
    """Return stamp entries as a dictionary."""
    return {entry.key: entry.value for entry in entries}


def decode_chunk(header: DrawHeader, offset: int, rows: sampling_pb2.Rows) -> Draw:
    """Unpack rows under their header.

    Arguments:
        header: what the draw came from.
        offset: index of the first row in the whole draw.
        rows: the rows as sent.

    Returns:
        The draw; arrays that were not sent are None.

    Raises:
        ServerFault: if an array is malformed.

    Accuracy: exact.
    """

    def array(name: str) -> Any:
        return from_tensor(getattr(rows, name)) if rows.HasField(cast(Any, name)) else None

    bank_rows: NDArray[np.int64] | None = array("bank_rows")
    return Draw(
        header=header,
        offset=offset,
        pixels=array("images"),
        png=tuple(rows.png),
        latents=array("latents"),
        log_volumes=array("log_volumes"),
        log_weights=array("log_weights"),
        bank_rows=bank_rows,
        classes=array("classes"),
    )


def decode_sample(response: sampling_pb2.SampleResponse) -> Draw:
    """Unpack a draw that came in one message; see decode_chunk and decode_header for what it raises."""
    return decode_chunk(decode_header(response.header), response.header.resolved.offset, response.rows)
