"""Advice in words: what to change when a bank does not support what is asked."""

from __future__ import annotations

import math

from magnet_service.sampling.diagnostics import KHAT_LIMIT, Diagnostics, Result, judge
from magnet_service.sampling.polarity import Weights
from magnet_service.sampling.presets import RHO_GRID

__all__ = ["advise"]


def advise(
    weights: Weights,
    rho: float,
    k: int,
    diagnostics: Diagnostics,
    needed: int,
    *,
    unsupported: str = "",
    can_grow: bool = True,
) -> str:
    """One or two sentences on an answer: empty when all is well, else what to write instead, with numbers.

    Arguments:
        weights: rows of the bank, weighted for the base.
        rho: exponent used.
        k: number of singular values used.
        diagnostics: figures of the weights.
        needed: effective rows needed.
        unsupported: why AUTO found no k; empty where it did or was not asked.
        can_grow: False for an imported bank, to which no rows are ever advised.

    Returns:
        Plain text.

    Raises:
        Nothing.

    Accuracy:
        Alternatives named are computed on the same rows.
    """
    if judge(diagnostics, needed) is Result.OK:
        first, rest = unsupported[:1].upper(), unsupported[1:]
        instead = "a smaller |rho| or a larger bank" if can_grow else "a smaller |rho|"
        return f"{first}{rest}. Use {instead}." if unsupported else ""
    return f"{_problem(rho, k, diagnostics, needed)} {_remedy(weights, rho, k, diagnostics, needed, can_grow)}"


def _problem(rho: float, k: int, figures: Diagnostics, needed: int) -> str:
    at = f"At rho {rho:g} and top_k {k} the {figures.rows:,} rows of the bank"
    if figures.ess < needed:
        return f"{at} count for {figures.ess:,.1f} independent draws, {needed:,} are needed."
    # A weight above 0.2 alone means an ESS below 25, so that only the tail is left to object to.
    return f"{at} have weights with so heavy a tail (k-hat {figures.khat:.2f}) that their ESS cannot be trusted."


def _remedy(weights: Weights, rho: float, k: int, figures: Diagnostics, needed: int, can_grow: bool) -> str:
    ways = []
    for size in reversed(RHO_GRID):
        if size < abs(rho) and (ess := _supported(weights, math.copysign(size, rho), k, needed)):
            ways.append(f"rho {math.copysign(size, rho):g} (ESS {ess:,.0f})")
            break
    for smaller in range(k - 1, 0, -1):
        if ess := _supported(weights, rho, smaller, needed):
            ways.append(f"top_k {smaller} (ESS {ess:,.0f})")
            break
    # Only under a light tail does the ESS grow with the rows; under a heavy one any such number would be made up.
    if can_grow and needed > figures.ess and figures.khat is not None and figures.khat <= KHAT_LIMIT:
        rows = figures.rows * needed / figures.ess
        if rows <= 100 * figures.rows:
            ways.append(f"a bank of about {_rounded(rows):,} rows")
    if not ways:
        return "Use a much smaller |rho| or top_k: no value tried on this bank is enough."
    return f"Use {' or '.join(ways)}."


def _supported(weights: Weights, rho: float, k: int, needed: int) -> float:
    sums = weights.sums(rho, k)
    ess = sums.ess
    if ess < needed:
        return 0.0
    khat, _ = sums.khat
    return ess if khat is None or khat <= KHAT_LIMIT else 0.0


def _rounded(rows: float) -> int:
    step = int(10 ** max(0, math.floor(math.log10(rows)) - 1))
    return math.ceil(rows / step) * step
