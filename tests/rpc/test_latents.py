"""Latents of clients that cannot be: each is refused with field and advice, and the server still answers."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import numpy as np
import pytest

from magnet.v1 import geometry_pb2, sampling_pb2, types_pb2
from tests.rpc.calls import Services, draw, failure, tensor
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
