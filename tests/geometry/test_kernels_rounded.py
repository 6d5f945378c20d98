"""Wide dense layers in bfloat16: against float64 with the same rounded numbers, with idle units that are never read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, log_volume, volumes
from magnet_service.geometry.kernels import rounded
from magnet_service.geometry.kernels.rounded import affine_rounded, runs_rounded
from magnet_service.geometry.passes import arithmetic
from magnet_service.geometry.sweep import Sweep, prepare, run, trace
from magnet_service.geometry.sweep.affine_steps import LEAST_ROUNDED, halved
from tests.geometry.oracles import random_latents
from tests.geometry.test_kernels_layers import EPSILON, IDLE, ROWS, STRIDES, Layer, Tangents, dense, tangents_of

Numbers = NDArray[np.float32]
Wide = NDArray[np.float64]
Places = NDArray[np.int32]

rounds = pytest.mark.skipif(not runs_rounded(), reason="the processor does not multiply pairs of bfloat16")


def nearest(numbers: Numbers) -> Wide:
    """Numbers rounded to bfloat16."""
    made: Wide = torch.from_numpy(np.ascontiguousarray(numbers)).bfloat16().double().numpy()
    return made


def segments_of(outputs: int, most: int) -> Places:
    return np.array([(0, 1, at, min(at + most, outputs)) for at in range(0, outputs, most)], np.int32)


def ran(layer: Layer, given: Tangents, most: int = 7, keeps_idle: bool = False, grams: Wide | None = None) -> Numbers:
    """What `affine_rounded` writes over what is not a number, so many outputs at a time."""
    stride = given.lines.shape[2]
    made = np.full((*given.made_slopes.shape, stride), np.nan, np.float32)
    affine_rounded(
        given.lines, given.shared, given.slopes, layer.lines, halved(torch.from_numpy(layer.weights).double()),
        segments_of(layer.outputs, most), made, given.made_slopes, keeps_idle,
        np.zeros((0, stride, stride)) if grams is None else grams,
    )  # fmt: skip
    return made


def assert_layer(layer: Layer, given: Tangents, most: int = 7) -> None:
    """Within the rounding of as many float32 sums as there are terms; nothing is written to the lines of idle units."""
    made = ran(layer, given, most)
    weights = nearest(layer.weights)
    for row, slopes in enumerate(given.made_slopes):
        chosen = (layer.lines >= 0) & (given.slopes[row, layer.lines.clip(0)] != 0)
        lines = nearest(given.lines[0 if given.shared else row, layer.lines[chosen]])
        expected = slopes[:, None] * (weights[:, chosen] @ lines)
        size = abs(slopes[:, None]) * (abs(weights[:, chosen]) @ abs(lines))
        idle = slopes == 0
        assert np.isnan(made[row, idle]).all()
        assert (abs(made[row] - expected)[~idle] <= (len(layer.lines) + 3) * EPSILON * size[~idle]).all()


@rounds
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("idle", IDLE)
def test_layers_of_every_width(stride: int, idle: tuple[float, float]) -> None:
    layer = dense(71, 17)
    assert_layer(layer, tangents_of(layer, stride, idle))


@rounds
@pytest.mark.parametrize("outputs", range(1, 21))
@pytest.mark.parametrize("stride", [16, 48, 64])
def test_layers_of_every_height(outputs: int, stride: int) -> None:
    layer = dense(11, outputs)
    for seed in range(4):
        assert_layer(layer, tangents_of(layer, stride, (0.3, 0.2 * seed), seed=seed), most=20 - seed)


@rounds
@pytest.mark.parametrize("inputs", [1, 2, 31, 32, 33, 63, 64, 65, 200])
@pytest.mark.parametrize("idle", [0.0, 0.5])
def test_layers_of_few_and_many_inputs(inputs: int, idle: float) -> None:
    layer = dense(inputs, 9)
    assert_layer(layer, tangents_of(layer, 80, (idle, 0.0)))


@rounds
@pytest.mark.parametrize("counts", [range(0, 40, 2), range(1, 40, 2), [0], [39], [0, 1, 2], list(range(32)), range(33)])
def test_inputs_that_are_idle_on_either_side_of_a_pair(counts: range | list[int]) -> None:
    layer = replace(dense(40, 8), lines=np.arange(40, dtype=np.int32))
    given = tangents_of(layer, 32, (0.0, 0.0))
    given.slopes[:] = 0
    given.slopes[:, list(counts)] = 1
    given.lines[given.slopes == 0] = np.nan
    assert_layer(layer, given)


@rounds
def test_tangents_that_all_rows_share() -> None:
    layer = dense(45, 9)
    for stride in (16, 64, 96):
        assert_layer(layer, tangents_of(layer, stride, shared=True))


@rounds
def test_inputs_that_are_no_unit_or_one_for_several() -> None:
    lines = np.random.default_rng(3).integers(-1, 20, 50).astype(np.int32)
    layer = replace(dense(50, 9), lines=lines)
    assert_layer(layer, tangents_of(layer, 48))
    nothing = replace(layer, lines=np.full(50, -1, np.int32))
    assert (ran(nothing, tangents_of(dense(50, 9), 48, (0.0, 0.0))) == 0).all()


@rounds
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_tangent_that_is_not_finite_stays_so_in_its_row_and_column(number: float) -> None:
    layer = dense(40, 9)
    given = tangents_of(layer, 32, (0.0, 0.0))
    good = ran(layer, given)
    given.lines[1, 7, 3] = number
    grams = np.zeros((ROWS, 32, 32))
    made = ran(layer, given, grams=grams)
    assert not np.isfinite(made[1, :, 3]).any()
    assert not np.isfinite(grams[1, 3, :4]).any()
    made[1, :, 3] = good[1, :, 3]
    assert made.tobytes() == good.tobytes()
    assert np.isfinite(grams[[0, 2]]).all()


@rounds
def test_a_not_a_number_whose_bits_would_round_over() -> None:
    layer = dense(2, 1)
    given = tangents_of(layer, 16, (0.0, 0.0))
    given.lines[:] = np.array([0x7FFFFFFF], np.uint32).view(np.float32)[0]
    assert np.isnan(ran(layer, given)).all()


@rounds
@pytest.mark.parametrize("idle", IDLE)
def test_lines_of_idle_units_are_set_to_zero_on_demand(idle: tuple[float, float]) -> None:
    layer = dense(40, 23)
    given = tangents_of(layer, 48, idle)
    left, zeroed = ran(layer, given), ran(layer, given, keeps_idle=True)
    counts = given.made_slopes != 0
    assert (zeroed[~counts] == 0).all()
    assert zeroed[counts].tobytes() == left[counts].tobytes()


@rounds
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("idle", IDLE)
def test_gram_matrices_of_rounded_lines_are_added_to(stride: int, idle: tuple[float, float]) -> None:
    layer = dense(40, 31)
    given = tangents_of(layer, stride, idle)
    for most in (1, 7, 31):
        grams = np.full((ROWS, stride, stride), 0.5)
        lines = nearest(ran(layer, given, most, True, grams))
        expected, size = lines.swapaxes(1, 2) @ lines, abs(lines).swapaxes(1, 2) @ abs(lines)
        below = np.tril_indices(stride)
        error = abs(grams - 0.5 - expected) - 33 * EPSILON * size - 1e-12
        assert (error[(..., *below)] <= 0).all()


@rounds
@pytest.mark.parametrize("stride", [16, 48, 64, 80])
@pytest.mark.parametrize("shared", [False, True])
def test_a_row_depends_neither_on_others_nor_on_its_place(stride: int, shared: bool) -> None:
    layer = dense(75, 40)
    given = tangents_of(layer, stride, shared=shared, rows=6)
    grams = np.zeros((6, stride, stride))
    together = ran(layer, given, 16, True, grams)
    for rows in ([0], [4], [5, 2, 0, 3]):
        lines = given.lines if shared else given.lines[rows]
        part = Tangents(lines, shared, given.slopes[rows], given.made_slopes[rows])
        found = np.zeros((len(rows), stride, stride))
        assert ran(layer, part, 16, True, found).tobytes() == together[rows].tobytes()
        assert np.tril(found).tobytes() == np.tril(grams[rows]).tobytes()


def mlp(outputs: int, head: nn.Module, dim: int = 12) -> Generator:
    torch.manual_seed(0)
    return Generator.from_module(nn.Sequential(nn.Linear(dim, 75), nn.ReLU(), nn.Linear(75, outputs), head), dim)


def swept(generator: Generator, precision: Precision) -> Sweep:
    found = prepare(generator.to(precision=precision), Manifold.OUTPUT)
    assert found.program is not None
    return found


@rounds
def test_wide_last_layers_behind_a_smooth_head_are_rounded() -> None:
    wide, narrow = mlp(LEAST_ROUNDED, nn.Tanh()), mlp(LEAST_ROUNDED - 1, nn.Tanh())
    for generator, precision, expected in (
        (wide, Precision.BFLOAT16, Precision.BFLOAT16),
        (wide, Precision.FLOAT32, Precision.FLOAT32),
        (narrow, Precision.BFLOAT16, Precision.FLOAT32),
        (mlp(LEAST_ROUNDED, nn.Identity()), Precision.BFLOAT16, Precision.FLOAT32),  # folded
    ):
        sweep = swept(generator, precision)
        assert sweep.program is not None
        assert sweep.program.rounds == (expected is Precision.BFLOAT16)
        assert arithmetic(sweep) is expected


def test_without_such_a_processor_bfloat16_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounded, "NEEDED", ("+no such feature",))
    assert not runs_rounded()
    assert arithmetic(swept(mlp(LEAST_ROUNDED, nn.Tanh()), Precision.BFLOAT16)) is Precision.FLOAT32


@rounds
@pytest.mark.parametrize("head", [nn.Tanh(), nn.Sigmoid(), nn.ReLU()])
def test_their_log_volumes_are_close_and_their_bytes_the_rows_own(head: nn.Module) -> None:
    generator, latents = mlp(LEAST_ROUNDED + 30, head), random_latents(5, 40, 12)
    engine = Engine(precision=Precision.BFLOAT16, threads=2)
    found = volumes(generator, latents, engine=engine)
    exact = volumes(generator, latents, engine=replace(engine, precision=Precision.FLOAT64))
    torch.testing.assert_close(log_volume(found, 12), log_volume(exact, 12), rtol=0, atol=0.02)
    assert not torch.equal(found.log_singular_values, exact.log_singular_values.float().double())
    for first, last, threads in ((0, 1, 1), (3, 4, 1), (7, 38, 2)):
        part = volumes(generator, latents[first:last], engine=replace(engine, threads=threads, tile_rows=5))
        expected = found.log_singular_values[first:last]
        assert part.log_singular_values.numpy().tobytes() == expected.numpy().tobytes()


@rounds
def test_jacobians_and_gram_matrices_of_a_program_that_rounds() -> None:
    generator, latents = mlp(LEAST_ROUNDED, nn.Tanh()), random_latents(6, 5, 12)
    sweeps = [swept(generator, precision) for precision in (Precision.BFLOAT16, Precision.FLOAT32)]
    with torch.inference_mode():
        (lines, grams), (exact, exact_grams) = (
            run(sweep.program, trace(sweep, latents)) for sweep in sweeps if sweep.program is not None
        )
    eps = torch.finfo(torch.bfloat16).eps
    assert float((lines - exact).abs().max()) < eps * float(exact.abs().max())
    assert float((grams - exact_grams).abs().max()) < eps * float(exact_grams.abs().max())
