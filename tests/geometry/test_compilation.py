"""Sweeps compiled to programs of the package's own kernels: every kind of layer, against autograd in float64.

Singular values alone would let a row off that is done again in float64, so the program's own Jacobians are looked at
too: their Gram matrices are compared number by number.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from magnet_service.generator import Generator, Manifold, Precision, activation_pattern
from magnet_service.geometry import Engine, full_log_volumes, log_volume, prefix_sums, volumes
from magnet_service.geometry.sweep import preparation, prepare, run, trace
from magnet_service.geometry.sweep.program import Affine, Combine
from magnet_service.geometry.tangent_space import tangent_basis
from tests.generator.families import FAMILIES, Family, generator_of
from tests.generator.family_layers import formula
from tests.geometry.oracles import random_latents

ROWS = 5
SINGLE = Engine(threads=1)
EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Network:
    """A generator to compile.

    Attributes:
        make: its layers; weights are drawn anew.
        dim: d.
        compiles: whether there is a program.
        smooth: whether smooth operations stand inside.
        manifold: whose tangents are wanted.
        shift: added to all biases, to make units idle or busy.
    """

    make: Callable[[], nn.Module]
    dim: int = 6
    compiles: bool = True
    smooth: bool = False
    manifold: Manifold = Manifold.OUTPUT
    shift: float = 0.0


def randomised(module: nn.Module, shift: float = 0.0) -> nn.Module:
    """Weights, biases and statistics that are not those of a fresh layer, drawn from one seed."""
    source = torch.Generator().manual_seed(7)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5, generator=source)
            layer.running_var.uniform_(0.5, 2.0, generator=source)
            layer.running_mean.normal_(0, 0.1, generator=source)
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            fan = layer.weight[0].numel()
            if isinstance(layer, nn.ConvTranspose2d):
                fan = layer.weight[:, 0].numel() // layer.groups
            layer.weight.data.normal_(0, (2.0 / fan) ** 0.5, generator=source)
            if layer.bias is not None:
                layer.bias.data.normal_(shift, 0.3, generator=source)
    return module.double().eval().requires_grad_(False)


def mlp(*widths: int, unit: Callable[[], nn.Module] = nn.ReLU, head: nn.Module | None = None) -> nn.Module:
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers += [nn.Linear(first, second), unit()]
    return nn.Sequential(*layers[:-1], *([] if head is None else [head]))


def maps(*layers: nn.Module, shape: tuple[int, int, int] = (4, 5, 4), dim: int = 6) -> nn.Module:
    """Layers on maps of that shape, which a linear layer and a ReLU make."""
    high, wide = shape[1:]
    first = nn.Linear(dim, shape[0] * high * wide)
    return nn.Sequential(first, nn.ReLU(), nn.Unflatten(1, shape), *layers)


def on_maps(layer: Callable[[], nn.Module], shape: tuple[int, int, int] = (4, 5, 4)) -> Network:
    """A layer on maps, its ReLU, and one more convolution: the layer's lines carry slopes, and are read."""
    return Network(lambda: maps(made := layer(), nn.ReLU(), following(made), shape=shape))


def following(layer: nn.Module) -> nn.Module:
    channels = layer.out_channels if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else 4
    return nn.Conv2d(channels, 3, 2, padding=1)


def flipped(m: nn.ModuleList, z: Tensor) -> Tensor:
    value = torch.relu(m[0](z)).unflatten(1, (3, 4, 5))
    return m[1](torch.cat([value.flip(3), value.flip(1, 2)], 1))


def residual(m: nn.ModuleList, z: Tensor) -> Tensor:
    raw = m[0](z)
    value = raw + m[2](torch.relu(m[1](torch.relu(raw))))
    return m[3](torch.relu(value))


def residual_maps(m: nn.ModuleList, z: Tensor) -> Tensor:
    raw = m[0](z).unflatten(1, (4, 3, 4))
    value = functional.interpolate(raw, scale_factor=2) + m[1](functional.interpolate(torch.relu(raw), scale_factor=2))
    return torch.tanh(m[2](torch.relu(value)))


def two_slopes(m: nn.ModuleList, z: Tensor) -> Tensor:
    raw = m[0](z)
    return m[1](torch.relu(raw)) + m[2](functional.leaky_relu(raw, 0.2))


def heads(m: nn.ModuleList, z: Tensor) -> Tensor:
    value = torch.relu(m[0](z))
    return torch.cat([m[1](value), torch.tanh(m[2](value)), torch.relu(m[3](value))], 1)


