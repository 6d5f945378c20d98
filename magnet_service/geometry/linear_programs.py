"""Linear programs over many half-spaces of which few matter: solved over those few, the others looked at and added."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import linprog

__all__ = ["FEASIBLE", "maximise", "solved"]

FEASIBLE = 1e-10
"""By how much the solver may leave a half-space; its smallest tolerance. Callers scale lengths to about 1."""

OPTIMAL = 0
ADDED = 2


def solved(
    objective: Float[NDArray[np.float64], " n"],
    normals: Float[NDArray[np.float64], "rows n"],
    limits: Float[NDArray[np.float64], " rows"],
    reach: float,
) -> Float[NDArray[np.float64], " n"] | None:
    """A point x that maximises objective x where normals x <= limits and |x_i| <= reach, by scipy's HiGHS.

    Arguments:
        objective: of the maximum.
        normals: of the half-spaces.
        limits: of the half-spaces.
        reach: bound of every coordinate; infinite for none.

    Returns:
        A vertex where the maximum is, or None where the solver finds none: no point, no bound, or too badly scaled.

    Raises:
        Nothing.

    Accuracy: half-spaces hold within FEASIBLE, the objective is optimal within as much.
    """
    found = linprog(
        -objective,
        A_ub=normals if len(normals) else None,
        b_ub=limits if len(normals) else None,
        bounds=(None, None) if np.isinf(reach) else (-reach, reach),
        method="highs-ds",
        options={"primal_feasibility_tolerance": FEASIBLE, "dual_feasibility_tolerance": FEASIBLE},
    )
    if found.status != OPTIMAL:
        return None
    point: NDArray[np.float64] = np.asarray(found.x, dtype=np.float64)
    return point


def maximise(
    objective: Float[NDArray[np.float64], " n"],
    normals: Float[NDArray[np.float64], "rows n"],
    limits: Float[NDArray[np.float64], " rows"],
    reach: float,
) -> Float[NDArray[np.float64], " n"] | None:
    """As `solved`, over many half-spaces: those that the solution of some of them violates most are added to these.

    Arguments:
        objective: of the maximum.
        normals: of the half-spaces.
        limits: of the half-spaces; those with the smallest come first.
        reach: bound of every coordinate, for the steps that have no solution without.

    Returns:
        As `solved`.

    Raises:
        Nothing.

    Accuracy: as `solved`.
    Cost: a few programs of some multiple of n rows, and a product with all rows for each.
    """
    step = ADDED * (len(objective) + 1)
    chosen = np.argsort(limits, kind="stable")[:step]
    while True:
        # Without bounds first: coordinates that do not matter then stay at 0 and not at their bound.
        point = solved(objective, normals[chosen], limits[chosen], np.inf)
        if point is None:
            point = solved(objective, normals[chosen], limits[chosen], reach)
        if point is None:
            return None
        excess = normals @ point - limits
        excess[chosen] = -np.inf  # the solver's own tolerance there
        worst = np.argsort(-excess, kind="stable")[:step]
        worst = worst[excess[worst] > FEASIBLE * max(1.0, np.abs(point).max())]
        if not len(worst):
            return point
        chosen = np.concatenate([chosen, worst])
