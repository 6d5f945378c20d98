"""Rank-deficient, extreme and non-finite rows: V6 and the fields that report them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from magnet_service.errors import InvalidInput
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import Engine, log_volume, prefix_sums, volumes
from tests.geometry.oracles import autograd_jacobian, dense, linear_generator, random_latents

each_precision = pytest.mark.parametrize("precision", list(Precision))


@each_precision
def test_a_bottleneck_bounds_the_rank_and_is_never_a_pseudo_determinant(precision: Precision) -> None:
    module = dense(8, 5, 40, 60, seed=1)
    latents = random_latents(2, 50, 8)
    found = volumes(Generator.from_module(module, 8), latents, engine=Engine(precision=precision))
    active = (module[1](module[0](latents)) > 0).sum(1)
    assert (found.rank <= active).all()
    assert (found.rank == active).float().mean() > 0.9
    assert found.recomputed.all()
    assert torch.equal(log_volume(found, 8), torch.full((50,), -torch.inf, dtype=torch.float64))
    for row in range(50):
        rank = int(found.rank[row])
        assert prefix_sums(found)[row, :rank].isfinite().all()
        assert (prefix_sums(found)[row, rank:] == -torch.inf).all()


def test_ranks_agree_with_the_float64_jacobian_where_float32_would_hide_them() -> None:
    # 30 units, few of them active, before wide layers: in float32 rounding fills the missing directions up.
    module = dense(24, 30, 120, 90, seed=3)
    latents = random_latents(4, 60, 24)
    jacobian = autograd_jacobian(module, latents)
    sigma = torch.linalg.svdvals(jacobian)
    expected = (sigma > 90 * torch.finfo(torch.float64).eps * sigma[:, :1]).sum(1)
    found = volumes(Generator.from_module(module, 24), latents)
    assert expected.min() < expected.max() < 24
    assert torch.equal(found.rank, expected)


@each_precision
def test_fewer_outputs_than_latents_end_the_rank_there(precision: Precision) -> None:
    matrix = random_latents(5, 3, 7, torch.float64)
    found = volumes(linear_generator(matrix), random_latents(6, 18, 7), engine=Engine(precision=precision))
    assert found.log_singular_values.shape == (18, 7)
    assert (found.rank == 3).all()
    expected = torch.linalg.slogdet(matrix @ matrix.T).logabsdet / 2
    torch.testing.assert_close(
        log_volume(found, 3), expected.expand(18), rtol=0, atol=0.02 if precision is Precision.BFLOAT16 else 1e-5
    )
    assert (log_volume(found, 4) == -torch.inf).all()


@each_precision
def test_a_constant_generator_has_rank_zero(precision: Precision) -> None:
    found = volumes(linear_generator(torch.zeros(9, 4)), random_latents(7, 5, 4), engine=Engine(precision=precision))
    assert (found.rank == 0).all()
    assert found.finite.all()
    assert (found.log_singular_values == -torch.inf).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-40, 1e40, 1e150, 1e300])
def test_volumes_far_outside_of_float32_are_exact_all_the_same(scale: float) -> None:
    # In float32 the weights under- or overflow; such rows are done again in float64, in log form throughout.
    matrix = random_latents(8, 20, 4, torch.float64)
    expected = torch.linalg.slogdet(matrix.T @ matrix).logabsdet / 2 + 4 * math.log(scale)
    found = volumes(linear_generator(scale * matrix), random_latents(9, 3, 4))
    assert found.recomputed.all()
    assert found.finite.all()
    torch.testing.assert_close(log_volume(found, 4), expected.expand(3), rtol=1e-14, atol=1e-11)


@pytest.mark.parametrize("poison", [math.inf, -math.inf, math.nan])
@each_precision
def test_a_row_that_is_not_finite_says_so_and_leaves_its_neighbours_alone(precision: Precision, poison: float) -> None:
    generator, engine = Generator.from_module(dense(6, 20, 30, seed=10), 6), Engine(precision=precision)
    latents = random_latents(11, 20, 6)
    clean = volumes(generator, latents, engine=engine)
    latents[5, 2] = poison
    found = volumes(generator, latents, engine=engine)
    others = torch.arange(20) != 5
    assert torch.equal(found.log_singular_values[others], clean.log_singular_values[others])
    assert torch.equal(found.rank[others], clean.rank[others])
    assert found.finite.tolist() == others.tolist()
    assert int(found.rank[5]) == 0
    assert (found.log_singular_values[5] == -torch.inf).all()


def test_outputs_beyond_float32_but_within_float64_are_finite() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).double()
    with torch.no_grad():
        for layer in module:
            layer.weight.copy_(1e30 * torch.eye(3, dtype=torch.float64))
            layer.bias.zero_()
    found = volumes(Generator.from_module(module, 3), random_latents(12, 4, 3))
    assert found.finite.all()
    expected = torch.full((4,), 180 * math.log(10), dtype=torch.float64)
    torch.testing.assert_close(log_volume(found, 3), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("k", [0, -1, 5])
def test_log_volume_refuses_a_k_that_is_not_there(k: int) -> None:
    found = volumes(linear_generator(torch.eye(4)), random_latents(13, 2, 4))
    with pytest.raises(InvalidInput, match="from 1 to 4") as caught:
        log_volume(found, k)
    assert caught.value.field == "top_k"
