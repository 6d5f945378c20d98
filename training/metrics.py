"""Distances between sets of features: Frechet, precision and recall, total variation."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["frechet_distance", "precision_recall", "total_variation"]


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (width,) and covariance (width, width) of the rows in float64."""
    found = features.double()
    return found.mean(0), found.T.cov()


def frechet_distance(left: Tensor, right: Tensor) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), Heusel et al. 2017 (arXiv 1706.08500), of any features.

    Arguments:
        left, right: features, (rows, width).

    Returns:
        The distance, in squared feature units; only comparable between runs that use the same classifier.
    """
    mean1, cov1 = moments(left)
    mean2, cov2 = moments(right)
    values, vectors = torch.linalg.eigh(cov1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov2 @ root).clamp(min=0).sqrt().sum()
    return float((mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * cross)


def covered(queries: Tensor, support: Tensor, neighbours: int) -> float:
    """Return the share of queries inside some ball of the support, each reaching its k-th nearest neighbour."""
    radii = torch.cat([torch.cdist(rows, support).kthvalue(neighbours + 1).values for rows in support.split(500)])
    hits = [(torch.cdist(rows, support) <= radii).any(1) for rows in queries.split(500)]
    return torch.cat(hits).double().mean().item()


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 5) -> tuple[float, float]:
    """Return the k-NN precision and recall of Kynkaanniemi et al. 2019 (arXiv 1904.06991).

    Arguments:
        real, fake: features, (rows, width); equally many rows keep the two figures comparable.
        neighbours: k of the balls.

    Returns:
        Share of fakes inside the real balls, share of reals inside the fake balls.
    """
    return covered(fake, real, neighbours), covered(real, fake, neighbours)


def total_variation(shares: Tensor) -> float:
    """Return half the sum of |shares - 1 / classes|, the distance to equal shares."""
    return 0.5 * (shares - 1.0 / len(shares)).abs().sum().item()
