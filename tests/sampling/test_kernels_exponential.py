from __future__ import annotations

import numpy as np

from magnet_service.sampling.kernels.exponential import exponentials


def made(logs: np.ndarray, top: float = 0.0) -> np.ndarray:
    out = np.full(logs.size, np.nan)
    exponentials(logs, top, out)
    return out


def test_within_one_unit_in_the_last_place() -> None:
    source = np.random.default_rng(0)
    logs = np.concatenate(
        [source.uniform(-708.0, 0.0, 200_000), source.uniform(-1.0, 0.0, 100_000), -(2.0 ** -np.arange(60.0))]
    )
    exact = np.exp(logs.astype(np.longdouble))
    units = np.abs(made(logs) - exact) / np.spacing(exact.astype(np.float64))
    assert units.max() < 1.0


def test_edges() -> None:
    assert made(np.array([0.0, -0.0, -np.inf, -708.1, -1e300])).tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert made(np.array([-708.0]))[0] > 0.0
    assert made(np.array([1e5, 1e5 - 1.0, -1e5]), 1e5)[[0, 2]].tolist() == [1.0, 0.0]


def test_larger_logs_never_give_less() -> None:
    logs = np.sort(np.concatenate([np.linspace(-709.0, 0.0, 100_001), -np.log(2.0) * (np.arange(2000) + 0.5) / 2]))
    near = np.concatenate([logs, np.nextafter(logs, 0.0), np.nextafter(logs, -np.inf)])
    near.sort()
    assert (np.diff(made(near)) >= 0.0).all()


def test_bits_do_not_depend_on_the_place() -> None:
    logs = np.random.default_rng(1).uniform(-50.0, 0.0, 67)
    whole = made(logs)
    for start in range(0, 67, 5):
        for stop in range(start, 68, 7):
            assert made(logs[start:stop].copy()).tobytes() == whole[start:stop].tobytes()
