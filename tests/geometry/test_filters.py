"""Matched filters and Lipschitz constants: autograd of the original module, both ways of computing, ties."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from magnet_service.errors import Cancelled, InvalidInput, OutOfMemory, Refused
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.geometry import Engine, filters, lipschitz, matched_filters, region_at, volumes
from tests.generator.families import FAMILIES, Family, by_name, generator_of
from tests.geometry.oracles import autograd_jacobian, dense

pytestmark = pytest.mark.usefixtures("one_thread")

STRAIGHT = [family for family in FAMILIES if family.piecewise_affine]


class Classifier(nn.Module):
    """Ten logits of small colour images."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3)
            self.norm, self.last = nn.BatchNorm2d(6), nn.Linear(8 * 3 * 3, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden = functional.max_pool2d(functional.relu(self.norm(self.first(images))), 2)
        hidden = functional.max_pool2d(functional.leaky_relu(self.second(hidden), 0.1), 2, padding=1)
        return self.last(hidden.flatten(1)[:, : 8 * 3 * 3])


def classifier() -> tuple[nn.Module, Generator, Tensor]:
    module = Classifier().eval()
    images = torch.randn(3, 3 * 12 * 12, generator=torch.Generator().manual_seed(0))
    return module, Generator.from_module(module, 3 * 12 * 12, (3, 12, 12)), images


def shaped_jacobian(module: nn.Module, images: Tensor) -> Tensor:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, rows: Tensor) -> Tensor:
            return self.inner(rows.reshape(-1, 3, 12, 12))

    return autograd_jacobian(Flat(), images)


def test_filters_of_a_classifier_are_its_gradients_as_images() -> None:
    module, generator, images = classifier()
    found = matched_filters(generator, images)
    assert found.shape == (3, 10, 3, 12, 12)
    assert found.dtype == torch.float64
    expected = shaped_jacobian(module, images)
    torch.testing.assert_close(found.flatten(2), expected, rtol=1e-10, atol=1e-12)
    some = matched_filters(generator, images, outputs=[7, 0])
    torch.testing.assert_close(some.flatten(2), expected[:, [7, 0]], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        lipschitz(generator, images), torch.linalg.matrix_norm(expected, 2), rtol=1e-10, atol=0.0
    )


@pytest.mark.parametrize("family", STRAIGHT, ids=lambda family: family.name)
def test_both_ways_give_the_rows_of_the_regions(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, latents = generator_of(family), family.latents(3, seed=5)
    expected = torch.stack([region_at(generator, latent).matrix for latent in latents])
    scale = float(expected.abs().max())
    for forwards in (0, 10**9):
        monkeypatch.setattr(filters, "REVERSE", forwards)
        chosen = sorted({0, expected.shape[1] // 2, expected.shape[1] - 1})
        found = matched_filters(generator, latents, outputs=chosen, engine=Engine(tile_rows=2))
        assert found.shape[2:] == generator.latent_shape
        torch.testing.assert_close(found.flatten(2), expected[:, chosen], rtol=1e-11, atol=1e-12 * scale)


@pytest.mark.parametrize("name", ["mlp_tanh", "pooled", "attention", "narrow", "demodulated"])
@pytest.mark.parametrize("manifold", [Manifold.OUTPUT, Manifold.PRE_ACTIVATION])
def test_lipschitz_constants_are_spectral_norms(name: str, manifold: Manifold, monkeypatch: pytest.MonkeyPatch) -> None:
    family = by_name(name)
    generator, latents = generator_of(family), family.latents(4)
    _, tangents = generator.to(precision=Precision.FLOAT64).push(latents, manifold=manifold)
    expected = torch.linalg.matrix_norm(tangents, 2)
    torch.testing.assert_close(lipschitz(generator, latents, manifold=manifold), expected, rtol=1e-10, atol=0.0)
    monkeypatch.setattr(sys.modules[lipschitz.__module__], "REVERSE", 0)
    torch.testing.assert_close(lipschitz(generator, latents, manifold=manifold), expected, rtol=1e-10, atol=0.0)


def test_a_known_network() -> None:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    generator = Generator.from_module(nn.Sequential(layer, nn.ReLU()), 2)
    latents = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [0.0, 1.0]])
    torch.testing.assert_close(lipschitz(generator, latents), torch.tensor([4.0, 3.0, 0.0, 4.0]).double())
    broken = torch.full((1, 2), 1.7e308, dtype=torch.float64)
    assert math.isnan(float(lipschitz(generator, broken)))
    assert lipschitz(generator, torch.zeros(0, 2)).shape == (0,)
    assert matched_filters(generator, torch.zeros(0, 2), outputs=[1]).shape == (0, 1, 2)


@pytest.mark.parametrize("forwards", [0, 10**9])
def test_on_a_boundary_the_tie_rule_decides(forwards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ties(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            pool = functional.max_pool1d(torch.stack([z, z.flip(1)], 1), 2)[:, :, 0]
            return torch.cat([z.abs(), z.clamp(-1.0, 0.0), torch.maximum(z, 2 * z), z.amax(1, keepdim=True), pool], 1)

    monkeypatch.setattr(filters, "REVERSE", forwards)
    generator = Generator.from_module(Ties(), 2)
    found = matched_filters(generator, torch.zeros(1, 2))
    torch.testing.assert_close(found[0], region_at(generator, torch.zeros(2)).matrix)
    assert found[0, 0].tolist() == [-1.0, 0.0]
    assert found[0, 6].tolist() == [1.0, 0.0]


def test_it_works_wherever_weights_were_made() -> None:
    generator = Generator.from_module(dense(8, 6, 2, seed=0), 8)
    latents = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    volumes(generator, latents, engine=Engine(precision=Precision.FLOAT64))
    expected = autograd_jacobian(dense(8, 6, 2, seed=0), latents)
    torch.testing.assert_close(matched_filters(generator, latents, outputs=[0, 1]), expected)
    with torch.inference_mode():
        torch.testing.assert_close(matched_filters(generator, latents.clone(), outputs=[1])[:, 0], expected[:, 1])


def test_refusals() -> None:
    mlp = generator_of(by_name("mlp"))
    with pytest.raises(InvalidInput, match="from 0 to 8") as invalid:
        matched_filters(mlp, torch.zeros(1, 6), outputs=[9])
    assert invalid.value.field == "outputs"
    with pytest.raises(Refused):
        matched_filters(generator_of(by_name("mlp_tanh")), torch.zeros(1, 6), manifold=Manifold.OUTPUT)
    with pytest.raises(InvalidInput, match="6 numbers"):
        matched_filters(mlp, torch.zeros(1, 5))
    for outputs in (None, [0]):
        with pytest.raises(OutOfMemory, match="outputs"):
            matched_filters(mlp, torch.zeros(1, 6), outputs=outputs, engine=Engine(max_memory=100))
        with pytest.raises(Cancelled):
            matched_filters(mlp, torch.zeros(1, 6), outputs=outputs, should_stop=lambda: True)
