"""What benchmarks share: the machine they ran on, alternating timing, one JSON file, one table."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

__all__ = ["Case", "arguments", "machine", "parser", "report", "seconds"]

Case = Mapping[str, str | int | float | bool | None]


def machine() -> dict[str, str | int]:
    """The machine and build that figures belong to: processor, cores, torch, threads, instruction set, date."""
    processor = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        names = [line.split(":", 1)[1].strip() for line in listing.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {
        "cpu": processor,
        "cores": torch.multiprocessing.cpu_count(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def seconds(
    rivals: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median time of each rival over rounds in which all take their turn, so that a busy machine hurts all alike.

    Arguments:
        rivals: what to run, by name; each is run once beforehand, untimed.
        rounds: turns of each.
        clock: wall time, or `time.process_time` where others use the machine.

    Returns:
        Seconds by name.
    """
    for run in rivals.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, run in rivals.items():
            start = clock()
            run()
            taken[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has: `--json` and `--rounds`."""
    options = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    options.add_argument("--json", type=Path, default=Path("build/bench") / f"{name}.json", help="file to write")
    options.add_argument("--rounds", type=int, default=5, help="timed turns of each rival")
    return options


def arguments(name: str, description: str | None) -> argparse.Namespace:
    """The command line of a benchmark without options of its own."""
    return parser(name, description).parse_args()


def report(path: Path, cases: Sequence[Case]) -> None:
    """Writes `{"machine": ..., "cases": [...]}` to the file and prints the cases as a table.

    Arguments:
        path: file to write; missing folders are made.
        cases: flat objects, each with "name".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "cases": [dict(case) for case in cases]}, indent=2) + "\n")
    columns = list(dict.fromkeys(key for case in cases for key in case))
    rows = [columns, *([shown(case.get(column)) for column in columns] for case in cases)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"written to {path}")


def shown(value: str | int | float | bool | None) -> str:
    """One cell of the table: four digits of a float, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
