"""Compiled layers, sums and Gram matrices of tangents: against float64, with idle units that are never read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from magnet_service.geometry.kernels.layers import affine, combine, gram
from magnet_service.geometry.kernels.refinement import SEGMENT, refined_grams
from magnet_service.geometry.reduction import SINGLE_CONDITION

Numbers = NDArray[np.float32]
Wide = NDArray[np.float64]
Places = NDArray[np.int32]

EPSILON = float(np.finfo(np.float32).eps)
STRIDES = range(16, 161, 16)
ROWS = 3
IDLE = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.6), (1.0, 0.0), (0.0, 1.0)]
"""Shares of the inputs and of the outputs that are idle."""


@dataclass(frozen=True)
class Layer:
    """What `affine` reads of a layer, all but the segments."""

    lines: Places
    channels: int
    weights: Numbers
    taps: Places
    starts: Places
    bases: Places
    outputs: int

    @property
    def sites(self) -> int:
        return len(self.bases)

    def whole(self) -> Places:
        return np.array([[0, self.sites, 0, self.outputs]], np.int32)


@dataclass(frozen=True)
class Tangents:
    """Lines times their slopes, with what is not a number in those of idle units; the slopes of the layer's units."""

    lines: Numbers
    shared: bool
    slopes: Numbers
    made_slopes: Numbers


def dense(inputs: int, outputs: int, seed: int = 0) -> Layer:
    source = np.random.default_rng([inputs, outputs, seed])
    weights = source.standard_normal((outputs, inputs)).astype(np.float32)
    lines = source.permutation(inputs).astype(np.int32)
    taps, starts = np.zeros((1, 2), np.int32), np.array([0, 1], np.int32)
    return Layer(lines, inputs, weights, taps, starts, np.zeros(1, np.int32), outputs)