def branches(m: nn.ModuleList, z: Tensor) -> Tensor:
    return m[2](torch.cat([torch.relu(m[0](z)), functional.leaky_relu(m[1](z), 0.2)], 1))


def pixel_norm(m: nn.ModuleList, z: Tensor) -> Tensor:
    value = torch.relu(m[0](z)).unflatten(1, (4, 3, 3))
    return m[1](value / (value.square().mean(1, keepdim=True) + 0.1).sqrt())


def dense_parts(*widths: tuple[int, int]) -> list[Callable[[], nn.Module]]:
    return [lambda pair=pair: nn.Linear(*pair) for pair in widths]


UNITS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "prelu": nn.PReLU,
    "hardtanh": lambda: nn.Hardtanh(-0.5, 0.9),
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
}
TRANSPOSED = [(4, 2, 1, 0), (3, 2, 1, 1), (5, 3, 2, 1), (2, 2, 0, 0), (3, 1, 1, 0), (4, 4, 0, 0), (2, 3, 0, 1)]
CONVOLUTIONS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Conv2d(4, 8, 3),
    "padded": lambda: nn.Conv2d(4, 8, 3, padding=1),
    "one_by_one": lambda: nn.Conv2d(4, 8, 1),
    "strided": lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1),
    "strides_that_skip": lambda: nn.Conv2d(4, 8, 1, stride=(2, 3)),
    "dilated": lambda: nn.Conv2d(4, 8, 3, padding=2, dilation=2),
    "grouped": lambda: nn.Conv2d(4, 8, 3, padding=1, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "multiplied": lambda: nn.Conv2d(4, 8, 3, padding=(0, 1), stride=(1, 2), groups=4),
    "oblong": lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2)),
    "wide_padding": lambda: nn.Conv2d(4, 5, 3, padding=4),
    "same_uneven": lambda: nn.Conv2d(4, 6, (4, 2), padding="same"),
    "transposed_grouped": lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2),
    "transposed_depthwise": lambda: nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=4),
    "transposed_dilated": lambda: nn.ConvTranspose2d(4, 5, 3, 2, 1, 1, dilation=2),
    "transposed_oblong": lambda: nn.ConvTranspose2d(4, 5, (4, 3), (2, 1), (1, 0)),
    "transposed_cut": lambda: nn.ConvTranspose2d(4, 5, 3, 1, 2),
}

