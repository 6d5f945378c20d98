"""The modules that the scripts of this folder train."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = [
    "FASHION_LATENT",
    "RINGS_LATENT",
    "Classifier",
    "FashionCritic",
    "fashion_generator",
    "rings_critic",
    "rings_generator",
]

FASHION_LATENT = 16
RINGS_LATENT = 2


def fashion_generator() -> nn.Sequential:
    """Return the convolutional generator, z (batch, 16) to images (batch, 1, 28, 28) in [-1, 1].

    Cost: 12.2 million multiply-adds after the first layer, 0.39 GFLOP for the 16 tangent columns of one Jacobian.
    """
    return nn.Sequential(
        nn.Linear(FASHION_LATENT, 112 * 7 * 7, bias=False),
        nn.Unflatten(1, (112, 7, 7)),
        nn.BatchNorm2d(112),
        nn.ReLU(),
        nn.ConvTranspose2d(112, 64, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 1, 3, padding=1),
        nn.Tanh(),
    )


class FashionCritic(nn.Module):
    """Convolutional critic: spectral norm (Miyato et al. 2018, arXiv 1802.05957) and a minibatch-stddev channel."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            spectral_norm(nn.Conv2d(1, 64, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(64, 128, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
        )
        self.head = nn.Sequential(
            spectral_norm(nn.Conv2d(129, 192, 3, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            spectral_norm(nn.Linear(192 * 4 * 4, 1)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return one score for each image, (batch,)."""
        found = self.trunk(images)
        groups = found.unflatten(0, (-1, 8))
        spread = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        channel = spread.repeat_interleave(8)[:, None, None, None].expand(-1, 1, *found.shape[2:])
        scores: Tensor = self.head(torch.cat([found, channel], dim=1)).squeeze(1)
        return scores


class Classifier(nn.Module):
    """Small ReLU CNN on 28x28 images in [-1, 1]: logits of ten classes, and the 96 features before them."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 96, 3, padding=1, bias=False),
            nn.BatchNorm2d(96),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(96 * 3 * 3, 96),
            nn.ReLU(),
        )
        self.head = nn.Linear(96, 10)

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate activations, (batch, 96)."""
        found: Tensor = self.trunk(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, 10)."""
        logits: Tensor = self.head(self.trunk(images))
        return logits


def rings_generator() -> nn.Sequential:
    """Return the plane generator, z (batch, 2) in [-1, 1]^2 to points (batch, 2), linear head."""
    return nn.Sequential(
        nn.Linear(RINGS_LATENT, 32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.ReLU(),
        nn.Linear(32, 2),
    )


def rings_critic() -> nn.Sequential:
    """Return the critic of points in the plane, (batch, 2) to (batch, 1)."""
    return nn.Sequential(
        nn.Linear(2, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 1),
    )
