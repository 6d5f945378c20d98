"""Densities and masses of tiles over a real channel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from magnet.v1 import geometry_pb2, types_pb2
from magnet_service.config import load_settings
from magnet_service.generator import Generator, add_generator, export_module, load_version
from magnet_service.geometry import density_of, slice_through, tessellate, tile_masses, tile_volumes
from magnet_service.rpc.server import running_server
from tests.rpc.calls import Services, failure, tensor
from tests.rpc.networks import LATENT_DIM, picture
from tests.rpc.test_slices import POINTS, along, asked, joined, parts

Request = geometry_pb2.SliceRequest
INVALID, REFUSED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
WINDOW = (-2.0, 2.0, -2.0, 2.0)
RECTANGLE = Request.Rectangle(left=-2, right=2, bottom=-2, top=2)


def domain(half: float = 1.0) -> Request:
    """A square of the plane of `rings`, whose prior is uniform on that of half-width 1."""
    square = Request.Rectangle(left=-half, right=half, bottom=-half, top=half)
    return asked(generator="rings", along=along([0, 0], np.eye(2)), rectangle=square, masses=True)


def normal(latents: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(latents).sum(1)


@pytest.fixture(scope="module")
def generator(repository: Path) -> Generator:
    return load_version(repository / "plain")[0]


@pytest.mark.parametrize("half", [1.0, 1.3])
def test_all_tiles_of_the_whole_domain_have_probability_one(services: Services, half: float) -> None:
    found = parts(services, domain(half))
    masses, areas = joined(found, "tiles", "masses"), joined(found, "tiles", "areas")
    header = found[0].header
    assert header.prior == "box(dim=2,low=-1.0,high=1.0)"
    assert header.masses.law == "latent law"
    assert masses.sum() == pytest.approx(1.0, abs=1e-12)
    assert header.masses.window == masses.sum()
    assert 0 <= header.masses.error < 1e-9
    assert (masses <= areas / 4 + 1e-12).all()
    if half == 1.0:
        np.testing.assert_allclose(masses, areas / 4, rtol=1e-9)
    else:
        assert (masses == 0).any()
    assert not found[1].tiles.HasField("log_prior")  # comes with volumes


def test_a_slice_of_a_larger_space_has_the_conditional_law_of_the_core(
    services: Services, generator: Generator
) -> None:
    found = parts(services, asked(rectangle=RECTANGLE, masses=True, max_tiles=300))
    tiles = tessellate(generator, slice_through(torch.tensor(POINTS), WINDOW), max_tiles=300, threads=1)
    expected = tile_masses(tiles, normal)
    masses = joined(found, "tiles", "masses")
    np.testing.assert_allclose(masses, expected.masses, rtol=1e-6, atol=1e-9)
    assert masses.sum() == pytest.approx(1.0, abs=1e-12)
    assert found[0].header.masses.law == expected.law == "conditional on the slice"
    assert not found[0].header.masses.HasField("window")


def test_log_densities_are_those_of_the_core(services: Services, generator: Generator) -> None:
    found = parts(services, asked(rectangle=RECTANGLE, volumes=True))
    tiles = tessellate(generator, slice_through(torch.tensor(POINTS), WINDOW), threads=1)
    prior = normal(tiles.slice.lift(torch.from_numpy(tiles.centroids)))
    logs = joined(found, "tiles", "log_prior")
    assert tiles.tiles > 64  # more than one message
    np.testing.assert_allclose(logs, prior, rtol=1e-12)
    for k in (0, 2):
        expected = density_of(tile_volumes(generator, tiles), prior, k)
        values = logs - joined(found, "tiles", "log_singular_values")[:, : k or LATENT_DIM].sum(1)
        np.testing.assert_allclose(values, expected.values, rtol=1e-9)
    assert found[0].header.prior == "normal(dim=6)"
    assert not found[0].header.HasField("masses")
    assert not found[1].tiles.HasField("masses")


@pytest.fixture(scope="module")
def spherical(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A server of `plain` with a prior on a sphere."""
    folder = tmp_path_factory.mktemp("spherical")
    export_module(picture(2, shape=(9,), smooth=False), LATENT_DIM, folder / "plain.pt2")
    add_generator(
        folder / "repository", "plain", folder / "plain.pt2", prior="sphere(radius=2)", output_range=(-4.0, 4.0)
    )
    settings = load_settings(
        port=0, repositories=[folder / "repository"], store=folder / "store", builder=True, threads=1, log_level="error"
    )
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        yield Services(channel)


def test_a_prior_without_a_density_on_a_plane_is_named(spherical: Services) -> None:
    found = failure(lambda: parts(spherical, asked(masses=True)))
    assert (found.code, found.reason) == (REFUSED, "NO_DENSITY")
    assert "sphere(dim=6,radius=2.0)" in found.message
    volumes = parts(spherical, asked(volumes=True, rectangle=RECTANGLE))
    assert volumes[0].header.prior == "sphere(dim=6,radius=2.0)"
    assert volumes[1].tiles.HasField("log_singular_values")
    assert not volumes[1].tiles.HasField("log_prior")


BOX = Request.Rectangle(left=5, right=6, bottom=5, top=6)


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        (asked(POINTS[:2], masses=True), "points", "a line has no masses"),
        (
            asked(along=along(POINTS[0], POINTS[1:2]), segment=Request.Segment(low=0, high=1), masses=True),
            "along.directions",
            "a line has no masses",
        ),
        (asked(generator="rings", along=along([0, 0], np.eye(2)), rectangle=BOX, masses=True), "window", "probability"),
        (asked(masses=True, condition=types_pb2.Condition(index=0)), "condition", "takes no condition"),
        (asked(tensor(np.eye(3, 5)), masses=True), "points", "6 numbers"),
    ],
)
def test_what_has_no_masses_is_refused_by_its_field(
    services: Services, request_: Request, field: str, says: str
) -> None:
    found: Any = failure(lambda: parts(services, request_))
    assert found.code is INVALID
    assert says in found.fields[field]
