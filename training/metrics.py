"""Distances between sets of features: those of `magnet_service.evaluation`, of tensors."""

from __future__ import annotations

from torch import Tensor

from magnet_service import evaluation

__all__ = ["frechet_distance", "precision_recall", "total_variation"]


def frechet_distance(left: Tensor, right: Tensor) -> float:
    """Return the Frechet distance of features (rows, width), as `evaluation.frechet_distance`."""
    first, second = (evaluation.moments(features.numpy()) for features in (left, right))
    return evaluation.frechet_distance(first, second)


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 5) -> tuple[float, float]:
    """Return the k-NN precision and recall of features (rows, width), as `evaluation.compare`."""
    found = evaluation.compare(real.numpy(), fake.numpy(), neighbours)
    return found.precision, found.recall


def total_variation(shares: Tensor) -> float:
    """Return half the sum of |shares - 1 / classes|, the distance to equal shares."""
    return float(evaluation.total_variation(shares.numpy()))