NETWORKS: dict[str, Network] = {
    **{f"mlp_{name}": Network(lambda unit=unit: mlp(6, 30, 20, 25, unit=unit), smooth=name == "silu")
       for name, unit in UNITS.items()},
    "mlp_channel_prelu": Network(lambda: mlp(6, 20, 20, 25, unit=lambda: nn.PReLU(20))),
    "mlp_abs": Network(formula(lambda m, z: m[1](m[0](z).abs()), *dense_parts((6, 20), (20, 15)))),
    "mlp_clamp": Network(formula(lambda m, z: m[1](m[0](z).clamp(-0.4, 0.8)), *dense_parts((6, 30), (30, 25)))),
    "tanh_head": Network(lambda: mlp(6, 30, 40, head=nn.Tanh())),
    "sigmoid_head": Network(lambda: mlp(6, 30, 40, head=nn.Sigmoid())),
    "before_the_head": Network(lambda: mlp(6, 30, 40, head=nn.Tanh()), manifold=Manifold.PRE_ACTIVATION),
    "linear": Network(lambda: nn.Linear(6, 9), compiles=True),
    "linear_tanh": Network(lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh())),
    "wide_layers": Network(lambda: mlp(6, 200, 230, 150, head=nn.Tanh())),
    **{f"tail_{width}": Network(lambda width=width: mlp(6, 30, width, 210)) for width in (20, 64, 65, 100, 128, 130)},
    "tail_leaky": Network(lambda: mlp(6, 30, 100, 210, unit=lambda: nn.LeakyReLU(0.1))),
    "tail_of_two": Network(lambda: nn.Sequential(mlp(6, 30, 70, 90), nn.Linear(90, 95))),
    "tail_with_statistics": Network(lambda: nn.Sequential(mlp(6, 30, 70, 90), nn.BatchNorm1d(90))),
    "square_tail_like": Network(lambda: mlp(6, 30, 96, 96)),
    **{f"latent_{dim}": Network(lambda dim=dim: mlp(dim, 2 * dim + 40, 3 * dim + 20, 2 * dim + 50, head=nn.Tanh()), dim)
       for dim in (1, 2, 15, 16, 17, 32, 40, 70, 130)},
    "normed_before": Network(
        lambda: nn.Sequential(nn.Linear(6, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 20), nn.Tanh())
    ),
    "normed_after": Network(
        lambda: nn.Sequential(nn.Linear(6, 30), nn.ReLU(), nn.BatchNorm1d(30), nn.Linear(30, 20), nn.Tanh())
    ),
    "normed_maps_after": Network(
        lambda: maps(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 3, 2), nn.BatchNorm2d(3))
    ),
    "normed_maps_before": Network(
        lambda: maps(nn.ConvTranspose2d(4, 6, 4, 2, 1), nn.BatchNorm2d(6), nn.LeakyReLU(0.2), nn.Conv2d(6, 3, 3))
    ),
    "normed_grouped": Network(
        lambda: maps(nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 3))
    ),
    **{f"convolution_{name}": on_maps(layer) for name, layer in CONVOLUTIONS.items()},
    **{f"transposed_{''.join(map(str, given))}": on_maps(
        lambda given=given: nn.ConvTranspose2d(4, 5, given[0], *given[1:3], output_padding=given[3]), (4, 3, 4))
       for given in TRANSPOSED},
    "from_one_pixel": Network(
        lambda: nn.Sequential(
            nn.Unflatten(1, (6, 1, 1)), nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh(),
        )
    ),
    "one_dimension": Network(
        lambda: nn.Sequential(
            nn.Linear(6, 24), nn.ReLU(), nn.Unflatten(1, (4, 6)), nn.Conv1d(4, 5, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose1d(5, 3, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv1d(3, 4, 1),
        )
    ),
    "convolution_last": Network(lambda: maps(nn.Conv2d(4, 8, 3, padding=1))),
    "transposed_last": Network(lambda: maps(nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh())),
    "transposed_last_of_two": Network(
        lambda: maps(nn.ConvTranspose2d(4, 6, 5, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(6, 3, 4, 2, 1), nn.Sigmoid())
    ),
    "grouped_last": Network(lambda: maps(nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2), nn.Tanh())),
    "large_last": Network(lambda: maps(nn.Conv2d(4, 50, 3, padding=1), nn.Tanh())),
    "upsampled_after_relu": on_maps(lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1))),
    "upsampled_before_relu": Network(
        lambda: maps(nn.Conv2d(4, 5, 3), nn.Upsample(scale_factor=2), nn.ReLU(), nn.Conv2d(5, 3, 3))
    ),
    "upsampled_before_prelu": Network(
        lambda: maps(nn.Conv2d(4, 5, 3), nn.Upsample(scale_factor=2), nn.PReLU(5), nn.Conv2d(5, 3, 3))
    ),
    "upsampled_last": Network(lambda: maps(nn.Conv2d(4, 5, 3), nn.Upsample(scale_factor=2))),
    "upsampled_last_after_relu": Network(lambda: maps(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Upsample(scale_factor=2))),
    "upsampled_under_a_head": Network(lambda: maps(nn.Conv2d(4, 5, 3), nn.Upsample(scale_factor=2), nn.Tanh())),
    "bilinear": Network(
        lambda: maps(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 1))
    ),
    "bilinear_last": Network(
        lambda: maps(nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Upsample(size=(5, 7), mode="bilinear", align_corners=True))
    ),
    "pixel_shuffle": Network(
        lambda: maps(nn.Conv2d(4, 12, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(3, 4, 3))
    ),
    "pixel_shuffle_last": Network(lambda: maps(nn.Conv2d(4, 12, 3, padding=1), nn.ReLU(), nn.PixelShuffle(2))),
    "average_pool": Network(
        lambda: maps(nn.AvgPool2d(2), nn.Conv2d(4, 8, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 9))
    ),
    "average_pool_last": Network(lambda: maps(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))),
    "global_mean": Network(
        formula(
            lambda m, z: m[2](torch.relu(m[1](torch.relu(m[0](z)).unflatten(1, (3, 4, 4)))).mean((2, 3))),
            lambda: nn.Linear(6, 48), lambda: nn.Conv2d(3, 20, 3), lambda: nn.Linear(20, 15),
        )
    ),
    "constant_padding": Network(
        formula(
            lambda m, z: m[1](functional.pad(torch.relu(m[0](z)).unflatten(1, (3, 4, 4)), (1, 2, 0, 1), value=1.5)),
            lambda: nn.Linear(6, 48), lambda: nn.Conv2d(3, 4, 3),
        )
    ),
    "padding_then_relu": Network(
        formula(
            lambda m, z: m[1](torch.relu(functional.pad(m[0](z).unflatten(1, (3, 4, 4)), (1, 2, 0, 1), value=1.5))),
            lambda: nn.Linear(6, 48), lambda: nn.Conv2d(3, 4, 3),
        )
    ),
    "padding_last": Network(
        lambda: maps(nn.Conv2d(4, 3, 2), nn.ReLU(), nn.ConstantPad2d((1, 0, 2, 1), 0.5))
    ),
    "cropped": Network(
        formula(
            lambda m, z: m[1](torch.relu(m[0](z)).unflatten(1, (3, 5, 5))[:, :, 1:, :4]),
            lambda: nn.Linear(6, 75), lambda: nn.Conv2d(3, 4, 3),
        )
    ),
    "cropped_then_relu": Network(
        formula(
            lambda m, z: m[1](torch.relu(m[0](z).unflatten(1, (3, 5, 5))[:, 1:, 1:, ::2])),
            lambda: nn.Linear(6, 75), lambda: nn.Conv2d(2, 4, 3),
        )
    ),
    "flipped": Network(formula(flipped, lambda: nn.Linear(6, 60), lambda: nn.Conv2d(6, 4, 3))),
    "branches": Network(formula(branches, *dense_parts((6, 20), (6, 25), (45, 30)))),
    "branches_joined_last": Network(
        formula(lambda m, z: torch.cat([torch.relu(m[0](z)), m[1](torch.relu(m[2](z)))], 1),
                *dense_parts((6, 20), (20, 25), (6, 20)))
    ),
    "residual": Network(formula(residual, *dense_parts((6, 30), (30, 25), (25, 30), (30, 20)))),
    "residual_maps": Network(
        formula(residual_maps, lambda: nn.Linear(6, 48), lambda: nn.Conv2d(4, 4, 3, padding=1),
                lambda: nn.Conv2d(4, 3, 3, padding=1))
    ),
    "sum_last": Network(formula(two_slopes, *dense_parts((6, 30), (30, 20), (30, 20)))),
    "sum_last_after_relu": Network(
        formula(lambda m, z: torch.relu(two_slopes(m, z)), *dense_parts((6, 30), (30, 20), (30, 20)))
    ),
    "two_slopes": Network(
        formula(lambda m, z: m[3](torch.tanh(two_slopes(m, z))), *dense_parts((6, 30), (30, 20), (30, 20), (20, 14))),
        smooth=True,
    ),
    "twice": Network(formula(lambda m, z: m[1](torch.relu(m[0](z) + m[0](z))), *dense_parts((6, 30), (30, 20)))),
    "value_plus_itself": Network(
        formula(lambda m, z: m[1]((x := torch.relu(m[0](z))) + x), *dense_parts((6, 30), (30, 9)))
    ),
    "plus_its_own_relu": Network(
        formula(lambda m, z: m[1]((x := m[0](z)) + 0.5 * torch.relu(x)), *dense_parts((6, 30), (30, 9)))
    ),
    "plus_its_own_relu_last": Network(
        formula(lambda m, z: (x := m[1](torch.relu(m[0](z)))) + 0.5 * torch.relu(x), *dense_parts((6, 30), (30, 9)))
    ),
    "difference": Network(
        formula(lambda m, z: m[2](torch.relu(m[0](z) - 0.7 * torch.relu(m[1](z)))),
                *dense_parts((6, 30), (6, 30), (30, 20)))
    ),
    "difference_to_a_constant": Network(
        formula(lambda m, z: m[1](2.0 - 3.0 * torch.relu(m[0](z) + 1.0)), *dense_parts((6, 30), (30, 20)))
    ),
    "latent_added": Network(
        formula(lambda m, z: m[1](torch.relu(m[0](z))) + 0.3 * z, *dense_parts((6, 30), (30, 6)))
    ),
    "latent_joined": Network(
        formula(lambda m, z: m[1](torch.cat([torch.relu(m[0](z)), z], 1)), *dense_parts((6, 30), (36, 20)))
    ),
    "latent_through_relu": Network(
        formula(lambda m, z: m[0](torch.cat([torch.relu(z), z.abs(), z], 1)), *dense_parts((18, 20)))
    ),
    "heads": Network(formula(heads, *dense_parts((6, 30), (30, 12), (30, 12), (30, 12)))),
    "sequence": Network(
        lambda: nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Unflatten(1, (4, 6)), mlp(6, 10, 7, 5), nn.Tanh())
    ),
    "sequence_transposed": Network(
        formula(lambda m, z: m[2](torch.relu(m[1](torch.relu(m[0](z)).unflatten(1, (4, 6)))).mT),
                *dense_parts((6, 24), (6, 9), (4, 5)))
    ),
    "sliced_last": Network(
        formula(lambda m, z: m[1](torch.relu(m[0](z)))[:, 3:20:2], *dense_parts((6, 30), (30, 25)))
    ),
    "sliced_after_relu": Network(
        formula(lambda m, z: torch.relu(m[1](torch.relu(m[0](z)) + 0.2))[:, 3:20], *dense_parts((6, 30), (30, 25)))
    ),
    "sliced_maps_after_relu": Network(
        formula(lambda m, z: torch.relu(m[1](torch.relu(m[0](z)).unflatten(1, (3, 5, 5))))[:, :, 1:, :3],
                lambda: nn.Linear(6, 75), lambda: nn.ConvTranspose2d(3, 4, 4, 2, 1))
    ),
    "sliced_then_tanh": Network(
        formula(lambda m, z: torch.tanh(m[1](torch.relu(m[0](z)))[:, 3:20]), *dense_parts((6, 30), (30, 25)))
    ),
    "repeated_last": Network(
        formula(lambda m, z: torch.relu(m[1](torch.relu(m[0](z))))[:, [0, 3, 3, 1, 5, 7, 8, 9, 10, 11, 12, 0]],
                *dense_parts((6, 30), (30, 25)))
    ),
    "relu_head": Network(lambda: mlp(6, 30, 40, head=nn.ReLU())),
    "hardtanh_head": Network(lambda: mlp(6, 30, 80, head=nn.Hardtanh(-1.0, 1.0))),
    "relu_head_of_maps": Network(lambda: maps(nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.ReLU())),
    "mostly_idle": Network(lambda: mlp(6, 60, 60, 40, head=nn.Tanh()), shift=-1.5),
    "all_idle_in_some_rows": Network(lambda: mlp(3, 3, 8, head=nn.Tanh()), 3),
    "maps_idle_in_some_rows": Network(
        lambda: maps(nn.Conv2d(4, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 2), shape=(4, 5, 5)), shift=-1.0
    ),
    "max_pool": Network(lambda: maps(nn.MaxPool2d(2), nn.Conv2d(4, 8, 2)), compiles=False),
    "pixel_norm": Network(
        formula(pixel_norm, lambda: nn.Linear(6, 36), lambda: nn.Conv2d(4, 3, 2)), compiles=False, smooth=True
    ),
    "fewer_outputs_than_latents": Network(lambda: mlp(6, 30, 4, head=nn.Tanh()), compiles=False),
}  # fmt: skip


