"""Log singular values per latent: ours, `vmap(jacfwd)` with `svdvals`, and the published recipe, in one run.

The published recipe projects the outputs on 128 random orthonormal rows, takes one reverse pass for each and keeps the
30 largest singular values: it answers less, with a bias, and is timed as what it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import magnet_service
from benchmarks.report import Case, arguments, report, seconds
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.generator.archive import read_archive
from magnet_service.generator.interpreter import interpret
from magnet_service.generator.pattern import activation_pattern
from magnet_service.geometry import Engine, prefix_sums, volumes

__all__ = ["main"]

Function = Callable[[Tensor], Tensor]

PROJECTED = 128
LARGEST = 30


def dense(head: bool) -> nn.Sequential:
    """Linear 64-256-256-784 with ReLU, with or without tanh."""
    layers = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784)]
    return nn.Sequential(*layers, *([nn.Tanh()] if head else []))


def convolutional(latent: int = 100, width: int = 64) -> nn.Sequential:
    """A DCGAN for 3 x 32 x 32: transposed convolutions, BatchNorm, ReLU, then tanh."""
    return nn.Sequential(
        nn.Unflatten(1, (latent, 1, 1)),
        nn.ConvTranspose2d(latent, 4 * width, 4, 1, 0, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def by_jacfwd(function: Function, latents: Tensor, batch: int) -> Tensor:
    """Log singular values [rows, d] as torch offers them."""
    jacobians = torch.func.vmap(torch.func.jacfwd(lambda latent: function(latent[None]).flatten()))
    return torch.cat([torch.linalg.svdvals(jacobians(rows)).log() for rows in torch.split(latents, batch)])


def by_projection(function: Function, latents: Tensor, projection: Tensor, batch: int) -> Tensor:
    """The largest 30 log singular values behind a random projection, one reverse pass for each projected output."""
    found = []
    for rows in torch.split(latents, batch):
        leaves = rows.clone().requires_grad_()
        outputs = function(leaves).flatten(1) @ projection.T
        gradients = [torch.autograd.grad(out.sum(), leaves, retain_graph=True)[0] for out in outputs.unbind(1)]
        found.append(torch.linalg.svdvals(torch.stack(gradients, dim=1))[:, :LARGEST].log())
    return torch.cat(found)


def case(name: str, generator: Generator, functions: tuple[Function, Function], rows: int, rounds: int) -> Case:
    """Checks one generator against float64 `svdvals`, then times the three.

    Arguments:
        name: of the case.
        generator: ours.
        functions: the same generator as torch code, in float32 and in float64.
        rows: latents a turn.
        rounds: turns.
    """
    single, double = functions
    latents = torch.randn(rows, generator.latent_dim, generator=torch.Generator().manual_seed(0))
    engine = Engine()
    checked = latents[:16]
    found = volumes(generator, checked, engine=engine)
    expected = by_jacfwd(double, checked.double(), 4).cumsum(1)
    exact = generator.to(precision=Precision.FLOAT64)
    agree = (activation_pattern(generator, checked) == activation_pattern(exact, checked.double())).all(1)
    compared = agree[:, None] & prefix_sums(found).isfinite()
    error = float((prefix_sums(found) - expected)[compared].abs().max())
    if not compared.any() or error > 0.05:
        raise RuntimeError(f"{name}: {int(compared.sum())} log-volumes compared, largest error {error} nats")
    source = torch.Generator().manual_seed(1)
    projection = torch.linalg.qr(torch.randn(generator.output_dim, PROJECTED, generator=source)).Q.T.contiguous()
    taken = seconds(
        {
            "ours": lambda: volumes(generator, latents, engine=engine),
            "jacfwd": lambda: by_jacfwd(single, latents, 16),
            "official": lambda: by_projection(single, latents, projection, 16),
        },
        rounds,
    )
    return {
        "name": name,
        "manifold": Manifold.OUTPUT.value,
        "latents": rows,
        "latent_dim": generator.latent_dim,
        "output_dim": generator.output_dim,
        "ours_us_per_latent": taken["ours"] / rows * 1e6,
        "jacfwd_us_per_latent": taken["jacfwd"] / rows * 1e6,
        "official_us_per_latent": taken["official"] / rows * 1e6,
        "over_jacfwd": taken["jacfwd"] / taken["ours"],
        "over_official": taken["official"] / taken["ours"],
        "max_error_nats": error,
        "rows_with_another_pattern": int((~agree).sum()),
        "rows_in_float64": int(found.recomputed.sum()),
    }


def of_module(name: str, module: nn.Sequential, latent_dim: int, rows: int, rounds: int) -> Case:
    """A case of random weights."""
    module.eval().requires_grad_(False)
    double = copy.deepcopy(module).double()
    return case(name, Generator.from_module(module, latent_dim), (module, double), rows, rounds)


def main() -> None:
    """Runs all cases and writes the report."""
    given = arguments("volume", __doc__)
    torch.manual_seed(0)
    cases = []
    bundled = Path(magnet_service.__file__).parent / "bundled" / "fashion" / "1" / "generator.pt2"
    if bundled.exists():
        program = read_archive(bundled)
        both = (lambda z: interpret(program, z), lambda z: interpret(program, z))
        cases.append(case("fashion", Generator.from_program(program), both, 64, given.rounds))
    cases.append(of_module("mlp-64-256-256-784", dense(False), 64, 64, given.rounds))
    cases.append(of_module("mlp-64-256-256-784-tanh", dense(True), 64, 64, given.rounds))
    cases.append(of_module("dcgan-100-3x32x32", convolutional(), 100, 16, given.rounds))
    report(given.json, cases)


if __name__ == "__main__":
    main()
