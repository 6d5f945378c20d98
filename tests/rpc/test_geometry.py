"""GeometryService over a real channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from magnet.v1 import geometry_pb2, types_pb2
from magnet_service.generator import Manifold, Precision, load_version
from magnet_service.geometry import Engine, log_volume, volumes
from tests.rpc.calls import Services, array, tensor
from tests.rpc.networks import LATENT_DIM


@pytest.mark.parametrize("manifold", [Manifold.OUTPUT, Manifold.PRE_ACTIVATION])
@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_log_volumes_are_those_of_the_core(
    services: Services, repository: Path, manifold: Manifold, precision: Precision, dtype: str
) -> None:
    latents = np.random.RandomState(1).normal(size=(18, LATENT_DIM)).astype(dtype)
    answer = services.geometry.LogVolume(
        geometry_pb2.LogVolumeRequest(
            generator="grey",
            latents=tensor(latents, dtype),
            manifold=types_pb2.Manifold.Value(f"MANIFOLD_{manifold.name}"),
            precision=types_pb2.Precision.Value(f"PRECISION_{precision.name}"),
            top_k=3,
        )
    )
    generator, _, _ = load_version(repository / "grey")
    engine = Engine(threads=1, precision=precision)
    expected = volumes(generator, torch.tensor(latents), manifold=manifold, engine=engine)
    assert array(answer.log_volumes).tobytes() == log_volume(expected, 3).numpy().tobytes()
    assert array(answer.log_singular_values).tobytes() == expected.log_singular_values.numpy().tobytes()
    assert (array(answer.rank) == expected.rank.numpy()).all()
    assert answer.top_k == 3
    assert types_pb2.Manifold.Name(answer.manifold) == f"MANIFOLD_{manifold.name}"
    assert types_pb2.Precision.Name(answer.precision) == f"PRECISION_{precision.name}"
    assert answer.generator_digest == generator.digest


def test_top_k_of_zero_is_all_columns(services: Services) -> None:
    latents = tensor(np.zeros((2, LATENT_DIM)))
    answer = services.geometry.LogVolume(geometry_pb2.LogVolumeRequest(generator="plain", latents=latents))
    assert answer.top_k == LATENT_DIM
    np.testing.assert_allclose(array(answer.log_volumes), array(answer.log_singular_values).sum(1))
