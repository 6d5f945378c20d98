"""The demo's arithmetic on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from examples.demo.balance import choose
from examples.demo.classifier import Labels
from examples.demo.shares import Evidence, effective_sample_size, figures


def evidence(classes: np.ndarray, log_volume: np.ndarray, top: float = 0.9) -> Evidence:
    return Evidence(log_volume[:, None], Labels(classes, np.full(len(classes), top)))


def test_unweighted_figures_are_plain_shares() -> None:
    classes = np.repeat([0, 1, 2, 3], [400, 300, 200, 100])
    rows = evidence(classes, np.zeros(1000))
    result = figures(rows, rows.log_weights(0.0, 0), rare=(3,), classes=4)
    assert result.class_shares == pytest.approx((0.4, 0.3, 0.2, 0.1))
    assert result.tv.value == pytest.approx(0.2)
    assert result.tv.low < 0.2 < result.tv.high
    assert result.rare_share.value == pytest.approx(0.1)
    # Binomial standard error sqrt(.1 * .9 / 1000) = 0.0095: the interval is near +-1.96 of it.
    assert result.rare_share.high - result.rare_share.low == pytest.approx(0.0372, rel=0.15)
    assert result.top_probability.value == pytest.approx(0.9)


def test_weights_by_the_inverse_share_balance_exactly() -> None:
    classes = np.repeat([0, 1], [900, 100])
    rows = evidence(classes, np.where(classes == 0, 0.0, np.log(9.0)))
    result = figures(rows, rows.log_weights(1.0, 1), rare=(1,), classes=2)
    assert result.class_shares == pytest.approx((0.5, 0.5))
    assert result.tv.value == pytest.approx(0.0, abs=1e-12)
    assert effective_sample_size(rows.log_weights(1.0, 1)) == pytest.approx(1800**2 / (900 + 100 * 81))


def test_rows_below_the_rank_carry_no_weight() -> None:
    rows = evidence(np.tile([0, 1, 1], 20), np.tile([0.0, -np.inf, 0.0], 20))
    for rho in (-1.0, 1.0):
        assert figures(rows, rows.log_weights(rho, 1), rare=(1,), classes=2).class_shares == pytest.approx((0.5, 0.5))


def test_the_choice_finds_the_balancing_rho_and_refuses_junk() -> None:
    classes = np.repeat([0, 1], [900, 100])
    log_volume = np.where(classes == 0, 0.0, np.log(9.0))
    assert choose(evidence(classes, log_volume), classes=2).rho == 1.0
    unsure = Evidence(log_volume[:, None], Labels(classes, np.where(classes == 0, 1.0, 0.1)))
    assert choose(unsure, classes=2).rho < 0.5
