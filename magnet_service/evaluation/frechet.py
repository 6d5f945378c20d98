"""The Frechet distance between two sets of features, in float64 and without squaring a condition number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

__all__ = ["Moments", "frechet_distance", "moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean of some features, and a triangular root of their covariance.

    Attributes:
        mean: [width].
        root: R with R^T R the covariance (divisor rows - 1), [rows or width, width].
    """

    mean: Float64[np.ndarray, " width"]
    root: Float64[np.ndarray, "some width"]


def moments(features: Float[np.ndarray, "rows width"]) -> Moments:
    """Mean and root of the covariance of the rows.

    Arguments:
        features: two rows or more.

    Returns:
        The moments; the root is that of a QR decomposition, so that no covariance is formed.

    Raises:
        Nothing.

    Accuracy: rounding of float64.

    Cost: one QR decomposition, 2 rows width^2 operations.
    """
    exact = features.astype(np.float64)
    mean: Float64[np.ndarray, " width"] = exact.mean(axis=0)
    root = np.linalg.qr(exact - mean, mode="r") / np.sqrt(len(exact) - 1)
    return Moments(mean, root)


def frechet_distance(left: Moments, right: Moments) -> float:
    """The Frechet distance of two normal laws with these moments.

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)),   tr (C1 C2)^(1/2) = sum of singular values of R1 R2^T

    Arguments:
        left, right: moments of features of one width.

    Returns:
        Squared feature units, 0 or more; comparable only between sets of features of one network, and of one size: it
        grows as rows get fewer.

    Raises:
        Nothing.

    Accuracy: rounding of float64 relative to tr(C1 + C2): no covariance is formed and no eigenvalue is clipped; a
        difference below zero by rounding is answered as 0.

    References:
        Heusel et al., arXiv 1706.08500; Dowson, Landau, J. Multivariate Analysis 12 (1982).

    Example:
        >>> some = np.array([[0.0], [2.0]])
        >>> frechet_distance(moments(some), moments(some + 3.0))
        9.0
    """
    shift = float(np.square(left.mean - right.mean).sum())
    spread = float(np.square(left.root).sum() + np.square(right.root).sum())
    common = float(np.linalg.svd(left.root @ right.root.T, compute_uv=False).sum())
    return shift + max(spread - 2.0 * common, 0.0)
