"""SCREENED: a large pool of forwards, from which the surrogate chooses whose volumes are worth computing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magnet_service.errors import InvalidInput
from magnet_service.sampling.banks.rows import by_blocks
from magnet_service.sampling.blocks import sums_by_block
from magnet_service.sampling.counter import Stream, uniforms
from magnet_service.sampling.log_weights import LogWeights
from magnet_service.sampling.resample import rows_at
from magnet_service.sampling.screening.choices import Choices
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget, Sample, StopSignal, Target, seed_of

__all__ = ["Screened"]


@dataclass(frozen=True, eq=False)
class Screened:
    """Draws by screening.

        z_j ~ q,  j < n;   P(j) ~ e^(t(z_j));   W_j = copies_j v_k(z_j)^rho e^(-t(z_j))

    Attributes:
        surrogate: gives t = rho s_k + log P(rank >= k); consistent whatever it is.
    """

    surrogate: Surrogate

    def __call__(self, target: Target, budget: Budget, seed: int, should_stop: StopSignal | None = None) -> Sample:
        """The latents of `choose`, weighted for the target."""
        return self.choose(target, budget, seed, should_stop).sample(target.rho, target.k)

    def choose(self, target: Target, budget: Budget, seed: int, should_stop: StopSignal | None = None) -> Choices:
        """Latents by the surrogate, with their exact volumes.

        Arguments:
            target: the law.
            budget: `forwards` latents of the pool, `exact` choices of them with replacement.
            seed: of pool and choices.
            should_stop: asked between tiles.

        Returns:
            The distinct latents chosen, whose merged weights hold both stages in their ESS; the pool's own ESS in
            `notes` as `pool_ess`.

        Raises:
            InvalidInput: an empty pool or no choices.
            Refused: a k beyond the surrogate (NO_SURROGATE); no latent of the pool has weight (NO_WEIGHT).
            Cancelled: `should_stop` turned true.

        Accuracy:
            Consistent in pool and choices; weights as `Choices.sample`.

        References:
            Rubin, "The SIR algorithm", 1988.
        """
        if budget.exact < 1 or budget.forwards < 1:
            raise InvalidInput(f"a budget of {budget}: write 1 or more of both.", field="budget")
        self.surrogate.check_top_k(target.k)
        law, pool = target.law, seed_of(seed, "pool")
        tilts = np.empty(budget.forwards)
        for start, stop in by_blocks(0, budget.forwards):
            latents = law.rows(pool, start, stop - start)
            scores = self.surrogate.scores(target.generator, target.engine, latents, should_stop)
            tilts[start:stop] = scores.tilt(target.rho, target.k)
        logs = LogWeights.given(tilts)
        sums = sums_by_block(logs, tail=False)
        chosen = rows_at(logs, sums, uniforms(seed, Stream.SCREEN, 0, budget.exact, 1)[:, 0])
        distinct, copies = np.unique(chosen, return_counts=True)
        rows = target.measured(law.rows_at(pool, distinct), should_stop)
        spent = Budget(len(distinct), budget.forwards)
        return Choices(rows, copies, tilts[distinct], spent, {"pool_ess": sums.ess})