def latents_of(dim: int, rows: int = ROWS) -> Tensor:
    return random_latents(5, rows, dim)


@cache
def built(name: str) -> tuple[nn.Module, Generator, Tensor]:
    """A network's module in float64, its generator, and Jacobians by autograd."""
    network = NETWORKS[name]
    module = randomised(network.make(), network.shift)
    plain = copy.deepcopy(module)
    if network.manifold is Manifold.PRE_ACTIVATION:
        plain = plain[:-1]
    return module, Generator.from_module(module, network.dim), jacobians(plain, latents_of(network.dim))


def jacobians(module: nn.Module, latents: Tensor) -> Tensor:
    """[rows, output, latent], one reverse pass for every output: rows do not depend on each other."""
    found = torch.autograd.functional.jacobian(lambda z: module(z).flatten(1).sum(0), latents.double())
    return found.transpose(0, 1)


def same_region(generator: Generator, latents: Tensor) -> Tensor:
    """Rows whose activation pattern is that of float64."""
    double = activation_pattern(generator.to(precision=Precision.FLOAT64), latents.double())
    return (activation_pattern(generator, latents) == double).all(1)


def check_program(generator: Generator, manifold: Manifold, latents: Tensor, expected: Tensor, slack: float) -> None:
    """The program's Jacobians, outputs in any order, and its Gram matrices."""
    sweep = prepare(generator, manifold)
    assert sweep.program is not None
    with torch.inference_mode():
        lines, grams = run(sweep.program, trace(sweep, latents))
    dim = latents.shape[1]
    assert (lines.dtype, grams.dtype, lines.shape[2]) == (torch.float32, torch.float64, sweep.program.stride)
    assert lines.is_contiguous()
    assert (lines[:, :, dim:] == 0).all()
    wanted = expected.mT @ expected
    scale = wanted.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp(min=1e-30)
    double = lines[:, :, :dim].double()
    agree = same_region(generator, latents)
    assert int(agree.sum()) >= len(latents) - 1
    for found in (double.mT @ double, grams):
        error = ((found - wanted) / scale).abs().amax((1, 2))
        assert (error[agree] < slack * EPS).all(), error
    if sweep.plan.target == sweep.target:  # no tail is folded: lines are outputs, in any order, and zeros
        norms = (torch.linalg.vector_norm(rows, dim=2) for rows in (double, expected))
        found, exact = (one.sort(1, descending=True).values for one in norms)
        count = exact.shape[1]
        assert (found[:, count:] == 0).all()
        assert ((found[:, :count] - exact).abs()[agree] <= slack * EPS * exact[agree, :1]).all()


