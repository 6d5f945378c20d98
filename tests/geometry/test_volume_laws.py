"""Laws that log-volumes obey whatever the generator: V1 to V5."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, forward, log_volume, volumes
from tests.geometry.oracles import autograd_jacobian, dense, linear_generator, random_latents

ENGINES = [Engine(precision=Precision.FLOAT32), Engine(precision=Precision.FLOAT64)]
each_precision = pytest.mark.parametrize("engine", ENGINES, ids=["float32", "float64"])
TOLERANCE = {Precision.FLOAT32: 2e-5, Precision.FLOAT64: 1e-9}


def full(generator: Generator, latents: Tensor, engine: Engine, manifold: Manifold = Manifold.OUTPUT) -> Tensor:
    return log_volume(volumes(generator, latents, manifold=manifold, engine=engine), generator.latent_dim)


@each_precision
def test_a_linear_generator_has_half_the_log_determinant_of_its_gram_matrix(engine: Engine) -> None:
    matrix = random_latents(1, 30, 7, torch.float64)
    expected = torch.linalg.slogdet(matrix.T @ matrix).logabsdet / 2
    found = full(linear_generator(matrix), random_latents(2, 20, 7), engine)
    torch.testing.assert_close(found, expected.expand(20), rtol=0, atol=TOLERANCE[engine.precision])


class Graph(nn.Module):
    """G(z) = (z, f(z)): injective and of full rank whatever f is."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, latents: Tensor) -> Tensor:
        return torch.cat([latents, self.inner(latents)], dim=1)


@each_precision
def test_a_graph_generator_has_the_determinant_of_one_plus_the_inner_gram_matrix(engine: Engine) -> None:
    inner = dense(5, 40, 40, 12, seed=3)
    latents = random_latents(4, 33, 5)
    jacobian = autograd_jacobian(inner, latents)
    expected = torch.linalg.slogdet(torch.eye(5, dtype=torch.float64) + jacobian.mT @ jacobian).logabsdet / 2
    found = full(Generator.from_module(Graph(inner), 5), latents, engine)
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[engine.precision])


class Tents(nn.Module):
    """The tent map t(x) = 2 relu(x) - 4 relu(x - 1/2), folded L times on every axis."""

    def __init__(self, folds: int) -> None:
        super().__init__()
        self.folds = folds

    def forward(self, latents: Tensor) -> Tensor:
        for _ in range(self.folds):
            latents = 2 * torch.relu(latents) - 4 * torch.relu(latents - 0.5)
        return latents


@pytest.mark.parametrize(("dim", "folds"), [(1, 1), (1, 4), (2, 3), (3, 2)])
@each_precision
def test_tents_multiply_volume_by_two_a_fold_and_axis(engine: Engine, dim: int, folds: int) -> None:
    centres = (torch.arange(2**folds, dtype=torch.float64) + 0.5) / 2**folds
    latents = torch.tensor(list(itertools.product(centres.tolist(), repeat=dim)), dtype=torch.float64)
    found = full(Generator.from_module(Tents(folds), dim), latents, engine)
    expected = torch.full((2 ** (folds * dim),), dim * folds * math.log(2), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_image_of_a_simplex_inside_a_region_is_larger_by_the_volume() -> None:
    # No Jacobian at all: edge images by finite differences are exact where the map is affine.
    engine = Engine(precision=Precision.FLOAT64)
    generator = Generator.from_module(dense(4, 30, 30, 25, seed=5), 4)
    latents = random_latents(6, 12, 4, torch.float64)
    step = 1e-7
    corners = [latents] + [latents + step * torch.eye(4, dtype=torch.float64)[axis] for axis in range(4)]
    images = [forward(engine, generator, corner).flatten(1) for corner in corners]
    edges = torch.stack([image - images[0] for image in images[1:]], dim=2) / step
    expected = torch.linalg.slogdet(edges.mT @ edges).logabsdet / 2
    torch.testing.assert_close(full(generator, latents, engine), expected, rtol=0, atol=1e-5)


@each_precision
def test_scaling_the_output_adds_d_log_of_the_scale(engine: Engine) -> None:
    module, latents = dense(6, 32, 32, 50, seed=7), random_latents(8, 20, 6)
    scale = nn.Linear(50, 50, bias=False)
    with torch.no_grad():
        scale.weight.copy_(3.5 * torch.eye(50))
    plain = full(Generator.from_module(module, 6), latents, engine)
    scaled = full(Generator.from_module(nn.Sequential(*module, scale), 6), latents, engine)
    torch.testing.assert_close(scaled, plain + 6 * math.log(3.5), rtol=0, atol=TOLERANCE[engine.precision])


@each_precision
def test_orthogonal_maps_before_and_after_add_nothing(engine: Engine) -> None:
    module, latents = dense(6, 32, 32, 50, seed=9).double(), random_latents(10, 20, 6)
    before, after = nn.Linear(6, 6, bias=False).double(), nn.Linear(50, 50, bias=False).double()
    with torch.no_grad():
        for layer, seed in ((before, 11), (after, 12)):
            layer.weight.copy_(torch.linalg.qr(random_latents(seed, *layer.weight.shape, torch.float64)).Q)
    turned = latents.double() @ before.weight.detach()  # before(turned) is the latent again
    plain = full(Generator.from_module(module, 6), latents, engine)
    found = full(Generator.from_module(nn.Sequential(before, *module, after), 6), turned, engine)
    torch.testing.assert_close(found, plain, rtol=0, atol=5 * TOLERANCE[engine.precision])


class Padded(nn.Module):
    """The outputs of another generator, then zeros that never depend on the latent."""

    def __init__(self, inner: nn.Module, zeros: int) -> None:
        super().__init__()
        self.inner, self.zeros = inner, zeros

    def forward(self, latents: Tensor) -> Tensor:
        return torch.nn.functional.pad(self.inner(latents), (0, self.zeros))


@each_precision
def test_outputs_that_are_always_zero_add_nothing(engine: Engine) -> None:
    module, latents = dense(6, 32, 50, seed=13), random_latents(14, 20, 6)
    plain = full(Generator.from_module(module, 6), latents, engine)
    padded = full(Generator.from_module(Padded(module, 40), 6), latents, engine)
    torch.testing.assert_close(padded, plain, rtol=0, atol=TOLERANCE[engine.precision])
