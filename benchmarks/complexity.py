"""Local complexity against plain forwards of as many rows, both in float64, in one run.

Every case is first compared with a naive loop over latents: a pattern at every vertex, and units with more than one.
Plain forwards are those of the best of some batch sizes. `forwards` is how many of them are done in the time that local
complexity takes for one vertex: above 1, what is saved behind the last layer is more than what counting costs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.networks import dense
from benchmarks.report import Case, parser, report, seconds
from magnet_service.config import BUNDLED
from magnet_service.generator import Generator, Manifold, Precision, activation_pattern, load_version
from magnet_service.geometry import LocalComplexity, local_complexity

__all__ = ["main"]

BATCHES = (8, 16, 64, 256, 1024)
CHECKED = 16


@dataclass(frozen=True)
class Network:
    """One generator to measure.

    Attributes:
        name: of the case.
        make: the generator.
        latents: how many a timed call takes.
        radius: r.
    """

    name: str
    make: Callable[[], Generator]
    latents: int
    radius: float


def classifier() -> Generator:
    """Two convolutions with max-pools and two dense layers, from 1 x 28 x 28 to ten logits."""
    module = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    return Generator.from_module(nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *module), 784)


NETWORKS = (
    Network("mlp-64-256-256-784", lambda: Generator.from_module(dense(64, (256, 256), 784), 64), 400, 0.1),
    Network("fashion", lambda: load_version(BUNDLED / "fashion")[0], 40, 0.1),
    Network("classifier-max-pool", classifier, 16, 0.1),
)


def drawn(count: int, dim: int) -> Tensor:
    """Latents of seed 1."""
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def naive(generator: Generator, latents: Tensor, frame: Tensor, radius: float) -> Tensor:
    """Units with more than one state over the vertices, one latent at a time."""
    counts = []
    for latent in latents:
        patterns = activation_pattern(generator, torch.cat([latent + radius * frame, latent - radius * frame]))
        counts.append((patterns != patterns[0]).any(0).sum())
    return torch.stack(counts)


def forwards(generator: Generator, rows: Tensor, batch: int) -> None:
    """Plain forwards of all rows."""
    for part in rows.split(batch):
        generator.forward(part)


def case(network: Network, rounds: int, clock: Callable[[], float]) -> Case:
    """Checks one generator, then times it against forwards."""
    torch.manual_seed(0)
    generator = network.make().to(precision=Precision.FLOAT64)
    latents = drawn(network.latents, generator.latent_dim)
    found = local_complexity(generator, latents[:CHECKED], radius=network.radius)
    if found.frame is None or generator.output_dim_of(Manifold.PRE_ACTIVATION) != generator.output_dim:
        raise RuntimeError(f"{network.name}: another head than this benchmark knows")
    wanted = naive(generator, latents[:CHECKED], found.frame, network.radius)
    if not torch.equal(found.total, wanted) or not found.total.any():
        raise RuntimeError(f"{network.name}: {found.total.tolist()}, and one by one {wanted.tolist()}")
    vertices = 2 * found.directions
    rows = drawn(network.latents * vertices, generator.latent_dim)

    def ours(shared: bool) -> LocalComplexity:
        return local_complexity(generator, latents, radius=network.radius, shared_frame=shared)

    plain = {str(batch): partial(forwards, generator, rows, batch) for batch in BATCHES if batch <= len(rows)}
    taken = seconds({"ours": lambda: ours(True), "own_frames": lambda: ours(False), **plain}, rounds, clock)
    best = min(plain, key=lambda batch: taken[batch])
    return {
        "name": network.name,
        "latents_per_second": network.latents / taken["ours"],
        "forwards": taken[best] / taken["ours"],
        "forwards_own_frames": taken[best] / taken["own_frames"],
        "vertex_us": taken["ours"] / len(rows) * 1e6,
        "forward_us": taken[best] / len(rows) * 1e6,
        "forward_batch": int(best),
        "directions": found.directions,
        "mean_complexity": float(ours(True).total.double().mean()),
        "units": sum(found.units),
    }


def main() -> None:
    """Runs all cases and writes the report."""
    options = parser("complexity", __doc__)
    options.add_argument("--processor-time", action="store_true", help="of one thread, where others use the machine")
    given = options.parse_args()
    if given.processor_time:
        torch.set_num_threads(1)
    cases = []
    for network in NETWORKS:
        cases.append(case(network, given.rounds, time.process_time if given.processor_time else time.perf_counter))
        print(json.dumps(cases[-1]), flush=True)
    report(given.json, cases)


if __name__ == "__main__":
    main()
