"""Slices and hyperplane densities over a real channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from magnet.v1 import geometry_pb2, types_pb2
from magnet_service.errors import Cancelled
from magnet_service.generator import Generator, Precision, load_version
from magnet_service.geometry import Engine
from magnet_service.geometry.slice import Slice, slice_along, slice_through
from magnet_service.geometry.tessellation import (
    Extent,
    Tessellation,
    hyperplane_density,
    statistics,
    tessellate,
    tile_patterns,
    tile_volumes,
)
from magnet_service.registry import slices
from magnet_service.rpc.servicers import geometry
from tests.rpc.calls import Services, array, draw, failure, tensor, until
from tests.rpc.networks import LATENT_DIM

Request, Grid = geometry_pb2.SliceRequest, geometry_pb2.HyperplaneDensityRequest.Grid
POINTS = np.random.RandomState(3).normal(size=(3, LATENT_DIM))
INVALID, REFUSED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION


def asked(points: Any = POINTS, **more: Any) -> Request:
    if points is not None and not isinstance(points, types_pb2.Tensor):
        points = tensor(points, "<f8")
    return Request(**{"generator": "plain", "points": None if "along" in more else points, **more})


def along(origin: Any, directions: Any) -> Request.Along:
    return Request.Along(origin=tensor(origin, "<f8"), directions=tensor(directions, "<f8"))


def parts(services: Services, request: Request) -> list[geometry_pb2.SliceResponse]:
    return list(services.geometry.Slice(request))


def joined(found: list[geometry_pb2.SliceResponse], part: str, name: str) -> np.ndarray:
    return np.concatenate([array(getattr(getattr(one, part), name)) for one in found if one.WhichOneof("part") == part])


@pytest.fixture(scope="module")
def generator(repository: Path) -> Generator:
    return load_version(repository / "plain")[0]


def check_equal(found: list[geometry_pb2.SliceResponse], expected: Tessellation) -> None:
    """The parts hold exactly what the core answers."""
    header = found[0].header
    assert [one.WhichOneof("part") for one in found][:: len(found) - 1] == ["header", "trailer"]
    for name in ("areas", "centroids", "spreads", "spectral_norms", "frobenius_norms", "stretches", "cycle"):
        assert joined(found, "tiles", name).tobytes() == getattr(expected, name).tobytes(), name
    assert (joined(found, "tiles", "sizes").cumsum() == expected.starts[1:]).all()
    assert joined(found, "edges", "ends").tobytes() == expected.ends.tobytes()
    assert joined(found, "edges", "sides").tobytes() == expected.sides.tobytes()
    assert joined(found, "vertices", "points").tobytes() == expected.points.tobytes()
    labels = joined(found, "vertices" if expected.slice.axes == 1 else "edges", "labels")
    assert labels.tobytes() == expected.labels.tobytes()
    assert (header.target, header.stopped_at, header.merged) == (expected.target, expected.stopped_at, expected.merged)
    layers = [(one.name, one.operation, one.units, one.bending, one.tiles) for one in expected.layers]
    assert [(one.name, one.operation, one.units, one.bending, one.tiles) for one in header.layers] == layers
    counts = (expected.tiles, len(expected.ends), len(expected.points))
    assert (header.tiles, header.edges, header.vertices) == counts
    assert header.cycle == len(expected.cycle)
    trailer = found[-1].trailer
    assert (trailer.tiles, trailer.edges, trailer.vertices) == counts
    figures = statistics(expected)
    assert header.statistics.area_mean == figures.area_mean
    assert tuple(header.statistics.added) == figures.added
    for name in ("origin", "frame", "window"):
        assert array(getattr(header, name)).tobytes() == getattr(expected.slice, name).numpy().tobytes()


PLACES: dict[str, tuple[dict[str, Any], Callable[[], Slice]]] = {
    "three points": ({}, lambda: slice_through(torch.tensor(POINTS))),
    "a line": ({"points": POINTS[:2]}, lambda: slice_through(torch.tensor(POINTS[:2]))),
    "a rectangle": (
        {"rectangle": Request.Rectangle(left=-1, right=2, bottom=-0.5, top=0.5)},
        lambda: slice_through(torch.tensor(POINTS), (-1.0, 2.0, -0.5, 0.5)),
    ),
    "a polygon along directions": (
        {"along": along(POINTS[0], POINTS[1:]), "polygon": tensor([[0, 0], [3, 0], [0, 2]], "<f8")},
        lambda: slice_along(
            torch.tensor(POINTS[0]), torch.tensor(POINTS[1:]), torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
        ),
    ),
    "a segment along a direction": (
        {"along": along(POINTS[0], POINTS[1:2]), "segment": Request.Segment(low=-4, high=4)},
        lambda: slice_along(torch.tensor(POINTS[0]), torch.tensor(POINTS[1:2]), (-4.0, 4.0)),
    ),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("boundary", [False, True])
def test_a_slice_is_that_of_the_core(services: Services, generator: Generator, name: str, boundary: bool) -> None:
    fields, place = PLACES[name]
    found = parts(services, asked(**fields, boundary=boundary))
    check_equal(found, tessellate(generator, place(), boundary=boundary, threads=1))
    header = found[0].header
    assert header.extent == geometry_pb2.EXTENT_COMPLETE
    assert header.generator == "plain@1"
    assert header.generator_digest == generator.digest
    assert header.max_tiles == 1_000_000
    assert {entry.key for entry in header.stamp} >= {"engine", "torch"}
    assert not header.HasField("precision")


def test_float32_points_are_taken_as_they_are(services: Services, generator: Generator) -> None:
    points = POINTS.astype(np.float32)
    found = parts(services, asked(tensor(points)))
    check_equal(found, tessellate(generator, slice_through(torch.tensor(points)), threads=1))


def test_a_budget_is_kept_and_said(services: Services, generator: Generator) -> None:
    found = parts(services, asked(max_tiles=300, volumes=True))
    expected = tessellate(generator, slice_through(torch.tensor(POINTS)), max_tiles=300, threads=1)
    assert expected.extent is Extent.TRUNCATED
    check_equal(found, expected)
    header = found[0].header
    assert header.extent == geometry_pb2.EXTENT_TRUNCATED
    assert (header.stopped_at, header.max_tiles) == ("relu_1", 300)
    assert np.isnan(joined(found, "tiles", "stretches")).all()
    assert not header.HasField("precision")  # no tile of some layers has the Jacobian of all
    assert not found[1].tiles.HasField("log_singular_values")


def test_a_value_inside_is_tessellated(services: Services, generator: Generator) -> None:
    found = parts(services, asked(up_to="relu"))
    check_equal(found, tessellate(generator, slice_through(torch.tensor(POINTS)), up_to="relu", threads=1))
    assert found[0].header.target == "relu"


@pytest.mark.parametrize("precision", [0, types_pb2.PRECISION_FLOAT64, types_pb2.PRECISION_FLOAT32])
def test_patterns_and_volumes_of_tiles(
    services: Services, generator: Generator, precision: types_pb2.Precision.ValueType
) -> None:
    rectangle = Request.Rectangle(left=-2, right=2, bottom=-2, top=2)
    found = parts(services, asked(patterns=True, volumes=True, precision=precision, rectangle=rectangle))
    expected = tessellate(generator, slice_through(torch.tensor(POINTS), (-2.0, 2.0, -2.0, 2.0)), threads=1)
    assert expected.tiles > 64  # more than one message
    check_equal(found, expected)
    patterns = tile_patterns(generator, expected)
    assert joined(found, "tiles", "patterns").dtype == np.uint8
    np.testing.assert_array_equal(joined(found, "tiles", "patterns"), patterns.numpy())
    used = precision or types_pb2.PRECISION_FLOAT64
    assert found[0].header.precision == used
    name = types_pb2.Precision.Name(used).removeprefix("PRECISION_").lower()
    volumes = tile_volumes(generator, expected, None, Engine(threads=1, precision=Precision(name)))
    logs = joined(found, "tiles", "log_singular_values")
    assert logs.tobytes() == volumes.log_singular_values.numpy().tobytes()
    assert (joined(found, "tiles", "rank") == volumes.rank.numpy()).all()


def test_a_slice_comes_in_parts_near_a_mebibyte(services: Services) -> None:
    wide = Request.Rectangle(left=-40, right=40, bottom=-40, top=40)
    found = parts(services, asked(generator="grey", rectangle=wide, patterns=True))
    sizes = [one.ByteSize() for one in found]
    assert len(sizes) > 4
    assert max(sizes) < 1.2 * 2**20
    tiles = [one.tiles for one in found if one.WhichOneof("part") == "tiles"]
    assert [one.first for one in tiles] == np.cumsum([0] + [one.areas.shape[0] for one in tiles])[:-1].tolist()


def test_conditions_are_those_of_other_calls(services: Services) -> None:
    found = failure(lambda: parts(services, asked(condition=types_pb2.Condition(index=0))))
    assert (found.code, list(found.fields)) == (INVALID, ["condition"])


def test_a_density_is_that_of_the_core(services: Services, generator: Generator) -> None:
    request = geometry_pb2.HyperplaneDensityRequest(slice=asked(boundary=True), cells=Grid(columns=12, rows=7))
    answer = services.geometry.HyperplaneDensity(request)
    expected = tessellate(generator, slice_through(torch.tensor(POINTS)), threads=1)
    lengths = array(answer.lengths)
    assert lengths.tobytes() == hyperplane_density(expected, (12, 7)).tobytes()
    assert lengths.shape == (2, 7, 12)
    inner = expected.labels[:, 0] >= 0
    np.testing.assert_allclose(lengths.sum(), expected.lengths[inner].sum())
    assert answer.header.tiles == expected.tiles


NAN, LONG = float("nan"), "x" * 1001
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]

# What is wrong -> (the request, code, field at fault, what the message must hold)
REFUSALS: dict[str, tuple[Request, grpc.StatusCode, str, str]] = {
    "no placement": (asked(None), INVALID, "placement", "points, along"),
    "one point": (asked(POINTS[:1]), INVALID, "points", "three for a plane"),
    "four points": (asked(np.eye(4, 6)), INVALID, "points", "three for a plane"),
    "points on a line": (asked([[0] * 6, [1] * 6, [2] * 6]), INVALID, "points", "lie on one line"),
    "one place": (asked([[1] * 6, [1] * 6]), INVALID, "points", "are one"),
    "nan": (asked([[0] * 6, [NAN] * 6]), INVALID, "points", "finite"),
    "wrong width": (asked(np.eye(3, 5)), INVALID, "points", "6 numbers"),
    "no rows": (asked([1.0, 2.0]), INVALID, "points", "rows"),
    "whole numbers": (asked(tensor(np.eye(3, 6), "<i4")), INVALID, "points", "TYPE_FLOAT32"),
    "short data": (asked(types_pb2.Tensor(type=3, shape=[3, 6], data=b"123")), INVALID, "points", "bytes"),
    "wrong origin": (asked(along=along([0] * 5, np.eye(2, 6)), rectangle=Request.Rectangle(right=1, top=1)), INVALID,
                     "along.origin", "6 numbers"),
    "infinite origin": (asked(along=along([np.inf] * 6, np.eye(2, 6)), rectangle=Request.Rectangle(right=1, top=1)),
                        INVALID, "along.origin", "finite"),
    "parallel": (asked(along=along([0] * 6, np.ones((2, 6))), rectangle=Request.Rectangle(right=1, top=1)), INVALID,
                 "along.directions", "parallel"),
    "no window": (asked(along=along([0] * 6, np.eye(2, 6))), INVALID, "window", "LEFT,RIGHT"),
    "no directions": (asked(along=Request.Along(origin=tensor([0] * 6))), INVALID, "along.directions", "required"),
    "empty window": (asked(rectangle=Request.Rectangle(left=1, right=1, top=1)), INVALID, "window", "LEFT below"),
    "segment of a plane": (asked(segment=Request.Segment(high=1)), INVALID, "window", "LEFT,RIGHT"),
    "backward segment": (asked(POINTS[:2], segment=Request.Segment(low=1)), INVALID, "window", "LOW below"),
    "infinite window": (asked(rectangle=Request.Rectangle(right=np.inf)), INVALID, "rectangle.right", "finite"),
    "concave window": (asked(polygon=tensor([[0, 0], [2, 0], [0.1, 0.1], [0, 2]], "<f8")), INVALID, "window",
                       "no convex"),
    "crossed window": (asked(polygon=tensor([SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]], "<f8")), INVALID, "window",
                       "no convex"),
    "nan in a window": (asked(polygon=tensor([[0, 0], [NAN, 0], [0, 2]], "<f8")), INVALID, "window", "NaN"),
    "unknown node": (asked(up_to="nothing"), INVALID, "up_to", "relu_1"),
    "long name": (asked(up_to=LONG), INVALID, "up_to", "1000"),
    "volumes of an inner value": (asked(up_to="relu", volumes=True), INVALID, "up_to", "smooth head"),
    "rounded volumes": (asked(volumes=True, precision=3), INVALID, "precision", "FLOAT64"),
    "too many tiles": (asked(max_tiles=1_000_001), INVALID, "max_tiles", "1,000,000"),
    "tiles below 0": (asked(max_tiles=-1), INVALID, "max_tiles", "0"),
    "a smooth value": (asked(generator="grey", up_to="tanh"), REFUSED, "",
                       "not piecewise affine"),
    "unknown generator": (asked(generator="nothing"), grpc.StatusCode.NOT_FOUND, "generator", "plain"),
}  # fmt: skip


@pytest.fixture
def still_serving(services: Services) -> Iterator[None]:
    yield
    assert draw(services, generator="grey", count=2, rho=0.0).rows.latents.shape[0] == 2


@pytest.mark.usefixtures("still_serving")
@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_sliced_is_refused_by_name(services: Services, name: str) -> None:
    request, code, field, says = REFUSALS[name]
    density = geometry_pb2.HyperplaneDensityRequest(slice=request, cells=Grid(columns=2, rows=2))
    calls = [lambda: parts(services, request), lambda: services.geometry.HyperplaneDensity(density)]
    # A density has no volumes, and refuses lines before anything else.
    for call in calls[: 1 if request.volumes or request.points.shape[:1] == [2] else 2]:
        found = failure(call)
        assert (found.code, [one.removeprefix("slice.") for one in found.fields]) == (code, [field] if field else [])
        assert says in found.message
    if name == "a smooth value":
        assert (found.reason, found.metadata["operation"]) == ("NOT_PIECEWISE_AFFINE", "tanh")


def test_a_line_has_no_cells_and_an_answer_must_fit(services: Services) -> None:
    line = geometry_pb2.HyperplaneDensityRequest(slice=asked(POINTS[:2]), cells=Grid(columns=2, rows=2))
    found = failure(lambda: services.geometry.HyperplaneDensity(line))
    assert (found.code, list(found.fields)) == (INVALID, ["points"])
    large = geometry_pb2.HyperplaneDensityRequest(slice=asked(), cells=Grid(columns=4096, rows=4096))
    found = failure(lambda: services.geometry.HyperplaneDensity(large))
    assert (found.reason, list(found.fields)) == ("MESSAGE_TOO_LARGE", ["cells"])
    none = geometry_pb2.HyperplaneDensityRequest(slice=asked(), cells=Grid(columns=4097, rows=0))
    assert list(failure(lambda: services.geometry.HyperplaneDensity(none)).fields) == ["cells.columns", "cells.rows"]


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each slice ended that the server took: the real call is watched."""
    ended: list[str] = []

    def watched(*arguments: Any) -> Any:
        ended.append("began")
        try:
            found = slices.sliced(*arguments)
        except Cancelled:
            ended.append("cancelled")
            raise
        ended.append("done")
        return found

    monkeypatch.setattr(geometry, "sliced", watched)
    return ended


