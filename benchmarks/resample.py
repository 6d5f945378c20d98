"""Resampling and diagnosing a million weights: ours against `numpy.random.Generator.choice(p=...)`, in one run."""

from __future__ import annotations

import numpy as np

from benchmarks.report import Case, arguments, report, seconds
from magnet_service.sampling import Stream, diagnose, effective_sample_size, uniforms, with_replacement
from magnet_service.sampling.resample import cumulate, invert

__all__ = ["main"]

ROWS = 1_000_000
SPREAD = 1.0
COUNTS = (1_000, 100_000, 1_000_000)


def log_weights() -> np.ndarray:
    """Lognormal weights of a bank of a million rows."""
    u = uniforms(1, Stream.LATENTS, 0, ROWS, 2)
    logs: np.ndarray = SPREAD * np.sqrt(-2.0 * np.log(u[:, 0])) * np.cos(2.0 * np.pi * u[:, 1])
    return logs


def check(logs: np.ndarray) -> float:
    """Answers before times: pages agree, figures agree with plain sums, frequencies with the weights.

    Returns:
        Largest deviation of the frequencies of twenty groups of rows from their weights, in standard deviations.

    Raises:
        RuntimeError: an answer is wrong.
    """
    weights = np.exp(logs)
    weights /= weights.sum()
    if not np.isclose(effective_sample_size(logs), 1.0 / np.square(weights).sum(), rtol=1e-9):
        raise RuntimeError("ESS differs from 1 / sum of squared weights")
    drawn = with_replacement(logs, 3, 0, ROWS)
    if not np.array_equal(drawn[1234:2234], with_replacement(logs, 3, 1234, 1000)):
        raise RuntimeError("a page differs from the longer draw")
    groups = np.arange(ROWS) % 20
    expected = np.bincount(groups, weights=weights) * ROWS
    observed = np.bincount(groups[drawn], minlength=20)
    deviation = float(np.abs((observed - expected) / np.sqrt(expected)).max())
    if deviation > 5.0:
        raise RuntimeError(f"frequencies are {deviation:.1f} standard deviations off")
    return deviation


def main() -> None:
    """Checks, times in turns, prints and writes the cases."""
    options = arguments("resample", __doc__)
    logs = log_weights()
    deviation = check(logs)
    cumulated = cumulate(logs)
    source = np.random.default_rng(0)

    def choice(count: int) -> np.ndarray:
        weights = np.exp(logs - logs.max())
        drawn: np.ndarray = source.choice(ROWS, size=count, p=weights / weights.sum())
        return drawn

    cases: list[Case] = []
    for count in COUNTS:
        taken = seconds(
            {
                "ours": lambda count=count: with_replacement(logs, 3, 0, count),  # type: ignore[misc]  # binds count now
                "page": lambda count=count: invert(cumulated, 3, 0, count),  # type: ignore[misc]  # as above
                "numpy": lambda count=count: choice(count),  # type: ignore[misc]  # as above
            },
            options.rounds,
        )
        cases.append(
            {
                "name": f"resample_{count}",
                "rows": ROWS,
                "count": count,
                "ours_ms": 1e3 * taken["ours"],
                "later_page_ms": 1e3 * taken["page"],
                "numpy_choice_ms": 1e3 * taken["numpy"],
                "over_numpy": taken["numpy"] / taken["ours"],
                "largest_deviation_sd": deviation,
            }
        )
    taken = seconds({"diagnose": lambda: diagnose(logs), "choice": lambda: choice(COUNTS[1])}, options.rounds)
    cases.append(
        {
            "name": "diagnose",
            "rows": ROWS,
            "ours_ms": 1e3 * taken["diagnose"],
            "numpy_choice_ms": 1e3 * taken["choice"],
            "over_numpy": taken["choice"] / taken["diagnose"],
        }
    )
    report(options.json, cases)


if __name__ == "__main__":
    main()
