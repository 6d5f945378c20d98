"""What screening is worth over a grid of rho and k, by its promises."""

from __future__ import annotations

from magnet_service.sampling.law import Law
from magnet_service.sampling.method import DEFAULT_EVALUATIONS
from magnet_service.sampling.outlook import MethodJudge, MethodOutlook
from magnet_service.sampling.polarity import LOW_RANK_LIMIT, Cell, Weights
from magnet_service.sampling.screening.moves import walkable
from magnet_service.sampling.screening.promise import promises
from magnet_service.sampling.screening.surrogate import Surrogate

__all__ = ["screened_by"]


def screened_by(surrogate: Surrogate, law: Law, evaluations: float = DEFAULT_EVALUATIONS) -> MethodJudge:
    """Judges SCREENED and SCREENED_CHAIN by what a surrogate promises.

    Arguments:
        surrogate: fitted on the bank that is judged.
        law: the base.
        evaluations: to be spent, in exact ones; a forward is one of the Jacobian's columns.

    Returns:
        The judge: nothing at rho = 0, which reads no volumes, beyond the surrogate's k, and where a draw is refused for
        its rank. k-hat is known only after a draw.

    Raises:
        Nothing.

    Accuracy:
        As `promises`: estimates.

    Cost:
        A few sums over the rows that the surrogate was fitted on, for each pair.
    """
    walks = walkable(law)

    def judge(weights: Weights, cell: Cell) -> tuple[MethodOutlook, ...]:
        refused = cell.rho < 0.0 and cell.low_rank_share > LOW_RANK_LIMIT
        if cell.rho == 0.0 or cell.k > surrogate.columns or refused:
            return ()
        each = promises(surrogate, weights, cell.rho, cell.k, evaluations, law, walks=walks)
        return tuple(MethodOutlook(str(one.method), one.ess, None, round(evaluations), one.reason) for one in each)

    return judge