# Three random latents of the bundled generator: minutes of work within these windows.
LARGE = Request(
    generator="fashion",
    points=tensor(np.random.RandomState(0).normal(size=(3, 16))),
    rectangle=Request.Rectangle(left=-0.1, right=0.1, bottom=-0.1, top=0.1),
)


def test_a_client_that_leaves_stops_the_work(services: Services, endings: list[str]) -> None:
    call = services.geometry.Slice(LARGE)
    until(lambda: bool(endings))
    call.cancel()
    until(lambda: len(endings) > 1, 60.0)
    assert endings == ["began", "cancelled"]


def test_a_deadline_stops_the_work(services: Services, endings: list[str]) -> None:
    found = failure(lambda: list(services.geometry.Slice(LARGE, timeout=0.5)))
    assert found.code is grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: len(endings) > 1, 60.0)
    assert endings == ["began", "cancelled"]


def test_a_client_that_leaves_in_the_middle_frees_the_worker(services: Services) -> None:
    small = Request.Rectangle(left=-0.004, right=0.004, bottom=-0.004, top=0.004)
    request = Request(generator="fashion", points=LARGE.points, rectangle=small, volumes=True)
    call = services.geometry.Slice(request)
    assert [next(call).WhichOneof("part") for _ in range(2)] == ["header", "tiles"]
    call.cancel()
    answer = services.geometry.LogVolume(
        geometry_pb2.LogVolumeRequest(generator="plain", latents=tensor(POINTS)), timeout=60.0
    )
    assert answer.rank.shape == [3]
