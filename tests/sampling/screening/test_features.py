from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from magnet_service.generator import Generator, Manifold
from magnet_service.sampling.screening.features import features
from tests.sampling.screening.surrogates import OUTPUT, PRE_ACTIVATION


def tiny() -> nn.Sequential:
    """z -> tanh(relu(z1 - z2), 2 relu(z1)) by hand."""
    first, last = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 0.0]]))
        last.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        first.bias.zero_()
        last.bias.zero_()
    return nn.Sequential(first, nn.ReLU(), last, nn.Tanh())


def test_a_tiny_net_by_hand() -> None:
    latents = torch.tensor([[0.5, 0.25], [-1.0, 0.5]])
    found = features(Generator.from_module(tiny(), 2), latents, OUTPUT)
    slopes = [1.0 - np.tanh(0.25) ** 2, 1.0 - np.tanh(1.0) ** 2]
    assert found.shape == (2, 8)
    # The latent; bits and pre-activations of two units; the slopes of the head.
    expected = torch.tensor([[0.5, 0.25, 1, 1, 0.25, 0.5, *slopes], [-1.0, 0.5, 0, 0, -1.5, -1.0, 1, 1]])
    torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=1e-7)


def test_before_the_head_nothing_is_seen_of_it() -> None:
    latents = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    generator = Generator.from_module(tiny(), 2)
    before = features(generator, latents, PRE_ACTIVATION)
    assert before.shape == (5, 6)
    assert torch.equal(before, features(generator, latents, OUTPUT)[:, :6])


def test_leaky_slopes_and_smooth_bends_inside() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.2), nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 2))
    latents = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    found = features(Generator.from_module(module, 2), latents, PRE_ACTIVATION)
    with torch.no_grad():
        entering = module[0](latents)
        inner = module[2](module[1](entering))
    expected = [latents, torch.where(entering > 0, 1.0, 0.2), entering, torch.sigmoid(inner)]
    torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-5, atol=1e-6)


class Picture(nn.Module):
    """A linear map to a picture of 8 channels, 16 x 12, a rectifier, and two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(3, 8 * 16 * 12), nn.Linear(8 * 16 * 12, 2)

    def forward(self, z: Tensor) -> Tensor:
        return self.out(self.into(z).reshape(-1, 8, 16, 12).relu().flatten(1))


def test_a_picture_is_averaged_over_squares_of_neighbours() -> None:
    torch.manual_seed(0)
    module = Picture()
    latents = torch.randn(4, 3)
    found = features(Generator.from_module(module, 3), latents, PRE_ACTIVATION)
    with torch.no_grad():
        picture = module.into(latents).reshape(4, 8, 16, 12)
    # Squares of 3: the smallest of which 8 pictures have at most 256.
    blocks = [
        [[picture[:, :, y : y + 3, x : x + 3].mean((2, 3)) for x in range(0, 12, 3)] for y in range(0, 16, 3)],
    ][0]
    expected = torch.stack([torch.stack(row, -1) for row in blocks], -2).flatten(1)
    assert expected.shape[1] == 8 * 6 * 4 <= 256
    assert found.shape[1] == 3 + 2 * expected.shape[1]
    torch.testing.assert_close(found[:, -expected.shape[1] :], expected, rtol=1e-5, atol=1e-6)


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.pool = nn.Linear(2, 6), nn.MaxPool1d(2)

    def forward(self, z: Tensor) -> Tensor:
        return self.pool(self.into(z).unsqueeze(1)).flatten(1)


def test_a_max_pool_gives_its_outputs() -> None:
    torch.manual_seed(0)
    module, latents = Pooled(), torch.randn(4, 2)
    found = features(Generator.from_module(module, 2), latents, Manifold.OUTPUT)
    torch.testing.assert_close(found, torch.cat([latents, module(latents).detach()], 1))


def test_wide_and_deep_nets_stay_bounded() -> None:
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(2, 5000), nn.ReLU(), nn.Linear(5000, 3))
    latents = torch.randn(3, 2)
    found = features(Generator.from_module(wide, 2), latents, PRE_ACTIVATION)
    assert found.shape[1] == 2 + 2 * 1000
    with torch.no_grad():
        entering = wide[0](latents)
    torch.testing.assert_close(found[:, -1000:], entering.unflatten(1, (1000, 5)).mean(2), rtol=1e-5, atol=1e-6)
    parts: list[nn.Module] = [nn.Linear(2, 300), nn.ReLU()]
    for _ in range(39):
        parts += [nn.Linear(300, 300), nn.ReLU()]
    deep = Generator.from_module(nn.Sequential(*parts), 2)
    assert 2 + 40 * 2 * 32 < features(deep, latents, PRE_ACTIVATION).shape[1] <= 2 + 6144


def test_the_number_of_features_is_one_for_all_latents() -> None:
    generator = Generator.from_module(tiny(), 2)
    widths = {features(generator, torch.randn(count, 2), OUTPUT).shape for count in (1, 2, 64)}
    assert widths == {(1, 8), (2, 8), (64, 8)}
