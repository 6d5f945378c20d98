"""From a request that names no condition to a draw over all classes in equal shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from magnet_service.generator import Precision
from magnet_service.generator.condition import Condition
from magnet_service.sampling.banks.rows import BankRows
from magnet_service.sampling.choice import BankChoice
from magnet_service.sampling.diagnostics import Diagnostics, Result
from magnet_service.sampling.draw import DirectDraw, ResampledDraw
from magnet_service.sampling.law import Law
from magnet_service.sampling.mixture import MixtureDraw, share_of
from magnet_service.sampling.polarity import TopK
from magnet_service.sampling.presets import RhoChoice
from magnet_service.sampling.request import ClassBank, SampleRequest
from magnet_service.sampling.resolve import resolve, settle, weights_of
from magnet_service.sampling.resolved import Resolved

__all__ = ["resolve_classes"]

_SEVERITY = (Result.OK, Result.LOW_ESS, Result.DEGENERATE)


def resolve_classes(
    request: SampleRequest,
    priors: Sequence[Law],
    *,
    generator_digest: str,
    labels: Sequence[str],
    banks: Sequence[tuple[BankChoice, BankRows]] = (),
) -> MixtureDraw:
    """Settles a request for equal shares of all classes, and makes the draw.

    k and rho are one for all classes: the largest that every class's bank supports (`shared`). ESS is that of the
    answer as a whole, with equal shares of C classes:

        ESS = C^2 / sum_c (1 / ESS_c)

    what that many independent rows, as many of each class, are worth; it is near C times that of the weakest class.

    Arguments:
        request: names no condition.
        priors: the generator's own law, untruncated; of each class, where it is a pushforward by a mapping that the
            class enters, else one for all.
        generator_digest: digest of the generator.
        labels: of the classes, in order, for messages.
        banks: for every class its bank and the rows used; none where `request.needs_bank` is False.

    Returns:
        The draw. Largest weight, k-hat and low-rank share are the worst of all classes; so is the verdict, for which
        each class needs the ESS for its own share of the rows, 100 at least.

    Raises:
        The same as `resolve`, for the first class that it refuses.

    Accuracy:
        As `resolve`.
    """
    classes = len(labels)
    if not request.needs_bank:
        return _direct(request, priors, generator_digest, classes)
    prior = priors[0]
    law = request.base_law(prior)
    rho, top_k = settle(request, [weights_of(choice, rows, law) for choice, rows in banks])
    parts: list[ResampledDraw] = []
    for index, (choice, rows) in enumerate(banks):
        seed = parts[0].resolved.seed if parts else request.seed
        one = _of_class(replace(request, seed=seed), index, classes, rho.rho, top_k.k)
        part = resolve(one, prior, generator_digest=generator_digest, choice=choice, rows=rows)
        if not isinstance(part, ResampledDraw):
            raise TypeError("a request that needs a bank is resampled")
        parts.append(part)
    resolved = _echo(request, parts, rho, top_k)
    figures = _figures([part.diagnostics for part in parts])
    result = max((part.result for part in parts), key=_SEVERITY.index)
    advice = _advice(parts, labels)
    if result is Result.OK and not (rho.supported and top_k.supported):
        result, advice = Result.LOW_ESS, f"{rho.reason if not rho.supported else top_k.reason}."
    draw = MixtureDraw(resolved, figures, result, advice, classes, (), tuple(parts))
    if request.endless:
        return draw
    drawn = draw.distinct(request.offset, request.count)
    return replace(draw, diagnostics=replace(figures, distinct=drawn))


def _direct(request: SampleRequest, priors: Sequence[Law], generator_digest: str, classes: int) -> MixtureDraw:
    directs: list[DirectDraw] = []
    for prior in priors:
        seed = directs[0].resolved.seed if directs else request.seed
        direct = resolve(replace(request, seed=seed), prior, generator_digest=generator_digest)
        if not isinstance(direct, DirectDraw):
            raise TypeError("a request that needs no bank is drawn directly")
        directs.append(direct)
    first = directs[0]
    known = (first.resolved, first.diagnostics, first.result, first.advice)
    return MixtureDraw(*known, count_of_classes=classes, directs=tuple(directs), parts=())


def _of_class(request: SampleRequest, index: int, classes: int, rho: float, top_k: int) -> SampleRequest:
    """The request for the rows of one class, everything settled that all classes share."""
    before = share_of(index, classes, request.offset)
    # A class that has no row in a short answer is judged as if it had one.
    count = 0 if request.endless else max(1, share_of(index, classes, request.offset + request.count) - before)
    return replace(
        request,
        count=count,
        offset=before,
        preset=None,
        rho=rho,
        base=request.chosen_base,
        top_k=top_k,
        condition=Condition(index=index),
        class_banks=(),
        bank_revision=None,
        min_ess=request.min_ess / classes,
    )


def _echo(request: SampleRequest, parts: Sequence[ResampledDraw], rho: RhoChoice, top_k: TopK) -> Resolved:
    each = [part.resolved for part in parts]
    banks = tuple(ClassBank(index, item.bank_id or "", item.bank_revision or 0) for index, item in enumerate(each))
    used = {item.precision_used for item in each}
    errors = [item.volume_error for item in each if item.volume_error is not None]
    return replace(
        each[0],
        count=request.count,
        offset=request.offset,
        rho_reason=rho.reason,
        top_k_reason=top_k.reason,
        condition=None,
        class_banks=banks,
        bank_id=None,
        bank_revision=None,
        bank_law=_joined(item.bank_law for item in each),
        bank_reason=f"a bank for each of {len(each)} classes; {_joined(item.bank_reason for item in each)}",
        uniformity=_weaker([item.uniformity for item in each]),
        precision_used=used.pop() if len(used) == 1 else Precision.FLOAT32,
        precision_reason=_joined(item.precision_reason for item in each if item.precision_reason),
        volume_error=max(errors) if len(errors) == len(each) else None,
    )


def _figures(each: Sequence[Diagnostics]) -> Diagnostics:
    weakest = int(np.argmin([item.ess for item in each]))
    least = each[weakest].ess
    ess = len(each) ** 2 / sum(1.0 / item.ess for item in each) if least > 0.0 else 0.0
    khats = [item.khat for item in each if item.khat is not None]
    worst = max(each, key=lambda item: -np.inf if item.khat is None else item.khat)
    return Diagnostics(
        ess=ess,
        largest_weight=max(item.largest_weight for item in each),
        distinct=sum(item.distinct for item in each),
        khat=max(khats) if khats else None,
        khat_tail=worst.khat_tail,
        rows=sum(item.rows for item in each),
        low_rank_share=max(item.low_rank_share for item in each),
        non_finite=sum(item.non_finite for item in each),
        weakest_class=weakest,
        weakest_ess=least,
    )


def _advice(parts: Sequence[ResampledDraw], labels: Sequence[str]) -> str:
    poor = [index for index, part in enumerate(parts) if part.result is not Result.OK]
    if not poor:
        return ""
    worst = min(poor, key=lambda index: (-_SEVERITY.index(parts[index].result), parts[index].diagnostics.ess))
    others = f" So it is with {len(poor) - 1} more of {len(parts)} classes." if len(poor) > 1 else ""
    return f"Class {labels[worst]}: {parts[worst].advice}{others}"


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _weaker(texts: Sequence[str]) -> str:
    if "" in texts:
        return ""
    return texts[0] if len(set(texts)) == 1 else "uniform in the top-k volume"
