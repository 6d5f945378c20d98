"""Spectrum, ranks and spread of a bank against plain loops over its rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from magnet_service.sampling import Ball, EffectiveRank, Law, Normal, Rows, Weights, spectrum_of
from magnet_service.sampling.spectrum import LEVELS, effective_ranks
from tests.sampling.synthetic import rows_of

PRIOR, BALL = Normal(4), Ball(4, radius=2.2)
SPREADS = [0.8, 0.6, 1.1, 0.5]


def ragged(count: int = 400) -> Rows:
    """Rows of every rank, singular values in descending order, two rows that are not finite."""
    rank = np.array([4, 4, 4, 3, 4, 2, 4, 4, 1, 0] * (count // 10))
    rows = rows_of(PRIOR, count, SPREADS, rank=rank)
    sigmas = np.diff(np.where(np.isfinite(rows.log_volumes), rows.log_volumes, np.nan), axis=1, prepend=0.0)
    ordered = -np.sort(-sigmas, axis=1)  # NaN last
    volumes = np.cumsum(np.where(np.isnan(ordered), -np.inf, ordered), axis=1).astype(np.float32)
    status = np.zeros(count, np.int8)
    status[[7, 40]] = 1
    volumes[7] = np.nan
    return replace(rows, log_volumes=volumes, status=status)


def slow_quantile(values: list[float], masses: list[float], level: float) -> float:
    """The smallest value with at least the level's mass at or below it."""
    for value in sorted(values):
        below = math.fsum(mass for other, mass in zip(values, masses, strict=True) if other <= value)
        if below >= level * math.fsum(masses) * (1.0 - 1e-9):
            return value
    raise AssertionError


def slow_effective_rank(logs: list[float], power: float) -> float:
    if not logs:
        return 0.0
    sigmas = [math.exp(log) ** power for log in logs]
    shares = [sigma / math.fsum(sigmas) for sigma in sigmas]
    return math.exp(-math.fsum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("base", [PRIOR, BALL], ids=["base is the bank's", "corrected"])
@pytest.mark.parametrize("definition", list(EffectiveRank))
def test_against_plain_loops(base: Law, definition: EffectiveRank) -> None:
    rows = ragged()
    found = spectrum_of(Weights(rows, base, PRIOR), definition)
    radius = np.linalg.norm(rows.latents.astype(np.float64), axis=1)
    masses, spectra, volumes = [], [], []
    for row in range(len(rows)):
        if rows.status[row]:
            continue
        # Uniform on the ball over normal: 1 / density inside, up to a constant that no figure sees.
        mass = 1.0 if base is PRIOR else math.exp(radius[row] ** 2 / 2) if radius[row] <= 2.2 else 0.0
        if mass == 0.0:
            continue
        prefix = [float(value) for value in rows.log_volumes[row, : rows.rank[row]]]
        masses.append(mass)
        volumes.append(prefix)
        spectra.append([here - before for here, before in zip(prefix, [0.0, *prefix], strict=False)])
    assert found.rows == 400
    total = math.fsum(masses)
    for k in range(1, 5):
        some = [(mass, logs, sums) for mass, logs, sums in zip(masses, spectra, volumes, strict=True) if len(logs) >= k]
        weight = math.fsum(mass for mass, _, _ in some)
        assert found.rank_share[k - 1] == pytest.approx(weight / total, rel=1e-9)
        mean = math.fsum(mass * logs[k - 1] for mass, logs, _ in some) / weight
        assert found.log_sigma_mean[k - 1] == pytest.approx(mean, rel=1e-9)
        centre = math.fsum(mass * sums[k - 1] for mass, _, sums in some) / weight
        square = math.fsum(mass * (sums[k - 1] - centre) ** 2 for mass, _, sums in some) / weight
        assert found.log_volume_sd[k - 1] == pytest.approx(math.sqrt(square), rel=1e-9)
        values = [logs[k - 1] if len(logs) >= k else -math.inf for logs in spectra]
        for place, level in enumerate(LEVELS):
            assert found.log_sigma[place][k - 1] == pytest.approx(slow_quantile(values, masses, level), rel=1e-9)
    ranks = [slow_effective_rank(logs, 2.0 if definition is EffectiveRank.SQUARES else 1.0) for logs in spectra]
    assert found.effective_rank_mean == pytest.approx(np.average(ranks, weights=masses), rel=1e-9)
    for place, level in enumerate(LEVELS):
        assert found.effective_rank[place] == pytest.approx(slow_quantile(ranks, masses, level), rel=1e-9)
    assert found.log_sigma[0][3] == -math.inf


def test_effective_rank_lies_between_one_and_the_rank() -> None:
    logs = np.array([[0.0, -1.0, -900.0], [3.0, 3.0, 3.0], [1.0, -np.inf, -np.inf], [-np.inf] * 3])
    rank = np.array([3, 3, 1, 0])
    plain = effective_ranks(logs, rank, EffectiveRank.SINGULAR_VALUES)
    squares = effective_ranks(logs, rank, EffectiveRank.SQUARES)
    assert plain[1:].tolist() == pytest.approx([3.0, 1.0, 0.0])
    assert squares[1:].tolist() == pytest.approx([3.0, 1.0, 0.0])
    assert 1.0 < squares[0] < plain[0] < 2.0


def test_a_base_that_no_row_lies_in_has_no_figures() -> None:
    rows = rows_of(PRIOR, 20, SPREADS)
    found = spectrum_of(Weights(rows, Ball(4, radius=1e-3), PRIOR))
    assert found.rank_share == (0.0,) * 4
    assert all(math.isnan(value) for value in (*found.log_sigma_mean, *found.log_volume_sd, *found.effective_rank))


def test_one_row_has_no_spread() -> None:
    found = spectrum_of(Weights(rows_of(PRIOR, 1, SPREADS), PRIOR, PRIOR))
    assert math.isnan(found.log_volume_sd[0])
    assert found.rank_share == (1.0,) * 4


def test_no_more_rows_are_read_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ragged()
    monkeypatch.setattr("magnet_service.sampling.spectrum._MOST_ROWS", 150)
    found = spectrum_of(Weights(rows, PRIOR, PRIOR))
    assert found.rows == 150
    assert found == spectrum_of(Weights(rows.first(150), PRIOR, PRIOR))
