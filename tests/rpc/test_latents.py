"""Latents of clients that cannot be: each is refused with field and advice, and the server still answers."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import numpy as np
import pytest

from magnet.v1 import geometry_pb2, sampling_pb2, types_pb2
from tests.rpc.calls import Services, array, draw, failure, tensor
from tests.rpc.networks import LATENT_DIM

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NAN, INF = float("nan"), float("inf")


def latents(rows: object, dtype: str = "<f4") -> types_pb2.Tensor:
    return tensor(rows, dtype)


def wrong_size() -> types_pb2.Tensor:
    made = tensor(np.zeros((2, LATENT_DIM)))
    made.data = made.data[:-1]
    return made


def overflowing() -> types_pb2.Tensor:
    return types_pb2.Tensor(type=types_pb2.Tensor.TYPE_FLOAT32, shape=[2**62, LATENT_DIM], data=b"")


LATENTS = {
    "wrong width": (latents(np.zeros((2, 5))), "latents", "6 numbers"),
    "one dimension": (latents(np.zeros(6)), "latents", "6 numbers"),
    "none": (latents(np.zeros((0, 6))), "latents", "at least one"),
    "nan": (latents([[0.0] * 6, [0.0, NAN, 0, 0, 0, 0]]), "latents", "Latent 1"),
    "inf": (latents([[INF] * 6]), "latents", "Latent 0"),
    "integers": (latents(np.zeros((2, 6)), "<i4"), "latents", "FLOAT32"),
    "short data": (wrong_size(), "latents", "48 bytes"),
    "sizes beyond all memory": (overflowing(), "latents", "bytes"),
    "more rows than a call takes": (latents(np.zeros((3001, 6))), "latents", "3,000"),
    "negative size": (types_pb2.Tensor(type=2, shape=[-1, 6]), "latents.shape[0]", "0"),
    "no type": (types_pb2.Tensor(shape=[1, 6], data=bytes(24)), "latents.type", "TYPE_FLOAT32"),
    "missing": (None, "latents", "required"),
}


@pytest.mark.parametrize("case", list(LATENTS))
def test_latents_that_cannot_be(services: Services, case: str) -> None:
    sent, field, words = LATENTS[case]
    calls: list[Callable[[], object]] = [
        lambda: services.sampling.Generate(sampling_pb2.GenerateRequest(generator="grey", latents=sent)),
        lambda: services.geometry.LogVolume(geometry_pb2.LogVolumeRequest(generator="grey", latents=sent)),
    ]
    for call in calls:
        found = failure(call)
        assert found.code is INVALID, found
        assert list(found.fields) == [field]
        assert words in found.message
    assert draw(services, generator="grey", count=2, rho=0.0).rows.latents.shape[0] == 2


def test_top_k_of_given_latents(services: Services) -> None:
    sent = latents(np.zeros((2, 6)))
    found = failure(
        lambda: services.geometry.LogVolume(geometry_pb2.LogVolumeRequest(generator="grey", latents=sent, top_k=7))
    )
    assert (found.code, list(found.fields)) == (INVALID, ["top_k"])


def test_latents_beyond_the_arithmetic(services: Services) -> None:
    sent = latents([[0.0] * 6, [1e300] * 6], "<f8")
    calls: list[Callable[[], object]] = [
        lambda: services.sampling.Generate(sampling_pb2.GenerateRequest(generator="grey", latents=sent)),
        lambda: services.geometry.LogVolume(geometry_pb2.LogVolumeRequest(generator="grey", latents=sent)),
    ]
    for call in calls:
        found = failure(call)
        assert (found.code, list(found.fields)) == (INVALID, ["latents"])
        assert "Latent 1" in found.message
        assert "FLOAT64" in found.message
    double = types_pb2.PRECISION_FLOAT64
    assert services.sampling.Generate(
        sampling_pb2.GenerateRequest(generator="grey", latents=sent, precision=double)
    ).rows.images.shape == [2, 8, 8]


@pytest.mark.parametrize("images", [sampling_pb2.Outputs.IMAGES_UINT8, sampling_pb2.Outputs.IMAGES_PNG])
def test_outputs_that_are_not_finite_are_never_bytes(services: Services, images: int) -> None:
    # tanh hides infinities but not the NaN of one minus another, which products beyond all range leave behind.
    sent = latents([[0.0] * 6, [3e38, -3e38, 3e38, -3e38, 3e38, -3e38]])
    request = sampling_pb2.GenerateRequest(generator="grey", latents=sent, outputs=sampling_pb2.Outputs(images=images))
    found = failure(lambda: services.sampling.Generate(request))
    assert (found.code, list(found.fields)) == (INVALID, ["outputs.images"])
    assert "row 1" in found.message
    request.outputs.images = sampling_pb2.Outputs.IMAGES_FLOAT32
    values = array(services.sampling.Generate(request).rows.images)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).any()


def test_log_volumes_of_an_output_that_is_not_finite(services: Services) -> None:
    sent = latents([[0.0] * 6, [1.7e308, -1.7e308, 1.7e308, -1.7e308, 1.7e308, -1.7e308]], "<f8")
    answer = services.geometry.LogVolume(
        geometry_pb2.LogVolumeRequest(generator="grey", latents=sent, precision=types_pb2.PRECISION_FLOAT64)
    )
    assert array(answer.rank).tolist() == [6, 0]
    assert np.isneginf(array(answer.log_volumes)).tolist() == [False, True]
    assert np.isneginf(array(answer.log_singular_values)[1]).all()
