"""Effective draws for each 1,000 exact evaluations: resampling against screening, by the spread of independent runs.

Every method has 4,000 evaluations a run, a forward counted as 1/d; the bank that the surrogate is fitted on, and the
fit, are left out of the count and stated. ESS_eff = Var_pi(f) / Var(estimates of E f) over 16 runs, the mean squared
error against a reference in place of the variance where the runs are biased, the least over f in {log v_k, |z|^2 / 2,
the first five coordinates}. The reference is one run of the best screened method with ten times the evaluations.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from benchmarks.report import Case, parser, report
from magnet_service.generator import Generator, Manifold
from magnet_service.geometry import Engine
from magnet_service.registry import Registry
from magnet_service.sampling import Method, Normal, Rows, Weights
from magnet_service.sampling.polarity import LOW_RANK_LIMIT
from magnet_service.sampling.screening.chains import ScreenedChain
from magnet_service.sampling.screening.fitting import fitting
from magnet_service.sampling.screening.promise import better, promises
from magnet_service.sampling.screening.resample import Resample
from magnet_service.sampling.screening.screened import Screened
from magnet_service.sampling.screening.surrogate import Surrogate
from magnet_service.sampling.screening.target import Budget, Sample, Sampler, Target

__all__ = ["main"]

EVALUATIONS = 4_000
RUNS = 16
REFERENCE = 10
BANK_ROWS = 12_000
COORDINATES = 5
BUNDLED = Path(__file__).parents[1] / "magnet_service" / "bundled"


@dataclass(frozen=True)
class Task:
    """One generator with the laws to draw from.

    Attributes:
        name: of the cases.
        generator: the network.
        pool: fresh rows of the base, whose ESS tells what resampling is worth.
        laws: (rho, k); k is 0 for AUTO.
    """

    name: str
    generator: Generator
    pool: int
    laws: tuple[tuple[float, int], ...]


def mnist() -> Generator | None:
    """The public MNIST GAN, where the shared generators lie."""
    folder = Path(os.environ.get("SHARED_GENERATORS", Path(__file__).parents[2] / "shared" / "generators"))
    path = folder / "mnist_mlp_gan.pth"
    if not path.is_file():
        return None
    layers = (nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh())
    module = nn.Sequential(*layers)
    module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return Generator.from_module(module, 64)


def tasks() -> list[Task]:
    """What is measured here."""
    fashion = Registry([BUNDLED], "build/bench/banks").generators.get("fashion").generator
    found = [Task("fashion", fashion, 20_000, ((-1.0, 0), (1.0, 0)))]
    shared = mnist()
    if shared is not None:
        laws = tuple((rho, k) for rho in (-2.0, -1.0, 1.0, 2.0) for k in (10, 20))
        found.insert(0, Task("mnist_mlp_gan", shared, 200_000, laws))
    return found


def numbers(rows: Rows, k: int) -> Float64[np.ndarray, "rows numbers"]:
    """The test functions f; a row without log v_k has weight 0, whatever stands there."""
    latents = rows.latents.astype(np.float64)
    volumes = np.where(rows.rank >= k, rows.log_volumes[:, k - 1], 0.0)
    return np.column_stack([volumes, 0.5 * np.square(latents).sum(1), latents[:, :COORDINATES]])


def moments(sample: Sample, k: int) -> tuple[Float64[np.ndarray, " numbers"], Float64[np.ndarray, " numbers"]]:
    """Weighted means and variances of f; not numbers where nothing has weight."""
    if not isinstance(sample.rows, Rows):
        raise TypeError("a bank in files has no place here")
    logs = sample.log_weights
    weights = np.exp(logs - logs.max()) if logs.max() > -np.inf else np.full(len(logs), np.nan)
    weights /= weights.sum()
    values = numbers(sample.rows, k)
    means = weights @ values
    return means, weights @ np.square(values - means)


def effective(runs: list[Sample], reference: Sample, k: int) -> float:
    """ESS_eff of one run: the least over f."""
    expected, variances = moments(reference, k)
    means = np.stack([moments(run, k)[0] for run in runs])
    if not np.isfinite(means).all():
        return 0.0
    spread = means.var(0, ddof=1)
    off = means.mean(0) - expected
    # The reference is off itself by about a tenth of one run's variance, and the mean of the runs by a sixteenth.
    biased = np.square(off) > 9.0 * spread * (1.0 / len(runs) + 1.0 / REFERENCE)
    errors = np.where(biased, np.square(means - expected).mean(0), spread)
    return float((variances / errors).min())


def seconds_each(target: Target, surrogate: Surrogate) -> tuple[float, float]:
    """Seconds of one exact evaluation, and of one forward with its score."""
    latents = target.law.rows(1, 0, 2048)
    surrogate.scores(target.generator, target.engine, latents[:64])
    start = time.perf_counter()
    surrogate.scores(target.generator, target.engine, latents)
    middle = time.perf_counter()
    target.measured(latents[:512], None)
    return (time.perf_counter() - middle) / 512, (middle - start) / 2048


def measured(task: Task) -> list[Case]:
    """The cases of one generator."""
    generator, engine = task.generator, Engine()
    law, manifold = Normal(generator.latent_dim), Manifold.OUTPUT
    start = time.perf_counter()
    pool = Target(generator, law, manifold, 1.0, 1, engine).measured(law.rows(0, 0, task.pool), None)
    bank = Weights(pool.first(BANK_ROWS), law, law)
    print(f"{task.name}: pool of {task.pool:,} in {time.perf_counter() - start:.0f} s", flush=True)
    start = time.perf_counter()
    surrogate = fitted(bank, generator, engine, manifold)
    fit = time.perf_counter() - start
    shared = [Target(generator, law, manifold, 1.0, 1, engine)] * RUNS
    fresh = [Resample()(target, Budget(EVALUATIONS), seed) for seed, target in enumerate(shared)]
    cases: list[Case] = []
    for rho, asked in task.laws:
        k = asked or bank.choose_top_k(rho).k
        target = Target(generator, law, manifold, rho, k, engine)
        whole = Weights(pool, law, law)
        exact, forward = seconds_each(target, surrogate)
        known: dict[str, str | int | float | bool | None] = {
            "rho": rho,
            "top_k": k,
            "pool_ess_per_1000": 1000.0 * whole.ess(rho, k) / task.pool,
            "residual_nats": surrogate.residual(k),
            "fit_seconds": fit,
            "cost_ratio": exact / forward,
            "low_rank_share": whole.low_rank_share(k),
            "refused_by_the_service": rho < 0.0 and whole.low_rank_share(k) > LOW_RANK_LIMIT,
        }
        cases += compared(task, target, surrogate, bank, fresh, known)
    return cases


def compared(
    task: Task,
    target: Target,
    surrogate: Surrogate,
    bank: Weights,
    fresh: list[Sample],
    known: Mapping[str, str | int | float | bool | None],
) -> list[Case]:
    """The methods at one rho and k."""
    rho, k, columns = target.rho, target.k, target.law.columns
    each = promises(surrogate, bank, rho, k, EVALUATIONS, target.law)
    samplers: dict[Method, Sampler] = {
        Method.SCREENED: Screened(surrogate),
        Method.SCREENED_CHAIN: ScreenedChain(surrogate),
    }
    runs: dict[Method, list[Sample]] = {}
    runs[Method.RESAMPLE] = [Resample(Weights(run.rows, target.law, target.law))(target, Budget(0), 0) for run in fresh]
    for promise in each:
        if promise.budget.evaluations(columns) > EVALUATIONS * 1.001:
            raise RuntimeError(f"{promise.budget} is more than {EVALUATIONS} evaluations")
        runs[promise.method] = [samplers[promise.method](target, promise.budget, seed) for seed in range(RUNS)]
    nominal = {method: float(np.median([run.figures.ess for run in found])) for method, found in runs.items()}
    best = max((promise.method for promise in each), key=lambda method: nominal[method])
    large = next(p for p in promises(surrogate, bank, rho, k, REFERENCE * EVALUATIONS, target.law) if p.method is best)
    reference = samplers[best](target, large.budget, RUNS + 1)
    figures = {method: effective(found, reference, k) * 1000.0 / EVALUATIONS for method, found in runs.items()}
    chosen = better(each, bank.ess(rho, k))
    auto = Method.RESAMPLE if chosen is None else chosen.method
    found: list[Case] = []
    for method in (Method.RESAMPLE, Method.SCREENED, Method.SCREENED_CHAIN, Method.AUTO):
        used = auto if method is Method.AUTO else method
        if used not in figures:
            continue
        found.append(
            {
                "name": task.name,
                "method": str(method),
                "ess_per_1000": figures[used],
                "resample_ess_per_1000": figures[Method.RESAMPLE],
                "gain": figures[used] / figures[Method.RESAMPLE] if figures[Method.RESAMPLE] else math.inf,
                "resolves_to": str(used),
                "nominal_ess_per_1000": nominal[used] * 1000.0 / EVALUATIONS,
                "reference_ess": reference.figures.ess,
                "reference_khat": reference.figures.khat,
                **known,
            }
        )
    print(
        *(f"{c['name']} rho {rho:g} k {k} {c['method']}: {c['ess_per_1000']:.3g}" for c in found), sep="\n", flush=True
    )
    return found


def fitted(bank: Weights, generator: Generator, engine: Engine, manifold: Manifold) -> Surrogate:
    """The surrogate of a bank's rows."""
    steps = fitting(bank.rows, generator, engine, manifold=manifold, bank_id="0" * 16)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Surrogate = done.value
            return found


def main() -> None:
    """Runs the benchmark and writes its cases."""
    options = parser("efficiency", __doc__).parse_args()
    report(options.json, [case for task in tasks() for case in measured(task)])


if __name__ == "__main__":
    main()
