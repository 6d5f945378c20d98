from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from magnet_service.errors import InvalidInput
from magnet_service.sampling import (
    Ball,
    Box,
    Law,
    Normal,
    NormBoundedNormal,
    Sphere,
    TruncatedNormal,
    from_text,
    parse_law,
)

LAWS: tuple[Law, ...] = (
    Normal(5),
    Normal(3, scale=0.7),
    TruncatedNormal(4, bound=2.0),
    TruncatedNormal(2, bound=0.3, scale=0.5),
    NormBoundedNormal(20, bound=3.0),
    NormBoundedNormal(2, bound=4.0, scale=2.0),
    Box(3, low=-1.0, high=2.0),
    Box(1, low=0.1, high=0.2),
    Ball(20, radius=math.sqrt(22.0)),
    Ball(1, radius=0.3),
    Ball(2, radius=1.0),
    Sphere(8, radius=1.0),
    Sphere(2, radius=3.0),
)
ALPHA = 0.001 / len(LAWS)

each_law = pytest.mark.parametrize("law", LAWS, ids=Law.to_text)


@each_law
def test_rows_depend_on_seed_and_index_alone(law: Law) -> None:
    page = law.rows(11, 0, 64)
    assert page.dtype == np.float32
    assert page.shape == (64, law.dim)
    for start, count in ((5, 3), (0, 1), (63, 1), (17, 30)):
        assert law.rows(11, start, count).tobytes() == page[start : start + count].tobytes()
    assert (law.rows(12, 0, 64) != page).any()
    assert law.rows(11, 5, 0).shape == (0, law.dim)


@each_law
def test_no_row_falls_outside_the_support(law: Law) -> None:
    assert np.isfinite(law.log_density(law.rows(1, 0, 20_000))).all()


@each_law
def test_the_text_reads_back(law: Law) -> None:
    assert from_text(law.to_text()) == law
    assert from_text(law.to_text()).rows(3, 7, 2).tobytes() == law.rows(3, 7, 2).tobytes()


def marginal(law: Law) -> tuple[np.ndarray, object]:
    """One statistic of 20,000 draws and its exact distribution function, from scipy's own laws."""
    rows = law.rows(21, 0, 20_000).astype(np.float64)
    norm = np.linalg.norm(rows, axis=1)
    match law:
        case Normal(scale=scale):
            return rows[:, -1] / scale, stats.norm.cdf
        case TruncatedNormal(bound=bound, scale=scale):
            return rows[:, 0], stats.truncnorm(-bound / scale, bound / scale, scale=scale).cdf
        case NormBoundedNormal(dim=dim, bound=bound, scale=scale):
            chi = stats.chi(dim, scale=scale)
            return norm, lambda r: chi.cdf(r) / chi.cdf(bound)
        case Box(low=low, high=high):
            return rows[:, -1], stats.uniform(low, high - low).cdf
        case Ball(dim=dim, radius=radius):
            return norm, lambda r: (r / radius) ** dim
        case Sphere(dim=dim, radius=radius):
            # A coordinate of a uniform direction: (1 + x) / 2 is Beta((d - 1) / 2, (d - 1) / 2).
            half = (dim - 1) / 2
            return rows[:, 0] / radius, lambda x: special.betainc(half, half, np.clip((1 + x) / 2, 0, 1))
    raise AssertionError(law)


@each_law
def test_draws_follow_the_law(law: Law) -> None:
    values, cdf = marginal(law)
    assert stats.kstest(values, cdf).pvalue > ALPHA


@each_law
def test_coordinates_are_alike_and_uncorrelated(law: Law) -> None:
    rows = law.rows(5, 0, 20_000).astype(np.float64)
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    variance = covariance.diagonal().mean()
    assert np.abs(covariance - variance * np.eye(law.dim)).max() < 6 * variance * math.sqrt(2 / 20_000)


