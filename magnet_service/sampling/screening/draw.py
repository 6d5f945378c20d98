"""A draw by a screened method: rows of the answer taken from weighted latents that no bank holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float32, Float64

from magnet_service.sampling.choice import BankChoice
from magnet_service.sampling.diagnostics import Diagnostics, Result, judge, needed_ess
from magnet_service.sampling.draw import Draw, ResampledDraw
from magnet_service.sampling.echo import echo, uniformity_of
from magnet_service.sampling.method import Effort
from magnet_service.sampling.request import SampleRequest
from magnet_service.sampling.screening.promise import Promise
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Sample
from magnet_service.sampling.settled import Settled

__all__ = ["ScreenedDraw", "screened_draw"]


@final
@dataclass(frozen=True, eq=False)
class ScreenedDraw(Draw):
    """Rows drawn by weight from screened latents.

    Attributes:
        inner: the same rows as those of a bank would be drawn.
        sample: the latents, and how they were found.
        residual: of the surrogate at this k, out of fold, nats.
        promised: effective rows expected before; None where the budget was settled by the request.
        kept: whether the exact volumes are kept beside the bank.
    """

    inner: ResampledDraw
    sample: Sample
    residual: float
    promised: float | None
    kept: bool

    def latents(self, start: int, count: int) -> Float32[np.ndarray, "answer latent"]:
        """As `Draw.latents`."""
        return self.inner.latents(start, count)

    def indices(self, start: int, count: int) -> None:
        """None: these latents are no bank's rows."""
        return None

    def log_volumes(self, start: int, count: int) -> Float64[np.ndarray, " answer"]:
        """As `Draw.log_volumes`, computed for this draw."""
        return self.inner.log_volumes(start, count)

    def log_weights(self, start: int, count: int) -> Float64[np.ndarray, " answer"]:
        """Log of weight over mean weight of the screened latents, nats."""
        return self.inner.log_weights(start, count)


def screened_draw(
    request: SampleRequest,
    found: Settled,
    generator_digest: str,
    surrogate: Surrogate,
    promise: Promise,
    sample: Sample,
    *,
    method_reason: str = "",
    promised: float | None = None,
    kept: bool = False,
) -> ScreenedDraw:
    """Makes the draw of a sample.

    Arguments:
        request: the request, its seed chosen.
        found: what it came to.
        generator_digest: of the generator.
        surrogate: that was used.
        promise: method and budget that were used.
        sample: what came of them.
        method_reason: why this method; empty where it was given.
        promised, kept: as the draw has them.

    Returns:
        The draw with its verdict.

    Raises:
        Refused: no latent has weight (NO_WEIGHT).

    Accuracy:
        That of the sample.
    """
    choice: BankChoice = found.choice
    resolved = echo(
        request,
        found.law,
        generator_digest,
        method=promise.method,
        rho=found.rho,
        top_k=found.top_k,
        bank_reason=choice.reason,
        choice=choice,
        revision=len(found.rows),
        uniformity=uniformity_of(found),
        method_reason=method_reason,
        effort=Effort(0.0, promise.budget.exact, promise.budget.forwards),
        surrogate=surrogate.digest,
    )
    needed = needed_ess(request.offset, request.count, endless=request.endless, least=request.min_ess)
    figures = sample.figures
    result = judge(figures, needed)
    advice = "" if result is Result.OK else _advice(figures, needed, found, promise)
    inner = ResampledDraw(resolved, figures, result, advice, sample.rows, sample.weighed)
    if not request.endless:
        drawn = int(np.unique(inner.indices(request.offset, request.count)).size)
        figures = replace(figures, distinct=drawn)
    return ScreenedDraw(
        resolved, figures, result, advice, inner, sample, surrogate.residual(found.top_k.k), promised, kept
    )


def _advice(figures: Diagnostics, needed: int, found: Settled, promise: Promise) -> str:
    spent = promise.budget.evaluations(found.law.columns)
    if figures.ess < needed:
        short = needed / max(figures.ess, 1.0)
        more = f"Write evaluations {spent * short:,.0f}" if short < 100.0 else "Write many more evaluations"
        return (
            f"{promise.method} with {spent:,.0f} evaluations counts for {figures.ess:,.1f} independent draws, "
            f"{needed:,} are needed. {more}, a smaller |rho| or a smaller top_k."
        )
    tail = f"k-hat {figures.khat:.2f}" if figures.khat is not None else f"a weight of {figures.largest_weight:.2f}"
    return (
        f"The corrections have so heavy a tail ({tail}) that their ESS cannot be trusted: the surrogate, off by "
        f"nats where this rho leads, was fitted elsewhere. Write a smaller |rho| or a smaller top_k."
    )
