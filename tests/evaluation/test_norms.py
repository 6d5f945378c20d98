"""Jacobian norms of a bank's rows against autograd, and the truncation by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magnet_service.evaluation.norms import kept_rows, log_norms_of_rows, log_norms_of_values
from magnet_service.registry import BuildRequest, Registry
from tests.rpc.networks import picture


def test_norms_of_a_bank_are_those_of_the_jacobians(registry: Registry) -> None:
    build = registry.plan_build("grey", BuildRequest(rows=64, seed=9))
    for _ in build.steps:
        pass
    rows = registry.banks.open(build.bank.id).rows()
    module = picture(0).double()
    latents = torch.from_numpy(rows.latents_at(np.arange(64))).double()
    expected = []
    for latent in latents:
        jacobian = torch.autograd.functional.jacobian(lambda z: module(z[None]).flatten(), latent)
        expected.append(float(torch.linalg.matrix_norm(jacobian).log()))
    np.testing.assert_allclose(log_norms_of_rows(rows), expected, atol=1e-5)
    assert np.std(expected) > 0.01


def test_singular_values_that_are_zero_add_nothing() -> None:
    logs = np.log(np.array([[3.0, 4.0, 12.0], [3.0, 4.0, 1.0], [1.0, 1.0, 1.0]]))
    logs[1, 2] = -np.inf
    logs[2] = -np.inf
    np.testing.assert_allclose(np.exp(log_norms_of_values(logs)), [13.0, 5.0, 0.0])


@pytest.mark.parametrize(("share", "expected"), [(0.5, [4, 0]), (0.25, [4]), (0.01, [4]), (1.0, [4, 0, 2, 1])])
def test_the_smallest_norms_are_kept_of_rows_that_are_usable(share: float, expected: list[int]) -> None:
    norms = np.array([1.0, 4.0, 3.0, 0.0, 0.5])
    usable = np.array([True, True, True, False, True])
    assert kept_rows(norms, usable, share).tolist() == expected
