"""Errors of an arithmetic: against autograd in float64, at breakpoints, at missing ranks, joined."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from magnet_service.errors import Cancelled, InvalidInput
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import ERROR_LIMIT, Engine, MeasuredError, measure_error, volumes
from magnet_service.geometry.accuracy import joined
from magnet_service.geometry.sweep import preparation
from tests.geometry.oracles import autograd_jacobian, dense, log_sigma, random_latents

SINGLE = Engine(precision=Precision.FLOAT32, threads=1)


def mixed(sigma: Tensor, outputs: int, *, seed: int) -> Tensor:
    """A matrix of these singular values, none of whose directions is an axis."""
    source = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(outputs, len(sigma), generator=source, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(len(sigma), len(sigma), generator=source, dtype=torch.float64))
    return left @ torch.diag(sigma) @ right


def test_float64_is_what_is_measured_against() -> None:
    generator = Generator.from_module(dense(4, 16, 9, seed=1), 4)
    double = Engine(precision=Precision.FLOAT64, threads=1)
    # Not even begun: it would have been stopped.
    found = measure_error(double, generator, Manifold.OUTPUT, False, random_latents(1, 20, 4), lambda: True)
    assert found == MeasuredError(Precision.FLOAT64, (0.0,) * 4, 20)
    assert found.largest_k == 4


def test_the_error_is_that_against_autograd() -> None:
    module, latents = dense(5, 40, 30, 20, seed=3, head=nn.Tanh()), random_latents(2, 40, 5)
    generator = Generator.from_module(module, 5)
    found = measure_error(SINGLE, generator, Manifold.OUTPUT, False, latents)
    assert (found.precision, found.latents, found.other_pattern) == (Precision.FLOAT32, 40, ())
    logs = volumes(generator, latents, engine=SINGLE).log_singular_values.cumsum(1)
    error = (logs - log_sigma(autograd_jacobian(module, latents)).cumsum(1)).abs().amax(0)
    assert found.log_volume == pytest.approx(error.tolist(), abs=1e-10)
    assert 0.0 < max(found.log_volume) < 1e-4
    assert found.largest_k == 5


@pytest.mark.parametrize("precision", list(Precision))
def test_the_tangent_space_has_one_column_less(precision: Precision) -> None:
    generator = Generator.from_module(dense(4, 16, 9, seed=1), 4)
    engine = Engine(precision=precision, threads=1)
    assert len(measure_error(engine, generator, Manifold.OUTPUT, True, random_latents(1, 5, 4)).log_volume) == 3


def test_a_row_in_another_region_is_named_and_left_out() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        # float32 rounds the first bias to -1: its unit is at its breakpoint at z_1 = 1 there, and above it in float64.
        module[0].bias.copy_(torch.tensor([-1.0 + 1e-9, 5.0, 5.0], dtype=torch.float64))
        module[2].weight.copy_(mixed(torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64), 4, seed=1))
    latents = torch.tensor([[0.5, 0.25], [1.0, 0.5], [2.0, 1.0]])
    found = measure_error(SINGLE, Generator.from_module(module, 2), Manifold.OUTPUT, False, latents)
    assert (found.other_pattern, found.compared) == ((1,), 2)
    assert max(found.log_volume) < 1e-5


def test_no_error_is_known_where_every_row_is_in_another_region() -> None:
    found = MeasuredError(Precision.BFLOAT16, (0.0, 0.0), 2, (0, 1))
    assert (found.compared, found.at(1), found.largest_k) == (0, math.inf, 0)


@pytest.mark.parametrize("precision", list(Precision))
def test_a_rank_that_both_lack_is_no_error(precision: Precision) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5))
    with torch.no_grad():
        # Four units that look in two directions.
        module[0].weight.copy_(torch.tensor([[0.5, -0.25, 1.0], [0.25, 0.5, -1.0]]).repeat(2, 1))
        module[0].bias.fill_(50.0)
        module[2].weight.copy_(torch.arange(20.0).reshape(5, 4) % 3)
    generator = Generator.from_module(module, 3)
    engine = Engine(precision=precision, threads=1)
    latents = random_latents(5, 8, 3)
    assert (volumes(generator, latents, engine=engine).rank == 2).all()
    found = measure_error(engine, generator, Manifold.OUTPUT, False, latents)
    assert (found.log_volume[2], found.recomputed) == (0.0, 0 if precision is Precision.FLOAT64 else 8)
    assert found.largest_k == 3


@pytest.mark.parametrize("compiles", [False, True])
def test_bfloat16_fails_on_directions_that_it_cannot_tell_apart(
    compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "COMPILES", compiles)
    # Directions that are mixed: column by column the rounding is relative, between columns it is not.
    module = nn.Sequential(nn.Linear(16, 40), nn.ReLU(), nn.Linear(40, 48))
    sigma = torch.tensor([1.0] + [0.01] * 15, dtype=torch.float64)
    with torch.no_grad():
        module[0].weight.copy_(mixed(sigma, 40, seed=2))
        module[0].bias.fill_(2.0)
        module[2].weight.copy_(mixed(torch.ones(40, dtype=torch.float64), 48, seed=3))
    generator, latents = Generator.from_module(module, 16), random_latents(6, 64, 16)
    found = measure_error(Engine(precision=Precision.BFLOAT16, threads=1), generator, Manifold.OUTPUT, False, latents)
    single = measure_error(SINGLE, generator, Manifold.OUTPUT, False, latents).log_volume
    assert max(single) < 1e-4
    if compiles:  # to float32 all the same
        assert (found.log_volume, found.largest_k) == (single, 16)
    else:
        assert found.log_volume[0] < ERROR_LIMIT < max(found.log_volume)
        assert 1 <= found.largest_k < 16


def test_a_stop_is_heard() -> None:
    generator = Generator.from_module(dense(4, 16, 9, seed=1), 4)
    with pytest.raises(Cancelled):
        measure_error(SINGLE, generator, Manifold.OUTPUT, False, random_latents(1, 5, 4), lambda: True)


def test_parts_are_joined_with_their_latents_numbered_through() -> None:
    parts = [
        MeasuredError(Precision.FLOAT32, (1e-7, math.inf), 16, (3,), 2),
        MeasuredError(Precision.FLOAT32, (2e-7, 1e-6), 8, (0, 7), 1),
    ]
    assert joined(parts) == MeasuredError(Precision.FLOAT32, (2e-7, math.inf), 24, (3, 16, 23), 3)
    with pytest.raises(InvalidInput):
        joined([])
    with pytest.raises(InvalidInput):
        joined([parts[0], MeasuredError(Precision.FLOAT64, (0.0, 0.0), 1)])


@pytest.mark.parametrize(
    ("errors", "largest"), [((0.0, 0.05, 0.051), 2), ((0.06, 0.0), 0), ((0.01, math.inf, 0.0), 1), ((0.05,), 1)]
)
def test_the_largest_k_is_the_last_before_the_first_that_is_off(errors: tuple[float, ...], largest: int) -> None:
    assert MeasuredError(Precision.BFLOAT16, errors, 64).largest_k == largest
