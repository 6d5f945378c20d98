"""Calls about geometry of conditional generators over a real channel: the core's answers for `conditioned(c)`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from magnet.v1 import geometry_pb2, regions_pb2, types_pb2
from magnet_service.generator import Generator, Precision, load_version
from magnet_service.geometry import (
    hyperplane_density,
    hyperplane_distances,
    lipschitz,
    local_complexity,
    log_density,
    matched_filters,
    nearest,
    patterns_of,
    region_at,
    slice_through,
    tessellate,
    tile_masses,
    tile_volumes,
)
from tests.conditional.pets import CLASSES, LABELS, LATENT, WIDTH
from tests.rpc.calls import Services, array, build_bank, failure, tensor

LATENTS = np.random.RandomState(7).normal(size=(5, LATENT))
WINDOW = (-1.0, 1.0, -1.0, 1.0)
WIRE, LATENT_ROWS = tensor(LATENTS, "<f8"), torch.tensor(LATENTS)
SQUARE = geometry_pb2.SliceRequest.Rectangle(left=-1, right=1, bottom=-1, top=1)
BANK_ROWS = 64

# Generator -> (the condition on the wire, the core's)
GIVEN: dict[str, tuple[types_pb2.Condition, torch.Tensor]] = {
    "pets": (types_pb2.Condition(label=LABELS[2]), torch.tensor(2)),
    "hot": (types_pb2.Condition(index=3), torch.eye(CLASSES)[3]),
    "styled": (types_pb2.Condition(vector=types_pb2.Condition.Vector(values=[0.25, 1.5])), torch.tensor([0.25, 1.5])),
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """A generator with its condition, and how to ask a server for it.

    Attributes:
        services: the server's.
        name: of the generator.
        condition: on the wire.
        generator: in the core, the condition held fixed, float64.
        bank: id of a bank of that condition.
    """

    services: Services
    name: str
    condition: types_pb2.Condition | None
    generator: Generator
    bank: str

    @property
    def given(self) -> dict[str, Any]:
        """Fields that every request has."""
        return {"generator": self.name, "condition": self.condition}


@pytest.fixture(scope="module")
def services(address: str) -> Iterator[Services]:
    with grpc.insecure_channel(address) as channel:
        yield Services(channel)


@pytest.fixture(scope="module", params=GIVEN)
def asked(request: pytest.FixtureRequest, services: Services, repository: Path) -> Asked:
    condition, value = GIVEN[request.param]
    generator = load_version(repository / request.param)[0].conditioned(value).to(precision=Precision.FLOAT64)
    bank = build_bank(services, request.param, BANK_ROWS, condition=condition, seed=99)
    return Asked(services, request.param, condition, generator, bank.bank_id)


def slice_request(asked: Asked, **more: Any) -> geometry_pb2.SliceRequest:
    return geometry_pb2.SliceRequest(**asked.given, points=tensor(LATENTS[:3], "<f8"), rectangle=SQUARE, **more)


def normal(latents: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(latents).sum(1)


def same(found: types_pb2.Tensor | np.ndarray, expected: Any, rtol: float = 1e-9) -> None:
    values = found if isinstance(found, np.ndarray) else array(found)
    np.testing.assert_allclose(values, np.asarray(expected), rtol=rtol, atol=1e-12)


def sliced(asked: Asked) -> list[geometry_pb2.SliceResponse]:
    return list(asked.services.geometry.Slice(slice_request(asked, volumes=True, masses=True)))


def check_slice(asked: Asked, found: list[geometry_pb2.SliceResponse]) -> None:
    expected = tessellate(asked.generator, slice_through(LATENT_ROWS[:3], WINDOW), threads=1)
    tiles = [one.tiles for one in found if one.WhichOneof("part") == "tiles"]
    assert expected.tiles > 3
    for name, core in (
        ("areas", expected.areas),
        ("stretches", expected.stretches),
        ("log_singular_values", tile_volumes(asked.generator, expected).log_singular_values),
        ("masses", tile_masses(expected, normal).masses),
        ("log_prior", normal(expected.slice.lift(torch.from_numpy(expected.centroids)))),
    ):
        same(np.concatenate([array(getattr(one, name)) for one in tiles]), core, 1e-6)
    assert found[0].header.HasField("condition")


def cells(asked: Asked) -> geometry_pb2.HyperplaneDensityResponse:
    grid = geometry_pb2.HyperplaneDensityRequest.Grid(columns=4, rows=3)
    return asked.services.geometry.HyperplaneDensity(
        geometry_pb2.HyperplaneDensityRequest(slice=slice_request(asked), cells=grid)
    )


def check_cells(asked: Asked, found: geometry_pb2.HyperplaneDensityResponse) -> None:
    tiles = tessellate(asked.generator, slice_through(LATENT_ROWS[:3], WINDOW), threads=1)
    same(found.lengths, hyperplane_density(tiles, (4, 3)))


def complexity(asked: Asked) -> regions_pb2.LocalComplexityResponse:
    return asked.services.geometry.LocalComplexity(
        regions_pb2.LocalComplexityRequest(**asked.given, latents=WIRE, radius=0.5)
    )


def check_complexity(asked: Asked, found: regions_pb2.LocalComplexityResponse) -> None:
    expected = local_complexity(asked.generator, LATENT_ROWS, radius=0.5)
    assert expected.total.sum() > 0
    same(found.by_layer, expected.by_layer)


def density(asked: Asked) -> regions_pb2.LogDensityResponse:
    return asked.services.geometry.LogDensity(regions_pb2.LogDensityRequest(**asked.given, latents=WIRE, precision=2))


def check_density(asked: Asked, found: regions_pb2.LogDensityResponse) -> None:
    same(found.values, log_density(asked.generator, LATENT_ROWS, normal(LATENT_ROWS)).values, 1e-5)


def distances(asked: Asked) -> regions_pb2.HyperplaneDistancesResponse:
    return asked.services.geometry.HyperplaneDistances(
        regions_pb2.HyperplaneDistancesRequest(**asked.given, latents=WIRE)
    )


def check_distances(asked: Asked, found: regions_pb2.HyperplaneDistancesResponse) -> None:
    expected = hyperplane_distances(asked.generator, LATENT_ROWS)
    assert len(expected.layers) == 1
    same(found.mean, expected.mean)
    same(found.counted, expected.counted)


def region(asked: Asked) -> regions_pb2.RegionResponse:
    return asked.services.geometry.Region(
        regions_pb2.RegionRequest(**asked.given, latent=tensor(LATENTS[0], "<f8"), map=True, half_spaces=True)
    )


def check_region(asked: Asked, found: regions_pb2.RegionResponse) -> None:
    expected = region_at(asked.generator, LATENT_ROWS[0])
    assert found.radius == pytest.approx(expected.radius, rel=1e-9)
    same(found.map.matrix, expected.matrix)
    same(found.half_spaces.offsets, expected.half_spaces.offsets)


def patterns(asked: Asked) -> regions_pb2.PatternsResponse:
    return asked.services.geometry.Patterns(
        regions_pb2.PatternsRequest(**asked.given, latents=WIRE, patterns=True, distances=2)
    )


def check_patterns(asked: Asked, found: regions_pb2.PatternsResponse) -> None:
    expected = patterns_of(asked.generator, LATENT_ROWS)
    assert array(found.patterns).tobytes() == expected.words.astype("<u8").tobytes()
    assert array(found.distances).sum() > 0


def neighbours(asked: Asked) -> regions_pb2.NearestPatternsResponse:
    return asked.services.geometry.NearestPatterns(
        regions_pb2.NearestPatternsRequest(**asked.given, latents=WIRE, bank_id=asked.bank, count=3)
    )


def check_neighbours(asked: Asked, found: regions_pb2.NearestPatternsResponse) -> None:
    # Every row of the bank is a neighbour of the first latent; those asked for are the first of them.
    whole = regions_pb2.NearestPatternsRequest(
        **asked.given, latents=tensor(LATENTS[:1], "<f8"), bank_id=asked.bank, count=BANK_ROWS
    )
    answer = asked.services.geometry.NearestPatterns(whole)
    bank = np.empty((BANK_ROWS, LATENT), np.float32)
    bank[array(answer.rows)[0]] = array(answer.latents)[0]
    of_bank = patterns_of(asked.generator, torch.tensor(bank, dtype=torch.float64))
    expected = nearest(of_bank, patterns_of(asked.generator, LATENT_ROWS), 3)
    same(found.rows, expected.rows)
    same(found.distances, expected.distances)


def affine_rows(asked: Asked) -> regions_pb2.AffineRowsResponse:
    return asked.services.geometry.AffineRows(
        regions_pb2.AffineRowsRequest(**asked.given, latents=WIRE, outputs=[0, 9], lipschitz=True)
    )


def check_affine_rows(asked: Asked, found: regions_pb2.AffineRowsResponse) -> None:
    same(found.rows, matched_filters(asked.generator, LATENT_ROWS, outputs=(0, 9)))
    same(found.lipschitz, lipschitz(asked.generator, LATENT_ROWS))


CALLS: dict[str, tuple[Callable[[Asked], Any], Callable[[Asked, Any], None]]] = {
    "Slice": (sliced, check_slice),
    "HyperplaneDensity": (cells, check_cells),
    "LocalComplexity": (complexity, check_complexity),
    "LogDensity": (density, check_density),
    "HyperplaneDistances": (distances, check_distances),
    "Region": (region, check_region),
    "Patterns": (patterns, check_patterns),
    "NearestPatterns": (neighbours, check_neighbours),
    "AffineRows": (affine_rows, check_affine_rows),
}
each_call = pytest.mark.parametrize("call", CALLS)


@each_call
def test_an_answer_is_the_cores_for_the_condition(asked: Asked, call: str) -> None:
    send, check = CALLS[call]
    check(asked, send(asked))


@each_call
def test_a_missing_or_wrong_condition_is_named(asked: Asked, call: str) -> None:
    long = types_pb2.Condition.Vector(values=[1.0] * (WIDTH + 1))
    send, _ = CALLS[call]
    for condition, says in (
        (None, "takes a condition"),
        (types_pb2.Condition(index=CLASSES), "0 to 3" if asked.name != "styled" else "a vector of 2 numbers"),
        (types_pb2.Condition(label="cta"), "'cta'" if asked.name != "styled" else "a vector of 2 numbers"),
        (types_pb2.Condition(vector=long), "takes 2" if asked.name == "styled" else "one of 4 classes"),
    ):
        found = failure(
            lambda given=condition: send(Asked(asked.services, asked.name, given, asked.generator, asked.bank))
        )
        assert (found.code, list(found.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["condition"]), found
        assert says in found.fields["condition"]


def test_a_bank_is_of_one_condition(asked: Asked) -> None:
    if asked.name == "styled":
        other = types_pb2.Condition(vector=types_pb2.Condition.Vector(values=[0.25, 1.75]))
    else:
        other = types_pb2.Condition(index=0)
    beside = dataclasses.replace(asked, condition=other)
    found = failure(lambda: neighbours(beside))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FOREIGN_BANK")
    assert asked.bank in found.message
