"""A zoo of small generators of every kind met in the field; all tests that hold for any generator run over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from magnet_service.generator import Generator
from tests.generator.family_layers import (
    Folded,
    Learned,
    Pooled,
    Residual,
    bent,
    dcgan,
    dense,
    formula,
    joined,
    padded,
    pixel_norm,
    products,
)
from tests.generator.smooth_layers import (
    Attention,
    Demodulated,
    Extrema,
    Functions,
    HandWrittenAttention,
    Modulated,
    Normed,
)

__all__ = ["FAMILIES", "Family", "by_name", "generator_of"]


@dataclass(frozen=True)
class Family:
    """One kind of generator.

    Attributes:
        name: for test ids.
        construct: makes the layers; weights are drawn anew by `build`.
        latent_dim: d.
        latent_shape: of one latent as the module takes it.
        smooth_head: whether it ends in smooth elementwise operations.
        piecewise_affine: whether everything before the head is piecewise affine.
        decomposes: whether the form of it that `run_decompositions` makes is supported too.
    """

    name: str
    construct: Callable[[], nn.Module]
    latent_dim: int = 6
    latent_shape: tuple[int, ...] | None = None
    smooth_head: bool = False
    piecewise_affine: bool = True
    decomposes: bool = True

    def build(self, seed: int = 0) -> nn.Module:
        """The module in float64 and evaluation mode, weights and statistics drawn from the seed alone."""
        with torch.random.fork_rng(devices=[]):
            module = self.construct().double().eval()
        source = torch.Generator().manual_seed(seed)
        for parameter in module.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 4
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=source, dtype=torch.float64) * (2 / fan) ** 0.5)
        for layer in module.modules():
            if getattr(layer, "running_mean", None) is not None:
                shape = layer.running_mean.shape
                layer.running_mean.copy_(0.3 * torch.randn(shape, generator=source, dtype=torch.float64))
                layer.running_var.copy_(0.5 + torch.rand(shape, generator=source, dtype=torch.float64))
                with torch.no_grad():
                    layer.weight.copy_(0.5 + torch.rand(shape, generator=source, dtype=torch.float64))
        return module.requires_grad_(False)

    def latents(self, rows: int, seed: int = 1) -> Tensor:
        """Standard normal latents [rows, d] in float64."""
        source = torch.Generator().manual_seed(seed)
        return torch.randn(rows, self.latent_dim, generator=source, dtype=torch.float64)

    def outputs(self, module: nn.Module, latents: Tensor) -> Tensor:
        """What the module itself says, [rows, D]."""
        shape = (self.latent_dim,) if self.latent_shape is None else self.latent_shape
        return module(latents.reshape(-1, *shape)).flatten(1)


FAMILIES: tuple[Family, ...] = (
    Family("mlp", lambda: dense(6, 16, 20, 9)),
    Family("mlp_tanh", lambda: dense(6, 16, 20, 9, head=nn.Tanh), smooth_head=True),
    Family("vae", lambda: dense(6, 16, 12, head=nn.Sigmoid), smooth_head=True),
    Family("narrow", lambda: dense(6, 4, 9)),
    Family("linear", lambda: nn.Linear(6, 9)),
    Family("leaky", lambda: dense(6, 16, 20, 9, unit=lambda: nn.LeakyReLU(0.2, inplace=True))),
    Family("prelu", lambda: nn.Sequential(nn.Linear(6, 8), nn.PReLU(), nn.Linear(8, 8), nn.PReLU(8), nn.Linear(8, 7))),
    Family("abs", formula(lambda m, z: m[1](m[0](z).abs()), lambda: nn.Linear(6, 12), lambda: nn.Linear(12, 8))),
    Family("hardtanh", lambda: dense(6, 16, 20, 9, unit=lambda: nn.Hardtanh(-0.5, 0.7))),
    Family("relu6", lambda: dense(6, 16, 20, 9, unit=nn.ReLU6)),
    Family(
        "clamp",
        formula(
            lambda m, z: m[1](m[0](z).clamp(min=-0.3).clamp_max(0.8)),
            lambda: nn.Linear(6, 12),
            lambda: nn.Linear(12, 8),
        ),
    ),
    Family(
        "batch_norm",
        lambda: nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 9)),
    ),
    Family("dcgan", dcgan, latent_shape=(6, 1, 1), smooth_head=True),
    Family("dcgan_linear", lambda: dcgan(head=False), latent_shape=(6, 1, 1)),
    Family("dcgan_leaky", lambda: dcgan(unit=lambda: nn.LeakyReLU(0.2)), latent_shape=(6, 1, 1), smooth_head=True),
    Family(
        "deconv_vae",
        lambda: nn.Sequential(
            nn.Linear(6, 8 * 3 * 3),
            nn.ReLU(),
            nn.Unflatten(1, (8, 3, 3)),
            nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 3, 2, 1, output_padding=1),
            nn.Sigmoid(),
        ),
        smooth_head=True,
    ),
    Family(
        "wgan_upsampling",
        lambda: nn.Sequential(
            nn.Linear(6, 8 * 2 * 2),
            nn.Unflatten(1, (8, 2, 2)),
            nn.BatchNorm2d(8),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, 4, 3, padding=1),
            nn.BatchNorm2d(4, 0.8),
            nn.LeakyReLU(0.2),
            nn.Upsample(size=(7, 9), mode="bilinear", align_corners=True),
            nn.Conv2d(4, 1, 3, padding=1),
            nn.Tanh(),
        ),
        smooth_head=True,
    ),
    Family("residual", Residual, smooth_head=True),
    Family("pooled", Pooled),
    Family("learned_constant", Learned),
    Family("folded", Folded),
    Family("joined", formula(joined, lambda: nn.Linear(3, 5))),
    Family("products", formula(products)),
    Family("padded", formula(padded, lambda: nn.Conv2d(2, 3, 3, stride=2, bias=False))),
    Family(
        "sequence",
        lambda: nn.Sequential(
            nn.Unflatten(1, (2, 3)),
            nn.ConvTranspose1d(2, 4, 3, 2, 1, output_padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(4, 4, 3, groups=2, padding="same"),
            nn.MaxPool1d(2),
            nn.ReLU(),
            nn.AvgPool1d(2),
            nn.Conv1d(4, 5, 2, dilation=2),
        ),
    ),
    Family(
        "grouped",
        lambda: nn.Sequential(
            nn.Linear(6, 4 * 5 * 5),
            nn.Unflatten(1, (4, 5, 5)),
            nn.ReLU(),
            nn.Conv2d(4, 8, (3, 2), stride=(1, 2), padding=(1, 0), dilation=(2, 1), groups=2),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
            nn.Flatten(),
        ),
    ),
    Family(
        "instance_norm",
        lambda: nn.Sequential(
            nn.Linear(6, 2 * 3 * 3),
            nn.Unflatten(1, (2, 3, 3)),
            nn.InstanceNorm2d(2, affine=True, track_running_stats=True),
            nn.ReLU(),
            nn.Conv2d(2, 3, 2),
        ),
        decomposes=False,  # it folds the batch into the channels there
    ),
    Family("pixel_norm", formula(pixel_norm, lambda: nn.Linear(6, 9)), piecewise_affine=False),
    Family(
        "smooth_inside",
        formula(bent, lambda: nn.Linear(6, 6), lambda: nn.Linear(6, 2)),
        piecewise_affine=False,
        decomposes=False,  # softplus becomes a choice between two values there
    ),
    Family("attention", Attention, piecewise_affine=False, decomposes=False),  # it folds the batch into the heads there
    Family("attention_written_out", HandWrittenAttention, piecewise_affine=False, decomposes=False),  # as above
    Family("modulated", Modulated, piecewise_affine=False),
    Family("demodulated", Demodulated, piecewise_affine=False),
    Family("normed", Normed, piecewise_affine=False, decomposes=False),  # as the instance norm above
    Family("functions", Functions, piecewise_affine=False),
    Family("extrema", Extrema),
    Family(
        "silu_then_tanh", lambda: dense(6, 12, 10, unit=nn.SiLU, head=nn.Tanh), smooth_head=True, piecewise_affine=False
    ),
    Family(
        "scaled_head",
        formula(
            lambda m, z: (torch.tanh(m[1](functional.relu(m[0](z)))) + 1) / 2 * 255,
            lambda: nn.Linear(6, 9),
            lambda: nn.Linear(9, 8),
        ),
        smooth_head=True,
    ),
)


def by_name(name: str) -> Family:
    """The family of that name; KeyError otherwise."""
    return {family.name: family for family in FAMILIES}[name]


@cache
def generator_of(family: Family, seed: int = 0) -> Generator:
    """The family's module of that seed as a float32 generator on the CPU."""
    return Generator.from_module(family.build(seed), family.latent_dim, family.latent_shape)
