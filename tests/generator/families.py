"""A zoo of small generators of every kind met in the field; all tests that hold for any generator run over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from magnet_service.generator import Generator

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
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.InstanceNorm2d):
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


class Formula(nn.Module):
    """Layers and the formula that joins them."""

    def __init__(self, formula: Callable[[nn.ModuleList, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.formula = formula
        self.layers = nn.ModuleList(layers)

    def forward(self, latents: Tensor) -> Tensor:
        return self.formula(self.layers, latents)


def formula(
    function: Callable[[nn.ModuleList, Tensor], Tensor], *make: Callable[[], nn.Module]
) -> Callable[[], nn.Module]:
    return lambda: Formula(function, *(layer() for layer in make))


def dense(
    *widths: int, unit: Callable[[], nn.Module] = nn.ReLU, head: Callable[[], nn.Module] | None = None
) -> nn.Module:
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers += [nn.Linear(first, second), unit()]
    return nn.Sequential(*layers[:-1], *([head()] if head else []))


def dcgan(head: bool = True, unit: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    layers = [
        nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(8),
        unit(),
        nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6),
        unit(),
        nn.ConvTranspose2d(6, 2, 4, 2, 1),
    ]
    return nn.Sequential(*layers, *([nn.Tanh()] if head else []))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 4 * 3 * 3)
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = self.stem(latents).view(-1, 4, 3, 3)
        inner = self.second(functional.relu(self.first(functional.relu(hidden))))
        hidden = functional.interpolate(torch.add(hidden, inner, alpha=0.5), scale_factor=2)
        return torch.tanh(self.last(functional.relu_(hidden + hidden.mean((2, 3), keepdim=True))))


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Linear(6, 3 * 8 * 8), nn.Conv2d(3, 4, 3, padding="same", dilation=2)

    def forward(self, latents: Tensor) -> Tensor:
        hidden = functional.max_pool2d(self.stem(latents).unflatten(1, (3, 8, 8)), 3, 2, 1)
        hidden = functional.avg_pool2d(self.conv(hidden), 2, 1, count_include_pad=False, padding=1)
        return torch.cat([hidden.flatten(1), functional.adaptive_avg_pool2d(hidden, 2).flatten(1)], 1)


class Learned(nn.Module):
    """A constant feature map that the latent scales and shifts."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.ones(1, 3, 4, 4))
        self.style, self.conv = nn.Linear(6, 6), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        scale, shift = self.style(latents).chunk(2, 1)
        stem = self.constant.expand(latents.shape[0], -1, -1, -1)
        return self.conv(functional.relu(stem * scale[:, :, None, None] + shift[:, :, None, None]))


class Folded(nn.Module):
    """Weights that are computed from other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(6, 7))
        self.direction = nn.Parameter(torch.ones(7))
        self.second = nn.Parameter(torch.ones(5, 7))

    def forward(self, latents: Tensor) -> Tensor:
        weight = self.second / torch.dot(self.direction, self.direction).sqrt()
        return functional.linear(functional.relu(self.first(latents)), weight)


def joined(layers: nn.ModuleList, z: Tensor) -> Tensor:
    left, middle, right = torch.split(z, [1, 3, 2], dim=1)
    hidden = torch.cat([functional.relu(layers[0](middle)), right, z[:, ::2], z[:, 0].unsqueeze(1)], 1)
    hidden = torch.stack([hidden, hidden.flip(1)], 1)[:, :, [0, 2, 1, 5]]
    return torch.cat(
        [hidden.flatten(1), left * 2 - 1, 1 - left, left / 3, torch.zeros(z.shape[0], 2, dtype=z.dtype)], 1
    )


def products(layers: nn.ModuleList, z: Tensor) -> Tensor:
    grid = z.view(-1, 2, 3)
    left = torch.arange(-4, 4, dtype=z.dtype).reshape(4, 2)
    right = (torch.arange(15, dtype=z.dtype) / 7 - 1).reshape(3, 5).expand(z.shape[0], 3, 5)
    return functional.relu(torch.matmul(left, grid)).bmm(right).transpose(1, 2)


def padded(layers: nn.ModuleList, z: Tensor) -> Tensor:
    hidden = functional.pad(z.view(-1, 1, 2, 3).repeat(1, 4, 2, 1), (1, 2, 0, 1), value=0.5)
    hidden = functional.pad(functional.pad(hidden, (1, 1, 1, 1), mode="reflect"), (1, 0, 2, 1), mode="replicate")
    return layers[0](functional.pixel_shuffle(functional.relu(hidden), 2).expand(-1, 2, -1, -1)).permute(0, 2, 3, 1)


def pixel_norm(layers: nn.ModuleList, z: Tensor) -> Tensor:
    hidden = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
    return functional.relu(layers[0](hidden)) / (hidden.pow(2).sum(1, keepdim=True) + 1.0)


def bent(layers: nn.ModuleList, z: Tensor) -> Tensor:
    hidden = layers[0](z)
    parts = [functional.silu, functional.gelu, functional.mish, functional.softplus, functional.elu, torch.selu]
    parts += [functional.celu, torch.exp, torch.sin, torch.cos, functional.logsigmoid, torch.sigmoid]
    parts += [lambda x: functional.gelu(x, approximate="tanh"), lambda x: torch.sqrt(torch.exp(x) + 1.0)]
    parts += [lambda x: torch.reciprocal(torch.exp(x) + 1.0), lambda x: torch.log1p(x.square())]
    return torch.cat([layers[1](part(hidden)) for part in parts], 1).softmax(1)


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
