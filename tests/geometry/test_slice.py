"""Lines and planes through the latent space, and windows on them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from magnet_service.errors import InvalidInput
from magnet_service.geometry import slice_along, slice_through
from tests.geometry.planes import polygon


def drawn(rows: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dim", [2, 3, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_plane_through_three_points_holds_them(dim: int, dtype: torch.dtype) -> None:
    points = drawn(3, dim).to(dtype)
    plane = slice_through(points)
    assert plane.axes == 2
    assert plane.origin.dtype == plane.frame.dtype == plane.window.dtype == torch.float64
    torch.testing.assert_close(plane.frame @ plane.frame.T, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-15)
    at = plane.project(points)
    torch.testing.assert_close(plane.lift(at), points.double(), rtol=0, atol=1e-13)
    # The first axis leads from the first point to the second, and the third lies on the side of the second axis.
    assert at[0].tolist() == [0.0, 0.0]
    assert float(at[1, 0]) == pytest.approx(float((points[1].double() - points[0].double()).norm()), rel=1e-14)
    assert abs(float(at[1, 1])) < 1e-13
    assert float(at[2, 1]) > 0
    # Distances on the slice are those in the latent space.
    torch.testing.assert_close(torch.cdist(at, at), torch.cdist(points.double(), points.double()), rtol=0, atol=1e-12)


def test_the_window_of_points_bounds_them_and_a_quarter_more() -> None:
    points = torch.tensor([[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [1.0, 2.0, 1.0]])
    plane = slice_through(points)
    assert plane.window.tolist() == [[-1.0, -1.0], [5.0, -1.0], [5.0, 3.0], [-1.0, 3.0]]
    assert plane.area == 24.0
    assert plane.size == pytest.approx(math.hypot(6, 4), rel=1e-15)
    line = slice_through(points[:2])
    assert line.window.tolist() == [[-1.0], [5.0]]
    assert line.area == line.size == 6.0


def test_a_line_through_two_points() -> None:
    points = drawn(2, 7)
    line = slice_through(points, (-0.5, 2.0))
    assert line.axes == 1
    assert line.area == 2.5
    torch.testing.assert_close(line.lift(line.project(points)), points, rtol=0, atol=1e-14)


def test_directions_of_any_length_become_orthonormal() -> None:
    origin, directions = drawn(1, 9)[0], drawn(2, 9, 1) * torch.tensor([[1e-6], [1e7]])
    plane = slice_along(origin, directions, (-1.0, 2.0, 0.0, 1.0))
    torch.testing.assert_close(plane.frame @ plane.frame.T, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-15)
    assert float(plane.frame[0] @ directions[0]) > 0
    assert float(plane.frame[1] @ directions[1]) > 0
    # Both directions lie in the plane.
    rest = directions - (directions @ plane.frame.T) @ plane.frame
    assert float((rest.norm(dim=1) / directions.norm(dim=1)).max()) < 1e-15
    assert (plane.origin == origin).all()


def test_what_is_beside_the_slice_is_projected_orthogonally() -> None:
    plane = slice_along(drawn(1, 6)[0], drawn(2, 6, 2), (-1.0, 1.0, -1.0, 1.0))
    beside = drawn(5, 6, 3)
    rest = beside - plane.lift(plane.project(beside))
    assert float((rest @ plane.frame.T).abs().max()) < 1e-14


def test_corners_may_be_given_either_way_round() -> None:
    corners = torch.from_numpy(polygon(6, 2.0, 0.3))
    for given in (corners, corners.flip(0), corners.float()):
        plane = slice_along(torch.zeros(2), torch.eye(2), given)
        assert plane.area == pytest.approx(6 * math.sin(math.pi / 3) / 2 * 4, rel=1e-6)
        assert len(plane.window) == 6
    assert plane.size == pytest.approx(4.0, rel=1e-6)


def test_a_window_far_from_the_origin_keeps_its_area() -> None:
    for corners in (5, 60):
        plane = slice_along(torch.zeros(2), torch.eye(2), torch.from_numpy(polygon(corners)) + 1e6)
        assert plane.area == pytest.approx(corners * math.sin(2 * math.pi / corners) / 2, rel=1e-9)
        assert plane.size == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (torch.tensor([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]]), "lie on one line"),
        (torch.tensor([[0.0, 0], [1, 1], [1, 1 + 1e-12]], dtype=torch.float64), "lie on one line"),
        (torch.tensor([[0.0, 0], [0, 0], [1, 0]]), "span"),
        (torch.ones(2, 4), "are one"),
        (torch.tensor([[0.0, 0], [math.nan, 1], [1, 0]]), "finite"),
        (torch.tensor([[0.0, 0], [math.inf, 1]]), "finite"),
        (torch.zeros(1, 3), "write three for a plane, or two for a line"),
        (torch.zeros(4, 3), "write three for a plane, or two for a line"),
        (torch.tensor([[0.0], [1.0], [3.0]]), "write one direction"),
    ],
)
def test_points_that_span_no_slice_are_refused(points: Tensor, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        slice_through(points)
    assert caught.value.field == "points"


@pytest.mark.parametrize(
    ("origin", "directions", "field"),
    [
        (torch.zeros(3), torch.tensor([[1.0, 0, 0], [2.0, 0, 0]]), "directions"),
        (torch.zeros(3), torch.tensor([[0.0, 0, 0]]), "directions"),
        (torch.zeros(3), torch.tensor([[1.0, 0, 0], [0.0, math.nan, 0]]), "directions"),
        (torch.zeros(3), torch.eye(3), "directions"),
        (torch.zeros(3), torch.zeros(0, 3), "directions"),
        (torch.tensor([0.0, math.inf, 0.0]), torch.tensor([[1.0, 0, 0]]), "origin"),
    ],
)
def test_directions_that_span_no_slice_are_refused(origin: Tensor, directions: Tensor, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        slice_along(origin, directions, (-1.0, 1.0, -1.0, 1.0) if len(directions) > 1 else (-1.0, 1.0))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "window",
    [
        (1.0, -1.0, -1.0, 1.0),
        (-1.0, 1.0, 1.0, 1.0),
        (-1.0, 1.0, -1.0, math.nan),
        (-1.0, math.inf, -1.0, 1.0),
        (-1.0, 1.0),
        (),
        [[0.0, 0.0], [1.0, 0.0]],
        [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]],
        [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 1.0]],
        [[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
        [[0.0, 0.0], [2.0, 0.0], [0.5, 0.5], [0.0, 2.0]],
        [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
        [[1.0, 0.0], [-0.8, 0.6], [0.3, -0.95], [0.3, 0.95], [-0.8, -0.6]],
    ],
    ids=[
        "left beyond right",
        "without height",
        "not a number",
        "infinite",
        "a line's",
        "nothing",
        "two corners",
        "corners on a line",
        "a corner twice",
        "a corner on a side",
        "a dent",
        "a bow",
        "a star",
    ],
)
def test_windows_that_are_none_are_refused(window: Sequence[float] | Sequence[Sequence[float]]) -> None:
    polygon_or_limits = torch.tensor(window) if window and isinstance(window[0], list) else window
    with pytest.raises(InvalidInput) as caught:
        slice_along(torch.zeros(2), torch.eye(2), polygon_or_limits)
    assert caught.value.field == "window"


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (0.0, math.nan), (0.0, 1.0, 0.0, 1.0)])
def test_windows_of_lines_that_are_none_are_refused(window: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        slice_along(torch.zeros(2), torch.eye(2)[:1], window)
    assert caught.value.field == "window"
