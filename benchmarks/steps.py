"""What each step of the volume engine gains: the time without it over the time with it, in one run.

Every variant leaves out one step alone and must give the same log-volumes. `--torch` looks at the sweeps that are not
compiled, as those of float64 and of operations that no kernel runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.networks import NETWORKS
from benchmarks.report import Case, parser, report, seconds
from benchmarks.volume import drawn, loaded
from magnet_service.generator import Generator
from magnet_service.generator.operations import kernels, subpixel
from magnet_service.geometry import Engine, prefix_sums, reduction, spectrum, volumes
from magnet_service.geometry.spectrum import gram
from magnet_service.geometry.sweep import compilation, preparation, running, spots, units

__all__ = ["main"]

HUGE = 1 << 40
TOLERANCE = 1e-3


@contextmanager
def together(engine: Engine, *, alone: bool = False) -> Iterator[None]:
    """All threads in one operation, as torch does it, in place of one tile a thread."""
    torch.set_num_threads(THREADS)
    yield


THREADS = torch.get_num_threads()


def busy(run: running.Run, index: int) -> object:
    """Slopes of which none is 0, so that no unit is idle."""
    found = SLOPES(run, index)
    run.slopes[index] = np.where(found == 0, np.float32(1e-30), found)
    return run.slopes[index]


SLOPES = running.Run.slopes_of


def by_lapack(grams: torch.Tensor) -> torch.Tensor:
    """Half the logs of the eigenvalues, one matrix after another."""
    logs: torch.Tensor = torch.linalg.eigvalsh(grams).flip(1).log() / 2
    return logs


def in_double(piece: reduction.Piece) -> torch.Tensor:
    """A float64 Gram matrix in place of the refined one."""
    return gram(reduction.in_directions(piece.tangents, piece.basis))


COMPILED_STEPS: dict[str, tuple[object, str, object]] = {
    "kernels of our own": (preparation, "COMPILES", False),
    "tiles side by side, a core each": (Engine, "activated", together),
    "tangents of the first layer kept": (preparation, "CONSTANT_NUMBERS", 0),
    "affine tail folded into R": (preparation, "tail_factor", lambda *_: None),
    "zero half of R left out": (compilation, "FACTOR_BLOCK", HUGE),
    "idle units left out": (running.Run, "slopes_of", busy),
    "several rows for each block of weights": (preparation, "WEIGHT_ROWS", 1),
    "rows in pieces that fit the cache": (preparation, "LINE_BYTES", HUGE),
    "eigenvalues of sixteen matrices at once": (spectrum, "log_singular_values_of_grams", by_lapack),
    "refined Gram matrices in float32": (reduction, "_refined", in_double),
}

TORCH_STEPS: dict[str, tuple[object, str, object]] = {
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


Steps = Mapping[str, tuple[object, str, object]]


def variant(generator: Generator, rows: torch.Tensor, steps: Steps, step: str | None) -> Callable[[], torch.Tensor]:
    """Our volumes without one step; with all of them where None."""
    own = Generator(generator.graph)
    threads = 1 if step is not None and steps[step][1] == "activated" else THREADS

    def run() -> torch.Tensor:
        with ExitStack() as stack:
            if step is not None:
                stack.enter_context(patch.object(*steps[step]))
            return prefix_sums(volumes(own, rows, engine=Engine(threads=threads)))

    return run


def main() -> None:
    """Runs all variants of all generators."""
    options = parser("steps", __doc__)
    options.add_argument("--only", nargs="*", default=None, help="names of networks to run")
    options.add_argument("--torch", action="store_true", help="of sweeps that are not compiled")
    given = options.parse_args()
    steps = TORCH_STEPS if given.torch else COMPILED_STEPS
    preparation.COMPILES = not given.torch
    cases: list[Case] = []
    for network in NETWORKS:
        if given.only and network.name not in given.only:
            continue
        generator, _ = loaded(network)
        rows = drawn(max(16, network.latents // 4), network.latent_dim)
        runs: dict[str, Callable[[], object]] = {"all": variant(generator, rows, steps, None)}
        runs |= {step: variant(generator, rows, steps, step) for step in steps}
        whole = variant(generator, rows, steps, None)()
        for step in steps:
            apart = float((variant(generator, rows, steps, step)() - whole)[whole.isfinite()].abs().max())
            if not apart < TOLERANCE:
                raise RuntimeError(f"{network.name} without {step}: {apart} nats apart")
        taken = seconds(runs, given.rounds)
        gains = {step: taken[step] / taken["all"] for step in steps}
        cases.append({"name": network.name, "ours_ms": taken["all"] / len(rows) * 1e3, **gains})
        print(cases[-1], flush=True)
    report(given.json, cases)


if __name__ == "__main__":
    main()
