"""One k and one rho for the banks of several classes: what all of them support."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from magnet_service.sampling.diagnostics import KHAT_LIMIT
from magnet_service.sampling.polarity import LOW_RANK_LIMIT, SUPPORT_ESS, TopK, Weights
from magnet_service.sampling.presets import RHO_GRID, RhoChoice, choose_rho

__all__ = ["shared_rho", "shared_top_k"]


def shared_top_k(weights: Sequence[Weights], rho: float, min_ess: float = 0.0) -> TopK:
    """The largest k with rank >= k on 99 % of the rows and ESS(rho, k) >= max(200, min_ess / classes) in every class.

    Arguments:
        weights: rows of each class's bank, weighted for the base.
        rho: exponent of v_k.
        min_ess: effective rows asked of all classes together.

    Returns:
        The choice; of a single bank that of `choose_top_k`. Where no k is supported by all, k = 1, not supported.

    Raises:
        Nothing.

    Accuracy:
        Exact comparisons of the figures reported.
    """
    if len(weights) == 1:
        return weights[0].choose_top_k(rho, min_ess)
    need = max(SUPPORT_ESS, min_ess / len(weights))
    weakest = 0
    for k in range(min(item.largest_k for item in weights), 0, -1):
        # The class that failed last is asked first: most k are told off by it alone.
        order = [weakest, *(index for index in range(len(weights)) if index != weakest)]
        least = np.inf
        for index in order:
            item = weights[index]
            ess = 0.0 if item.low_rank_share(k) > LOW_RANK_LIMIT else item.ess(rho, k)
            if ess < need:
                weakest = index
                break
            least = min(least, ess)
        else:
            reason = (
                f"the largest k that the banks of all {len(weights)} classes support: at rho {rho:g} the least ESS is "
                f"{least:.0f} >= {need:.0f}, with rank >= {k} on 99 % of the rows of each"
            )
            return TopK(k, True, reason)
    return TopK(
        1,
        False,
        f"no k has rank on 99 % of the rows and ESS >= {need:.0f} at rho {rho:g} in every class (class {weakest} has "
        f"not): 1 is the least",
    )


def shared_rho(weights: Sequence[Weights], k: int, sign: int) -> RhoChoice:
    """The largest |rho| of the grid with ESS >= 200 and k-hat < 0.7 in every class at a given k.

    Arguments:
        weights: rows of each class's bank, weighted for the base.
        k: number of singular values, held.
        sign: -1 for modes, +1 for anti-modes.

    Returns:
        The smallest of the classes' own choices in size; of a single bank that of `choose_rho`.

    Raises:
        InvalidInput: k out of range; field `top_k`.

    Accuracy:
        Exact comparisons of the figures reported.
    """
    if len(weights) == 1:
        return choose_rho(weights[0], k, sign)
    for size in reversed(RHO_GRID):
        if all(_supports(item, sign * size, k) for item in weights):
            reason = f"the largest |rho| of the grid with ESS >= 200 and k-hat < 0.7 in each of {len(weights)} classes"
            return RhoChoice(sign * size, True, reason)
    return RhoChoice(
        sign * RHO_GRID[0], False, f"no |rho| of the grid has ESS >= 200 and k-hat < 0.7 at k = {k} in every class"
    )


def _supports(weights: Weights, rho: float, k: int) -> bool:
    sums = weights.sums(rho, k)
    if sums.ess < SUPPORT_ESS:
        return False
    khat, _ = sums.khat
    return khat is None or khat < KHAT_LIMIT
