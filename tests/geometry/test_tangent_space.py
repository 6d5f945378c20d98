"""Volumes on a sphere: d - 1 columns, orthogonal to the latent."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import Engine, volumes
from magnet_service.geometry.tangent_space import tangent_basis
from tests.geometry.oracles import autograd_jacobian, dense, linear_generator, random_latents


@pytest.mark.parametrize("dim", [2, 3, 20])
def test_the_basis_is_orthonormal_and_orthogonal_to_the_latent(dim: int) -> None:
    latents = random_latents(1, 40, dim, torch.float64)
    latents[0] = torch.eye(dim, dtype=torch.float64)[0]
    latents[1] = -torch.eye(dim, dtype=torch.float64)[0]
    basis = tangent_basis(latents)
    assert basis.shape == (40, dim - 1, dim)
    gram = basis @ basis.mT
    torch.testing.assert_close(gram, torch.eye(dim - 1, dtype=torch.float64).expand_as(gram), rtol=0, atol=1e-14)
    across = (basis @ latents[:, :, None]).squeeze(2) / latents.norm(dim=1, keepdim=True)
    torch.testing.assert_close(across, torch.zeros_like(across), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision.FLOAT32, 1e-4), (Precision.FLOAT64, 1e-10)])
def test_volumes_are_those_of_the_jacobian_on_the_tangent_space(precision: Precision, tolerance: float) -> None:
    module, latents = dense(7, 40, 40, 30, seed=2), random_latents(3, 21, 7)
    tangent = [torch.from_numpy(scipy.linalg.null_space(latent[None])) for latent in latents.double().numpy()]
    expected = torch.linalg.svdvals(autograd_jacobian(module, latents) @ torch.stack(tangent)).log()
    found = volumes(Generator.from_module(module, 7), latents, engine=Engine(precision=precision), tangent_space=True)
    assert (found.rank == 6).all()
    torch.testing.assert_close(found.log_singular_values, expected, rtol=0, atol=tolerance)


def test_a_radial_direction_that_the_generator_forgets_does_not_lower_the_rank() -> None:
    # The whole Jacobian of z -> (z_2, z_3) has rank 2 at e_1, all of it tangential.
    found = volumes(linear_generator(torch.eye(3)[1:]), torch.eye(3)[:1], tangent_space=True)
    assert found.rank.tolist() == [2]
    torch.testing.assert_close(found.log_singular_values, torch.zeros(1, 2).double(), rtol=0, atol=1e-12)


def test_the_origin_has_no_tangent_space() -> None:
    found = volumes(linear_generator(torch.eye(3)), torch.zeros(2, 3), tangent_space=True)
    assert found.finite.tolist() == [False, False]


def test_one_latent_dimension_has_no_tangent_space() -> None:
    with pytest.raises(InvalidInput, match="no tangent space"):
        volumes(linear_generator(torch.ones(3, 1)), torch.ones(2, 1), tangent_space=True)
