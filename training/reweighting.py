"""Reweighting prior latents by v_k^rho: which (rho, k) makes the class shares most equal, and at what price."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.metrics import total_variation

__all__ = ["RANKS", "RHOS", "Outcome", "best", "outcome"]

RHOS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
RANKS = (1, 2, 3, 5, 8, 10, 15, 16, 20)
SMALLEST_ESS = 200.0
SMALLEST_TOP = 0.9


@dataclass(frozen=True)
class Outcome:
    """What a weighting v_k^rho does to the classes.

    Arguments:
        rho, k: the weighting; rho 0 is as trained.
        shares: weighted class shares, by the classifier's largest logit, (classes,).
        rare: weighted share of the rare classes together.
        top: weighted mean of the classifier's largest probability.
        ess: effective sample size (sum w)^2 / sum w^2.
        tv: total variation of `shares` to equal shares.
        interval: bootstrap 95 % interval of `tv`, 200 resamples of the rows.
    """

    rho: float
    k: int
    shares: Tensor
    rare: float
    top: float
    ess: float
    tv: float
    interval: tuple[float, float]


def outcome(logs: Tensor, likely: Tensor, rho: float, k: int, rare: tuple[int, ...], *, resamples: int = 0) -> Outcome:
    """Return what v_k^rho does to these rows.

    Arguments:
        logs: log sigma_i, (rows, latent), descending.
        likely: class probabilities, (rows, classes).
        rho, k: the weighting.
        rare: indices of the rare classes.
        resamples: bootstrap resamples; 0 leaves the interval not-a-number.
    """
    weights = (rho * logs[:, :k].sum(1)).softmax(0)
    top, labels = likely.double().max(1)
    classes = likely.shape[1]
    shares = torch.zeros(classes, dtype=torch.float64).index_add(0, labels, weights)
    draws = torch.Generator().manual_seed(0)
    spread = []
    for _ in range(resamples):
        rows = torch.randint(0, len(logs), (len(logs),), generator=draws)
        again = torch.zeros(classes, dtype=torch.float64).index_add(0, labels[rows], weights[rows])
        spread.append(total_variation(again / again.sum()))
    edges = torch.tensor(spread).quantile(torch.tensor([0.025, 0.975])).tolist() if spread else [float("nan")] * 2
    return Outcome(
        rho=rho,
        k=k,
        shares=shares,
        rare=shares[list(rare)].sum().item(),
        top=(weights @ top).item(),
        ess=1.0 / weights.square().sum().item(),
        tv=total_variation(shares),
        interval=(edges[0], edges[1]),
    )


def best(logs: Tensor, likely: Tensor, rare: tuple[int, ...]) -> tuple[Outcome, list[Outcome]]:
    """Return the outcome of least total variation on the grid with ESS >= 200 and 0.9 of the mean top probability.

    Returns:
        The best outcome (as trained when nothing qualifies) and the whole grid.
    """
    plain = outcome(logs, likely, 0.0, 1, rare)
    grid = [outcome(logs, likely, rho, k, rare) for rho in RHOS for k in RANKS if k <= logs.shape[1]]
    fit = [cell for cell in grid if cell.ess >= SMALLEST_ESS and cell.top >= SMALLEST_TOP * plain.top]
    return min(fit, key=lambda cell: cell.tv, default=plain), grid
