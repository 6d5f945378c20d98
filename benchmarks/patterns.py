"""Nearest packed patterns: ours against numpy's XOR with `bitwise_count` and scipy's `cdist`, in one run."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import cdist

from benchmarks.report import Case, arguments, report, seconds
from magnet_service.geometry import Layer, Patterns, nearest, pack_patterns, unpack_patterns
from magnet_service.geometry.patterns import planes_of, words_of

__all__ = ["main"]

COUNT = 10
"""Neighbours of each query."""

SIZES: tuple[tuple[str, int, int, tuple[int, ...], int], ...] = (
    ("mlp_512", 1_000_000, 64, (512,), 2),
    ("mlp_4096", 200_000, 64, (2048, 2048), 2),
    ("conv_65536", 20_000, 64, (32768, 16384, 16384), 2),
    ("clamp_4096", 200_000, 64, (2048, 2048), 3),
)
SMALL = 20_000_000
"""Numbers of the bank that scipy is given, eight bytes a unit."""


def layers(units: tuple[int, ...], states: int) -> tuple[Layer, ...]:
    """Layers of so many units, with the breakpoints of a relu or of a clamp."""
    breakpoints = tuple(float(at) for at in range(states - 1))
    firsts = np.cumsum([0, *units]).tolist()
    sizes = zip(firsts, units, strict=False)
    return tuple(Layer(node, f"layer_{node}", "", at, size, breakpoints, 0) for node, (at, size) in enumerate(sizes))


def drawn(rows: int, units: tuple[int, ...], states: int, seed: int) -> Patterns:
    """Patterns that differ from one of a few centres in about a tenth of their units, packed in pieces."""
    source = np.random.default_rng(seed)
    shape = layers(units, states)
    centres = source.integers(0, states, (16, sum(units)), dtype=np.int8)
    words = []
    for start in range(0, rows, 10_000):
        some = min(10_000, rows - start)
        codes = centres[source.integers(0, 16, some)]
        moved = source.random(codes.shape, dtype=np.float32) < 0.1
        codes = np.where(moved, source.integers(0, states, codes.shape, dtype=np.int8), codes)
        words.append(pack_patterns(torch.from_numpy(codes), shape).words)
    return Patterns(np.concatenate(words), shape)


def by_numpy(bank: Patterns, queries: Patterns) -> tuple[np.ndarray, np.ndarray]:
    """XOR, OR over digits, `bitwise_count`, and a stable choice of the smallest."""
    planes = planes_of(bank.layers[0])
    rows, distances = [], []
    for query in queries.words:
        differ, found = bank.words ^ query, np.zeros(len(bank), np.int64)
        for place in [slice(None)] if planes == 1 else words_of(bank.layers):
            digits = differ[:, place].reshape(len(bank), planes, -1)
            other = digits[:, 0] if planes == 1 else digits[:, 0] | digits[:, 1]
            found += np.bitwise_count(other).sum(1, dtype=np.int64)
        keys = found * len(bank) + np.arange(len(bank))
        best = np.sort(np.partition(keys, COUNT)[:COUNT])
        rows.append(best % len(bank))
        distances.append(best // len(bank))
    return np.array(rows), np.array(distances)


def by_scipy(bank: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Shares of differing units of unpacked patterns, and the smallest."""
    found = np.rint(cdist(queries, bank, "hamming") * bank.shape[1]).astype(np.int64)
    keys = found * len(bank) + np.arange(len(bank))
    best: np.ndarray = np.sort(np.partition(keys, COUNT, axis=1)[:, :COUNT], axis=1) % len(bank)
    return best


def measured(name: str, rows: int, asked: int, units: tuple[int, ...], states: int, rounds: int) -> Case:
    """One size: the answers compared first, then times in turns.

    Raises:
        RuntimeError: an answer differs.
    """
    bank, queries = drawn(rows, units, states, 0), drawn(asked, units, states, 1)
    found, (wanted, distances) = nearest(bank, queries, COUNT), by_numpy(bank, queries)
    if not (np.array_equal(found.rows.numpy(), wanted) and np.array_equal(found.distances.numpy(), distances)):
        raise RuntimeError(f"{name}: neighbours differ from those of numpy")
    small = bank.chosen(slice(0, min(rows, SMALL // sum(units))))
    codes, wide = (unpack_patterns(some).to(torch.float64).numpy() for some in (small, queries.chosen(slice(0, 8))))
    few = queries.chosen(slice(0, 8))
    if not np.array_equal(nearest(small, few, COUNT).rows.numpy(), by_scipy(codes, wide)):
        raise RuntimeError(f"{name}: neighbours differ from those of scipy")
    threads = torch.get_num_threads()
    taken = seconds(
        {
            "ours": lambda: nearest(bank, queries, COUNT),
            "alone": lambda: nearest(bank, queries, COUNT, threads=1),
            "numpy": lambda: by_numpy(bank, queries),
            "small": lambda: nearest(small, few, COUNT),
            "scipy": lambda: by_scipy(codes, wide),
        },
        rounds,
    )
    read = asked * bank.words.nbytes / 1e9
    return {
        "name": name,
        "rows": rows,
        "queries": asked,
        "units": sum(units),
        "states": states,
        "threads": threads,
        "ours_ms": 1e3 * taken["ours"],
        "one_thread_ms": 1e3 * taken["alone"],
        "numpy_ms": 1e3 * taken["numpy"],
        "gb_per_s": read / taken["ours"],
        "over_numpy": taken["numpy"] / taken["ours"],
        "one_thread_over_numpy": taken["numpy"] / taken["alone"],
        "scipy_rows": len(small),
        "over_scipy": taken["scipy"] / taken["small"],
    }


def main() -> None:
    """Checks, times in turns, prints and writes the cases."""
    options = arguments("patterns", __doc__)
    report(options.json, [measured(*size, rounds=options.rounds) for size in SIZES])


if __name__ == "__main__":
    main()
