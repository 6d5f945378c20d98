"""Which method a draw takes: the one named, or the one that promises most, with the reason."""

from __future__ import annotations

from magnet_service.errors import InvalidInput, MagnetError, Refused
from magnet_service.sampling import Law, SampleRequest
from magnet_service.sampling.method import DEFAULT_EVALUATIONS
from magnet_service.sampling.screening.moves import walkable
from magnet_service.sampling.screening.promise import Promise, better, least_chain_evaluations, promises
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget
from magnet_service.sampling.settled import Settled

__all__ = ["chosen", "enough"]


def enough(request: SampleRequest, found: Settled) -> str:
    """Why AUTO needs no surrogate; empty where it does."""
    if not request.replacement:
        return "without replacement rows are those of a bank"
    spent = request.effort.evaluations or DEFAULT_EVALUATIONS
    ess = found.weights.ess(found.rho.rho, found.top_k.k)
    if ess < max(spent, request.min_ess):
        return ""
    return f"the bank's ESS of {ess:,.0f} is more than {spent:,.0f} evaluations could give"


def chosen(
    request: SampleRequest, found: Settled, surrogate: Surrogate, evaluations: float
) -> tuple[Promise | None, str]:
    """The method and the budget of a draw, with the reason; None where AUTO resamples the bank.

    Arguments:
        request: the draw.
        found: what it came to.
        surrogate: of the bank.
        evaluations: what may be spent.

    Returns:
        What the method promises, with its budget; and why AUTO took it or left it.

    Raises:
        Refused: a chain asked for where none walks (NO_CHAIN).
        InvalidInput: fewer evaluations than chains need; field `budget.evaluations`.

    Accuracy: as `promises`.
    """
    rho, k = found.rho.rho, found.top_k.k
    effort = request.effort
    if effort.settled and request.method.screens:
        return Promise(request.method, 0.0, Budget(effort.exact, effort.forwards), ""), ""
    known = (surrogate, found.weights, rho, k, evaluations, found.law)
    each = promises(*known, walks=walkable(found.law))
    if request.method.screens:
        named = next((promise for promise in each if promise.method is request.method), None)
        if named is None:
            raise _no_chain(found.law)
        return named, ""
    ess = found.weights.ess(rho, k)
    best = better(each, ess, request.min_ess)
    if best is None:
        least = max(promise.ess for promise in each)
        return None, f"the bank's ESS of {ess:,.0f} is no less than the {least:,.0f} that screening promises"
    asked = f" of {request.min_ess:,.0f} asked for" if request.min_ess > ess else ""
    return best, f"the bank's ESS is {ess:,.0f}{asked}, {best.method} promises {best.ess:,.0f}: {best.reason}"


def _no_chain(law: Law) -> MagnetError:
    if not walkable(law):
        return Refused(
            f"no chain walks over {law.to_text()}: use method SCREENED, whose pool is drawn from it.",
            field="method",
            reason="NO_CHAIN",
        )
    return InvalidInput(
        f"chains need {least_chain_evaluations(law.columns):,} evaluations here: write so many or more, or method "
        "SCREENED.",
        field="budget.evaluations",
    )
