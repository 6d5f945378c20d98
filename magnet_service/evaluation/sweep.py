"""The draws of an evaluation, each by the code that answers every other request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Float64

from magnet_service.errors import Refused
from magnet_service.evaluation.norms import kept_rows, log_norms_of_rows, log_norms_of_values
from magnet_service.evaluation.request import EvaluationRequest, Family, Setting
from magnet_service.generator import Precision
from magnet_service.registry import BuildRequest, HeldGenerator, Registry, Wanted, page
from magnet_service.registry.conditions import named
from magnet_service.sampling import Bank, BankRows, Diagnostics, Result, SampleRequest
from magnet_service.sampling.banks.rows import OK
from magnet_service.sampling.diagnostics import diagnose, independent, judge, needed_ess
from magnet_service.sampling.method import Method

__all__ = ["DEFAULT_BANK_ROWS", "Drawn", "Ground", "draw", "draw_as_trained", "prepared"]

DEFAULT_BANK_ROWS = 20_480
_PAGE = 2_048


@dataclass(frozen=True)
class Ground:
    """What all draws of an evaluation share.

    Attributes:
        registry: generators and banks.
        held: the generator, its condition held fixed.
        request: the grid.
        bank: of the prior, on the manifold.
        revision: its first rows used.
        top_k: k of v_k at every rho.
        top_k_reason: why this k; empty when it was given.
    """

    registry: Registry
    held: HeldGenerator
    request: EvaluationRequest
    bank: Bank
    revision: int
    top_k: int
    top_k_reason: str

    @cached_property
    def rows(self) -> BankRows:
        """The bank's rows."""
        return self.bank.rows(self.revision)

    @cached_property
    def log_norms(self) -> Float64[np.ndarray, " rows"]:
        """log ||J||_F of the bank's rows."""
        return log_norms_of_rows(self.rows)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws at one point of the grid.

    Attributes:
        setting: the point.
        images: as the generator gives them.
        latents: behind them.
        log_norms: log ||J||_F there, nats.
        diagnostics: what the draws are worth.
        result: the verdict on that.
        method: how they came about; None for rows of the bank that a truncation kept.
    """

    setting: Setting
    images: Float32[np.ndarray, "rows ..."]
    latents: Float32[np.ndarray, "rows latent"]
    log_norms: Float64[np.ndarray, " rows"]
    diagnostics: Diagnostics
    result: Result
    method: Method | None


def prepared(
    registry: Registry,
    reference: str,
    request: EvaluationRequest,
    on_rows: Callable[[int, int], object] | None = None,
) -> Ground:
    """Finds the generator, finds or builds the prior's bank, and fixes k.

    Arguments:
        registry: generators and banks.
        reference: `name` or `name@version`.
        request: the grid.
        on_rows: told the rows done and the rows wanted while a bank is built.

    Returns:
        What all draws share.

    Raises:
        InvalidInput: a generator that takes conditions and none is given, or a k above the Jacobian's columns.
        As `Registry.plan_build`, `Registry.plan` and `build`.

    Accuracy: exact; AUTO's k is the smaller one of those that it takes at the two ends of the rhos.
    """
    held = named(registry.generators.get(reference), request.condition)
    bank = _bank(registry, reference, held, request, on_rows)
    revision = bank.revision if request.bank_rows is None else min(request.bank_rows, bank.revision)
    top_k, reason = request.top_k, ""
    ends = sorted({rho for rho in (min(request.rhos, default=0.0), max(request.rhos, default=0.0)) if rho})
    if not top_k:
        found = []
        for rho in ends:
            asked = _sample(request, held, rho=rho, top_k=0, bank_id=bank.id, bank_revision=revision)
            found.append((registry.plan(reference, asked).draw.resolved.top_k, rho))
        top_k, at = min(found, default=(1, 0.0))
        reason = f"the smaller of AUTO's k at the ends of the rhos, that at rho {at:g}" if found else "no rho but 0"
    return Ground(registry, held, request, bank, revision, top_k, reason)


def draw(ground: Ground, setting: Setting) -> Drawn:
    """Draws at one point of the grid.

    Arguments:
        ground: from `prepared`.
        setting: polarity, psi or norm truncation.

    Returns:
        The draws: at rho 0 and at every psi fresh ones of the base; at other rhos by the method asked for, rows of the
        bank or screened latents, which may repeat; of the norm truncation rows of the bank kept, without repetition
        while there are enough, and otherwise all of them and again.

    Raises:
        As `Registry.plan` and `page`.

    Accuracy: that of the draws, which ESS, k-hat and result state. The ESS of the norm truncation is the number of
        rows kept, at most that of the draws.
    """
    if setting.family is Family.NORM:
        return _truncated_by_norm(ground, setting)
    rho = setting.value if setting.family is Family.POLARITY else 0.0
    psi = setting.value if setting.family is Family.PSI else None
    of_bank = {"bank_id": ground.bank.id, "bank_revision": ground.revision, "method": ground.request.method}
    stored = {} if rho == 0.0 else of_bank
    asked = _sample(ground.request, ground.held, rho=rho, top_k=ground.top_k, truncation_psi=psi, **stored)
    return _drawn(ground, setting, asked)


def draw_as_trained(ground: Ground, count: int) -> Drawn:
    """Fresh draws as trained, none of them among those judged or in the bank: a reference without real images.

    Arguments:
        ground: from `prepared`.
        count: draws.

    Returns:
        The draws, of another seed.

    Raises:
        As `Registry.plan` and `page`.

    Accuracy: exact law.
    """
    taken = {ground.request.seed, ground.bank.spec.seed}
    seed = next(other % 2**64 for other in range(ground.request.seed + 1, 2**64 + 3) if other % 2**64 not in taken)
    asked = _sample(ground.request, ground.held, rho=0.0, seed=seed, count=count)
    return _drawn(ground, Setting(Family.POLARITY, 0.0), asked)


def _sample(request: EvaluationRequest, held: HeldGenerator, **changed: object) -> SampleRequest:
    common: dict[str, object] = {
        "count": request.count,
        "seed": request.seed,
        "manifold": request.manifold,
        "condition": held.condition,
    }
    return SampleRequest(**{**common, **changed})  # type: ignore[arg-type]  # its own checks name what is wrong


def _drawn(ground: Ground, setting: Setting, asked: SampleRequest) -> Drawn:
    plan = ground.registry.plan(ground.held.reference, asked)
    wanted = Wanted(values=True, latents=True)
    pages = [page(plan, start, min(_PAGE, asked.count - start), wanted) for start in range(0, asked.count, _PAGE)]
    images = np.concatenate([part.values for part in pages if part.values is not None])
    latents = np.concatenate([part.latents for part in pages if part.latents is not None])
    rows = [part.bank_rows for part in pages if part.bank_rows is not None]
    resolved = plan.draw.resolved
    if resolved.method is Method.RESAMPLE and resolved.bank_id == ground.bank.id:
        log_norms = ground.log_norms[np.concatenate(rows)]
    else:
        log_norms = _measured(ground, latents)
    return Drawn(setting, images, latents, log_norms, plan.draw.diagnostics, plan.draw.result, resolved.method)


def _truncated_by_norm(ground: Ground, setting: Setting) -> Drawn:
    request = ground.request
    kept = kept_rows(ground.log_norms, ground.rows.states() == OK, setting.value)
    rng = np.random.default_rng([request.seed, 2])
    enough = len(kept) >= request.count
    # One order for all shares: of the rows kept by two shares the same come first.
    ranks = np.argsort(rng.permutation(len(ground.rows)))[kept]
    shuffled = kept[np.argsort(ranks, kind="stable")]
    rows = shuffled[: request.count] if enough else shuffled[rng.integers(len(kept), size=request.count)]
    latents = ground.rows.latents_at(rows)
    images = [
        ground.registry.generate(ground.held, latents[start : start + _PAGE], Wanted()).values
        for start in range(0, len(latents), _PAGE)
    ]
    figures = independent(request.count) if enough else diagnose(np.zeros(len(kept)), indices=rows)
    return Drawn(
        setting=setting,
        images=np.concatenate([part for part in images if part is not None]),
        latents=latents,
        log_norms=ground.log_norms[rows],
        diagnostics=figures,
        result=judge(figures, needed_ess(0, request.count)),
        method=None,
    )


def _measured(ground: Ground, latents: Float[np.ndarray, "rows latent"]) -> Float64[np.ndarray, " rows"]:
    distinct, back = np.unique(latents, axis=0, return_inverse=True)
    found = []
    for start in range(0, len(distinct), _PAGE):
        measured, _, _ = ground.registry.volumes(
            ground.held,
            distinct[start : start + _PAGE],
            manifold=ground.request.manifold,
            precision=Precision.FLOAT32,
            top_k=0,
        )
        found.append(log_norms_of_values(measured.log_singular_values.numpy()))
    norms: Float64[np.ndarray, " rows"] = np.concatenate(found)[back.reshape(-1)]
    return norms


def _bank(
    registry: Registry,
    reference: str,
    held: HeldGenerator,
    request: EvaluationRequest,
    on_rows: Callable[[int, int], object] | None,
) -> Bank:
    wanted = request.bank_rows
    if wanted is None:
        try:
            asked = _sample(request, held, rho=1.0, top_k=1, count=1)
            choice, rows = registry.banks.choose(held, asked)
        except Refused as error:
            if error.reason != "NO_BANK":
                raise
        else:
            # An imported bank may hold fewer singular values than there are, and its norms would be too small.
            if not choice.spec.imported and rows.columns == held.prior.columns:
                return registry.banks.open(choice.spec.id)
        wanted = DEFAULT_BANK_ROWS
    asked_for = BuildRequest(rows=wanted, manifold=request.manifold, condition=held.condition)
    build = registry.plan_build(reference, asked_for)
    for step in build.steps:
        if on_rows is not None:
            on_rows(step.rows_done, step.rows_total)
    return registry.banks.open(build.bank.id)
