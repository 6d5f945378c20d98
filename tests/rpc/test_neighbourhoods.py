"""Local complexity, distances to hyperplanes and log densities over a real channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from torch import nn

from magnet.v1 import regions_pb2, types_pb2
from magnet_service.config import load_settings
from magnet_service.generator import Generator, Manifold, add_generator, export_module, load_version
from magnet_service.geometry import ComplexityEstimator, hyperplane_distances, local_complexity, log_density
from magnet_service.rpc.server import running_server
from tests.rpc.calls import Services, array, failure, tensor
from tests.rpc.networks import LATENT_DIM, picture

INVALID, REFUSED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
LATENTS = np.random.RandomState(5).normal(size=(7, LATENT_DIM))
OUTPUT = types_pb2.MANIFOLD_OUTPUT


def complexity_request(**more: Any) -> regions_pb2.LocalComplexityRequest:
    asked = {"generator": "grey", "latents": tensor(LATENTS, "<f8"), "radius": 0.4, **more}
    return regions_pb2.LocalComplexityRequest(**asked)


def density_request(**more: Any) -> regions_pb2.LogDensityRequest:
    return regions_pb2.LogDensityRequest(**{"generator": "grey", "latents": tensor(LATENTS, "<f8"), **more})


def distances_request(**more: Any) -> regions_pb2.HyperplaneDistancesRequest:
    return regions_pb2.HyperplaneDistancesRequest(**{"generator": "grey", "latents": tensor(LATENTS, "<f8"), **more})


@pytest.fixture(scope="module")
def grey(repository: Path) -> Generator:
    return load_version(repository / "grey")[0]


@pytest.mark.parametrize(
    ("asked", "core"),
    [
        ({}, {}),
        ({"directions": 2, "seed": 9}, {"directions": 2, "seed": 9}),
        ({"frame_per_latent": True, "start": 3}, {"shared_frame": False, "start": 3}),
        ({"frame": tensor(np.eye(6)[1:3], "<f8")}, {"frame": torch.eye(6, dtype=torch.float64)[1:3]}),
        ({"estimator": 2}, {"estimator": ComplexityEstimator.FRAME}),
        ({"estimator": 3}, {"estimator": ComplexityEstimator.BALL}),
    ],
)
def test_counts_are_those_of_the_core(
    services: Services, grey: Generator, asked: dict[str, Any], core: dict[str, Any]
) -> None:
    answer = services.geometry.LocalComplexity(complexity_request(**asked))
    expected = local_complexity(grey, torch.tensor(LATENTS), radius=0.4, **core)
    assert expected.total.sum() > 0
    assert (array(answer.total) == expected.total.numpy()).all()
    assert (array(answer.by_layer) == expected.by_layer.numpy()).all()
    assert [(one.name, one.units) for one in answer.layers] == list(zip(expected.layers, expected.units, strict=True))
    assert (answer.directions, answer.default_directions) == (expected.directions, expected.default_directions)
    assert answer.HasField("frame") == (expected.frame is not None)
    if expected.frame is not None:
        assert array(answer.frame).tobytes() == expected.frame.numpy().tobytes()
    assert answer.radius == 0.4
    assert regions_pb2.ComplexityEstimator.Name(answer.estimator).endswith(expected.estimator.name)
    assert (answer.computed.generator, answer.computed.generator_digest) == ("grey@1", grey.digest)
    assert answer.computed.manifold == types_pb2.MANIFOLD_PRE_ACTIVATION


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"radius": 0.0}, "radius", "radius"),
        ({"radius": -1.0}, "radius", "radius"),
        ({"radius": np.nan}, "radius", "finite"),
        ({"directions": LATENT_DIM + 1}, "directions", "1 to 6"),
        ({"directions": 2, "estimator": 3}, "estimator", "no directions"),
        ({"frame": tensor(np.ones((2, LATENT_DIM)), "<f8")}, "frame", "orthonormal"),
        ({"frame": tensor(np.eye(3), "<f8")}, "frame", "[P, 6]"),
        ({"latents": tensor(LATENTS[:, :3], "<f8")}, "latents", "one row of 6"),
        ({"latents": tensor(LATENTS * [1, 1, 1, 1, 1, np.nan], "<f8")}, "latents", "not finite"),
        ({"latents": tensor(np.zeros((3001, LATENT_DIM)))}, "latents", "at most 3,000"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_its_field(
    services: Services, asked: dict[str, Any], field: str, says: str
) -> None:
    found = failure(lambda: services.geometry.LocalComplexity(complexity_request(**asked)))
    assert found.code is INVALID
    assert says in found.fields[field]


def test_a_smooth_operation_is_named(services: Services) -> None:
    for call in (
        lambda: services.geometry.LocalComplexity(complexity_request(manifold=OUTPUT)),
        lambda: services.geometry.HyperplaneDistances(distances_request(manifold=OUTPUT)),
    ):
        found = failure(call)
        assert (found.code, found.reason) == (REFUSED, "NOT_PIECEWISE_AFFINE")
        assert found.metadata["operation"] == "tanh"
        assert "PRE_ACTIVATION" in found.message


@pytest.mark.parametrize("top_k", [0, 2])
@pytest.mark.parametrize("manifold", [Manifold.OUTPUT, Manifold.PRE_ACTIVATION])
def test_densities_are_the_normal_law_less_the_log_volume(
    services: Services, grey: Generator, top_k: int, manifold: Manifold
) -> None:
    asked = density_request(top_k=top_k, manifold=types_pb2.Manifold.Value(f"MANIFOLD_{manifold.name}"), precision=2)
    answer = services.geometry.LogDensity(asked)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(LATENTS)).sum(1)
    expected = log_density(grey, torch.tensor(LATENTS), prior, top_k=top_k, manifold=manifold)
    np.testing.assert_allclose(array(answer.values), expected.values, rtol=1e-5)
    np.testing.assert_allclose(array(answer.log_prior), prior, rtol=1e-12)
    values = array(answer.log_prior) - array(answer.log_volumes)
    assert array(answer.values).tobytes() == values.tobytes()
    assert (array(answer.is_density) == (top_k == 0)).all()
    assert answer.label == ("score_2" if top_k else "density of one preimage")
    assert (answer.top_k, answer.columns, answer.prior) == (top_k or 6, 6, "normal(dim=6)")
    assert (array(answer.rank) == 6).all()


def test_outside_of_the_support_the_density_is_zero(services: Services) -> None:
    latents = np.zeros((2, LATENT_DIM))
    latents[1, 0] = 2.0
    answer = services.geometry.LogDensity(density_request(generator="colour", latents=tensor(latents, "<f8")))
    assert np.isfinite(array(answer.values)[0])
    assert array(answer.values)[1] == -np.inf


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"top_k": LATENT_DIM + 1}, "top_k", "1 to 6"),
        ({"latents": tensor(LATENTS[:, :3], "<f8")}, "latents", "one row of 6"),
        ({"latents": tensor(LATENTS * np.inf, "<f8")}, "latents", "not finite"),
        ({"condition": types_pb2.Condition(index=0)}, "condition", "takes no condition"),
    ],
)
def test_what_has_no_density_is_refused_by_its_field(
    services: Services, asked: dict[str, Any], field: str, says: str
) -> None:
    found = failure(lambda: services.geometry.LogDensity(density_request(**asked)))
    assert found.code is INVALID
    assert says in found.fields[field]


@pytest.mark.parametrize(("space", "core"), [(0, "latent"), (1, "latent"), (2, "layer")])
def test_distances_are_those_of_the_core(services: Services, grey: Generator, space: int, core: str) -> None:
    answer = services.geometry.HyperplaneDistances(distances_request(space=space))
    expected = hyperplane_distances(grey, torch.tensor(LATENTS), space=core)
    assert (expected.mean > 0).all()
    for name in ("mean", "root_mean_square"):
        np.testing.assert_allclose(array(getattr(answer, name)), getattr(expected, name), rtol=1e-12)
    assert array(answer.counted).tolist() == expected.counted.tolist() == [7 * 32, 7 * 48]
    assert array(answer.without).tolist() == expected.without.tolist()
    assert [(one.name, one.units) for one in answer.layers] == list(zip(expected.layers, expected.units, strict=True))
    assert regions_pb2.DistanceSpace.Name(answer.space) == f"DISTANCE_SPACE_{core.upper()}"
    assert (answer.rows, len(answer.left_out)) == (7, 0)
    assert (answer.computed.generator, answer.computed.generator_digest) == ("grey@1", grey.digest)
    assert answer.computed.manifold == types_pb2.MANIFOLD_PRE_ACTIVATION


def test_the_first_layers_distances_are_those_of_lines(services: Services) -> None:
    first = picture()[0]
    beyond = torch.tensor(LATENTS) @ first.weight.double().T + first.bias.double()
    expected = (beyond.abs() / first.weight.double().norm(dim=1)).mean()
    for space in (1, 2):
        answer = services.geometry.HyperplaneDistances(distances_request(space=space))
        np.testing.assert_allclose(array(answer.mean)[0], float(expected.detach()), rtol=1e-6)


def test_layers_without_hyperplanes_are_named(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pooled = nn.Sequential(
            nn.Linear(LATENT_DIM, 16),
            nn.ReLU(),
            nn.Unflatten(1, (1, 16)),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
    export_module(pooled, LATENT_DIM, tmp_path / "generator.pt2")
    add_generator(tmp_path / "repository", "pooled", tmp_path / "generator.pt2", output_range=(-4.0, 4.0))
    settings = load_settings(
        port=0, repositories=[tmp_path / "repository"], store=tmp_path, builder=True, threads=1, log_level="error"
    )
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        answer = Services(channel).geometry.HyperplaneDistances(distances_request(generator="pooled"))
    assert [one.name for one in answer.layers] == ["relu"]
    ((name, reason),) = [(one.name, one.reason) for one in answer.left_out]
    assert "pool" in name
    assert "no hyperplane" in reason


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"latents": tensor(LATENTS[:, :3], "<f8")}, "latents", "one row of 6"),
        ({"latents": tensor(LATENTS * np.nan, "<f8")}, "latents", "not finite"),
        ({"latents": tensor(np.zeros((3001, LATENT_DIM)))}, "latents", "at most 3,000"),
        ({"latents": tensor(np.zeros((0, LATENT_DIM)))}, "latents", "no latents"),
        ({"condition": types_pb2.Condition(index=0)}, "condition", "takes no condition"),
        ({"space": 7}, "space", "DISTANCE_SPACE_LAYER"),
    ],
)
def test_what_has_no_distances_is_refused_by_its_field(
    services: Services, asked: dict[str, Any], field: str, says: str
) -> None:
    found = failure(lambda: services.geometry.HyperplaneDistances(distances_request(**asked)))
    assert found.code is INVALID
    assert says in found.fields[field]


def test_an_answer_that_no_message_holds_says_what_to_send(repository: Path, tmp_path: Path) -> None:
    small = load_settings(
        port=0,
        repositories=[repository],
        store=tmp_path,
        builder=True,
        threads=1,
        max_message_bytes=2**16,
        log_level="error",
    )
    with running_server(small) as address, grpc.insecure_channel(address) as channel:
        geometry = Services(channel).geometry
        many = tensor(np.zeros((2000, LATENT_DIM)))
        found = failure(lambda: geometry.LogDensity(density_request(latents=many)))
        assert (found.code, found.reason) == (INVALID, "MESSAGE_TOO_LARGE")
        assert "fewer latents" in found.fields["latents"]
        asked = regions_pb2.RegionRequest(generator="grey", latent=tensor(LATENTS[0]), half_spaces=True, map=True)
        assert geometry.Region(asked).count == 80
        pairs = regions_pb2.PatternsRequest(generator="grey", latents=tensor(np.zeros((100, LATENT_DIM))), distances=2)
        assert failure(lambda: geometry.Patterns(pairs)).reason == "MESSAGE_TOO_LARGE"


def test_a_generator_that_is_smooth_inside_is_refused_everywhere(tmp_path: Path) -> None:
    rough = picture(smooth=False)
    bent = nn.Sequential(*list(rough)[:2], nn.SiLU(), *list(rough)[2:]).eval()
    (tmp_path / "repository").mkdir()
    export_module(bent, LATENT_DIM, tmp_path / "generator.pt2")
    add_generator(tmp_path / "repository", "bent", tmp_path / "generator.pt2", output_range=(-4.0, 4.0))
    settings = load_settings(
        port=0, repositories=[tmp_path / "repository"], store=tmp_path, builder=True, threads=1, log_level="error"
    )
    latents = tensor(LATENTS, "<f8")
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        geometry = Services(channel).geometry
        for call, request in (
            (geometry.LocalComplexity, complexity_request(generator="bent")),
            (geometry.HyperplaneDistances, distances_request(generator="bent")),
            (geometry.Region, regions_pb2.RegionRequest(generator="bent", latent=tensor(LATENTS[0], "<f8"))),
            (geometry.Patterns, regions_pb2.PatternsRequest(generator="bent", latents=latents, patterns=True)),
            (geometry.AffineRows, regions_pb2.AffineRowsRequest(generator="bent", latents=latents, outputs=[0])),
        ):
            found = failure(lambda call=call, request=request: call(request))
            assert (found.code, found.reason) == (REFUSED, "NOT_PIECEWISE_AFFINE")
            assert found.metadata["operation"] == "silu"
        constants = geometry.AffineRows(
            regions_pb2.AffineRowsRequest(generator="bent", latents=latents, lipschitz=True)
        )
        assert (array(constants.lipschitz) > 0).all()
        assert np.isfinite(array(geometry.LogDensity(density_request(generator="bent")).values)).all()
