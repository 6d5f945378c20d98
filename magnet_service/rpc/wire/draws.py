"""Draws and their rows written for the wire."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from magnet.v1 import sampling_pb2, types_pb2
from magnet_service.errors import InvalidInput
from magnet_service.generator import Manifold, Precision
from magnet_service.generator.card import GeneratorCard
from magnet_service.geometry import MeasuredError
from magnet_service.registry import HeldGenerator, Page, Plan, Wanted
from magnet_service.rpc.pictures import png_bytes, png_files, to_bytes
from magnet_service.rpc.wire.conditions import class_banks_to, condition_to
from magnet_service.rpc.wire.tensors import tensor_from
from magnet_service.sampling import Base, Diagnostics, Effort, Method, Resolved, Result
from magnet_service.sampling.screening.draw import ScreenedDraw

__all__ = [
    "error_message",
    "law_in_words",
    "manifold_to",
    "plan_row_bytes",
    "precision_to",
    "result_to",
    "row_bytes",
    "rows_message",
    "sample_header",
    "stamp_entries",
    "wanted_from",
]

_MANIFOLDS: Mapping[Manifold, types_pb2.Manifold.ValueType] = MappingProxyType(
    {
        Manifold.OUTPUT: types_pb2.MANIFOLD_OUTPUT,
        Manifold.PRE_ACTIVATION: types_pb2.MANIFOLD_PRE_ACTIVATION,
        Manifold.FEATURES: types_pb2.MANIFOLD_FEATURES,
    }
)
_PRECISIONS: Mapping[Precision, types_pb2.Precision.ValueType] = MappingProxyType(
    {
        Precision.BFLOAT16: types_pb2.PRECISION_BFLOAT16,
        Precision.FLOAT32: types_pb2.PRECISION_FLOAT32,
        Precision.FLOAT64: types_pb2.PRECISION_FLOAT64,
    }
)
_METHODS: Mapping[Method, sampling_pb2.Method.ValueType] = MappingProxyType(
    {
        Method.DIRECT: sampling_pb2.METHOD_UNSPECIFIED,
        Method.RESAMPLE: sampling_pb2.METHOD_RESAMPLE,
        Method.SCREENED: sampling_pb2.METHOD_SCREENED,
        Method.SCREENED_CHAIN: sampling_pb2.METHOD_SCREENED_CHAIN,
    }
)
_RESULTS: Mapping[Result, sampling_pb2.Result.ValueType] = MappingProxyType(
    {
        Result.OK: sampling_pb2.RESULT_OK,
        Result.LOW_ESS: sampling_pb2.RESULT_LOW_ESS,
        Result.DEGENERATE: sampling_pb2.RESULT_DEGENERATE,
    }
)


def manifold_to(manifold: Manifold) -> types_pb2.Manifold.ValueType:
    """Writes a manifold."""
    return _MANIFOLDS[manifold]


def precision_to(precision: Precision) -> types_pb2.Precision.ValueType:
    """Writes an arithmetic."""
    return _PRECISIONS[precision]


def result_to(result: Result) -> sampling_pb2.Result.ValueType:
    """Writes a verdict."""
    return _RESULTS[result]


def error_message(error: MeasuredError) -> types_pb2.MeasuredError:
    """Writes the error measured of an arithmetic."""
    return types_pb2.MeasuredError(
        precision=precision_to(error.precision),
        log_volume=[error.at(k + 1) for k in range(len(error.log_volume))],
        latents=error.latents,
        other_pattern=error.other_pattern,
        recomputed=error.recomputed,
    )


def stamp_entries(stamp: Mapping[str, str]) -> list[types_pb2.StampEntry]:
    """Writes how numbers were computed, sorted by key."""
    return [types_pb2.StampEntry(key=key, value=stamp[key]) for key in sorted(stamp)]


def wanted_from(outputs: sampling_pb2.Outputs) -> Wanted:
    """Reads what an answer shall carry; images as uint8 where nothing is stated."""
    return Wanted(
        values=outputs.images != sampling_pb2.Outputs.IMAGES_NONE,
        latents=outputs.latents,
        log_volumes=outputs.log_volumes,
        log_weights=outputs.weights,
    )


def row_bytes(outputs: sampling_pb2.Outputs, held: HeldGenerator) -> int:
    """Largest number of bytes that one row of an answer takes.

    Arguments:
        outputs: what the answer carries.
        held: the generator.

    Returns:
        Bytes, at least 1.

    Raises:
        Nothing.

    Accuracy: an upper bound for PNG, else exact up to field tags.
    """
    images = {
        sampling_pb2.Outputs.IMAGES_NONE: 0,
        sampling_pb2.Outputs.IMAGES_FLOAT32: 4 * held.generator.output_dim,
        sampling_pb2.Outputs.IMAGES_PNG: png_bytes(held.generator.output_shape, held.card),
    }.get(outputs.images, held.generator.output_dim)
    return images + _figure_bytes(outputs, held.generator.latent_dim)


def plan_row_bytes(outputs: sampling_pb2.Outputs, plan: Plan) -> int:
    """As `row_bytes`, of a draw; Refused (NO_GENERATOR) for images of a bank alone."""
    if outputs.images != sampling_pb2.Outputs.IMAGES_NONE:
        return row_bytes(outputs, plan.generator)
    return _figure_bytes(outputs, plan.latent_dim)


def _figure_bytes(outputs: sampling_pb2.Outputs, latent_dim: int) -> int:
    figures = 4 * latent_dim * outputs.latents + 8 * outputs.log_volumes + 8 * outputs.weights
    return figures + 12  # 8 for the bank's row, 4 for the class


def rows_message(
    page: Page, outputs: sampling_pb2.Outputs, card: GeneratorCard | None, *, first: int = 0
) -> sampling_pb2.Rows:
    """Writes rows.

    Arguments:
        page: the rows.
        outputs: how images are sent.
        card: layout and range of the generator; not read where the page has no outputs.
        first: number of the page's first row, for messages.

    Returns:
        The message; what the page does not hold is absent.

    Raises:
        InvalidInput: PNG of outputs that are no pictures, or bytes of outputs that are not finite.

    Accuracy: float64 outputs are rounded to float32 (inf beyond its range), or to 0..255 as `to_bytes` says; all else
        exact.
    """
    rows = sampling_pb2.Rows()
    if page.values is not None and outputs.images == sampling_pb2.Outputs.IMAGES_FLOAT32:
        with np.errstate(over="ignore"):
            rows.images.CopyFrom(tensor_from(page.values.astype("<f4", copy=False)))
    elif page.values is not None and card is not None:
        _check_finite(page.values, first)
        pixels = to_bytes(page.values, card)
        if outputs.images == sampling_pb2.Outputs.IMAGES_PNG:
            rows.png.extend(png_files(pixels, card))
        else:
            rows.images.CopyFrom(tensor_from(pixels))
    for name in ("latents", "log_volumes", "log_weights", "bank_rows", "classes"):
        array = getattr(page, name)
        if array is not None:
            getattr(rows, name).CopyFrom(tensor_from(array))
    return rows


def sample_header(plan: Plan, outputs: sampling_pb2.Outputs, stamp: Mapping[str, str]) -> sampling_pb2.DrawHeader:
    """Writes what a draw came from and how good it is.

    Arguments:
        plan: the draw.
        outputs: what its rows carry, echoed.
        stamp: how the numbers are computed.

    Returns:
        The header; its `resolved` sent again gives the same bytes.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    draw = plan.draw
    resolved = draw.resolved
    card = None if plan.held is None else plan.held.card.conditions
    return sampling_pb2.DrawHeader(
        resolved=_resolved("" if plan.held is None else plan.held.reference, resolved, outputs),
        rho=resolved.rho,
        det_rho=resolved.det_rho,
        top_k=resolved.top_k,
        base=resolved.base_law,
        bank_law=resolved.bank_law,
        method=str(resolved.method),
        generator_digest=resolved.generator_digest,
        diagnostics=_diagnostics(draw.diagnostics, resolved),
        result=result_to(draw.result),
        advice=draw.advice,
        law_in_words=law_in_words(resolved),
        top_k_reason=resolved.top_k_reason,
        bank_reason=resolved.bank_reason,
        rho_reason=resolved.rho_reason,
        precision_used=precision_to(resolved.precision_used),
        precision_reason=resolved.precision_reason,
        volume_error=resolved.volume_error,
        stamp=stamp_entries(stamp),
        class_labels=() if card is None else card.labels,
        method_reason=resolved.method_reason,
        screening=_screening(draw) if isinstance(draw, ScreenedDraw) else None,
    )


