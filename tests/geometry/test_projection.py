"""V8: why volumes are not taken behind a random projection of the outputs.

The published scripts multiply the Jacobian by 128 random orthonormal rows before the singular values are taken. That is
biased by 1/2 sum_{i<d} [psi((p - i)/2) - psi((D - i)/2)], p = 128 (determinant of a matrix Beta variable), and noisy: a
fresh error at every region, with the variance of the same variable.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import polygamma, psi

from magnet_service.generator import Generator, Precision
from magnet_service.geometry import Engine, log_volume, volumes
from magnet_service.geometry.jacobian import jacobian
from tests.geometry.oracles import dense, random_latents

D, DIM, ROWS = 400, 20, 128


def test_a_random_projection_shifts_log_volumes_by_the_digamma_formula_and_adds_noise() -> None:
    generator = Generator.from_module(dense(DIM, 60, 60, D, seed=1), DIM)
    latents = random_latents(2, 4, DIM)
    exact = log_volume(volumes(generator, latents, engine=Engine(precision=Precision.FLOAT64)), DIM)
    full = jacobian(generator.to(precision=Precision.FLOAT64), latents.double())
    index = np.arange(DIM)
    mean = float((psi((ROWS - index) / 2) - psi((D - index) / 2)).sum() / 2)
    variance = float((polygamma(1, (ROWS - index) / 2) - polygamma(1, (D - index) / 2)).sum() / 4)
    source = torch.Generator().manual_seed(3)
    errors = []
    for _ in range(300):
        rows = torch.linalg.qr(torch.randn(D, ROWS, generator=source, dtype=torch.float64)).Q.T
        errors.append(torch.linalg.svdvals(rows @ full).log().sum(1) - exact)
    shift = torch.stack(errors)[:, 0]
    assert mean < -10
    # Fixed seeds; four standard errors of 300 draws.
    assert abs(float(shift.mean()) - mean) < 4 * (variance / 300) ** 0.5
    assert abs(float(shift.var()) / variance - 1) < 4 * (2 / 299) ** 0.5
    # Not a constant that weights would forgive: within one projection, regions are shifted differently.
    assert float(torch.stack(errors).var(dim=1).mean()) > 0.1 * variance
