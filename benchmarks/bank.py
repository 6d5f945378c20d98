"""A new rho over a large bank: cold, where side files are written, and warm; against a plain read of the column.

Each case runs in a process of its own, whose peak of resident memory, mapped files included, is told beside that of a
process that has only imported the package.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.peak import resident
from benchmarks.report import Case, parser, report
from magnet_service.sampling import (
    Ball,
    Bank,
    BankRows,
    BankSpec,
    Cache,
    Law,
    Normal,
    Rows,
    Stream,
    Weights,
    make_draws_ready,
    uniforms,
)
from magnet_service.sampling.banks.manifest import write_manifest
from magnet_service.sampling.banks.shard import ROWS as ROWS_FOLDER
from magnet_service.sampling.banks.shard import encode, entry_of, key_of
from magnet_service.sampling.diagnostics import figures_of

__all__ = ["main"]

ROWS = 10_000_000
SHARD_ROWS = 102_400
KS = (1, 2, 3)
SPREADS = (0.5, 0.4, 0.3)
COUNT = 1000
PRIOR, BALL = Normal(len(KS)), Ball(len(KS), 3.0)
RHOS = (1.0, -0.7, 0.5, 1.3, -1.1)
SIDE, BANK = "columns", "bank"


def spec() -> BankSpec:
    """The recipe of a bank of three singular values; nobody has its generator."""
    return BankSpec(generator_digest="0" * 64, law=PRIOR.to_text())


def write(folder: Path, rows: int) -> None:
    """A bank of made-up rows."""
    source = np.random.default_rng(0)
    bank = Bank.create(folder / BANK, spec(), stamp={}, shard_rows=SHARD_ROWS)
    entries = []
    for first in range(0, rows, SHARD_ROWS):
        count = min(SHARD_ROWS, rows - first)
        volumes = np.cumsum(source.normal(size=(count, len(KS))) * SPREADS, axis=1).astype(np.float32)
        rank = np.where(source.random(count) < 0.005, len(KS) - 1, len(KS)).astype(np.int16)
        volumes[rank < len(KS), -1] = -np.inf
        key = key_of(bank.manifest, first, count)
        made = Rows(PRIOR.rows(0, first, count), volumes, rank, np.zeros(count, np.int8))
        data = encode(made, key)
        entries.append(entry_of(key, data))
        bank.place.child(ROWS_FOLDER).put(entries[-1].file, data)
    write_manifest(bank.place, 2, replace(bank.manifest, shards=tuple(entries)))


def opened(folder: Path, side: Path | None = None) -> BankRows:
    """The rows of the bank, its columns kept in a folder of theirs or another."""
    return Bank.open(folder / BANK, cache=Cache(side or folder / SIDE)).rows()


def new_rho(rows: BankRows, base: Law, rho: float, k: int) -> np.ndarray:
    """Weights, their figures, and a draw of a thousand latents."""
    weights = Weights(rows, base, PRIOR)
    weighed = weights.weighed(rho, k)
    figures_of(weighed.sums, low_rank_share=weights.low_rank_share(k))
    return rows.latents_at(weighed.at(uniforms(1, Stream.RESAMPLE, 0, COUNT, 1)[:, 0]))


def check(folder: Path, rows: int) -> Case:
    """Figures and rows against plain sums in memory.

    Raises:
        RuntimeError: an answer is wrong.
    """
    with tempfile.TemporaryDirectory(dir=folder) as side:
        return checked(opened(folder, Path(side) / SIDE))


def checked(bank: BankRows) -> Case:
    """As `check`, of a bank whose side files are not written yet."""
    for base in (PRIOR, BALL):
        logs = np.where(bank.ranks() >= KS[-1], 1.3 * bank.log_volume(KS[-1]).astype(np.float64), -np.inf)
        if base is BALL:
            squares = np.square(bank.latents_at(np.arange(len(bank))), dtype=np.float64).sum(axis=1)
            logs = np.where(squares <= BALL.radius**2, logs + 0.5 * squares, -np.inf)
        weights = np.exp(logs - logs.max())
        weighed = Weights(bank, base, PRIOR).weighed(1.3, KS[-1])
        if not np.isclose(weighed.sums.ess, weights.sum() ** 2 / np.square(weights).sum(), rtol=1e-6):
            raise RuntimeError("ESS differs from that of plain sums")
        uniform = uniforms(1, Stream.RESAMPLE, 0, COUNT, 1)[:, 0]
        sums = np.cumsum(weights)
        # Added up in another order, sums differ by their rounding and the correction by that of its constants.
        below, above = (np.searchsorted(sums, (uniform + step) * sums[-1]) for step in (-1e-9, 1e-9))
        drawn = weighed.at(uniform)
        if not ((below <= drawn) & (drawn <= above)).all():
            raise RuntimeError("rows differ from those of one search in all sums")
    return {"name": "check"}


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def idle(folder: Path, rows: int) -> Case:
    """Nothing but imports and compiled kernels."""
    make_draws_ready()
    return {"name": "idle"}


def cold(folder: Path, rows: int) -> Case:
    """The first use of revision and k: side files are written."""
    make_draws_ready()
    return {"name": "cold", "ms": timed(lambda: new_rho(opened(folder), PRIOR, RHOS[0], KS[-1]))}


def warm(folder: Path, rows: int) -> Case:
    """A new rho of another process, and a plain read of the column that it reads."""
    make_draws_ready()
    bank = opened(folder)
    (path,) = (folder / SIDE).glob(f"*/volume-{KS[-1]}-{rows}.npy")
    taken, read = [], []
    for rho in RHOS:
        read.append(timed(lambda: np.load(path)[:].sum()))
        taken.append(timed(lambda rho=rho: new_rho(bank, PRIOR, rho, KS[-1])))  # type: ignore[misc]  # binds rho now
    least, median = statistics.median(read), statistics.median(taken)
    return {"name": "warm", "ms": median, "first_ms": taken[0], "read_ms": least, "over_read": median / least}


def repeated(folder: Path, rows: int) -> Case:
    """Another draw of a rho that was drawn from before, in the same process."""
    make_draws_ready()
    bank = opened(folder)
    new_rho(bank, PRIOR, RHOS[0], KS[-1])
    return {
        "name": "repeated",
        "ms": statistics.median(timed(lambda: new_rho(bank, PRIOR, RHOS[0], KS[-1])) for _ in RHOS),
    }


def corrected_cold(folder: Path, rows: int) -> Case:
    """The first use of another base: log densities of all latents are written."""
    make_draws_ready()
    return {"name": "corrected_cold", "ms": timed(lambda: new_rho(opened(folder), BALL, RHOS[0], KS[-1]))}


def corrected_warm(folder: Path, rows: int) -> Case:
    """A new rho over that base."""
    make_draws_ready()
    bank = opened(folder)
    taken = [timed(lambda rho=rho: new_rho(bank, BALL, rho, KS[-1])) for rho in RHOS]  # type: ignore[misc]  # as above
    return {"name": "corrected_warm", "ms": statistics.median(taken), "first_ms": taken[0]}


CASES = {work.__name__: work for work in (check, idle, cold, warm, repeated, corrected_cold, corrected_warm)}


def child(options: argparse.Namespace) -> None:
    """Runs one case and prints it with the most memory that the process ever held."""
    found = CASES[options.case](options.folder, options.rows)
    print(json.dumps({**found, "rows": options.rows, "peak_mb": resident("VmHWM") / 1e6}))


def main() -> None:
    """Writes shards, runs every case in a process of its own, prints and writes the cases."""
    given = parser("bank", __doc__)
    given.add_argument("--rows", type=int, default=ROWS, help="rows of the bank")
    given.add_argument("--case", choices=tuple(CASES), help=argparse.SUPPRESS)
    given.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = given.parse_args()
    if options.case is not None:
        return child(options)
    cases: list[Case] = []
    with tempfile.TemporaryDirectory(prefix="magnet-bank-") as folder:
        write(Path(folder), options.rows)
        for name in CASES:
            command = [sys.executable, "-m", "benchmarks.bank", "--case", name, "--folder", folder]
            done = subprocess.run([*command, "--rows", str(options.rows)], check=True, capture_output=True, text=True)
            cases.append(json.loads(done.stdout.splitlines()[-1]))
    report(options.json, [case for case in cases if case["name"] != "check"])


if __name__ == "__main__":
    main()
