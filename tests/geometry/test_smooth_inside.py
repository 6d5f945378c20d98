"""Log-volumes of networks that are smooth inside: norms, modulation, attention, and a whole progressive GAN."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, Precision, interpret
from magnet_service.geometry import Engine, volumes
from tests.generator.families import by_name, generator_of
from tests.generator.progressive import Progressive
from tests.generator.random_programs import LATENT, random_program

# torch.func compiles its own derivatives by a function that it has deprecated itself.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

DOUBLE = Engine(precision=Precision.FLOAT64, threads=1)


def log_sigma(jacobians: Tensor) -> Tensor:
    return torch.linalg.svdvals(jacobians.flatten(1, -2)).log()


def progressive(latent_dim: int = 10) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return Progressive(latent_dim).double().eval().requires_grad_(False)


@pytest.mark.parametrize("seed", range(24))
def test_random_programs_of_smooth_operations_have_the_volumes_of_autograd(seed: int) -> None:
    program = random_program(seed, smooth=True)
    generator = Generator.from_program(program)
    latents = torch.randn(3, LATENT, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    jacobians = torch.stack([
        torch.autograd.functional.jacobian(lambda z: interpret(program, z[None])[0], latent) for latent in latents
    ])  # fmt: skip
    found = volumes(generator, latents, engine=DOUBLE)
    expected = torch.linalg.svdvals(jacobians)
    sigma = found.log_singular_values.exp()
    torch.testing.assert_close(sigma, expected, rtol=1e-9, atol=1e-9 * float(expected.max()))


@pytest.mark.long
def test_a_progressive_gan_of_64_pixels_has_the_volumes_of_jacfwd() -> None:
    module = progressive()
    latents = torch.randn(3, 10, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = log_sigma(torch.func.vmap(torch.func.jacfwd(lambda z: module(z[None])[0]))(latents))
    generator = Generator.from_module(module, 10)
    assert generator.output_shape == (3, 64, 64)
    assert not generator.piecewise_affine
    # The latent is normalised first: along itself a Jacobian has nothing but what the 1e-8 in the norm leaves.
    found = volumes(generator, latents, engine=DOUBLE)
    assert (found.log_singular_values[:, 9] < found.log_singular_values[:, 8] - 9.0).all()
    torch.testing.assert_close(found.log_singular_values[:, :9], expected[:, :9], rtol=0.0, atol=1e-9)
    single = volumes(generator, latents, engine=Engine(threads=1))
    torch.testing.assert_close(single.log_singular_values[:, :9], expected[:, :9], rtol=0.0, atol=1e-4)


def test_columns_in_chunks_are_those_of_the_whole() -> None:
    generator = Generator.from_module(progressive(), 10).to(precision=Precision.FLOAT64)
    latents = torch.randn(2, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    _, whole = generator.push(latents)
    chunks = [
        generator.push(latents, torch.eye(10, dtype=torch.float64)[None, rows])[1]
        for rows in (slice(0, 3), slice(3, 10))
    ]
    torch.testing.assert_close(torch.cat(chunks, dim=1), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["attention", "modulated", "demodulated", "normed", "extrema", "functions"])
def test_tangents_in_bfloat16_pass_through_every_smooth_rule(name: str) -> None:
    generator = generator_of(by_name(name))
    latents = torch.randn(16, generator.latent_dim, generator=torch.Generator().manual_seed(7))
    expected = volumes(generator, latents, engine=DOUBLE).log_singular_values[:, 0]
    found = volumes(generator, latents, engine=Engine(precision=Precision.BFLOAT16, threads=1))
    # Norms behind norms cancel what the ones before have kept: values in float32 keep every row right.
    assert (found.log_singular_values[:, 0] - expected).abs().max() < 0.02


@pytest.mark.long
def test_the_package_that_trains_progressive_gans_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = pytest.importorskip("pro_gan_pytorch.networks", reason="pro-gan-pth is not installed")
    # It calls a private function of torch by a signature of long ago.
    turned = networks.GenInitialBlock.__init__.__globals__["EqualizedConvTranspose2d"]
    monkeypatch.setattr(turned, "_output_padding", lambda self, *_: [0, 0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        module = networks.Generator(depth=6, latent_size=8).double().eval().requires_grad_(False)
    latents = torch.randn(1, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    generator = Generator.from_module(module, 8)
    assert generator.output_shape == (3, 64, 64)
    expected = log_sigma(torch.func.vmap(torch.func.jacfwd(lambda z: module(z[None])[0]))(latents))
    found = volumes(generator, latents, engine=Engine(precision=Precision.FLOAT64, threads=1, tile_rows=1))
    torch.testing.assert_close(found.log_singular_values[:, :7], expected[:, :7], rtol=0.0, atol=1e-9)
