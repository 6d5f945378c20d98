"""What each method promises at one rho and k, before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import logsumexp

from magnet_service.sampling.diagnostics import KHAT_LIMIT, pareto_khat
from magnet_service.sampling.law import Law
from magnet_service.sampling.method import Method
from magnet_service.sampling.polarity import Weights
from magnet_service.sampling.screening.chains import LEAST_CHAIN_EXACT, LEAST_CHAIN_FORWARDS
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget

__all__ = ["Promise", "better", "least_chain_evaluations", "promises", "shared_out"]

_LEAST_SHARE = 0.1
_CHAIN_STATES = 150.0
"""States of a chain that stand for one independent draw: 40 to 180 were seen on the generators tried."""

_CHAIN_KEPT = 0.4


@dataclass(frozen=True)
class Promise:
    """What a method would give.

    Attributes:
        method: which.
        ess: effective rows expected.
        budget: what it would compute.
        reason: where the figure comes from, one sentence.
    """

    method: Method
    ess: float
    budget: Budget
    reason: str


def promises(
    surrogate: Surrogate, weights: Weights, rho: float, k: int, evaluations: float, law: Law, *, walks: bool = True
) -> tuple[Promise, ...]:
    """What screening promises, from the surrogate's out-of-fold residuals on its bank's rows.

        pool:   e_p = E_q[e^t]^2 / E_q[e^2t]                 share of a pool that counts
        exact:  e_s = E_q[v^rho]^2 / (E_q[e^t] E_q[v^2rho e^-t])     share of the choices that counts
        SCREENED:        1 / ESS = 1 / (n e_p) + 1 / (m e_s),   n / d + m = evaluations, by `shared_out`
        SCREENED_CHAIN:  1 / ESS = 1 / (0.4 n / 150) + 1 / (m e_s),   n / d = m

    Where the tail of e^t over the bank is so heavy (k-hat above 0.7) that its ESS would not grow with the pool, the
    pool counts for no more than the bank did.

    Arguments:
        surrogate: fitted on the bank.
        weights: rows of the bank, weighted for the base.
        rho: exponent of v_k, not 0.
        k: number of singular values, at most the surrogate's columns.
        evaluations: to be spent, in exact ones; a forward is one of the Jacobian's columns.
        law: the base.
        walks: whether chains can walk over the base.

    Returns:
        The promises of SCREENED and, where chains can walk and the budget feeds them, SCREENED_CHAIN.

    Raises:
        Nothing.

    Accuracy:
        An estimate from the bank's own rows; far from where the bank has any it is a guess, and the answer's own ESS
        says what came of it.
    """
    base, tilts, exact = _logs(surrogate, weights, rho, k)
    usable = base + tilts > -np.inf
    pool_share = _share(base, tilts)
    khat, _ = pareto_khat(base + tilts)
    squares = (base + 2.0 * exact - np.where(usable, tilts, 0.0))[usable]
    counted = (
        _exp(2.0 * logsumexp(base + exact) - logsumexp(base + tilts) - logsumexp(squares)) if usable.any() else 0.0
    )
    columns = float(law.columns)
    budget = shared_out(evaluations, columns, pool_share, counted)
    pool = budget.forwards * pool_share
    dead = khat is not None and khat > KHAT_LIMIT
    if dead:
        pool = min(pool, len(tilts) * pool_share)
    screened = 1.0 / (1.0 / pool + 1.0 / (budget.exact * counted)) if pool and counted else 0.0
    tail = f", and no more for its size: k-hat {khat:.2f}" if dead else ""
    found = [
        Promise(
            Method.SCREENED,
            screened,
            budget,
            f"a pool of {budget.forwards:,} counts for {pool:,.0f}{tail}, {counted:.1%} of {budget.exact:,} choices do",
        )
    ]
    half = Budget(int(evaluations / 2.0) // LEAST_CHAIN_EXACT * LEAST_CHAIN_EXACT, int(evaluations / 2.0 * columns))
    if walks and evaluations >= least_chain_evaluations(law.columns):
        apart = _CHAIN_KEPT * half.forwards / _CHAIN_STATES
        ess = 1.0 / (1.0 / apart + 1.0 / (half.exact * counted)) if counted else 0.0
        reason = f"chains of {half.forwards:,} steps count for {apart:,.0f}, {counted:.1%} of {half.exact:,} states do"
        found.append(Promise(Method.SCREENED_CHAIN, ess, half, reason))
    return tuple(found)


def better(each: Sequence[Promise], bank_ess: float, min_ess: float = 0.0) -> Promise | None:
    """The promise of the largest ESS; None where the bank's own rows, which cost nothing, count for no less.

    Arguments:
        each: what the methods promise, at least one.
        bank_ess: ESS of the bank's rows.
        min_ess: effective rows asked for: a bank that has fewer gives way to any method.

    Returns:
        The promise, or None for the bank.

    Raises:
        Nothing.

    Accuracy:
        Exact comparisons.
    """
    best = max(each, key=lambda promise: promise.ess)
    return None if bank_ess >= max(best.ess, min_ess) else best


def least_chain_evaluations(columns: int) -> int:
    """Evaluations from which half of them feeds chains, half the states kept.

    Example:
        >>> least_chain_evaluations(16)
        1024
    """
    return 2 * max(LEAST_CHAIN_EXACT, -(-LEAST_CHAIN_FORWARDS // columns))


def shared_out(evaluations: float, columns: float, pool_share: float, counted: float) -> Budget:
    """The budget of SCREENED whose ESS is largest: m / (n / d) = sqrt(d e_p / e_s), each a tenth at least.

    Arguments:
        evaluations: in exact ones, above 0.
        columns: d, forwards for one evaluation.
        pool_share, counted: e_p and e_s, above 0 or the share is even.

    Returns:
        Exact evaluations and forwards, each 1 at least.

    Raises:
        Nothing.

    Accuracy:
        Exact for the shares given.

    Example:
        >>> shared_out(4000, 64, 0.01, 0.5)
        Budget(exact=2123, forwards=120071)
    """
    ratio = math.sqrt(columns * pool_share / counted) if pool_share > 0.0 and counted > 0.0 else 1.0
    share = min(1.0 - _LEAST_SHARE, max(_LEAST_SHARE, ratio / (1.0 + ratio)))
    exact = max(1, round(share * evaluations))
    return Budget(exact, max(1, round((evaluations - exact) * columns)))


def _logs(
    surrogate: Surrogate, weights: Weights, rho: float, k: int
) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
    """log q / q_bank, t and rho log v_k of the rows that it was fitted on; -inf where the rank is below k."""
    count = min(len(surrogate.residuals), len(weights.rows))
    residuals = surrogate.residuals[:count, k - 1].astype(np.float64)
    volumes = weights.rows.log_volume(k)[:count].astype(np.float64)
    usable = np.isfinite(residuals) & np.isfinite(volumes)
    base = weights.logs(0.0, 0).span(0, count)
    ranks = surrogate.log_ranks[:count, k - 1].astype(np.float64)
    tilts = np.where(usable, rho * (volumes - residuals) + ranks, -np.inf)
    return base, tilts, np.where(usable, rho * volumes, -np.inf)


def _share(base: Float64[np.ndarray, " rows"], tilts: Float64[np.ndarray, " rows"]) -> float:
    first, second = float(logsumexp(base + tilts)), float(logsumexp(base + 2.0 * tilts))
    return _exp(2.0 * first - float(logsumexp(base)) - second)


def _exp(log: float) -> float:
    """0 too where nothing counts and the logs are infinite."""
    return math.exp(log) if math.isfinite(log) else 0.0