def _check_finite(values: Float[np.ndarray, "rows ..."], first: int) -> None:
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        raise InvalidInput(
            f"The output of row {first + int(np.argmin(finite)):,} is not finite, and no byte stands for that: ask for "
            "IMAGES_FLOAT32 to see its values, or for another row.",
            field="outputs.images",
        )


def _resolved(reference: str, resolved: Resolved, outputs: sampling_pb2.Outputs) -> sampling_pb2.SampleRequest:
    truncation = None
    if resolved.truncation_psi is not None:
        truncation = sampling_pb2.Truncation(psi=resolved.truncation_psi)
    elif resolved.truncation_norm is not None:
        truncation = sampling_pb2.Truncation(norm_bound=resolved.truncation_norm)
    return sampling_pb2.SampleRequest(
        generator=reference,
        count=resolved.count,
        offset=resolved.offset,
        seed=resolved.seed,
        rho=resolved.rho,
        base=_base(resolved),
        top_k=resolved.top_k,
        manifold=manifold_to(resolved.manifold),
        bank_id=resolved.bank_id or "",
        bank_revision=resolved.bank_revision or 0,
        without_replacement=not resolved.replacement,
        truncation=truncation,
        precision=precision_to(resolved.precision),
        condition=condition_to(resolved.condition),
        class_banks=class_banks_to(resolved.class_banks),
        outputs=outputs,
        method=_METHODS[resolved.method],
        budget=_budget(resolved.effort),
        surrogate=resolved.surrogate or "",
    )


