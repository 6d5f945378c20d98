"""A request with everything that was decided filled in, and what its draw may be called."""

from __future__ import annotations

import secrets

from magnet_service.sampling.choice import BankChoice
from magnet_service.sampling.law import Ball, Box, Law
from magnet_service.sampling.method import UNSETTLED, Effort, Method
from magnet_service.sampling.polarity import TopK
from magnet_service.sampling.presets import Base, RhoChoice
from magnet_service.sampling.request import SampleRequest
from magnet_service.sampling.resolved import Resolved
from magnet_service.sampling.settled import Settled

__all__ = ["chosen_seed", "echo", "uniformity_of"]


def chosen_seed(seed: int | None) -> int:
    """The seed itself, or one by chance where there is none."""
    # 53 bits pass through programs that read numbers as float64.
    return secrets.randbits(53) if seed is None else seed


def uniformity_of(found: Settled) -> str:
    """What may be called uniform of a draw: `uniform`, `uniform in the top-k volume`, or nothing."""
    if found.rho.rho != 1.0 or not found.law.uniform:
        return ""
    deficient = found.weights.low_rank_share(found.rows.columns)
    return "uniform" if found.top_k.k == found.law.columns and deficient == 0.0 else "uniform in the top-k volume"


def echo(
    request: SampleRequest,
    law: Law,
    generator_digest: str,
    *,
    method: Method,
    rho: RhoChoice,
    top_k: TopK,
    bank_reason: str,
    choice: BankChoice | None = None,
    revision: int | None = None,
    uniformity: str = "",
    method_reason: str = "",
    effort: Effort = UNSETTLED,
    surrogate: str | None = None,
) -> Resolved:
    """The request with everything that was decided filled in; the seed is chosen here where none was given."""
    ball_radius, box = request.ball_radius, request.box
    accuracy = None if choice is None else choice.accuracy
    # A default domain is written out, so that a later default cannot change what the answer's own request means;
    # beside a truncation it follows from that and cannot be stated.
    if request.chosen_base is Base.UNIFORM and request.truncation_psi is None and request.truncation_norm is None:
        ball_radius = law.radius if isinstance(law, Ball) else ball_radius
        box = (law.low, law.high) if isinstance(law, Box) else box
    return Resolved(
        generator_digest=generator_digest,
        count=request.count,
        offset=request.offset,
        endless=request.endless,
        seed=chosen_seed(request.seed),
        method=method,
        rho=rho.rho,
        rho_reason=rho.reason,
        top_k=top_k.k,
        top_k_reason=top_k.reason,
        base=request.chosen_base,
        base_law=law.to_text(),
        ball_radius=ball_radius,
        box=box,
        truncation_psi=request.truncation_psi,
        truncation_norm=request.truncation_norm,
        manifold=request.manifold,
        precision=request.precision,
        condition=request.condition,
        bank_id=None if choice is None else choice.spec.id,
        bank_revision=revision,
        bank_law="" if choice is None else choice.spec.law,
        bank_reason=bank_reason,
        replacement=request.replacement,
        uniformity=uniformity,
        precision_used=request.precision if accuracy is None else accuracy.used,
        precision_reason="" if accuracy is None else accuracy.reason,
        volume_error=None if accuracy is None else accuracy.error.at(top_k.k),
        method_reason=method_reason,
        effort=effort,
        surrogate=surrogate,
    )
