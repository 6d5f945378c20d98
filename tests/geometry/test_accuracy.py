"""V7: every log-volume against singular values of the float64 autograd Jacobian, on rows whose pattern agrees.

|error| <= 1e-6 + 10 d eps cond nats, eps of the arithmetic (ten times that where smooth operations stand inside);
cond = sigma_1 / sigma_k for the top-k log-volume. Above
condition 1e6 the oracle's singular values come from 50 digits. Rows whose activation pattern differs between the
precisions are counted and left out: they lie in another region.
"""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, Manifold, Precision, activation_pattern
from magnet_service.geometry import Engine, prefix_sums, volumes
from magnet_service.geometry.sweep import preparation
from tests.generator.families import FAMILIES, Family, generator_of
from tests.geometry.oracles import autograd_jacobian, dense, many_digit_log_sigma

ROWS = 18
"""One whole tile, and one that is filled up."""

exported = functools.cache(generator_of)
HEADED = [family for family in FAMILIES if family.smooth_head and isinstance(family.build(), nn.Sequential)]


class Shaped(nn.Module):
    """The family's module on latents [rows, d]."""

    def __init__(self, family: Family, module: nn.Module) -> None:
        super().__init__()
        self.module, self.shape = module, family.latent_shape or (family.latent_dim,)

    def forward(self, latents: Tensor) -> Tensor:
        return self.module(latents.reshape(-1, *self.shape))


def oracle(jacobian: Tensor) -> tuple[Tensor, int]:
    """Log singular values of one Jacobian and its rank in float64, in many digits where the condition is above 1e6."""
    sigma = torch.linalg.svdvals(jacobian)
    rank = int((sigma > max(jacobian.shape) * torch.finfo(torch.float64).eps * sigma[0]).sum())
    if rank and sigma[0] / sigma[rank - 1] > 1e6:
        return many_digit_log_sigma(jacobian, digits=50)[:rank], rank
    return sigma[:rank].log(), rank


def check(generator: Generator, module: nn.Module, latents: Tensor, manifold: Manifold, precision: Precision) -> int:
    """Compares all log-volumes of all rows; answers how many rows had to be left out."""
    latents = latents.to(precision.dtype)
    found = volumes(generator, latents, manifold=manifold, engine=Engine(precision=precision))
    here = activation_pattern(generator.to(precision=precision), latents)
    there = activation_pattern(generator.to(precision=Precision.FLOAT64), latents.double())
    agree = (here == there).all(1)
    eps, columns = torch.finfo(precision.tangent_dtype).eps, generator.latent_dim
    # Smooth operations inside let the rounding of values into the Jacobian.
    eps *= 1 if generator.piecewise_affine else 10
    for row in agree.nonzero().flatten().tolist():
        logs, rank = oracle(autograd_jacobian(module, latents[row : row + 1])[0])
        assert int(found.rank[row]) == rank, row
        allowed = 1e-6 + 10 * columns * eps * (logs[:1] - logs).exp()
        error = (prefix_sums(found)[row, :rank] - logs.cumsum(0)).abs()
        assert (error <= allowed).all(), (row, error, allowed)
        assert (prefix_sums(found)[row, rank:] == -torch.inf).all()
    assert found.finite.all()
    return int((~agree).sum())


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_on_its_outputs(family: Family, precision: Precision) -> None:
    module = Shaped(family, family.build())
    # A saturated softmax loses digits to p - p^2 in autograd and here alike; short latents keep it from saturating.
    latents = family.latents(ROWS) * (1.0 if family.piecewise_affine else 0.3)
    flips = check(exported(family), module, latents, Manifold.OUTPUT, precision)
    assert flips <= (1 if precision is Precision.FLOAT32 else 0)


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("family", HEADED, ids=lambda family: family.name)
def test_every_family_with_a_head_before_it(family: Family, precision: Precision) -> None:
    module = Shaped(family, family.build()[:-1])
    flips = check(exported(family), module, family.latents(ROWS), Manifold.PRE_ACTIVATION, precision)
    assert flips <= (1 if precision is Precision.FLOAT32 else 0)


def test_some_families_have_a_head() -> None:
    assert len(HEADED) >= 4


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("power", [2, 4, 6, 8])
def test_badly_conditioned_generators(
    power: int, precision: Precision, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "COMPILES", compiles)
    # Columns of the first layer shrink by powers of ten, down to what only float64 resolves.
    module = dense(6, 40, 40, 30, seed=1).double()
    with torch.no_grad():
        module[0].weight.mul_(torch.logspace(0, -power, 6, dtype=torch.float64))
    latents = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    generator = Generator.from_module(module, 6)
    assert check(generator, module, latents, Manifold.OUTPUT, precision) <= 1
    again = volumes(generator, latents, engine=Engine(precision=precision)).recomputed
    # bfloat16 tells less apart: its rows give up two powers of ten earlier. Compiled, it is float32.
    least = 2 if precision is Precision.BFLOAT16 and not compiles else 4
    assert (bool(again.any()), bool(again.all())) == (power >= least, power >= least + 2)


@pytest.mark.parametrize("shift", [0.0, 4.0, 9.0])
def test_a_saturated_head(shift: float) -> None:
    # tanh' from the pre-activation: 1 - y^2 would have lost every digit at 9.
    module = dense(5, 40, 60, seed=3, head=nn.Tanh())
    with torch.no_grad():
        module[2].bias.add_(shift)
    latents = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(4))
    assert check(Generator.from_module(module, 5), module, latents, Manifold.OUTPUT, Precision.FLOAT32) <= 1
