"""Slices and densities by the client: whole, as the core has them, and drawn."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from magnet.v1 import geometry_pb2
from magnet_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Extent,
    InvalidInput,
    Refused,
    ServerFault,
    Tessellation,
    codec,
)
from magnet_service.generator import Generator, load_version
from magnet_service.geometry.slice import slice_along, slice_through
from magnet_service.geometry.tessellation import hyperplane_density, statistics, tessellate, tile_maps, tile_volumes
from tests.client.toy import LATENT_DIM

POINTS = np.random.RandomState(8).normal(size=(3, LATENT_DIM))
WHOLE = {"origin": [0.0, 0.0], "directions": np.eye(2), "window": (-1.0, 1.0, -1.0, 1.0)}
"""The domain of the bundled `rings`."""
ARRAYS = (
    "points", "ends", "sides", "labels", "starts", "cycle", "corners", "areas", "centroids", "spreads",
    "spectral_norms", "frobenius_norms", "stretches",
)  # fmt: skip


@pytest.fixture(scope="module")
def toy(repository: Path) -> Generator:
    return load_version(repository / "toy")[0]


@pytest.fixture(scope="module")
def plane(client: Client) -> Tessellation:
    return client.slice("rings", **WHOLE, boundary=True, volumes=True, patterns=True)


@pytest.fixture(scope="module")
def line(client: Client) -> Tessellation:
    return client.slice("rings", [[-0.9, -0.5], [0.9, 0.6]], boundary=True)


def test_a_slice_is_that_of_the_core(client: Client, toy: Generator) -> None:
    found = client.slice("toy", POINTS)
    expected = tessellate(toy, slice_through(torch.tensor(POINTS)), threads=1)
    for name in ARRAYS:
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name
        assert getattr(found, name).shape == getattr(expected, name).shape, name
    assert (found.neighbours == expected.neighbours).all()
    assert (found.lengths == expected.lengths).all()
    assert (found.border == expected.border).all()
    header = found.header
    assert (header.generator, header.generator_digest) == ("toy@1", toy.digest)
    assert (header.extent, found.truncated, header.target) == (Extent.COMPLETE, False, expected.target)
    assert [dataclasses.astuple(one) for one in found.layers] == [dataclasses.astuple(one) for one in expected.layers]
    figures = dataclasses.asdict(statistics(expected))
    assert figures.pop("tiles") == found.tiles == len(found) == header.tiles
    assert dataclasses.asdict(found.statistics) == figures
    np.testing.assert_allclose(header.through, found.project(POINTS))
    np.testing.assert_allclose(found.lift(header.through), POINTS)
    assert (found.patterns, found.log_singular_values, found.rank, found.log_volumes) == (None,) * 4
    assert "tiles of a plane" in repr(found)
    assert "toy@1" in repr(found)


def test_a_line_is_that_of_the_core(client: Client, toy: Generator) -> None:
    found = client.slice("toy", origin=POINTS[0], directions=POINTS[1:2], window=(-3.0, 3.0))
    place = slice_along(torch.tensor(POINTS[0]), torch.tensor(POINTS[1:2]), (-3.0, 3.0))
    expected = tessellate(toy, place, threads=1)
    for name in ARRAYS:
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name
    assert found.axes == 1
    assert found.header.through is None
    assert (np.diff([ends.min() for ends in found.polygons()]) > 0).all()
    assert "intervals of a line" in repr(found)
    with pytest.raises(InvalidInput, match="line"):
        _ = found.neighbours


def test_tiles_have_volumes_patterns_and_polygons(plane: Tessellation) -> None:
    areas, inside = [], []
    for corners, centre in zip(plane.polygons(), plane.centroids, strict=True):
        x, y = corners.T
        areas.append((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
        inside.append((corners.min(0) <= centre).all() and (centre <= corners.max(0)).all())
    np.testing.assert_allclose(areas, plane.areas, rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(sum(areas), 4.0)
    assert all(inside)
    assert plane.log_volumes is not None
    assert plane.rank is not None
    # The plane is the whole latent space: areas are stretched as volumes are.
    np.testing.assert_allclose(np.exp(plane.log_volumes), plane.stretches, rtol=1e-6, atol=1e-9)
    assert (plane.rank == 2).all()
    assert plane.patterns is not None
    assert plane.patterns.shape == (plane.tiles, 96)
    # Without the decision boundary's own cuts each tile is one region.
    assert len(np.unique(plane.patterns, axis=0)) == plane.layers[-1].tiles < plane.tiles
    assert plane.decision.any()
    assert plane.header.precision == "float64"


def test_a_budget_ends_a_slice(client: Client) -> None:
    found = client.slice("rings", **WHOLE, max_tiles=150, volumes=True)
    assert found.truncated
    assert (found.header.extent, found.header.stopped_at, found.header.max_tiles) == ("TRUNCATED", "relu_1", 150)
    assert [layer.name for layer in found.layers] == ["relu"]
    assert found.log_volumes is None
    assert "TRUNCATED at relu_1" in repr(found)
    np.testing.assert_allclose(found.areas.sum(), 4.0)


def test_a_density_is_that_of_the_core(client: Client, toy: Generator) -> None:
    found = client.hyperplane_density("toy", POINTS, cells=(30, 20))
    expected = tessellate(toy, slice_through(torch.tensor(POINTS)), threads=1)
    np.testing.assert_array_equal(found.lengths, hyperplane_density(expected, (30, 20)))
    left, right, bottom, top = found.extent
    cell = (right - left) * (top - bottom) / 600
    np.testing.assert_allclose(found.densities * cell, found.lengths)
    assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]


def test_the_other_client_answers_the_same(address: str, plane: Tessellation, client: Client) -> None:
    async def whole() -> None:
        async with AsyncClient(address) as other:
            found = await other.slice("rings", **WHOLE, boundary=True, volumes=True, patterns=True)
            for name in (*ARRAYS, "patterns", "log_singular_values", "rank"):
                np.testing.assert_array_equal(getattr(found, name), getattr(plane, name))
            density = await other.hyperplane_density("rings", **WHOLE, cells=(8, 9))
            same = client.hyperplane_density("rings", **WHOLE, cells=(8, 9))
            np.testing.assert_array_equal(density.lengths, same.lengths)
            with pytest.raises(InvalidInput) as caught:
                await other.slice("rings", np.eye(3))
            assert caught.value.field == "points"
            with pytest.raises(DeadlineExceeded):
                await other.slice("rings", **WHOLE, timeout=1e-4)

    asyncio.run(whole())


# What is wrong -> (arguments, field at fault, what the message must hold); the first ones are never sent
MISUSE: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({}, "points", "three latents"),
    "both": ({"points": POINTS, "origin": POINTS[0]}, "points", "both are given"),
    "an origin alone": ({"origin": POINTS[0]}, "points", "directions"),
    "no window": ({"origin": POINTS[0], "directions": POINTS[1:]}, "window", "without points"),
    "nan": ({"points": np.full((3, 4), np.nan)}, "points", "row 0"),
    "one latent": ({"points": POINTS[0]}, "points", "two axes"),
    "words": ({"points": [["a"] * 4] * 3}, "points", "real numbers"),
    "ragged": ({"points": [[1.0], [1.0, 2.0]]}, "points", "numbers"),
    "two origins": ({"origin": POINTS[:2], "directions": POINTS[1:], "window": (0, 1)}, "origin", "one axis"),
    "window of three": ({"points": POINTS, "window": (1, 2, 3)}, "window", "left, right"),
    "window of infinity": ({"points": POINTS, "window": (0, np.inf, 0, 1)}, "window", "finite"),
    "no tiles": ({"points": POINTS, "max_tiles": 0}, "max_tiles", "at least 1"),
    "no name": ({"points": POINTS, "up_to": ""}, "up_to", "node"),
    "no condition here": ({"points": POINTS, "condition": "a"}, "condition", "no condition"),
    "four points": ({"points": np.eye(4)}, "points", "three for a plane"),
    "collinear": ({"points": [[0] * 4, [1] * 4, [2] * 4]}, "points", "one line"),
    "another width": ({"points": np.eye(3, 5)}, "points", "4 numbers"),
    "another origin": (
        {"origin": [0] * 5, "directions": np.eye(2, 5), "window": (0, 1, 0, 1)}, "origin", "4 numbers",
    ),
    "parallel": (
        {"origin": [0] * 4, "directions": np.ones((2, 4)), "window": (0, 1, 0, 1)}, "directions", "parallel",
    ),
    "empty window": ({"points": POINTS, "window": (1, 1, 0, 1)}, "window", "LEFT below"),
    "concave window": ({"points": POINTS, "window": [[0, 0], [2, 0], [0.1, 0.1], [0, 2]]}, "window", "no convex"),
    "unknown node": ({"points": POINTS, "up_to": "nothing"}, "up_to", "relu"),
    "too many tiles": ({"points": POINTS, "max_tiles": 10**7}, "max_tiles", "1,000,000"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_named(client: Client, name: str) -> None:
    arguments, field, says = MISUSE[name]
    for call in (client.slice, client.hyperplane_density):
        with pytest.raises(InvalidInput, match=says) as caught:
            call("toy", **arguments)
        assert caught.value.field == field


def test_misuse_of_what_only_one_call_has(client: Client) -> None:
    with pytest.raises(InvalidInput, match="FLOAT64") as caught:
        client.slice("toy", POINTS, volumes=True, precision="bfloat16")
    assert caught.value.field == "precision"
    for cells in ((0, 1), (1, 5000), (1.5, 2), 3, (1, 2, 3)):
        with pytest.raises(InvalidInput) as caught:
            client.hyperplane_density("toy", POINTS, cells=cells)  # type: ignore[arg-type]
        assert caught.value.field == "cells"
    with pytest.raises(InvalidInput, match="line has no cells") as caught:
        client.hyperplane_density("toy", POINTS[:2])
    assert caught.value.field == "points"
    with pytest.raises(Refused, match="smooth") as refused:
        client.slice("toy", POINTS, up_to="tanh")
    assert refused.value.reason == "NOT_PIECEWISE_AFFINE"


def stream(client: Client) -> list[geometry_pb2.SliceResponse]:
    request = codec.slice_request(
        "rings", None, WHOLE["origin"], WHOLE["directions"], WHOLE["window"], None, None, False, None, False, False,
        False, "float64",
    )  # fmt: skip
    return list(client._geometry.Slice(request))


def assembled(parts: list[geometry_pb2.SliceResponse]) -> Tessellation:
    assembly = codec.SliceAssembly(None)
    for part in parts:
        assembly.add(part)
    return assembly.finish()


@pytest.mark.parametrize("lost", ["header", "tiles", "edges", "vertices", "trailer"])
def test_a_stream_that_is_not_whole_is_no_slice(client: Client, lost: str) -> None:
    parts = stream(client)
    assert assembled(parts).tiles == 431
    with pytest.raises(ServerFault, match="not whole"):
        assembled([part for part in parts if part.WhichOneof("part") != lost])
    (twice,) = [part for part in parts if part.WhichOneof("part") == lost]
    with pytest.raises(ServerFault, match="not whole"):
        assembled(sorted([*parts, twice], key=parts.index))


def test_a_stream_whose_parts_disagree_is_no_slice(client: Client) -> None:
    for kind, name, value in (("header", "extent", 7), ("header", "tiles", 430), ("header", "cycle", 3),
                              ("tiles", "first", 1), ("trailer", "edges", 5)):  # fmt: skip
        parts = stream(client)
        (part,) = [part for part in parts if part.WhichOneof("part") == kind]
        setattr(getattr(part, kind), name, value)
        with pytest.raises(ServerFault, match="not whole"):
            assembled(parts)


def test_arrays_are_saved_without_a_pickle(plane: Tessellation, line: Tessellation, tmp_path: Path) -> None:
    for found in (plane, line):
        with np.load(found.save(tmp_path / "slice.npz"), allow_pickle=False) as arrays:
            for name in ("areas", "cycle", "starts", "ends", "labels", "points"):
                np.testing.assert_array_equal(arrays[name], getattr(found, name))
            assert '"rings@1"' in str(arrays["header"])
            assert ("patterns" in arrays) == (found is plane)
            np.testing.assert_array_equal(arrays["window"], found.window)


def test_maps_of_tiles_are_what_norms_are_of(client: Client, toy: Generator) -> None:
    found = client.slice("toy", POINTS, volumes=True)
    expected = tessellate(toy, slice_through(torch.tensor(POINTS)), threads=1)
    matrices, _ = tile_maps(toy, expected, range(found.tiles))
    np.testing.assert_allclose(found.spectral_norms, torch.linalg.matrix_norm(matrices, 2).numpy(), rtol=1e-6)
    logs = tile_volumes(toy, expected).log_singular_values.numpy()
    np.testing.assert_allclose(found.log_singular_values, logs, rtol=1e-9)
