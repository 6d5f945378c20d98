"""SCREENED_CHAIN: where the pool dies, chains on the surrogate's law find its typical latents by forwards alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magnet_service.errors import InvalidInput
from magnet_service.sampling.log_weights import LogWeights
from magnet_service.sampling.screening.autocorrelation import weighted_time
from magnet_service.sampling.screening.choices import Choices
from magnet_service.sampling.screening.features import FEATURE_TILE_ROWS
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget, Sample, StopSignal, Target
from magnet_service.sampling.screening.walk import Walk

__all__ = ["LEAST_CHAIN_EXACT", "LEAST_CHAIN_FORWARDS", "ScreenedChain", "chains_of"]

LEAST_CHAIN_EXACT = FEATURE_TILE_ROWS
LEAST_CHAIN_FORWARDS = 128 * FEATURE_TILE_ROWS
"""Below these there is no walk to speak of."""

_STEPS = 256
_MOST_CHAINS = 4096
_KEPT_SHARE = 0.4
_MOVES = 4


@dataclass(frozen=True, eq=False)
class ScreenedChain:
    """Draws by chains on the law q e^t of a surrogate, corrected exactly.

    Attributes:
        surrogate: gives t = rho s_k + log P(rank >= k); consistent whatever it is.
    """

    surrogate: Surrogate

    def __call__(self, target: Target, budget: Budget, seed: int, should_stop: StopSignal | None = None) -> Sample:
        """The latents of `choose`, weighted for the target."""
        return self.choose(target, budget, seed, should_stop).sample(target.rho, target.k)

    def choose(self, target: Target, budget: Budget, seed: int, should_stop: StopSignal | None = None) -> Choices:
        """Latents by the surrogate, with their exact volumes.

        Chains begin at draws of the base. Their law is turned into q e^t by degrees, q e^(a t): each time a is raised
        until half of the chains count, they are drawn anew by e^(da t) and moved a few steps. At a = 1 they move on;
        after 60 % of the steps the step size is frozen and states are kept at even distances.

        Arguments:
            target: the law.
            budget: `forwards`, shared by as many chains as can make about 256 steps each; `exact` states kept, rounded
                down to whole rounds of the chains.
            seed: of all steps and choices.
            should_stop: asked between tiles.

        Returns:
            The distinct states kept. In `notes`: `chains`, `steps`, `step` (the size), `acceptance`; `autocorrelation`,
            by which their ESS is divided; and `raised`, the share of the 60 % that it took to reach a = 1.

        Raises:
            InvalidInput: fewer forwards or states than chains can use.
            Refused: a k beyond the surrogate (NO_SURROGATE), a law without a walk (NO_CHAIN).
            Cancelled: `should_stop` turned true.

        Accuracy:
            Consistent in the chains' length.

        References:
            Del Moral, Doucet, Jasra, "Sequential Monte Carlo samplers", 2006; Cotter et al. 2013 (arXiv 1202.0709).
        """
        if budget.exact < LEAST_CHAIN_EXACT or budget.forwards < LEAST_CHAIN_FORWARDS:
            raise InvalidInput(
                f"chains with {budget.exact:,} exact evaluations and {budget.forwards:,} forwards: write "
                f"{LEAST_CHAIN_EXACT} or more and {LEAST_CHAIN_FORWARDS:,} or more.",
                field="budget",
            )
        self.surrogate.check_top_k(target.k)
        chains = chains_of(budget)
        steps = budget.forwards // chains - 1
        burn = steps - int(_KEPT_SHARE * steps)
        walk = Walk(self.surrogate, target, chains, seed, should_stop)
        raised = 0
        while walk.number < burn:
            walk.raise_share(last=walk.number + _MOVES >= burn)
            raised = walk.number if walk.share < 1.0 else raised
            for _ in range(min(_MOVES, burn - walk.number)):
                walk.advance(adapting=True)
        rounds = max(1, min(budget.exact // chains, steps - burn))
        lag = (steps - burn) // rounds
        watched, kept, accepted = [], [], []
        for number in range(rounds * lag):
            accepted.append(walk.advance(adapting=False))
            if (number + 1) % lag == 0:
                watched.append(walk.watched())
                kept.append((walk.latents, walk.tilts))
        latents = np.concatenate([some for some, _ in kept])
        tilts = np.concatenate([some for _, some in kept])
        distinct, first, places, copies = np.unique(
            latents, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        rows = target.measured(distinct, should_stop)
        logs = LogWeights.of(rows, -tilts[first], target.rho, target.k).all()[places.reshape(-1)]
        time = weighted_time(logs.reshape(rounds, chains), np.stack(watched))
        notes = {
            "chains": float(chains),
            "steps": float(steps),
            "step": walk.step,
            "acceptance": float(np.mean(accepted)),
            "autocorrelation": time,
            "raised": raised / burn,
        }
        return Choices(rows, copies, tilts[first], Budget(len(distinct), chains * (steps + 1)), notes)


def chains_of(budget: Budget) -> int:
    """Chains that a budget feeds: whole tiles, at most as many as states can be kept.

    Example:
        >>> chains_of(Budget(2000, 128_000))
        448
    """
    most = min(budget.forwards // _STEPS, budget.exact, _MOST_CHAINS)
    return max(1, most // FEATURE_TILE_ROWS) * FEATURE_TILE_ROWS