def _budget(effort: Effort) -> sampling_pb2.Budget | None:
    return sampling_pb2.Budget(exact=effort.exact, forwards=effort.forwards) if effort.settled else None


def _screening(draw: ScreenedDraw) -> sampling_pb2.Screening:
    sample = draw.sample
    return sampling_pb2.Screening(
        residual=draw.residual,
        promised_ess=draw.promised,
        exact=sample.spent.exact,
        forwards=sample.spent.forwards,
        pool_ess=sample.notes.get("pool_ess"),
        acceptance=sample.notes.get("acceptance"),
        autocorrelation=sample.notes.get("autocorrelation"),
        kept=draw.kept,
    )


def _base(resolved: Resolved) -> sampling_pb2.Base:
    if resolved.base is Base.PRIOR:
        return sampling_pb2.Base(prior=sampling_pb2.Base.Prior())
    uniform = sampling_pb2.Base.Uniform()
    if resolved.ball_radius is not None:
        uniform.ball.radius = resolved.ball_radius
    elif resolved.box is not None:
        uniform.box.low, uniform.box.high = resolved.box
    return sampling_pb2.Base(uniform=uniform)


def _diagnostics(figures: Diagnostics, resolved: Resolved) -> sampling_pb2.Diagnostics:
    return sampling_pb2.Diagnostics(
        ess=figures.ess,
        khat=figures.khat,
        largest_weight=figures.largest_weight,
        distinct=resolved.count if resolved.method is Method.DIRECT else figures.distinct,
        bank_rows=figures.rows,
        low_rank_share=figures.low_rank_share,
        weakest_class=figures.weakest_class,
        weakest_ess=figures.weakest_ess,
    )


def law_in_words(resolved: Resolved) -> str:
    """What the law of a draw may be called."""
    if resolved.rho == 0.0:
        words = resolved.base_law
    elif resolved.uniformity == "uniform in the top-k volume":
        words = f"uniform in the top-{resolved.top_k} volume over {resolved.base_law}"
    elif resolved.uniformity:
        words = f"{resolved.uniformity} over {resolved.base_law}"
    else:
        words = f"{resolved.base_law} weighted by v_{resolved.top_k}^{resolved.rho:g}"
    return words if resolved.sampling == "independent draws" else f"{words}, {resolved.sampling}"
