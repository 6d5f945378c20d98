"""Vertices in clusters, over which values are bounded before they are computed.

Over a small cluster the columns hardly change, so that the bound

    constant + middle @ matrix  -+  half @ |matrix|

of a value, from the middle and half the range of each column, is narrow. Most features of a wide layer do not reach a
breakpoint anywhere by these bounds; the others are computed in those clusters alone in which they may.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Clusters", "clustered"]

_VERTICES = 128
_MOST = 256
_WIDEN = 1e-12


@dataclass(frozen=True)
class Clusters:
    """Groups of vertices that lie close together.

    Attributes:
        order: the vertices, cluster after cluster.
        starts: [clusters + 1], where each begins.
        middles, halves: [clusters, columns], of the columns over each.
    """

    order: Tensor
    starts: NDArray[np.int64]
    middles: Tensor
    halves: Tensor

    def bounds(self, constant: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers [clusters, features] that no value over a cluster goes below and above."""
        width = len(matrix)
        middle = torch.addmm(constant, self.middles[:, :width], matrix)
        reach = (self.halves[:, :width] @ matrix.abs()).mul_(1 + _WIDEN)
        reach.add_(middle.abs(), alpha=_WIDEN)
        return middle - reach, middle + reach


def clustered(points: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
    """Order vertices so that those of a cluster follow one another, by halving the longer side again and again.

    Arguments:
        points: [vertices, axes], coordinates.

    Returns:
        The order, and where each cluster begins.

    Raises:
        Nothing.
    """
    count = min(_MOST, max(1, len(points) // _VERTICES))
    halvings = count.bit_length() - 1
    order = np.arange(len(points))
    coordinates = np.ascontiguousarray(points.numpy().T)  # largest and smallest of a row are found at once
    starts = np.array([0, len(points)])
    for _ in range(halvings):
        pieces = [0]
        for begin, end in pairwise(starts):
            mine = coordinates.take(order[begin:end], axis=1)
            axis = int(np.argmax(mine.max(axis=1) - mine.min(axis=1)))
            half = (end - begin) // 2
            order[begin:end] = order[begin:end][np.argpartition(mine[axis], half)]
            pieces += [begin + half, end]
        starts = np.array(pieces)
    return torch.from_numpy(order), starts
