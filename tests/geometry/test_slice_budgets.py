"""Slices under budgets: tiles, memory, time; and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat

import numpy as np
import pytest
import torch
from torch import nn

from magnet_service.errors import Cancelled, InvalidInput, Refused
from magnet_service.generator import Generator
from magnet_service.geometry import Extent, Tessellation, slice_along, slice_through, tessellate
from tests.generator.families import by_name, generator_of
from tests.geometry.oracles import dense
from tests.geometry.planes import check_subdivision, polygon
from tests.geometry.tilings import slice_of

SQUARE = slice_along(torch.zeros(2), torch.eye(2), (-1.0, 1.0, -1.0, 1.0))


@pytest.fixture(scope="module")
def deep() -> Generator:
    return Generator.from_module(dense(2, 30, 30, 30, 4, seed=4), 2)


@pytest.fixture(scope="module")
def whole(deep: Generator) -> Tessellation:
    return tessellate(deep, SQUARE, boundary=True, threads=1)


def test_a_budget_of_tiles_leaves_out_whole_layers_and_says_so(deep: Generator, whole: Tessellation) -> None:
    counts = [layer.tiles for layer in whole.layers]
    names = [layer.name for layer in whole.layers]
    assert counts == sorted(counts)
    assert 1 < counts[0] < counts[-1] < whole.tiles
    for kept in range(1, len(counts)):
        for most in (counts[kept] - 1, counts[kept - 1]):
            cut = tessellate(deep, SQUARE, boundary=True, max_tiles=most, threads=1)
            assert cut.extent is Extent.TRUNCATED
            assert cut.stopped_at == names[kept]
            assert [layer.tiles for layer in cut.layers] == counts[:kept]
            assert cut.tiles == counts[kept - 1]
            assert np.isnan(cut.frobenius_norms).all()
            # The same as the network up to there.
            before = tessellate(deep, SQUARE, up_to=names[kept - 1], threads=1)
            assert before.extent is Extent.COMPLETE
            assert (cut.points == before.points).all()
            assert (cut.cycle == before.cycle).all()
            check_subdivision(cut, SQUARE.window.numpy())


def test_a_budget_that_only_the_decision_boundary_exceeds(deep: Generator, whole: Tessellation) -> None:
    cut = tessellate(deep, SQUARE, boundary=True, max_tiles=whole.tiles - 1)
    assert (cut.extent, cut.stopped_at) == (Extent.TRUNCATED, "decision")
    assert cut.tiles == whole.layers[-1].tiles
    exact = tessellate(deep, SQUARE, boundary=True, max_tiles=whole.tiles)
    assert (exact.extent, exact.stopped_at, exact.tiles) == (Extent.COMPLETE, "", whole.tiles)


def test_one_tile_is_the_window() -> None:
    found = tessellate(Generator.from_module(dense(2, 9, 3, seed=0), 2), SQUARE, max_tiles=1)
    assert (found.tiles, found.extent, found.layers) == (1, Extent.TRUNCATED, ())
    assert found.areas.tolist() == [4.0]


def compared(one: Tessellation, other: Tessellation, units: bool = True) -> None:
    """Two tessellations of one window whose vertices and tiles are numbered in other orders."""
    assert (len(one.points), len(one.ends), one.tiles) == (len(other.points), len(other.ends), other.tiles)
    assert [(layer.name, layer.tiles) for layer in one.layers] == [(layer.name, layer.tiles) for layer in other.layers]
    for name in ("areas", "frobenius_norms", "stretches"):
        mine, theirs = (np.sort(getattr(found, name)) for found in (one, other))
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-9 * max(mine.max(), 1e-300))
    for labels in (one.labels, other.labels):
        assert labels.min() >= -2
    # Which of the copies of a unit (an upsampling makes some) is named by an edge is up to rounding.
    kept = 3 if units else 1
    lengths = []
    for found in (one, other):
        keys, which = np.unique(found.labels[:, :kept], axis=0, return_inverse=True)
        lengths.append((keys, np.bincount(which.ravel(), weights=found.lengths)))
    assert (lengths[0][0] == lengths[1][0]).all()
    np.testing.assert_allclose(lengths[0][1], lengths[1][1], rtol=1e-9, atol=1e-10 * one.slice.size)


@pytest.mark.parametrize("bytes_", [60_000, 200_000, 600_000])
def test_pieces_of_the_window_join_to_the_same_tiles(deep: Generator, whole: Tessellation, bytes_: int) -> None:
    found = tessellate(deep, SQUARE, boundary=True, max_memory=bytes_)
    check_subdivision(found, SQUARE.window.numpy())
    assert found.extent is Extent.COMPLETE
    # In one piece the corners of the window come first.
    assert not (found.points[:4] == SQUARE.window.numpy()).all()
    compared(whole, found)


@pytest.mark.parametrize(("name", "bytes_"), [("pooled", 300_000), ("hardtanh", 60_000), ("residual", 400_000)])
def test_pieces_of_other_networks(name: str, bytes_: int) -> None:
    family = by_name(name)
    generator, plane = generator_of(family), slice_of(family.latent_dim, 0)
    found = tessellate(generator, plane, max_memory=bytes_)
    check_subdivision(found, plane.window.numpy())
    compared(tessellate(generator, plane), found, units=name != "residual")


def test_both_budgets_at_once(deep: Generator, whole: Tessellation) -> None:
    counts = [layer.tiles for layer in whole.layers]
    found = tessellate(deep, SQUARE, max_memory=600_000, max_tiles=counts[1] + counts[1] // 5)
    assert (found.extent, found.stopped_at) == (Extent.TRUNCATED, whole.layers[2].name)
    assert found.tiles == counts[1]
    check_subdivision(found, SQUARE.window.numpy())


def test_a_line_is_not_cut_into_pieces_and_says_so() -> None:
    generator = Generator.from_module(dense(5, 40, 40, 3, seed=2), 5)
    line = slice_through(3 * torch.randn(2, 5, generator=torch.Generator().manual_seed(1)))
    whole = tessellate(generator, line)
    assert whole.tiles > 20
    cut = tessellate(generator, line, max_memory=60_000)
    assert (cut.extent, cut.stopped_at) == (Extent.TRUNCATED, whole.layers[0].name)
    assert cut.tiles == 1


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads: int) -> None:
    generator = Generator.from_module(dense(2, 120, 120, 5, seed=4), 2)
    one = tessellate(generator, SQUARE, threads=1)
    assert one.tiles > 5000, "fewer stay in one thread"
    found = tessellate(generator, SQUARE, threads=threads)
    for name in ("ends", "sides", "labels", "starts", "cycle"):
        assert (getattr(one, name) == getattr(found, name)).all(), name
    np.testing.assert_allclose(one.points, found.points, rtol=0, atol=1e-13)
    again = tessellate(generator, SQUARE, threads=threads)
    for name in ("points", "areas", "spectral_norms", "stretches"):
        assert getattr(found, name).tobytes() == getattr(again, name).tobytes(), name


def test_a_call_can_be_stopped(deep: Generator) -> None:
    asked = 0

    def count() -> bool:
        nonlocal asked
        asked += 1
        return False

    tessellate(deep, SQUARE, boundary=True, should_stop=count)
    assert asked >= 7, "once for each node"
    for number in range(asked):
        answers = chain(repeat(False, number), [True])
        with pytest.raises(Cancelled):
            tessellate(deep, SQUARE, boundary=True, should_stop=lambda answers=answers: next(answers))


@pytest.mark.parametrize("argument", ["max_tiles", "max_memory"])
@pytest.mark.parametrize("value", [0, -5])
def test_budgets_below_one_are_refused(deep: Generator, argument: str, value: int) -> None:
    with pytest.raises(InvalidInput, match="at least 1") as caught:
        tessellate(deep, SQUARE, **{argument: value})
    assert caught.value.field == argument


def test_a_slice_of_another_space_is_refused(deep: Generator) -> None:
    with pytest.raises(InvalidInput, match="3 dimensions") as caught:
        tessellate(deep, slice_of(3, 0))
    assert caught.value.field == "slice"


def test_an_unknown_node_is_refused_with_those_there_are(deep: Generator) -> None:
    with pytest.raises(InvalidInput, match=r"relu_1.*write one of|write one of.*relu_1") as caught:
        tessellate(deep, SQUARE, up_to="relu_9")
    assert caught.value.field == "up_to"


@pytest.mark.parametrize("smooth", [nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.GELU(), nn.SiLU(), nn.ELU()])
def test_what_is_smooth_inside_is_named(smooth: nn.Module) -> None:
    layers = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), smooth, nn.Linear(4, 2), nn.ReLU())
    generator = Generator.from_module(layers, 2)
    with pytest.raises(Refused, match="up_to") as caught:
        tessellate(generator, SQUARE)
    assert caught.value.reason == "NOT_PIECEWISE_AFFINE"
    assert caught.value.metadata["operation"] in str(caught.value)
    # Up to there it is.
    assert tessellate(generator, SQUARE, up_to="linear_1").tiles > 1


def steep() -> nn.Module:
    """Two layers that each make numbers 1e150 times larger."""
    first, second, third = nn.Linear(2, 3).double(), nn.Linear(3, 3).double(), nn.Linear(3, 2).double()
    with torch.no_grad():
        for layer in (first, second):
            layer.weight.copy_(1e150 * torch.tensor([[1.0], [-1.0], [1.0]], dtype=torch.float64))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)


def pooled() -> nn.Module:
    return nn.Sequential(*list(steep())[:3], nn.Unflatten(1, (1, 3)), nn.MaxPool1d(3), nn.Flatten())


def linear() -> nn.Module:
    return nn.Sequential(*list(steep())[:3])


@pytest.mark.parametrize(
    ("make", "feeds"), [(steep, "relu_1 "), (pooled, "max_pool1d "), (linear, "the decision boundary")]
)
def test_a_network_that_overflows_is_refused(make: Callable[[], nn.Module], feeds: str) -> None:
    generator = Generator.from_module(make(), 2)
    boundary = feeds == "the decision boundary"
    assert tessellate(generator, SQUARE, boundary=boundary).tiles > 1
    huge = replace(SQUARE, window=1e20 * SQUARE.window)
    with pytest.raises(Refused, match="not finite everywhere in the window") as caught:
        tessellate(generator, huge, boundary=boundary)
    assert caught.value.reason == "NOT_FINITE"
    assert feeds in str(caught.value)


def test_windows_of_any_convex_shape(deep: Generator, whole: Tessellation) -> None:
    for corners in (3, 5, 8):
        plane = slice_along(torch.zeros(2), torch.eye(2), torch.from_numpy(polygon(corners, 0.9, 0.2)))
        found = tessellate(deep, plane)
        check_subdivision(found, plane.window.numpy())
        assert found.areas.sum() == pytest.approx(plane.area, rel=1e-9)
        assert 1 < found.tiles < whole.tiles


def test_a_window_of_any_size_has_the_same_tiles() -> None:
    # Without biases lines go through 0 and tiles are cones: as many in every window around it.
    layers = dense(2, 12, 12, 3, seed=3)
    for layer in layers[::2]:
        nn.init.zeros_(layer.get_parameter("bias"))
    generator = Generator.from_module(layers, 2)
    counts = set()
    for size in (1e-6, 1.0, 1e9):
        plane = replace(SQUARE, window=size * SQUARE.window)
        found = tessellate(generator, plane)
        check_subdivision(found, plane.window.numpy())
        counts.add(found.tiles)
        assert math.isclose(found.areas.sum(), plane.area, rel_tol=1e-9)
    assert len(counts) == 1