def check_volumes(
    generator: Generator, manifold: Manifold, latents: Tensor, expected: Tensor, smooth: bool, tangent_space: bool
) -> None:
    """Log-volumes within the promised error, where the rank is that of float64 beyond doubt."""
    found = volumes(generator, latents, manifold=manifold, engine=SINGLE, tangent_space=tangent_space)
    assert found.finite.all()
    eps = EPS * (10 if smooth else 1)
    for row in same_region(generator, latents).nonzero().flatten().tolist():
        sigma = torch.linalg.svdvals(expected[row])
        rank = int((sigma > max(expected.shape[1:]) * torch.finfo(torch.float64).eps * sigma[0]).sum())
        assert int(found.rank[row]) == rank, row
        if rank == 0:
            continue
        logs = sigma[:rank].log()
        allowed = 1e-6 + 10 * generator.latent_dim * eps * (logs[0] - logs).exp()
        error = (prefix_sums(found)[row, :rank] - logs.cumsum(0)).abs()
        assert (error <= allowed).all(), (row, error, allowed)
        assert (prefix_sums(found)[row, rank:] == -torch.inf).all()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_jacobians_are_those_of_autograd(name: str) -> None:
    network = NETWORKS[name]
    _, generator, expected = built(name)
    latents = latents_of(network.dim)
    assert (prepare(generator, network.manifold).program is not None) == network.compiles
    if network.compiles:
        check_program(generator, network.manifold, latents, expected, 200 if network.smooth else 40)
    check_volumes(generator, network.manifold, latents, expected, network.smooth, False)


