"""The same numbers on a CUDA device: within rounding of the CPU's, and equal to themselves byte for byte."""

from __future__ import annotations

import pytest
import torch

from magnet_service.config import BUNDLED
from magnet_service.generator import Generator, Manifold, Precision, read_archive
from magnet_service.geometry import Engine, forward, hyperplane_distances, local_complexity, volumes

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module", params=["fashion", "rings"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return Generator.from_program(read_archive(BUNDLED / request.param / "1" / "generator.pt2"))


@pytest.fixture(scope="module")
def latents(generator: Generator) -> torch.Tensor:
    return torch.randn(70, generator.latent_dim, generator=torch.Generator().manual_seed(3)).clamp(-1, 1)


@pytest.mark.parametrize("manifold", [Manifold.OUTPUT, Manifold.PRE_ACTIVATION])
@pytest.mark.parametrize("precision", list(Precision))
def test_volumes_agree_with_the_cpu(
    generator: Generator, latents: torch.Tensor, manifold: Manifold, precision: Precision
) -> None:
    there = volumes(generator, latents, manifold=manifold, engine=Engine("cuda", precision))
    here = volumes(generator, latents, manifold=manifold, engine=Engine("cpu", Precision.FLOAT64))
    assert there.log_singular_values.device.type == "cpu"
    assert (there.rank == here.rank).all()
    condition = (here.log_singular_values[:, 0] - here.log_singular_values[:, -1]).exp()
    bound = 1e-6 + 10 * generator.latent_dim * torch.finfo(precision.dtype).eps * condition
    error = (there.log_singular_values.sum(1) - here.log_singular_values.sum(1)).abs()
    # A unit within rounding of its breakpoint may fall on the other side: a few rows, never many.
    assert (error > bound).sum() <= (2 if precision is Precision.FLOAT32 else 0)


def test_pages_of_whole_tiles_are_the_same_bytes(generator: Generator, latents: torch.Tensor) -> None:
    engine = Engine("cuda")
    whole, page = volumes(generator, latents, engine=engine), volumes(generator, latents[16:48], engine=engine)
    assert torch.equal(whole.log_singular_values[16:48], page.log_singular_values)
    assert torch.equal(forward(engine, generator, latents)[16:48], forward(engine, generator, latents[16:48]))


@pytest.mark.parametrize("estimator", ["vertices", "frame", "ball"])
def test_local_complexity_agrees_with_the_cpu(generator: Generator, latents: torch.Tensor, estimator: str) -> None:
    here = local_complexity(generator, latents, radius=0.1, estimator=estimator)
    there = local_complexity(generator.to(device="cuda"), latents, radius=0.1, estimator=estimator)
    assert there.by_layer.device.type == "cpu"
    # A unit within rounding of its breakpoint may fall on the other side: a few, never many.
    assert (there.by_layer - here.by_layer).abs().sum() <= 2


@pytest.mark.parametrize("space", ["latent", "layer"])
def test_distances_to_hyperplanes_agree_with_the_cpu(generator: Generator, latents: torch.Tensor, space: str) -> None:
    here = hyperplane_distances(generator, latents, space=space)
    there = hyperplane_distances(generator.to(device="cuda"), latents, space=space)
    torch.testing.assert_close(there.mean, here.mean, rtol=1e-9, atol=0)
    assert torch.equal(there.counted, here.counted)
