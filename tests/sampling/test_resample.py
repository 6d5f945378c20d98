from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from magnet_service.errors import InvalidInput, Refused
from magnet_service.sampling import with_replacement, without_replacement

WEIGHTS = np.array([0.0, 1.0, 0.0, 0.0, 4.0, 2.0, 0.0, 3.0, 0.0])
with np.errstate(divide="ignore"):
    LOGS = np.log(WEIGHTS)


@pytest.mark.parametrize("draw", [with_replacement, without_replacement])
def test_pages_are_parts_of_one_draw(draw: object) -> None:
    logs = np.linspace(-3.0, 3.0, 500)
    whole = draw(logs, 9, 0, 200)  # type: ignore[operator]  # one of two functions of one signature
    for start, count in ((0, 0), (0, 1), (199, 1), (50, 100)):
        assert (draw(logs, 9, start, count) == whole[start : start + count]).all()  # type: ignore[operator]  # as above
    assert (draw(logs, 10, 0, 200) != whole).any()  # type: ignore[operator]  # as above


def test_frequencies_are_the_weights() -> None:
    drawn = np.bincount(with_replacement(LOGS, 1, 0, 50_000), minlength=9)
    assert (drawn[WEIGHTS == 0.0] == 0).all()
    assert stats.chisquare(drawn[WEIGHTS > 0.0], 5000.0 * WEIGHTS[WEIGHTS > 0.0]).pvalue > 0.001


def test_rows_of_weight_zero_never_occur() -> None:
    logs = np.full(1001, -np.inf)
    logs[[0, 500, 1000]] = [-700.0, 0.0, -700.0]
    assert set(with_replacement(logs, 3, 0, 20_000)) <= {0, 500, 1000}
    logs[0] = -np.inf
    assert 0 not in with_replacement(logs, 3, 0, 20_000)


def test_a_common_factor_changes_nothing() -> None:
    assert (with_replacement(LOGS + 4096.0, 5, 0, 1000) == with_replacement(LOGS, 5, 0, 1000)).all()


def test_without_replacement_draws_each_row_once_and_only_those_with_weight() -> None:
    order = without_replacement(LOGS, 2, 0, 4)
    assert sorted(order) == [1, 4, 5, 7]
    with pytest.raises(InvalidInput) as caught:
        without_replacement(LOGS, 2, 0, 5)
    assert caught.value.field == "count"


def test_without_replacement_is_successive_sampling() -> None:
    positive = [1, 4, 5, 7]
    runs = 20_000
    seen = dict.fromkeys(itertools.permutations(positive, 2), 0)
    for seed in range(runs):
        seen[tuple(int(i) for i in without_replacement(LOGS, seed, 0, 2))] += 1
    total = WEIGHTS.sum()
    expected = [runs * WEIGHTS[a] / total * WEIGHTS[b] / (total - WEIGHTS[a]) for a, b in seen]
    assert stats.chisquare(list(seen.values()), expected).pvalue > 0.001


@pytest.mark.parametrize("draw", [with_replacement, without_replacement])
def test_no_weight_is_refused(draw: object) -> None:
    with pytest.raises(Refused) as caught:
        draw(np.full(4, -np.inf), 0, 0, 1)  # type: ignore[operator]  # one of two functions of one signature
    assert caught.value.reason == "NO_WEIGHT"
