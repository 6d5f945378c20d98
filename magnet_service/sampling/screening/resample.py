"""RESAMPLE as a sampler: the rows of a bank, or fresh ones of the base, weighted by their exact volumes."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.sampling.diagnostics import figures_of
from magnet_service.sampling.polarity import Weights
from magnet_service.sampling.screening.target import Budget, Sample, StopSignal, Target, seed_of

__all__ = ["Resample"]


@dataclass(frozen=True, eq=False)
class Resample:
    """Weights rows by v_k^rho.

    Attributes:
        weights: a bank's rows, weighted for the base; None for fresh rows of the base.
    """

    weights: Weights | None = None

    def __call__(self, target: Target, budget: Budget, seed: int, should_stop: StopSignal | None = None) -> Sample:
        """Weighted rows.

        Arguments:
            target: the law.
            budget: `exact` fresh rows; of a bank all its rows are used, which cost nothing.
            seed: of fresh rows.
            should_stop: asked between tiles.

        Returns:
            The rows with weights v_k^rho, times the correction where the bank's law is not the base.

        Raises:
            Cancelled: `should_stop` turned true.

        Accuracy:
            As `log_weights`.
        """
        weights, spent = self.weights, Budget(0)
        if weights is None:
            law = target.law
            rows = target.measured(law.rows(seed_of(seed, "rows"), 0, budget.exact), should_stop)
            weights, spent = Weights(rows, law, law), Budget(budget.exact)
        weighed = weights.weighed(target.rho, target.k)
        figures = figures_of(weighed.sums, low_rank_share=weights.low_rank_share(target.k))
        return Sample(weights.rows, weighed, figures, spent, {})