@pytest.mark.parametrize("law", [law for law in LAWS if law.dim <= 2 and not law.tangent_space], ids=Law.to_text)
def test_densities_integrate_to_one(law: Law) -> None:
    def density(*z: float) -> float:
        return math.exp(law.log_density(np.array([z]))[0])

    edge = 12.0 if isinstance(law, Normal) else float(np.abs(law.rows(0, 0, 5000)).max()) * 1.001
    match law:
        case Ball(radius=radius) | NormBoundedNormal(bound=radius) if law.dim == 2:
            total, _ = integrate.quad(lambda r: 2 * math.pi * r * density(r, 0.0), 0, radius)
        case Box(low=low, high=high) if law.dim == 1:
            total, _ = integrate.quad(density, low, high)
        case TruncatedNormal(bound=bound):
            total, _ = integrate.dblquad(density, -bound, bound, -bound, bound)
        case _:
            total, _ = integrate.quad(density, -edge, edge, points=[-0.3, 0.3])
    assert total == pytest.approx(1.0, abs=1e-3 if law.dim == 1 and isinstance(law, Ball) else 1e-8)


def test_densities_of_wide_laws_agree_with_closed_forms() -> None:
    z = Normal(20).rows(1, 0, 10).astype(np.float64)
    assert Normal(20).log_density(z) == pytest.approx(stats.norm.logpdf(z).sum(axis=1), abs=1e-12)
    bounded = NormBoundedNormal(20, bound=4.4)
    inside = np.linalg.norm(z, axis=1) <= 4.4
    assert (np.isfinite(bounded.log_density(z)) == inside).all()
    mass = stats.chi(20).cdf(4.4)
    assert bounded.log_density(z)[inside] == pytest.approx(stats.norm.logpdf(z).sum(axis=1)[inside] - math.log(mass))
    assert Ball(3, radius=2.0).log_density(np.zeros((1, 3)))[0] == pytest.approx(-math.log(4 / 3 * math.pi * 8))
    assert Sphere(3, radius=2.0).log_density(np.array([[0.0, 0.0, 2.0]]))[0] == pytest.approx(-math.log(16 * math.pi))


def test_outside_is_minus_infinity() -> None:
    far = np.full((1, 3), 5.0)
    for law in (TruncatedNormal(3, bound=2.0), NormBoundedNormal(3, bound=2.0), Box(3, low=-1.0, high=1.0)):
        assert law.log_density(far)[0] == -np.inf
    for law in (Ball(3, radius=1.0), Sphere(3, radius=1.0)):
        assert law.log_density(far)[0] == -np.inf


def test_a_sphere_has_one_column_less() -> None:
    assert (Sphere(8, radius=1.0).columns, Ball(8, radius=1.0).columns) == (7, 8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normal(0),
        lambda: Normal(2, scale=0.0),
        lambda: Normal(2, scale=math.nan),
        lambda: TruncatedNormal(2, bound=-1.0),
        lambda: Box(2, low=1.0, high=1.0),
        lambda: Box(2, low=0.0, high=math.inf),
        lambda: Ball(2, radius=0.0),
        lambda: Sphere(1, radius=1.0),
        lambda: NormBoundedNormal(500, bound=1e-3),
    ],
)
def test_laws_that_cannot_be_are_refused(make: object) -> None:
    with pytest.raises(InvalidInput):
        make()  # type: ignore[operator]  # a zero-argument lambda


def test_latents_of_another_width_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\[rows, 3\]") as caught:
        Normal(3).log_density(np.zeros((2, 4)))
    assert caught.value.field == "latents"


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("normal", Normal(4)),
        (" normal ( scale = 2 ) ", Normal(4, scale=2.0)),
        ("truncated_normal(bound=2)", TruncatedNormal(4, bound=2.0)),
        ("uniform(low=-1, high=1)", Box(4, low=-1.0, high=1.0)),
        ("ball(radius=2.5)", Ball(4, radius=2.5)),
        ("sphere(radius=1)", Sphere(4, radius=1.0)),
        ("ball(dim=4,radius=1)", Ball(4, radius=1.0)),
    ],
)
def test_short_texts(text: str, law: Law) -> None:
    assert parse_law(text, 4) == law


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gauss",
        "normal(",
        "ball",
        "ball(radius=x)",
        "ball(size=1)",
        "uniform(low=0)",
        "ball(radius=1,radius=2)",
        "ball(dim=5,radius=1)",
        "ball(radius=-1)",
        "__import__('os')",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_law(text, 4)


def test_a_canonical_text_names_its_dimension() -> None:
    with pytest.raises(InvalidInput):
        from_text("normal")
