"""Slow, obvious answers about polytopes: random walks inside, vertices, largest balls by trying all triples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import HalfspaceIntersection
from torch import Tensor

__all__ = ["inner_points", "largest_ball_in_the_plane", "leaving", "walls_by_vertices"]

Numbers = NDArray[np.float64]


def inner_points(normals: Tensor, offsets: Tensor, start: Tensor, count: int, seed: int, reach: float = 8.0) -> Tensor:
    """Hit-and-run from a point inside: each next point is uniform on a random chord, cut at `reach`."""
    source = torch.Generator().manual_seed(seed)
    points, at = [], start
    for _ in range(count):
        move = torch.nn.functional.normalize(torch.randn(len(start), generator=source, dtype=torch.float64), dim=0)
        ahead, _ = leaving(normals, offsets, at, move)
        behind, _ = leaving(normals, offsets, at, -move)
        low, high = -min(behind, reach), min(ahead, reach)
        at = at + move * (low + (high - low) * float(torch.rand((), generator=source, dtype=torch.float64)))
        points.append(at)
    return torch.stack(points)


def leaving(normals: Tensor, offsets: Tensor, at: Tensor, move: Tensor) -> tuple[float, int]:
    """How far one can go along `move`, and the row that is met first; infinite and -1 where none is."""
    rates, left = normals @ move, offsets - normals @ at
    times = torch.where(rates > 0, left / rates, torch.inf)
    if not len(times) or not bool(times.isfinite().any()):
        return math.inf, -1
    row = int(times.argmin())
    return float(times[row]), row


def walls_by_vertices(normals: Tensor, offsets: Tensor, inside: Tensor) -> set[int]:
    """Rows on which a bounded polytope has a face, from the enumeration of its vertices by Qhull."""
    rows = torch.cat([normals, -offsets[:, None]], 1).numpy()
    found = HalfspaceIntersection(rows, inside.numpy())
    return {int(row) for facet in found.dual_facets for row in facet}


def largest_ball_in_the_plane(normals: Numbers, offsets: Numbers) -> float:
    """The best radius over all points that are equally far from three lines and inside."""
    best = 0.0
    for three in itertools.combinations(range(len(offsets)), 3):
        matrix = np.concatenate([normals[list(three)], np.ones((3, 1))], 1)
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        *centre, radius = np.linalg.solve(matrix, offsets[list(three)])
        if (normals @ np.array(centre) + radius <= offsets + 1e-9).all():
            best = max(best, float(radius))
    return best
