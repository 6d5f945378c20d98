"""Shares, Frechet distance, and precision, recall, density and coverage against slow oracles."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy import linalg

from magnet_service.errors import InvalidInput, Refused
from magnet_service.evaluation import class_shares, compare, frechet_distance, kl_to_uniform, moments, total_variation
from magnet_service.evaluation.neighbours import check_rows


@pytest.mark.parametrize(("rows", "width"), [(200, 5), (8, 20)])
def test_the_frechet_distance_is_that_of_the_matrix_square_root(rows: int, width: int) -> None:
    rng = np.random.default_rng(0)
    left = rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) + 0.3
    right = rng.normal(size=(rows + 7, width)) @ rng.normal(size=(width, width))
    # A little of the identity, so that the oracle's square root of a singular product exists.
    slight = 1e-9 * np.eye(width)
    first, second = np.cov(left.T) + slight, np.cov(right.T) + slight
    root = linalg.sqrtm(first @ second)
    expected = np.square(left.mean(0) - right.mean(0)).sum() + np.trace(first + second - 2.0 * root.real)
    found = frechet_distance(moments(left), moments(right))
    assert found == pytest.approx(expected, rel=1e-3 if rows < width else 1e-7)


def test_the_frechet_distance_of_a_set_to_itself_is_zero_and_of_a_shifted_one_the_shift() -> None:
    some = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    assert frechet_distance(moments(some), moments(some)) < 1e-12
    assert frechet_distance(moments(some), moments(some.astype(np.float64) + 2.0)) == pytest.approx(24.0, rel=1e-6)


def test_the_frechet_distance_keeps_directions_that_a_covariance_would_lose() -> None:
    """Standard deviations 1 and 1e-9: squared, the second is below eps of the first."""
    rng = np.random.default_rng(2)
    some = rng.normal(size=(100, 2))
    small = some * np.array([1.0, 1e-9])
    assert frechet_distance(moments(small), moments(small[:, ::-1].copy())) == pytest.approx(
        float(np.square(some[:, 0].mean()) * 2 + 2 * some[:, 0].var(ddof=1)), rel=1e-6
    )


def test_shares_and_their_distances_to_equal_ones() -> None:
    classes = np.array([0, 0, 2, 2, 2, 3])
    shares = class_shares(classes, 5)
    assert shares.tolist() == [2 / 6, 0, 3 / 6, 1 / 6, 0]
    assert class_shares(classes, 5, np.array([1, 1, 0, 0, 0, 2])).tolist() == [0.5, 0, 0, 0.5, 0]
    assert total_variation(shares) == pytest.approx(sum(abs(p - 0.2) for p in shares) / 2)
    assert kl_to_uniform(shares) == pytest.approx(sum(p * math.log(5 * p) for p in shares if p))
    single = np.eye(4)
    assert total_variation(single).tolist() == [0.75] * 4
    assert kl_to_uniform(single) == pytest.approx([math.log(4)] * 4)
    assert float(kl_to_uniform(np.full(7, 1 / 7))) == pytest.approx(0.0, abs=1e-15)


def oracle(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """The four figures by loops over rows."""

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(one.tolist(), other.tolist(), strict=True)))

    def radii(points: np.ndarray) -> list[float]:
        return [sorted(distance(p, q) for j, q in enumerate(points) if j != i)[k - 1] for i, p in enumerate(points)]

    of_real, of_fake = radii(real), radii(fake)
    inside = [[distance(r, f) < radius for r, radius in zip(real, of_real, strict=True)] for f in fake]
    reached = [[distance(r, f) < radius for f, radius in zip(fake, of_fake, strict=True)] for r in real]
    return {
        "precision": sum(any(row) for row in inside) / len(fake),
        "recall": sum(any(row) for row in reached) / len(real),
        "density": sum(sum(row) for row in inside) / k / len(fake),
        "coverage": sum(any(row[i] for row in inside) for i in range(len(real))) / len(real),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("copies", [1, 4])
def test_neighbourhoods_are_those_of_loops(k: int, copies: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(k)
    real = rng.normal(size=(40, 3))
    fake = np.repeat(rng.normal(size=(32 // copies, 3)) * 0.7 + 1.0, copies, axis=0)
    expected = oracle(real, fake, k)
    assert vars(compare(real, fake, k)) == pytest.approx(expected)
    assert 0 < expected["precision"] < 1
    assert expected["recall"] < 1
    # Copies of a row are its nearest neighbours: balls of radius 0 hold nothing.
    assert (expected["recall"] == 0) == (copies > k)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("rows", "neighbours", "field"), [(6, 5, "real"), (1, 1, "real"), (100, 0, "neighbours")])
def test_too_few_rows_for_the_neighbours(rows: int, neighbours: int, field: str) -> None:
    with pytest.raises(InvalidInput, match=r"write") as caught:
        check_rows(rows, neighbours, "real images", "real")
    assert caught.value.field == field
    check_rows(7, 5, "real images", "real")
    with pytest.raises(InvalidInput, match="draws are 6"):
        compare(np.zeros((7, 2)), np.zeros((6, 2)), 5)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prdc", None)
    with pytest.raises(Refused, match=r"needs prdc: pip install 'magnet-service\[evaluate\]'") as caught:
        compare(np.zeros((9, 2)), np.zeros((9, 2)), 5)
    assert caught.value.reason == "EVALUATE_PARTS_MISSING"