def grouped(seed: int = 0) -> Layer:
    """Seven sites in two groups, of none to four taps each, and inputs that are no unit or one for several."""
    source = np.random.default_rng(seed)
    channels, inputs, outputs, places = 5, 9, 6, 4
    lines = source.integers(0, inputs * channels // 2, inputs * channels).astype(np.int32)
    lines[source.permutation(inputs * channels)[:8]] = -1
    weights = source.standard_normal((2 * outputs, places * channels)).astype(np.float32)
    counts = [3, 0, 1, 4, 2, 4, 1]
    taps = [
        (there, channels * place)
        for count in counts
        for there, place in zip(source.permutation(inputs), source.permutation(places)[:count], strict=False)
    ]
    bases = np.array([0, outputs, 0, outputs, outputs, 0, 0], np.int32)
    starts = np.cumsum([0, *counts]).astype(np.int32)
    return Layer(lines, channels, weights, np.array(taps, np.int32), starts, bases, outputs)


def slopes_of(source: np.random.Generator, rows: int, units: int, idle: float) -> Numbers:
    slopes = source.choice(np.array([1.0, 0.2, -1.5], np.float32), (rows, units))
    slopes[source.random(slopes.shape) < idle] = 0
    return slopes


def tangents_of(
    layer: Layer,
    stride: int,
    idle: tuple[float, float] = (0.4, 0.4),
    shared: bool = False,
    rows: int = ROWS,
    seed: int = 0,
) -> Tangents:
    source = np.random.default_rng([stride, rows, seed])
    units = int(layer.lines.max()) + 1
    slopes = slopes_of(source, rows, units, idle[0])
    lines = source.standard_normal((1 if shared else rows, units, stride)).astype(np.float32)
    if shared:
        slopes = (slopes != 0).astype(np.float32)
        lines[:, ~slopes.any(0)] = np.nan
    else:
        lines *= slopes[:, :, None]
        lines[slopes == 0] = np.nan
    return Tangents(lines, shared, slopes, slopes_of(source, rows, layer.sites * layer.outputs, idle[1]))


def run(
    layer: Layer,
    given: Tangents,
    segments: Places | None = None,
    keeps_idle: bool = False,
    grams: Wide | None = None,
) -> Numbers:
    """What `affine` writes over what is not a number."""
    stride = given.lines.shape[2]
    made = np.full((*given.made_slopes.shape, stride), np.nan, np.float32)
    affine(
        given.lines, given.shared, given.slopes, layer.lines, layer.channels, layer.weights, layer.taps, layer.starts,
        layer.bases, layer.whole() if segments is None else segments, layer.outputs, made, given.made_slopes,
        keeps_idle, np.zeros((0, stride, stride)) if grams is None else grams,
    )  # fmt: skip
    return made


def expected_of(layer: Layer, given: Tangents) -> tuple[Wide, Wide]:
    """The lines in float64, one number of the weights after another, and what they are with absolute values."""
    rows, stride = len(given.slopes), given.lines.shape[2]
    made = np.zeros((2, rows, layer.sites * layer.outputs, stride))
    for row in range(rows):
        lines = given.lines[0 if given.shared else row].astype(np.float64)
        for site in range(layer.sites):
            for there, column in layer.taps[layer.starts[site] : layer.starts[site + 1]]:
                for channel in range(layer.channels):
                    line = layer.lines[there * layer.channels + channel]
                    if line < 0 or given.slopes[row, line] == 0:
                        continue
                    first = layer.bases[site]
                    weights = layer.weights[first : first + layer.outputs, column + channel].astype(np.float64)
                    product = weights[:, None] * lines[line]
                    made[0, row, site * layer.outputs : (site + 1) * layer.outputs] += product
                    made[1, row, site * layer.outputs : (site + 1) * layer.outputs] += abs(product)
    made *= np.stack([given.made_slopes, abs(given.made_slopes)])[..., None]
    return made[0], made[1]


def assert_layer(layer: Layer, given: Tangents, segments: Places | None = None) -> None:
    """Within the rounding of as many float32 sums as there are terms; nothing is written to the lines of idle units."""
    made = run(layer, given, segments)
    expected, size = expected_of(layer, given)
    idle = given.made_slopes == 0
    assert np.isnan(made[idle]).all()
    terms = layer.weights.shape[1] + 2
    assert (abs(made - expected)[~idle] <= terms * EPSILON * size[~idle]).all()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("idle", IDLE)
def test_dense_layers_of_every_width(stride: int, idle: tuple[float, float]) -> None:
    layer = dense(23, 17)
    assert_layer(layer, tangents_of(layer, stride, idle))


@pytest.mark.parametrize("outputs", range(1, 21))
@pytest.mark.parametrize("stride", [16, 48, 64])
def test_dense_layers_of_every_height(outputs: int, stride: int) -> None:
    layer = dense(11, outputs)
    for seed in range(4):
        assert_layer(layer, tangents_of(layer, stride, (0.3, 0.2 * seed), seed=seed))


@pytest.mark.parametrize("inputs", [1, 2, 40])
def test_dense_layers_of_few_and_many_inputs(inputs: int) -> None:
    layer = dense(inputs, 5)
    assert_layer(layer, tangents_of(layer, 32))


@pytest.mark.parametrize("stride", [16, 64, 96])
@pytest.mark.parametrize("idle", IDLE)
def test_tangents_that_all_rows_share(stride: int, idle: tuple[float, float]) -> None:
    layer = dense(13, 9)
    assert_layer(layer, tangents_of(layer, stride, idle, shared=True))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shared", [False, True])
def test_sites_taps_groups_and_inputs_that_are_no_unit(seed: int, shared: bool) -> None:
    layer = grouped(seed)
    assert_layer(layer, tangents_of(layer, 32 + 32 * (seed % 3), IDLE[seed], shared, seed=seed))


def test_a_layer_whose_inputs_are_no_units_gives_zeros() -> None:
    layer = replace(dense(4, 3), lines=np.full(4, -1, np.int32))
    given = tangents_of(dense(4, 3), 16, (0.0, 0.0))
    assert (run(layer, given) == 0).all()


@pytest.mark.parametrize("stride", [16, 64, 112])
def test_segments_of_sites_do_not_change_a_byte(stride: int) -> None:
    layer = grouped(3)
    given = tangents_of(layer, stride)
    whole = run(layer, given)
    for ends in (range(layer.sites + 1), [0, 2, layer.sites]):
        segments = [(first, last, 0, layer.outputs) for first, last in pairwise(ends)]
        assert run(layer, given, np.array(segments, np.int32)).tobytes() == whole.tobytes()


@pytest.mark.parametrize("stride", [16, 64, 112])
@pytest.mark.parametrize("most", [1, 2, 4, 5])
def test_segments_of_outputs_change_nothing_but_rounding(stride: int, most: int) -> None:
    layer = grouped(3)
    spans = [(first, min(first + most, layer.outputs)) for first in range(0, layer.outputs, most)]
    segments = [(site, site + 1, *span) for span in spans for site in range(layer.sites)]
    assert_layer(layer, tangents_of(layer, stride), np.array(segments, np.int32))


def test_segments_leave_what_is_not_in_them_alone() -> None:
    layer = dense(8, 12)
    given = tangents_of(layer, 16, (0.2, 0.0))
    part = run(layer, given, np.array([[0, 1, 3, 7]], np.int32))
    assert np.isfinite(part[:, 3:7]).all()
    assert np.isnan(part[:, :3]).all()
    assert np.isnan(part[:, 7:]).all()


@pytest.mark.parametrize("idle", IDLE)
def test_lines_of_idle_units_are_set_to_zero_on_demand(idle: tuple[float, float]) -> None:
    layer = grouped(1)
    given = tangents_of(layer, 48, idle)
    left, zeroed = run(layer, given), run(layer, given, keeps_idle=True)
    counts = given.made_slopes != 0
    assert (zeroed[~counts] == 0).all()
    assert zeroed[counts].tobytes() == left[counts].tobytes()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("stride", [16, 48, 64, 80])
def test_a_row_depends_neither_on_others_nor_on_its_place(stride: int, shared: bool) -> None:
    layer = grouped(2)
    given = tangents_of(layer, stride, shared=shared, rows=6)
    grams = np.zeros((6, stride, stride))
    together = run(layer, given, keeps_idle=True, grams=grams)
    for rows in ([0], [4], [5, 2, 0, 3]):
        part = Tangents(
            given.lines if shared else given.lines[rows], shared, given.slopes[rows], given.made_slopes[rows]
        )
        found = np.zeros((len(rows), stride, stride))
        assert run(layer, part, keeps_idle=True, grams=found).tobytes() == together[rows].tobytes()
        assert found.tobytes() == grams[rows].tobytes()


def assert_gram(found: Wide, lines: Wide, start: float = 0.0) -> None:
    """The lower triangle of the matrix of products of columns of lines, added to what was there."""
    expected = np.swapaxes(lines, -1, -2) @ lines
    size = np.swapaxes(abs(lines), -1, -2) @ abs(lines)
    below = np.tril_indices(found.shape[-1])
    error = abs(found - start - expected) - (lines.shape[-2] + 2) * EPSILON * size - 1e-12
    assert (error[(..., *below)] <= 0).all()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("count", [1, 2, 50])
def test_gram_matrices_are_added_to(stride: int, count: int) -> None:
    lines = np.random.default_rng([stride, count]).standard_normal((count + 2, stride)).astype(np.float32)
    grams = np.full((3, stride, stride), 2.0)
    gram(lines.reshape(-1), stride, stride, count, grams.reshape(-1), stride**2)
    assert_gram(grams[1], lines[1:-1].astype(np.float64), 2.0)
    assert (grams[[0, 2]] == 2.0).all()


def test_a_gram_matrix_of_no_lines_is_as_it_was() -> None:
    grams = np.ones((1, 32, 32))
    gram(np.zeros(32, np.float32), 0, 32, 0, grams.reshape(-1), 0)
    assert (grams == 1).all()


@pytest.mark.parametrize("stride", [16, 64, 144])
@pytest.mark.parametrize("idle", IDLE)
def test_layers_add_their_gram_matrices(stride: int, idle: tuple[float, float]) -> None:
    layer = grouped(4)
    given = tangents_of(layer, stride, idle)
    for segments in (layer.whole(), np.array([(at, at + 1, 0, layer.outputs) for at in range(layer.sites)], np.int32)):
        grams = np.full((ROWS, stride, stride), 0.5)
        made = run(layer, given, segments, True, grams)
        assert_gram(grams, made.astype(np.float64), 0.5)


def test_spans_of_outputs_add_their_gram_matrices() -> None:
    layer = dense(30, 40)
    given = tangents_of(layer, 32)
    grams = np.zeros((ROWS, 32, 32))
    segments = np.array([(0, 1, first, min(first + 12, 40)) for first in range(0, 40, 12)], np.int32)
    assert_gram(grams, run(layer, given, segments, True, grams).astype(np.float64))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_sums_of_copies(shared: bool, adds: bool) -> None:
    source = np.random.default_rng([shared, adds])
    units, before, stride = 20, 7, 48
    tangents = source.standard_normal((1 if shared else ROWS, before, stride)).astype(np.float32)
    slopes, own = slopes_of(source, ROWS, units, 0.3), slopes_of(source, ROWS, units, 0.3)
    lines = source.integers(-1, before, units).astype(np.int32)
    lines[lines == 4] = 3
    tangents[:, 4] = np.nan  # read for nobody, and 3 only where it counts
    slopes[0, lines == 3] = 0
    if not shared:
        tangents[0, 3] = np.nan
    made = source.standard_normal((ROWS, units, stride)).astype(np.float32)
    there = made.copy()
    combine(tangents, shared, slopes, lines, made, own, adds)
    for row in range(ROWS):
        for unit in range(units):
            expected = there[row, unit].copy()
            if own[row, unit] != 0:
                expected *= np.float32(adds)
                if lines[unit] >= 0 and slopes[row, unit] != 0:
                    expected += slopes[row, unit] * tangents[0 if shared else row, lines[unit]]
            np.testing.assert_allclose(made[row, unit], expected, rtol=4 * EPSILON, atol=4 * EPSILON)


def jacobians_of(condition: float, units: int, columns: int, stride: int, rows: int = ROWS) -> Numbers:
    """Float32 Jacobians with logarithmically spread singular values, their columns filled up with zeros."""
    source = np.random.default_rng([units, columns, stride])
    left = np.linalg.qr(source.standard_normal((rows, units, columns)))[0]
    right = np.linalg.qr(source.standard_normal((rows, columns, columns)))[0]
    values = np.exp(np.linspace(1.0, 1.0 - math.log(condition), columns))
    lines = np.zeros((rows, units, stride), np.float32)
    lines[:, :, :columns] = (left * values) @ right
    return lines


def bases_of(side: int, columns: int) -> Wide:
    source = np.random.default_rng([side, columns])
    bases = np.linalg.qr(source.standard_normal((ROWS, columns, side)))[0].swapaxes(1, 2)
    return np.ascontiguousarray(bases)


def refined(
    lines: Numbers, first: Wide, bases: Wide | None = None, rows: list[int] | None = None
) -> tuple[Wide, list[bool]]:
    made, found = np.full(first.shape, np.nan), np.ones(len(first), bool)
    chosen = np.array(range(len(first)) if rows is None else rows, np.int64)
    given = np.zeros((0, *first.shape[1:])) if bases is None else bases
    refined_grams(lines, chosen, first, given, 1 / math.sqrt(SINGLE_CONDITION), made, found)
    return made, found.tolist()


def grams_of(jacobians: Wide) -> Wide:
    made: Wide = jacobians.swapaxes(1, 2) @ jacobians
    return made


def assert_refined(made: Wide, exact: Wide, condition: float) -> None:
    """Log singular values within a few times the condition number times the rounding of float32."""
    expected = np.log(np.linalg.svd(exact, compute_uv=False))
    logs = np.log(np.linalg.eigvalsh(made)[:, ::-1]) / 2
    assert (abs(logs - expected) < 5 * EPSILON * condition).all()
    assert (made == made.swapaxes(1, 2)).all()


@pytest.mark.parametrize("condition", [1.5, 30.0, 1e3, 1e4, 1e5])
@pytest.mark.parametrize(
    ("units", "columns", "stride"), [(90, 12, 16), (SEGMENT + 7, 31, 32), (400, 64, 64), (97, 70, 80)]
)
def test_refined_matrices_are_linear_in_the_condition_number(
    condition: float, units: int, columns: int, stride: int
) -> None:
    lines = jacobians_of(condition, units, columns, stride)
    exact = lines[:, :, :columns].astype(np.float64)
    made, found = refined(lines, grams_of(exact))
    assert found == [True] * ROWS
    assert_refined(made, exact, condition)


@pytest.mark.parametrize("condition", [10.0, 100.0, 300.0])
def test_a_first_matrix_of_rounded_products_will_do(condition: float) -> None:
    lines = jacobians_of(condition, 90, 12, 16)
    first = np.zeros((ROWS, 16, 16))
    for row in range(ROWS):
        gram(lines[row].reshape(-1), 0, 16, 90, first.reshape(-1), row * 256)
    made, found = refined(lines, np.ascontiguousarray(first[:, :12, :12]))
    assert found == [True] * ROWS
    assert_refined(made, lines[:, :, :12].astype(np.float64), condition)


@pytest.mark.parametrize("condition", [1.5, 30.0, 1e3, 1e5])
@pytest.mark.parametrize(("side", "columns", "stride"), [(11, 12, 16), (1, 12, 16), (32, 33, 48), (64, 64, 64)])
def test_bases_restrict_the_jacobians(condition: float, side: int, columns: int, stride: int) -> None:
    lines = jacobians_of(condition, 210, columns, stride)
    bases = bases_of(side, columns)
    exact = lines[:, :, :columns].astype(np.float64) @ bases.swapaxes(1, 2)
    made, found = refined(lines, grams_of(exact), bases)
    assert found == [True] * ROWS
    assert_refined(made, exact, condition)


def test_only_the_lower_triangle_of_the_first_matrix_is_read() -> None:
    lines = jacobians_of(100.0, 50, 12, 16)
    first = grams_of(lines[:, :, :12].astype(np.float64))
    made, _ = refined(lines, first)
    first[:, *np.triu_indices(12, 1)] = np.nan
    assert refined(lines, first)[0].tobytes() == made.tobytes()


def test_chosen_rows_depend_on_nothing_but_themselves() -> None:
    lines = jacobians_of(1e3, 200, 20, 32, rows=5)
    first = grams_of(lines[:, :, :20].astype(np.float64))
    made, _ = refined(lines, first)
    for rows in ([3], [4, 0, 2]):
        part, found = refined(lines, np.ascontiguousarray(first[rows]), rows=rows)
        assert found == [True] * len(rows)
        assert part.tobytes() == made[rows].tobytes()


@pytest.mark.parametrize("fault", ["indefinite", "zero", "nan", "inf", "far"])
@pytest.mark.parametrize("place", range(ROWS))
def test_rows_without_an_answer_say_so_and_leave_others_alone(fault: str, place: int) -> None:
    lines = jacobians_of(100.0, 60, 12, 16)
    first = grams_of(lines[:, :, :12].astype(np.float64))
    good, _ = refined(lines, first)
    match fault:
        case "indefinite":
            first[place, 7, 7] *= -1
        case "zero":
            first[place] = 0
        case "nan":
            first[place, 5, 3] = np.nan
        case "inf":
            first[place, 11, 11] = np.inf
        case "far":  # Y^T Y is a quarter of the identity
            first[place] *= 4
    made, found = refined(lines, first)
    assert found == [row != place for row in range(ROWS)]
    assert np.isnan(made[place]).all()
    others = [row for row in range(ROWS) if row != place]
    assert made[others].tobytes() == good[others].tobytes()


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_jacobians_that_are_not_finite_are_not_found(number: float) -> None:
    lines = jacobians_of(10.0, 60, 12, 16)
    first = grams_of(lines[:, :, :12].astype(np.float64))
    lines[1, 7, 3] = number
    assert refined(lines, first)[1] == [True, False, True]
