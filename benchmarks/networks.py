"""The generators of the volume benchmark, as plain torch modules."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

__all__ = ["NETWORKS", "Network", "dense", "faces_weights"]

WHEEL = "gan_face_generate"


@dataclass(frozen=True)
class Network:
    """One generator to measure.

    Attributes:
        name: of the case.
        make: the module, in evaluation mode, weights drawn from seed 0 or trained.
        latent_dim: d.
        latents: latents a timed call takes.
        kernel: what bounds it, `matmul` or `convolution`.
        bfloat16: whether there is a case in bfloat16 too.
        checked: latents compared with the float64 reference; fewer where that takes minutes a latent.
        chunks: batch sizes that the rivals may choose from.
    """

    name: str
    make: Callable[[], nn.Module]
    latent_dim: int
    latents: int
    kernel: str = "matmul"
    bfloat16: bool = False
    checked: int = 64
    chunks: tuple[int, ...] = (1, 4, 16, 64, 256)


def dense(latent: int, hidden: tuple[int, ...], outputs: int, head: bool = False) -> nn.Sequential:
    """Default linear layers with ReLU, with or without tanh."""
    layers: list[nn.Module] = []
    width = latent
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs), *([nn.Tanh()] if head else []))


def faces_weights() -> Path | None:
    """The trained weights in the `gan-face-generate` wheel (PyPI, 1.1.1), where that is installed; never imported."""
    found = importlib.util.find_spec(WHEEL)
    places = [] if found is None else list(found.submodule_search_locations or [])
    files = [Path(place) / "weights.tar" for place in places]
    return next((file for file in files if file.is_file()), None)


def faces() -> nn.Module:
    """The DCGAN of that wheel: 100 latents, 64 x 64 colour, trained where its weights are at hand."""
    sizes = (512, 256, 128, 64)
    layers: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1))]
    width = 100
    for place, size in enumerate(sizes):
        step, pad = (1, 0) if place == 0 else (2, 1)
        layers += [nn.ConvTranspose2d(width, size, 4, step, pad, bias=False), nn.BatchNorm2d(size), nn.ReLU()]
        width = size
    module = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())
    weights = faces_weights()
    if weights is not None:
        # weights_only: tensors and nothing else; a development tool, the service never opens such a file.
        trained = torch.load(weights, map_location="cpu", weights_only=True)["netG_state_dict"]
        own = module.state_dict()
        module.load_state_dict(dict(zip(own, trained.values(), strict=True)))
    else:
        settle(module, 100)
    return module


def settle(module: nn.Module, latent: int) -> None:
    """Random weights with statistics of the values they really make, so that half of the units are active."""
    module.train()
    with torch.no_grad():
        for _ in range(8):
            module(torch.randn(64, latent))


class Wasserstein(nn.Module):
    """A WGAN-GP generator with nearest upsampling: 3 x 32 x 32."""

    def __init__(self, latent: int = 128, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(latent, 4 * width * 16)
        self.width = width
        self.body = nn.Sequential(
            *self.block(4 * width, 2 * width), *self.block(2 * width, width), *self.block(width, width // 2)
        )
        self.last = nn.Conv2d(width // 2, 3, 3, padding=1)

    @staticmethod
    def block(before: int, after: int) -> list[nn.Module]:
        """Double the side, convolve, normalise, rectify."""
        return [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]

    def forward(self, latents: Tensor) -> Tensor:
        """Images in -1..1."""
        return torch.tanh(self.last(self.body(torch.relu(self.first(latents)).unflatten(1, (4 * self.width, 4, 4)))))


class Labelled(nn.Module):
    """A conditional MLP: latent and one-hot label side by side."""

    def __init__(self, latent: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.classes = classes
        self.body = dense(latent + classes, (256, 512), 784, True)

    def forward(self, latents: Tensor, label: Tensor) -> Tensor:
        """Images in -1..1."""
        made: Tensor = self.body(torch.cat([latents, label], 1))
        return made


class Residual(nn.Module):
    """Residual blocks between an input and an output layer."""

    def __init__(self, latent: int = 64, width: int = 256, blocks: int = 4, outputs: int = 1024) -> None:
        super().__init__()
        self.first = nn.Linear(latent, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.last = nn.Linear(width, outputs)

    def forward(self, latents: Tensor) -> Tensor:
        """Outputs in -1..1."""
        value = torch.relu(self.first(latents))
        for block in self.blocks:
            value = torch.relu(value + block(value))
        return torch.tanh(self.last(value))


def decoder() -> nn.Module:
    """The VAE decoder of github.com/YannDubs/disentangling-vae: 10 latents, 32 x 32, random weights."""
    layers: list[nn.Module] = []
    for before, after in ((10, 256), (256, 256), (256, 512)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    layers.append(nn.Unflatten(1, (32, 4, 4)))
    for _ in range(2):
        layers += [nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid())


def settled(make: Callable[[], nn.Module], latent: int) -> nn.Module:
    """A module with batch norm, its statistics settled."""
    module = make()
    settle(module, latent)
    return module


NETWORKS = (
    Network("mlp-64-256-256-784", lambda: dense(64, (256, 256), 784, False), 64, 512),
    Network("mlp-128-512x3-12288", lambda: dense(128, (512, 512, 512), 12288, False), 128, 128),
    Network("mlp-64-256-256-784-tanh", lambda: dense(64, (256, 256), 784, True), 64, 512),
    Network("mlp-128-512x3-12288-tanh", lambda: dense(128, (512, 512, 512), 12288, True), 128, 64, bfloat16=True),
    Network("dcgan-faces", faces, 100, 16, "convolution", bfloat16=True),
    Network("deconv-vae", decoder, 10, 512, "convolution"),
    Network("wgan-upsample", lambda: settled(Wasserstein, 128), 128, 32, "convolution", checked=4),
    Network("conditional", Labelled, 64, 512),
    Network("residual", Residual, 64, 256),
)