CHOSEN = [
    "latent_17",
    "tail_100",
    "residual_maps",
    "heads",
    "transposed_last_of_two",
    "upsampled_last",
    "all_idle_in_some_rows",
]


@pytest.mark.parametrize("name", CHOSEN)
def test_jacobians_on_the_tangent_space(name: str) -> None:
    network = NETWORKS[name]
    _, generator, expected = built(name)
    latents = latents_of(network.dim)
    restricted = expected @ tangent_basis(latents.double()).mT
    check_volumes(generator, network.manifold, latents, restricted, network.smooth, True)


@pytest.mark.parametrize("name", CHOSEN)
def test_the_full_log_volume_alone(name: str) -> None:
    _, generator, _ = built(name)
    latents = latents_of(generator.latent_dim, 40)
    found = full_log_volumes(generator, latents, engine=SINGLE)
    expected = log_volume(volumes(generator, latents, engine=SINGLE), generator.latent_dim)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_there_is_no_program_in_float64_or_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    _, generator, _ = built("residual_maps")
    programs = {
        precision: prepare(generator.to(precision=precision), Manifold.OUTPUT).program for precision in Precision
    }
    assert [precision for precision, program in programs.items() if program is None] == [Precision.FLOAT64]
    monkeypatch.setattr(preparation, "COMPILES", False)
    assert prepare(Generator(generator.graph), Manifold.OUTPUT).program is None


def test_the_cases_meet_what_they_are_there_for() -> None:
    programs = {name: prepare(built(name)[1], NETWORKS[name].manifold).program for name in NETWORKS}
    kinds = {name: [type(step) for step in program.steps] for name, program in programs.items() if program is not None}
    assert any(Combine in found for found in kinds.values())
    assert all(Affine in kinds[name] for name in ("mlp_relu", "transposed_last", "sequence", "tail_65"))
    assert programs["tail_65"].buffers[programs["tail_65"].target].units == 128  # filled up to whole blocks
    idle = volumes(built("all_idle_in_some_rows")[1], latents_of(3, 40), engine=SINGLE)
    assert 0 < int((idle.rank == 0).sum()) < 40


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.piecewise_affine], ids=lambda one: one.name)
def test_every_family_that_compiles(family: Family) -> None:
    generator, module, latents = generator_of(family), family.build(), family.latents(ROWS).float()
    if prepare(generator, Manifold.OUTPUT).program is not None:
        expected = torch.autograd.functional.jacobian(lambda z: family.outputs(module, z).sum(0), latents.double())
        check_program(generator, Manifold.OUTPUT, latents, expected.transpose(0, 1), 60)


