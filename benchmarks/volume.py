"""Log-volumes per latent: ours, `vmap(jacfwd)` with `svdvals`, the published recipe, and d plain forwards, in one run.

Every case is first compared with float64 singular values. All take turns; rivals have the same threads and the best of
their chunks of latents. In the bfloat16 cases ours takes the float32 generator and answers within the stated error;
ratios are over the rivals in float32, which answer too, and `*_bfloat16` over the rivals wholly in bfloat16, whose own
error stands beside.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.networks import NETWORKS, Network
from benchmarks.peak import peak_rate, resident
from benchmarks.report import Case, parser, report, seconds
from benchmarks.rivals import best_chunk, by_forward, by_jacfwd, by_projection, in_double, projection
from magnet_service.generator import Generator, Manifold, Precision
from magnet_service.generator.pattern import activation_pattern
from magnet_service.geometry import Engine, full_log_volumes, prefix_sums, volumes
from magnet_service.geometry.sweep import prepare

__all__ = ["main"]

LARGEST = 30
BOUND = {Precision.FLOAT32: 1e-3, Precision.BFLOAT16: 0.05}


def drawn(count: int, dim: int) -> Tensor:
    """Latents of seed 1."""
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(1))


def loaded(network: Network) -> tuple[Generator, nn.Module]:
    """Ours and the module itself."""
    torch.manual_seed(0)
    module = network.make().eval().requires_grad_(False)
    if network.name == "conditional":
        label = torch.nn.functional.one_hot(torch.tensor([3]), 10)
        module = Fixed(module, label).eval().requires_grad_(False)
    return Generator.from_module(module, network.latent_dim), module


class Fixed(nn.Module):
    """A conditional module at one condition, for rivals that know only latents."""

    def __init__(self, module: nn.Module, condition: Tensor) -> None:
        super().__init__()
        self.module, self.condition = module, condition

    def forward(self, latents: Tensor) -> Tensor:
        """Images at that condition."""
        made: Tensor = self.module(latents, self.condition.to(latents.dtype).expand(latents.shape[0], -1))
        return made


def error_of(found: Tensor, expected: Tensor, agree: Tensor) -> float:
    """Largest difference of log v_min(d, 30), in nats, over rows whose activation pattern agrees."""
    least = min(LARGEST, expected.shape[1])
    difference = (found[:, :least].cumsum(1) - expected[:, :least].cumsum(1))[agree, -1]
    return float(difference.abs().max())


def case(network: Network, generator: Generator, module: nn.Module, expected: Tensor, rounds: int, bf16: bool) -> Case:
    """Checks one generator, then times all rivals."""
    precision = Precision.BFLOAT16 if bf16 else Precision.FLOAT32
    device = generator.device.type
    engine = Engine(device=device, precision=precision)
    dim = network.latent_dim
    checked = drawn(len(expected), dim)
    exact = generator.to(precision=Precision.FLOAT64)
    agree = (
        (activation_pattern(generator, checked.to(device)) == activation_pattern(exact, checked.double().to(device)))
        .all(1)
        .cpu()
    )
    found = volumes(generator, checked, engine=engine)
    error = error_of(found.log_singular_values, expected, agree)
    full = full_log_volumes(generator, checked, engine=engine)
    apart = float((full - prefix_sums(found)[:, -1])[full.isfinite()].abs().max())
    if not agree.any() or not error <= BOUND[precision] or not apart <= 10 * BOUND[precision]:
        raise RuntimeError(f"{network.name}: error {error} nats, log-volumes alone apart by {apart}")
    latents = drawn(network.latents, dim)
    directions = projection(generator.output_dim, torch.float32).to(device)
    chunks = {
        "jacfwd": best_chunk(lambda chunk: by_jacfwd(module, drawn(chunk, dim).to(device), chunk), network.chunks),
        "official": best_chunk(
            lambda chunk: by_projection(module, drawn(chunk, dim).to(device), directions, chunk), network.chunks
        ),
        "forward": best_chunk(lambda chunk: by_forward(module, drawn(chunk, dim).to(device), chunk), network.chunks),
    }
    count = {
        name: max(chunk, min(16, network.latents)) if name != "forward" else max(chunk, 64)
        for name, chunk in chunks.items()
    }
    rivals: dict[str, Callable[[], object]] = {
        "ours": lambda: volumes(generator, latents, engine=engine),
        "logdet": lambda: full_log_volumes(generator, latents, engine=engine),
        "jacfwd": lambda: by_jacfwd(module, drawn(count["jacfwd"], dim).to(device), chunks["jacfwd"]),
        "official": lambda: by_projection(
            module, drawn(count["official"], dim).to(device), directions, chunks["official"]
        ),
        "forward": lambda: by_forward(module, drawn(count["forward"], dim).to(device), chunks["forward"]),
    }
    taken = seconds(rivals, rounds)
    each = {name: taken[name] / count.get(name, network.latents) * 1e3 for name in taken}
    sweep = prepare(generator.to(precision=precision), Manifold.OUTPUT)
    rate = peak_rate(network.kernel, sweep.dtype, device)
    answer: dict[str, str | int | float | bool | None] = {
        "name": network.name + ("-bf16" if bf16 else ""),
        "ours_ms": each["ours"],
        "ours_logdet_ms": each["logdet"],
        "jacfwd_ms": each["jacfwd"],
        "official_ms": each["official"],
        "over_jacfwd": each["jacfwd"] / each["ours"],
        "over_official": each["official"] / each["ours"],
        "logdet_over_jacfwd": each["jacfwd"] / each["logdet"],
        "forward_equivalents": each["ours"] / (dim * each["forward"]),
        "error_nats": error,
        "peak_mb": peak_of(network.name, precision),
        "roofline": sweep.work / (each["ours"] / 1e3) / rate,
        "rows_in_float64": int(found.recomputed.sum()),
        "chunks": " ".join(f"{name}={chunk}" for name, chunk in chunks.items()),
    }
    if bf16:
        answer |= in_bfloat16(network, module, expected, each["ours"], chunks, count, rounds)
    return answer


def in_bfloat16(
    network: Network,
    module: nn.Module,
    expected: Tensor,
    ours: float,
    chunks: dict[str, int],
    count: dict[str, int],
    rounds: int,
) -> dict[str, float]:
    """The rivals wholly in bfloat16: how much slower they are, and how far off."""
    half = copy.deepcopy(module).bfloat16()
    dim = network.latent_dim
    latents = {name: drawn(size, dim).bfloat16() for name, size in count.items()}
    outputs = half(latents["jacfwd"][:1]).numel()
    directions = projection(outputs, torch.bfloat16)
    taken = seconds(
        {
            "jacfwd": lambda: by_jacfwd(half, latents["jacfwd"], chunks["jacfwd"]),
            "official": lambda: by_projection(half, latents["official"], directions, chunks["official"]),
        },
        rounds,
    )
    found = by_jacfwd(half, drawn(16, dim).bfloat16(), 4).double()
    return {
        "over_jacfwd_bfloat16": taken["jacfwd"] / count["jacfwd"] * 1e3 / ours,
        "over_official_bfloat16": taken["official"] / count["official"] * 1e3 / ours,
        "jacfwd_bfloat16_error_nats": error_of(found, expected[:16], torch.ones(16, dtype=torch.bool)),
    }


def peak_of(name: str, precision: Precision) -> float | None:
    """MiB that our volumes add to a process of their own, at most."""
    command = [sys.executable, "-m", "benchmarks.volume", "--peak", name, "--precision", precision.value]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(found.stdout)["peak_mb"])


def measure_peak(name: str, precision: Precision) -> None:
    """Run ours alone and say how much the most held exceeds what was held before."""
    network = next(network for network in NETWORKS if network.name == name)
    generator, _ = loaded(network)
    engine = Engine(precision=precision)
    prepare(generator.to(precision=precision), Manifold.OUTPUT)
    volumes(generator, drawn(1, network.latent_dim), engine=Engine(precision=precision, tile_rows=1))
    before = resident("VmRSS")
    volumes(generator, drawn(32, network.latent_dim), engine=engine)
    print(json.dumps({"peak_mb": max(0, resident("VmHWM") - before) / 2**20}))


def unsupported(network: Network) -> Case:
    """The object of a bfloat16 case on a processor without its instructions."""
    keys = ("ours_ms", "ours_logdet_ms", "jacfwd_ms", "official_ms", "over_jacfwd", "over_official")
    more = ("logdet_over_jacfwd", "forward_equivalents", "error_nats", "peak_mb", "roofline")
    return {
        "name": network.name + "-bf16",
        **dict.fromkeys((*keys, *more)),
        "reason": "the processor lacks avx512_bf16",
    }


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 at speed."""
    listing = Path("/proc/cpuinfo")
    return device != "cpu" or (listing.exists() and "avx512_bf16" in listing.read_text())


def main() -> None:
    """Runs all cases and writes the report."""
    options = parser("volume", __doc__)
    options.add_argument("--only", nargs="*", default=None, help="names of networks to run")
    options.add_argument("--device", default="cpu", help="torch device")
    options.add_argument("--peak", default=None, help="only say how much memory this network takes")
    options.add_argument("--precision", default="float32", help="of --peak")
    given = options.parse_args()
    if given.peak is not None:
        measure_peak(given.peak, Precision(given.precision))
        return
    cases: list[Case] = []
    for network in NETWORKS:
        if given.only and network.name not in given.only:
            continue
        generator, module = loaded(network)
        double = copy.deepcopy(module).double()
        expected = in_double(double, drawn(network.checked, network.latent_dim).double(), 4)
        generator, module = generator.to(device=given.device), module.to(given.device)
        for bf16 in (False, True) if network.bfloat16 else (False,):
            if bf16 and not has_bfloat16(given.device):
                cases.append(unsupported(network))
            else:
                cases.append(case(network, generator, module, expected, given.rounds, bf16))
            print(json.dumps(cases[-1]), flush=True)
    report(given.json, cases)


if __name__ == "__main__":
    main()
