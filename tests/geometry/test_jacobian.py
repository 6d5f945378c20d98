"""Jacobians of one tile against autograd, whole, by direction and in blocks of columns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import columns, jacobian
from tests.geometry.oracles import autograd_jacobian, dense, random_latents, without_head

MODULE = dense(7, 40, 40, 30, seed=1, head=nn.Tanh())
LATENTS = random_latents(2, 9, 7, torch.float64)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.from_module(MODULE, 7).to(precision=Precision.FLOAT64)


@pytest.mark.parametrize(("manifold", "module"), [("output", MODULE), ("pre_activation", without_head(MODULE))])
def test_it_equals_autograd(generator: Generator, manifold: str, module: nn.Module) -> None:
    found = jacobian(generator, LATENTS, manifold=Manifold(manifold))
    torch.testing.assert_close(found, autograd_jacobian(module, LATENTS), rtol=0, atol=1e-13)


def test_given_directions_are_multiplied(generator: Generator) -> None:
    whole = jacobian(generator, LATENTS)
    shared = random_latents(3, 4, 7, torch.float64)
    own = random_latents(4, 9 * 4, 7, torch.float64).reshape(9, 4, 7)
    found = jacobian(generator, LATENTS, directions=shared[None])
    torch.testing.assert_close(found, whole @ shared.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(jacobian(generator, LATENTS, directions=own), whole @ own.mT, rtol=0, atol=1e-13)


@pytest.mark.parametrize("block", [1, 2, 3, 6])
def test_blocks_of_columns_are_joined_in_order(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    whole = jacobian(generator, LATENTS)
    monkeypatch.setattr(columns, "BLOCK_BYTES", 9 * 40 * 8 * block)
    torch.testing.assert_close(jacobian(generator, LATENTS), whole, rtol=0, atol=1e-14)


def test_a_linear_generator_has_one_jacobian_for_all_rows() -> None:
    generator = Generator.from_module(nn.Linear(3, 5), 3)
    found = jacobian(generator, torch.randn(4, 3, generator=torch.Generator().manual_seed(5)))
    assert found.shape == (4, 5, 3)
    assert torch.equal(found, found[:1].expand(4, -1, -1))
