"""From a request to a draw: presets, AUTO and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from magnet_service.errors import InvalidInput, Refused
from magnet_service.sampling.advice import advise
from magnet_service.sampling.banks.rows import OK, BankRows
from magnet_service.sampling.choice import BankChoice
from magnet_service.sampling.diagnostics import ENDLESS_NEED, Result, figures_of, independent, judge, needed_ess
from magnet_service.sampling.draw import DirectDraw, Draw, ResampledDraw
from magnet_service.sampling.echo import echo, uniformity_of
from magnet_service.sampling.law import Law
from magnet_service.sampling.method import Method
from magnet_service.sampling.polarity import LOW_RANK_LIMIT, TopK, Weights
from magnet_service.sampling.presets import Preset, RhoChoice
from magnet_service.sampling.request import SampleRequest
from magnet_service.sampling.settled import Settled
from magnet_service.sampling.shared import shared_rho, shared_top_k

__all__ = ["resolve", "settle", "settled", "weights_of"]

# rho at which AUTO chooses k for the two extreme presets, whose rho is chosen after it.
_EXTREMES = {Preset.MODE: -2.0, Preset.ANTI_MODE: 2.0}


def resolve(
    request: SampleRequest,
    prior: Law,
    *,
    generator_digest: str,
    choice: BankChoice | None = None,
    rows: BankRows | None = None,
    from_bank: bool = False,
) -> Draw:
    """Settles everything that a request leaves open, and makes the draw.

    Arguments:
        request: the request.
        prior: the generator's own law, untruncated.
        generator_digest: digest of the generator.
        choice: from `choose_bank`; not needed where `request.needs_bank` is False.
        rows: the chosen bank's first `request.bank_revision` rows, all of them where that is None.
        from_bank: whether rows are the bank's at rho = 0 too, where else they are drawn fresh from the base.

    Returns:
        The draw. Its preset, k and rho depend on bank, revision, base, manifold and min_ess, never on count or offset.

    Raises:
        InvalidInput: top_k above the Jacobian's columns or those that the bank holds; field `top_k`. A truncation or
            domain unfit for the prior.
        Refused: no bank (NO_BANK) or an empty one (EMPTY_BANK); more than 1 % of the base's rows of rank below k at
            rho < 0 (LOW_RANK); no row with weight (NO_WEIGHT); without replacement, offset + count above half the ESS
            (TOO_FEW_ROWS); a top_k beyond which the bank's arithmetic is too inexact (INEXACT).

    Accuracy:
        Weights as `polarity.log_weights`; choices are exact comparisons of the figures reported.
    """
    if not (request.needs_bank or from_bank):
        return _direct(request, _base_law(request, prior), generator_digest)
    return _resampled(request, settled(request, prior, choice, rows), generator_digest)


def settled(request: SampleRequest, prior: Law, choice: BankChoice | None, rows: BankRows | None) -> Settled:
    """Settles base, bank, rho and k of a request that reads volumes.

    Arguments:
        request, prior, choice, rows: as `resolve` has them.

    Returns:
        What any method begins with.

    Raises:
        InvalidInput, Refused: as `resolve`, but for what concerns the rows drawn.

    Accuracy:
        As `resolve`.
    """
    law = _base_law(request, prior)
    if choice is None or rows is None:
        raise Refused("the request reads volumes and no bank is at hand: build one", field="bank_id", reason="NO_BANK")
    if len(rows) == 0:
        raise Refused(f"bank {choice.spec.id} holds no rows yet: build it", field="bank_id", reason="EMPTY_BANK")
    if request.top_k > choice.spec.columns:
        raise InvalidInput(
            f"top_k is {request.top_k}: bank {choice.spec.id} holds the {choice.spec.columns} largest singular values "
            f"of {law.columns}, write 1 to {choice.spec.columns} or 0 for AUTO",
            field="top_k",
        )
    if choice.accuracy is not None and request.top_k:
        choice.accuracy.check(request.top_k)
    weights = weights_of(choice, rows, law)
    rho, top_k = settle(request, (weights,))
    share = weights.low_rank_share(top_k.k)
    if rho.rho < 0.0 and share > LOW_RANK_LIMIT:
        remedy = "Use a smaller top_k." if top_k.k > 1 else "No top_k is smaller: use rho >= 0 or another base."
        raise Refused(
            f"{share:.1%} of the rows have rank below top_k {top_k.k}: they hold the smallest volumes, and at rho < 0 "
            f"leaving them out would answer another question. {remedy}",
            field="top_k",
            reason="LOW_RANK",
            metadata={"low_rank_share": f"{share:.6f}", "top_k": str(top_k.k)},
        )
    return Settled(law, choice, rows, weights, rho, top_k, share)


def _base_law(request: SampleRequest, prior: Law) -> Law:
    law = request.base_law(prior)
    if request.top_k > law.columns:
        raise InvalidInput(
            f"top_k is {request.top_k}: the Jacobian has {law.columns} columns, write 1 to {law.columns} or 0 for AUTO",
            field="top_k",
        )
    return law


def _direct(request: SampleRequest, law: Law, generator_digest: str) -> Draw:
    resolved = echo(
        request,
        law,
        generator_digest,
        method=Method.DIRECT,
        rho=RhoChoice(0.0, True, "" if request.preset is None else "AS_TRAINED is the prior itself"),
        # AS_TRAINED counts no singular values; beside rho = 0 the k given tells which log-volume to report.
        top_k=TopK(0 if request.preset else request.top_k, True, "" if request.top_k else "rho = 0 reads no volumes"),
        bank_reason="rho = 0 draws fresh from the base: no bank is read",
    )
    # Rows skipped are no part of the answer; without an end there are as many as an endless stream needs, and more.
    figures = independent(ENDLESS_NEED if request.endless else request.count)
    return DirectDraw(resolved, figures, Result.OK, "", law)


def _resampled(request: SampleRequest, found: Settled, generator_digest: str) -> Draw:
    rows, weights, rho, top_k = found.rows, found.weights, found.rho, found.top_k
    weighed = weights.weighed(rho.rho, top_k.k)
    needed = needed_ess(request.offset, request.count, endless=request.endless, least=request.min_ess)
    non_finite = int(np.count_nonzero(rows.states() != OK))
    figures = figures_of(weighed.sums, low_rank_share=found.low_rank_share, non_finite=non_finite)
    if not request.replacement and request.offset + request.count > figures.ess / 2.0:
        raise Refused(
            f"without replacement at most half the ESS of {figures.ess:,.0f} can be drawn, {int(figures.ess / 2.0):,} "
            f"rows, and {request.offset + request.count:,} are asked: ask for fewer, or draw with replacement",
            field="replacement",
            reason="TOO_FEW_ROWS",
        )
    resolved = echo(
        request,
        found.law,
        generator_digest,
        method=Method.RESAMPLE,
        rho=rho,
        top_k=top_k,
        bank_reason=found.choice.reason,
        choice=found.choice,
        revision=len(rows),
        uniformity=uniformity_of(found),
    )
    unsupported = "" if request.preset in _EXTREMES else found.unsupported
    result = judge(figures, needed)
    can_grow = not found.choice.spec.imported
    advice = advise(weights, rho.rho, top_k.k, figures, needed, unsupported=unsupported, can_grow=can_grow)
    if result is Result.OK and unsupported:
        result = Result.LOW_ESS
    draw = ResampledDraw(resolved, figures, result, advice, rows, weighed)
    if request.endless:
        return draw
    drawn = int(np.unique(draw.indices(request.offset, request.count)).size)
    return replace(draw, diagnostics=replace(figures, distinct=drawn))


def weights_of(choice: BankChoice, rows: BankRows, base: Law) -> Weights:
    """Rows of a chosen bank, weighted for a base law, no k used beyond what their arithmetic allows."""
    return Weights(rows, base, choice.spec.base_law, None if choice.accuracy is None else choice.accuracy.largest_k)


def settle(request: SampleRequest, weights: Sequence[Weights]) -> tuple[RhoChoice, TopK]:
    """The rho and the k of a request, one of each for the banks of all its classes.

    Arguments:
        request: a request that reads volumes.
        weights: rows of each class's bank, weighted for the base; of one bank where there are no classes.

    Returns:
        rho and k, each with its reason.

    Raises:
        InvalidInput: k out of range; field `top_k`.

    Accuracy:
        Exact comparisons of the figures reported.
    """
    given = TopK(request.top_k, True, "")
    if request.preset in _EXTREMES:
        extreme = _EXTREMES[request.preset]
        top_k = given if request.top_k else shared_top_k(weights, extreme, request.min_ess)
        return shared_rho(weights, top_k.k, -1 if extreme < 0.0 else 1), top_k
    if request.rho is None:
        rho = RhoChoice(1.0, True, "UNIFORM is rho = 1 over a uniform base")
    else:
        rho = RhoChoice(float(request.rho), True, "")
    return rho, given if request.top_k else shared_top_k(weights, rho.rho, request.min_ess)
