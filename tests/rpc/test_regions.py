"""Regions, activation patterns and rows of affine maps over a real channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from magnet.v1 import bank_pb2, regions_pb2, types_pb2
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern, load_version
from magnet_service.geometry import chebyshev, region_at
from tests.rpc.calls import Services, array, failure, tensor
from tests.rpc.networks import LATENT_DIM, picture

INVALID, REFUSED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
LATENTS = np.random.RandomState(6).normal(size=(5, LATENT_DIM))
OUTPUT = types_pb2.MANIFOLD_OUTPUT


def region_request(**more: Any) -> regions_pb2.RegionRequest:
    return regions_pb2.RegionRequest(**{"generator": "grey", "latent": tensor(LATENTS[0], "<f8"), **more})


def patterns_request(**more: Any) -> regions_pb2.PatternsRequest:
    return regions_pb2.PatternsRequest(**{"generator": "grey", "latents": tensor(LATENTS, "<f8"), **more})


def nearest_request(**more: Any) -> regions_pb2.NearestPatternsRequest:
    return regions_pb2.NearestPatternsRequest(
        **{"generator": "grey", "latents": tensor(LATENTS, "<f8"), "count": 3, **more}
    )


def rows_request(**more: Any) -> regions_pb2.AffineRowsRequest:
    return regions_pb2.AffineRowsRequest(**{"generator": "grey", "latents": tensor(LATENTS, "<f8"), **more})


@pytest.fixture(scope="module")
def grey(repository: Path) -> Generator:
    return load_version(repository / "grey")[0].to(precision=Precision.FLOAT64)


def states(generator: Generator, latents: np.ndarray) -> np.ndarray:
    """States of all units, row by row."""
    return np.concatenate(
        [activation_pattern(generator, torch.tensor(z[None]), Manifold.PRE_ACTIVATION).numpy() for z in latents]
    )


def test_a_region_is_the_cores(services: Services, grey: Generator) -> None:
    expected = region_at(grey, torch.tensor(LATENTS[0]))
    beside = LATENTS[0] + 0.5 * expected.radius * np.eye(LATENT_DIM)[:2]
    others = tensor(np.concatenate([beside, LATENTS[1:]]), "<f8")
    answer = services.geometry.Region(region_request(map=True, half_spaces=True, ball=True, others=others))
    assert answer.radius == expected.radius
    assert (answer.count, answer.unconstrained, answer.minimal) == (80, expected.unconstrained, False)
    nearest = answer.layers[answer.nearest.layer]
    assert f"{nearest.name}[{answer.nearest.unit}]" == expected.name_of(expected.nearest or 0)
    assert (array(answer.pattern) == states(grey, LATENTS[:1])[0]).all()
    assert array(answer.map.matrix).tobytes() == expected.matrix.numpy().tobytes()
    assert array(answer.map.shift).tobytes() == expected.shift.numpy().tobytes()
    for name in ("normals", "offsets", "distances"):
        assert (
            array(getattr(answer.half_spaces, name)).tobytes() == getattr(expected.half_spaces, name).numpy().tobytes()
        )
    walls = array(answer.half_spaces.walls)
    names = [f"{answer.layers[layer].name}[{unit}]" for layer, unit, _, _ in walls.tolist()]
    assert names == [expected.name_of(row) for row in range(80)]
    assert (walls[:, 2] == expected.half_spaces.sides.numpy()).all()
    ball = chebyshev(expected)
    assert answer.ball.radius == ball.radius
    assert ball.centre is not None
    assert array(answer.ball.centre).tobytes() == ball.centre.numpy().tobytes()
    assert array(answer.same_region).tolist() == [1, 1, 0, 0, 0, 0]
    assert (list(answer.output_shape), answer.layout) == ([1, 8, 8], "HW")
    assert answer.computed.manifold == types_pb2.MANIFOLD_PRE_ACTIVATION


def test_parts_that_are_not_asked_for_do_not_travel(services: Services) -> None:
    answer = services.geometry.Region(region_request())
    for part in ("map", "half_spaces", "ball", "same_region"):
        assert not answer.HasField(part)
    assert answer.radius > 0


def test_minimal_half_spaces_of_a_box_describe_the_same_region(services: Services) -> None:
    box = regions_pb2.RegionRequest.Box(low=-3.0, high=3.0)
    whole, minimal = (
        services.geometry.Region(region_request(half_spaces=True, minimal=wanted, box=box)) for wanted in (False, True)
    )
    assert minimal.minimal
    assert minimal.count < whole.count
    assert (array(whole.half_spaces.walls)[:, 0] == -1).sum() == 2 * LATENT_DIM
    points = LATENTS[0] + np.random.RandomState(1).normal(size=(4000, LATENT_DIM)) * 0.15
    inside = [
        (points @ array(one.half_spaces.normals).T <= array(one.half_spaces.offsets)).all(1) for one in (whole, minimal)
    ]
    assert 0 < inside[0].sum() < 4000
    assert (inside[0] == inside[1]).all()


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"latent": tensor(LATENTS[0, :3], "<f8")}, "latent", "write 6"),
        ({"latent": tensor(LATENTS[:1], "<f8")}, "latent", "one row of numbers"),
        ({"latent": tensor(LATENTS[0] * np.nan, "<f8")}, "latent", "finite"),
        ({"others": tensor(LATENTS[:, :2], "<f8")}, "others", "one row of 6"),
        ({"others": tensor(LATENTS * np.inf, "<f8")}, "others", "not finite"),
        ({"box": regions_pb2.RegionRequest.Box(low=1.0, high=-1.0)}, "box", "low < high"),
        ({"box": regions_pb2.RegionRequest.Box(low=0.0, high=1e-6)}, "latent", "wider box"),
    ],
)
def test_what_has_no_region_is_refused_by_its_field(
    services: Services, asked: dict[str, Any], field: str, says: str
) -> None:
    found = failure(lambda: services.geometry.Region(region_request(**asked)))
    assert found.code is INVALID
    assert says in found.fields[field]


def test_what_is_smooth_is_named(services: Services) -> None:
    for call, request in (
        (services.geometry.Region, region_request(manifold=OUTPUT)),
        (services.geometry.Patterns, patterns_request(manifold=OUTPUT, patterns=True)),
        (services.geometry.AffineRows, rows_request(manifold=OUTPUT, outputs=[0])),
    ):
        found = failure(lambda call=call, request=request: call(request))
        assert (found.code, found.reason, found.metadata["operation"]) == (REFUSED, "NOT_PIECEWISE_AFFINE", "tanh")


def test_patterns_are_a_bit_a_unit(services: Services, grey: Generator) -> None:
    answer = services.geometry.Patterns(patterns_request(patterns=True))
    bits = np.unpackbits(array(answer.patterns), axis=1, bitorder="little")
    assert [layer.units for layer in answer.layers] == [32, 48]
    expected = states(grey, LATENTS)
    assert (bits[:, :32] == expected[:, :32]).all()
    assert (bits[:, 64 : 64 + 48] == expected[:, 32:]).all()
    assert not bits[:, 32:64].any()
    assert not answer.HasField("distances")


def test_distances_count_units_in_another_state(services: Services, grey: Generator) -> None:
    expected = states(grey, LATENTS)
    differ = expected[:, None] != expected[None]
    by_layer = np.stack([differ[..., :32].sum(-1), differ[..., 32:].sum(-1)], -1)
    answer = services.geometry.Patterns(patterns_request(distances=2))
    assert not answer.HasField("patterns")
    assert (array(answer.distances) == by_layer).all()
    other = tensor(LATENTS[::-1][:3], "<f8")
    assert (
        array(services.geometry.Patterns(patterns_request(distances=2, others=other)).distances)
        == by_layer[:, ::-1][:, :3]
    ).all()
    paired = services.geometry.Patterns(patterns_request(distances=3, others=tensor(LATENTS[::-1], "<f8")))
    assert (array(paired.distances) == by_layer[np.arange(5), np.arange(5)[::-1]]).all()


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"distances": 3}, "others", "as many"),
        ({"distances": 3, "others": tensor(LATENTS[:2], "<f8")}, "others", "as many"),
        ({"distances": 2, "others": tensor(LATENTS[:2, :4], "<f8")}, "others", "one row of 6"),
        ({"latents": tensor(LATENTS * np.nan, "<f8")}, "latents", "not finite"),
        ({"patterns": True, "latents": tensor(np.zeros((3001, LATENT_DIM)))}, "latents", "at most 3,000"),
    ],
)
def test_patterns_that_cannot_be_are_refused_by_their_field(
    services: Services, asked: dict[str, Any], field: str, says: str
) -> None:
    found = failure(lambda: services.geometry.Patterns(patterns_request(**asked)))
    assert found.code is INVALID
    assert says in found.fields[field]


@pytest.mark.parametrize("revision", [0, 50, 2100])
def test_the_nearest_rows_of_a_bank_are_found(services: Services, grey: Generator, bank: str, revision: int) -> None:
    asked = nearest_request(bank_id=bank, bank_revision=revision, count=4)
    answer = services.geometry.NearestPatterns(asked)
    again = services.geometry.NearestPatterns(asked)
    assert answer == again
    draws = services.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=bank, count=revision))
    stored = np.concatenate([array(part.latents) for part in draws]).astype(np.float64)
    differ = (states(grey, LATENTS)[:, None] != whole_states(grey, stored)[None]).sum(-1)
    order = np.argsort(differ, axis=1, kind="stable")[:, :4]
    assert (array(answer.rows) == order).all()
    assert (array(answer.distances) == np.take_along_axis(differ, order, 1)).all()
    assert (array(answer.latents) == stored[order].astype(np.float32)).all()
    assert (answer.units, answer.bank_id, answer.bank_revision) == (80, bank, revision or 3000)


def whole_states(generator: Generator, latents: np.ndarray) -> np.ndarray:
    return activation_pattern(generator, torch.tensor(latents), Manifold.PRE_ACTIVATION).numpy()


@pytest.mark.parametrize(
    ("asked", "code", "field", "says"),
    [
        ({"count": 0}, INVALID, "count", "count"),
        ({"count": 3001}, INVALID, "count", "1 to 3,000"),
        ({"bank_revision": 10, "count": 11}, INVALID, "count", "1 to 10"),
        ({"bank_revision": 3001}, INVALID, "bank_revision", "3000"),
        ({"bank_id": "nobody"}, INVALID, "bank_id", "16 hexadecimal"),
        ({"latents": tensor(LATENTS[:, :3], "<f8")}, INVALID, "latents", "one row of 6"),
    ],
)
def test_neighbours_that_cannot_be_are_refused_by_their_field(
    services: Services, bank: str, asked: dict[str, Any], code: grpc.StatusCode, field: str, says: str
) -> None:
    found = failure(lambda: services.geometry.NearestPatterns(nearest_request(**{"bank_id": bank, **asked})))
    assert found.code is code
    assert says in found.fields[field]


def test_unknown_and_foreign_banks_are_refused(services: Services, bank: str) -> None:
    nobody = failure(lambda: services.geometry.NearestPatterns(nearest_request(bank_id="0123456789abcdef")))
    assert nobody.code is grpc.StatusCode.NOT_FOUND
    foreign = failure(lambda: services.geometry.NearestPatterns(nearest_request(bank_id=bank, generator="plain")))
    assert (foreign.code, foreign.reason) == (REFUSED, "FOREIGN_BANK")


def test_rows_are_gradients_and_their_norm_the_lipschitz_constant(services: Services) -> None:
    answer = services.geometry.AffineRows(rows_request(outputs=[63, 0, 5], lipschitz=True))
    module = picture(0).double()[:5]
    for row, latent in enumerate(LATENTS):
        matrix = torch.autograd.functional.jacobian(module, torch.tensor(latent)).numpy()
        np.testing.assert_allclose(array(answer.rows)[row], matrix[[63, 0, 5]], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(array(answer.lipschitz)[row], np.linalg.norm(matrix, 2), rtol=1e-9)
    assert list(answer.outputs) == [63, 0, 5]
    assert not services.geometry.AffineRows(rows_request(outputs=[0])).HasField("lipschitz")


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({}, "outputs", "0 to 63"),
        ({"outputs": [64]}, "outputs", "0 to 63"),
        ({"outputs": [-1]}, "outputs[0]", "outputs"),
        ({"outputs": [0], "latents": tensor(LATENTS * np.nan, "<f8")}, "latents", "not finite"),
    ],
)
def test_rows_that_cannot_be_are_refused_by_their_field(
    services: Services, asked: dict[str, Any], field: str, says: str
) -> None:
    found = failure(lambda: services.geometry.AffineRows(rows_request(**asked)))
    assert found.code is INVALID
    assert says in found.fields[field]