@pytest.mark.parametrize("name", ["mlp_leaky", "normed_after", "normed_grouped", "normed_maps_after", "difference"])
def test_bfloat16_is_float32(name: str) -> None:
    _, generator, _ = built(name)
    latents = latents_of(generator.latent_dim, 20)
    single, rough = (volumes(generator, latents, engine=Engine(precision=one)) for one in tuple(Precision)[:2])
    assert torch.equal(rough.log_singular_values, single.log_singular_values)
    assert torch.equal(rough.recomputed, single.recomputed)


@pytest.mark.parametrize("name", ["tail_100", "residual_maps", "mlp_leaky"])
@pytest.mark.parametrize("number", [torch.nan, torch.inf, 3e38])
def test_a_row_that_is_not_finite_is_alone_with_it(name: str, number: float) -> None:
    _, generator, _ = built(name)
    latents = latents_of(generator.latent_dim, 20)
    whole = volumes(generator, latents, engine=SINGLE)
    latents[7] = number
    found = volumes(generator, latents, engine=SINGLE)
    assert bool(found.finite[7]) == (number == 3e38)  # in float64 it is
    assert bool(found.recomputed[7])
    for field in ("log_singular_values", "rank", "recomputed", "finite"):
        assert torch.equal(*(torch.cat([getattr(one, field)[:7], getattr(one, field)[8:]]) for one in (found, whole)))


def test_a_jacobian_beyond_float32_is_found_in_float64() -> None:
    module = randomised(mlp(6, 30, 20, 25))
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(1e14)
    latents = latents_of(6)
    generator, expected = Generator.from_module(module, 6), jacobians(module, latents)
    found = volumes(generator, latents, engine=SINGLE)
    assert found.recomputed.all()
    logs = torch.linalg.svdvals(expected).log()
    torch.testing.assert_close(found.log_singular_values, logs, rtol=0, atol=1e-6)


def bytes_of(generator: Generator, latents: Tensor, engine: Engine) -> bytes:
    return volumes(generator, latents, engine=engine).log_singular_values.numpy().tobytes()


@pytest.mark.parametrize("name", CHOSEN)
def test_no_byte_depends_on_how_the_work_is_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, generator, _ = built(name)
    latents = latents_of(generator.latent_dim, 37)
    # Values, and the rows that are done again in float64, are computed tile by tile.
    whole = {rows: bytes_of(generator, latents, Engine(threads=1, tile_rows=rows)) for rows in (1, 3, 16)}
    for rows, threads in ((1, 3), (3, 2), (16, 2), (16, 3)):
        assert bytes_of(generator, latents, Engine(threads=threads, tile_rows=rows)) == whole[rows]
    others = random_latents(9, 37, generator.latent_dim)
    others[21] = latents[21]
    here, there = (volumes(generator, rows, engine=SINGLE).log_singular_values[21] for rows in (latents, others))
    alone = volumes(generator, others[16:22], engine=SINGLE).log_singular_values[5]
    assert torch.equal(here, there)
    assert torch.equal(here, alone)
    for line_bytes, row_work in ((1, 1e9), (1 << 30, 1e9), (1, 0.0), (1 << 30, 0.0), (2 << 20, 0.0)):
        monkeypatch.setattr(preparation, "LINE_BYTES", line_bytes)
        monkeypatch.setattr(preparation, "COMPILED_ROW_WORK", row_work)
        monkeypatch.setattr(preparation, "WEIGHT_BYTES", 0 if row_work == 0.0 else 4 << 20)
        anew = Generator(generator.graph)
        sweep = prepare(anew, Manifold.OUTPUT)
        assert sweep.program is not None
        assert sweep.row_by_row == (row_work == 0.0)
        for threads in (1, 2):
            assert bytes_of(anew, latents, Engine(threads=threads)) == whole[16], (line_bytes, row_work, threads)


def drawn(seed: int) -> tuple[nn.Module, int]:
    """A small random graph: a trunk of random blocks on maps or on vectors, and a random end."""
    source = random.Random(seed)
    dim = source.choice((2, 3, 5, 8, 17))
    if source.random() < 0.4:
        return Drawn(source, dim, None), dim
    return Drawn(source, dim, (source.choice((2, 3, 4)), source.choice((2, 3, 5)), source.choice((2, 3, 4)))), dim


