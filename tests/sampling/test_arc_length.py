"""The gold standard in one dimension: at rho = 1 draws are uniform in arc length along the generated curve (S3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import stats

from magnet_service.sampling import Box, Preset, SampleRequest
from tests.sampling.nets import Layers, generator_of, layers
from tests.sampling.pools import bank_of, draw_of

PRIOR = Box(1, low=-1.0, high=1.0)
ALPHA = 0.001


def forward(network: Layers, z: np.ndarray) -> np.ndarray:
    x = z[:, None]
    for index, (weight, bias) in enumerate(network):
        x = x @ weight.T + bias
        x = x if index == len(network) - 1 else np.maximum(x, 0.0)
    return x


def breakpoints(network: Layers) -> np.ndarray:
    """Where any unit changes sign on [-1, 1], layer by layer: between known points pre-activations are affine."""
    points = np.array([-1.0, 1.0])
    for depth in range(1, len(network)):
        values = forward(network[:depth], points)
        new = []
        for left, right, before, after in zip(points, points[1:], values, values[1:], strict=False):
            crossing = (before < 0.0) != (after < 0.0)
            t = before[crossing] / (before[crossing] - after[crossing])
            new.extend(left + t * (right - left))
        points = np.unique(np.concatenate([points, new]))
    return points


def test_uniform_draws_are_uniform_in_arc_length(tmp_path: Path) -> None:
    network = layers((1, 24, 24, 3), seed=4)
    bank = bank_of(tmp_path, generator_of(network), PRIOR, 60_000)
    points = breakpoints(network)
    assert len(points) > 20
    pieces = np.linalg.norm(np.diff(forward(network, points), axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(pieces)])

    first = draw_of(bank, PRIOR, SampleRequest(count=1, seed=5, preset=Preset.UNIFORM, manifold=bank.spec.manifold))
    count = int(first.diagnostics.ess / 20)
    assert count > 500
    request = SampleRequest(count=count, seed=5, preset=Preset.UNIFORM, manifold=bank.spec.manifold)
    draw = draw_of(bank, PRIOR, request)
    assert draw.resolved.uniformity == "uniform"
    along = np.interp(draw.latents(0, count)[:, 0].astype(np.float64), points, length) / length[-1]
    assert stats.kstest(along, "uniform").pvalue > ALPHA

    # The same test must see what it is for: the prior itself is far from uniform in arc length.
    fresh = PRIOR.rows(5, 0, count)[:, 0].astype(np.float64)
    assert stats.kstest(np.interp(fresh, points, length) / length[-1], "uniform").pvalue < 1e-6
