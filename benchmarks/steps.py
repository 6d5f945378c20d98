"""What each step of the volume engine gains: the time without it over the time with it, in one run.

Every variant leaves out one step alone and must give the same log-volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch

from benchmarks.networks import NETWORKS
from benchmarks.report import Case, parser, report, seconds
from benchmarks.volume import drawn, loaded
from magnet_service.generator import Generator
from magnet_service.generator.operations import kernels, subpixel
from magnet_service.geometry import Engine, prefix_sums, reduction, volumes
from magnet_service.geometry.spectrum import gram
from magnet_service.geometry.sweep import preparation, spots, units

__all__ = ["main"]

HUGE = 1 << 40
TOLERANCE = 1e-3


@contextmanager
def together(engine: Engine, *, alone: bool = False) -> Iterator[None]:
    """All threads in one operation, as torch does it, in place of one tile a thread."""
    torch.set_num_threads(THREADS)
    yield


THREADS = torch.get_num_threads()

STEPS: dict[str, tuple[object, str, object]] = {
    "oneDNN for float32 products": (kernels, "ONEDNN", False),
    "tiles side by side, a core each": (Engine, "activated", together),
    "tangents of the first layer kept": (preparation, "CONSTANT_NUMBERS", 0),
    "affine tail folded into R": (preparation, "tail_factor", lambda *_: None),
    "idle units left out of products": (units, "NARROW_INPUTS", HUGE),
    "small maps place by place": (spots, "MOST_PLACES", 0),
    "few output channels as sub-pixels": (subpixel, "FEW_CHANNELS", 0),
    "columns in blocks that fit the cache": (preparation, "BLOCK_BYTES", HUGE),
    "rows in pieces that fit the cache": (preparation, "PIECE_BYTES", HUGE),
    "float32 Gram matrices, refined": (reduction, "_single_gram", gram),
}


def variant(generator: Generator, rows: torch.Tensor, step: str | None) -> Callable[[], torch.Tensor]:
    """Our volumes without one step; with all of them where None."""
    own = Generator(generator.graph)
    threads = 1 if step is not None and STEPS[step][1] == "activated" else THREADS

    def run() -> torch.Tensor:
        with ExitStack() as stack:
            if step is not None:
                stack.enter_context(patch.object(*STEPS[step]))
            return prefix_sums(volumes(own, rows, engine=Engine(threads=threads)))

    return run


def main() -> None:
    """Runs all variants of all generators."""
    options = parser("steps", __doc__)
    options.add_argument("--only", nargs="*", default=None, help="names of networks to run")
    given = options.parse_args()
    cases: list[Case] = []
    for network in NETWORKS:
        if given.only and network.name not in given.only:
            continue
        generator, _ = loaded(network)
        rows = drawn(max(16, network.latents // 4), network.latent_dim)
        runs: dict[str, Callable[[], object]] = {"all": variant(generator, rows, None)}
        runs |= {step: variant(generator, rows, step) for step in STEPS}
        whole = variant(generator, rows, None)()
        for step in STEPS:
            apart = float((variant(generator, rows, step)() - whole)[whole.isfinite()].abs().max())
            if not apart < TOLERANCE:
                raise RuntimeError(f"{network.name} without {step}: {apart} nats apart")
        taken = seconds(runs, given.rounds)
        gains = {step: taken[step] / taken["all"] for step in STEPS}
        cases.append({"name": network.name, "ours_ms": taken["all"] / len(rows) * 1e3, **gains})
        print(cases[-1], flush=True)
    report(given.json, cases)


if __name__ == "__main__":
    main()