def bend(kind: str, value: Tensor) -> Tensor:
    bends: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": torch.relu,
        "leaky": lambda x: functional.leaky_relu(x, 0.2),
        "abs": torch.abs,
        "clamp": lambda x: x.clamp(-0.7, 1.1),
        "none": lambda x: x,
    }
    return bends[kind](value)


class Drawn(nn.Module):
    """Random blocks; of what was made before, one of the same shape is now and then added, subtracted or joined."""

    def __init__(self, source: random.Random, dim: int, shape: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList()
        self.steps: list[tuple[str, int]] = []
        self.width = shape[0] if shape else source.choice((12, 30, 70))
        self.first = nn.Linear(dim, self.width * (shape[1] * shape[2] if shape else 1))
        for _ in range(source.randint(2, 5)):
            self.block(source)
        if source.random() < 0.5:
            self.steps.append((source.choice(("relu", "tanh", "slice", "flip")), 0))
        self.last = nn.Linear(1, 1)

    def block(self, source: random.Random) -> None:
        maps = ("convolve", "transpose", "upsample", "average", "pad", "shuffle", "norm")
        kind = source.choice(
            (*(maps if self.shape else ("dense", "dense", "norm")), "bend", "bend", "add", "subtract", "join")
        )
        if kind == "bend":
            self.steps.append((source.choice(("relu", "leaky", "abs", "clamp")), 0))
            return
        layer: nn.Module = nn.Identity()
        if kind == "dense":
            layer = nn.Linear(self.width, width := source.choice((12, 30, 70)))
            self.width = width
        elif kind == "convolve":
            groups = source.choice([count for count in (1, 2, 3) if self.width % count == 0])
            width = groups * source.choice((1, 2, 3))
            layer = nn.Conv2d(self.width, width, (source.choice((1, 2, 3)), 3), source.choice((1, 1, 2)), (1, 1),
                              groups=groups)  # fmt: skip
            self.width = width
        elif kind == "transpose":
            size, stride, padding, more = source.choice(TRANSPOSED[:4])
            groups = source.choice([count for count in (1, 2, 3) if self.width % count == 0])
            width = groups * source.choice((1, 2))
            layer = nn.ConvTranspose2d(self.width, width, size, stride, padding, more, groups=groups)
            self.width = width
        elif kind == "upsample":
            layer = nn.Upsample(scale_factor=2, mode=source.choice(("nearest", "bilinear")))
        elif kind == "average":
            layer = nn.AvgPool2d(2, 1, 1)
        elif kind == "pad":
            layer = nn.ConstantPad2d((1, 0, 0, 1), 0.5)
        elif kind == "shuffle":
            layer = nn.Sequential(nn.Conv2d(self.width, 8, 3, padding=1), nn.PixelShuffle(2))
            self.width = 2
        elif kind == "norm":
            layer = nn.BatchNorm2d(self.width) if self.shape else nn.BatchNorm1d(self.width)
        if kind == "join":
            self.width *= 2
        self.steps.append((kind, len(self.layers)))
        self.layers.append(layer)

    def forward(self, latents: Tensor) -> Tensor:
        value = self.first(latents)
        if self.shape:
            value = value.unflatten(1, self.shape)
        for kind, number in self.steps:
            # Each is read both as it is and through a slope.
            if kind == "add":
                value = value + 0.5 * torch.relu(value)
            elif kind == "subtract":
                value = functional.leaky_relu(value, 0.3) - value.flip(1).clamp(-0.5, 0.5)
            elif kind == "join":
                value = torch.cat([torch.relu(value), value], 1)
            elif kind == "tanh":
                value = torch.tanh(value)
            elif kind == "slice":
                value = value[..., : max(1, value.shape[-1] - 1)]
            elif kind == "flip":
                value = value.flip(1)
            elif kind in ("relu", "leaky", "abs", "clamp"):
                value = bend(kind, value)
            else:
                value = self.layers[number](value)
        return value.flatten(1)


@pytest.mark.parametrize("seed", range(36))
def test_random_graphs(seed: int) -> None:
    made, dim = drawn(seed)
    module = randomised(made)
    latents = latents_of(dim)
    generator, expected = Generator.from_module(module, dim), jacobians(module, latents)
    sweep = prepare(generator, Manifold.OUTPUT)
    assert (sweep.program is not None) == (sweep.width >= dim)
    if sweep.program is not None:
        check_program(generator, Manifold.OUTPUT, latents, expected, 60)
    check_volumes(generator, Manifold.OUTPUT, latents, expected, False, False)
