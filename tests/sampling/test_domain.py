from __future__ import annotations

import math

import numpy as np
import pytest

from magnet_service.errors import InvalidInput
from magnet_service.sampling import (
    Ball,
    Box,
    Law,
    Normal,
    NormBoundedNormal,
    Sphere,
    TruncatedNormal,
    covers,
    truncated,
    uniform_domain,
)


def test_the_default_domain_of_a_normal_prior_has_its_second_moment() -> None:
    domain = uniform_domain(Normal(20))
    assert domain == Ball(20, radius=math.sqrt(22.0))
    rows = domain.rows(0, 0, 20_000).astype(np.float64)
    assert np.square(rows).sum(axis=1).mean() == pytest.approx(20.0, rel=0.01)
    assert uniform_domain(Normal(7, scale=0.5)) == Ball(7, radius=1.5)


@pytest.mark.parametrize(
    ("prior", "domain"),
    [
        (Box(2, low=-1.0, high=1.0), Box(2, low=-1.0, high=1.0)),
        (Ball(3, radius=2.0), Ball(3, radius=2.0)),
        (Sphere(3, radius=2.0), Sphere(3, radius=2.0)),
        (TruncatedNormal(3, bound=2.0), Box(3, low=-2.0, high=2.0)),
        (NormBoundedNormal(2, bound=1.0), Ball(2, radius=1.0)),
        (NormBoundedNormal(2, bound=9.0), Ball(2, radius=2.0)),
    ],
)
def test_default_domains_of_other_priors(prior: Law, domain: Law) -> None:
    assert uniform_domain(prior) == domain


def test_a_stated_domain_is_taken() -> None:
    assert uniform_domain(Normal(3), ball_radius=1.5) == Ball(3, radius=1.5)
    assert uniform_domain(Normal(3), box=(-1.0, 2.0)) == Box(3, low=-1.0, high=2.0)


@pytest.mark.parametrize("psi", [0.5, 0.999])
def test_psi_shrinks_every_prior(psi: float) -> None:
    for prior in (Normal(3), TruncatedNormal(3, bound=2.0), Box(3, low=-1.0, high=1.0), Ball(3, radius=2.0)):
        plain, shrunk = prior.rows(1, 0, 50), truncated(prior, psi=psi).rows(1, 0, 50)
        assert shrunk == pytest.approx(psi * plain, rel=1e-6, abs=1e-7)
    assert truncated(Sphere(3, radius=2.0), psi=psi) == Sphere(3, radius=2.0 * psi)


def test_no_truncation_is_the_prior_itself() -> None:
    assert truncated(Normal(3)) == Normal(3)
    assert truncated(Normal(3), psi=1.0) == Normal(3)


def test_a_norm_bound_conditions_a_normal_prior() -> None:
    assert truncated(Normal(3, scale=2.0), norm_bound=2.5) == NormBoundedNormal(3, bound=2.5, scale=2.0)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"psi": 0.0}, "truncation_psi"),
        ({"psi": 1.5}, "truncation_psi"),
        ({"psi": math.nan}, "truncation_psi"),
        ({"norm_bound": -1.0}, "truncation_norm"),
        ({"norm_bound": math.inf}, "truncation_norm"),
        ({"psi": 0.5, "norm_bound": 1.0}, "truncation_norm"),
    ],
)
def test_truncations_that_cannot_be_are_refused(given: dict[str, float], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        truncated(Normal(3), **given)
    assert caught.value.field == field


def test_a_norm_bound_on_another_prior_is_refused() -> None:
    with pytest.raises(InvalidInput, match="use psi"):
        truncated(Box(3, low=-1.0, high=1.0), norm_bound=1.0)


@pytest.mark.parametrize(
    ("prior", "given", "field"),
    [
        (Normal(3), {"ball_radius": -1.0}, "ball_radius"),
        (Box(3, low=-1.0, high=1.0), {"ball_radius": 0.0}, "ball_radius"),
        (Ball(3, radius=2.0), {"ball_radius": 0.0}, "ball_radius"),
        (Normal(3), {"ball_radius": math.nan}, "ball_radius"),
        (Normal(3), {"box": (1.0, 1.0)}, "box"),
        (Normal(3), {"box": (0.0, math.inf)}, "box"),
        (Normal(3), {"box": (0.0, 1.0), "ball_radius": 1.0}, "box"),
        (Sphere(3, radius=1.0), {"ball_radius": 1.0}, "ball_radius"),
        (Sphere(3, radius=1.0), {"box": (0.0, 1.0)}, "box"),
    ],
)
def test_domains_that_cannot_be_are_refused(prior: Law, given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        uniform_domain(prior, **given)  # type: ignore[arg-type]  # a table of keyword arguments
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("outer", "inner", "yes"),
    [
        (Normal(2), Ball(2, radius=9.0), True),
        (Normal(2), Box(2, low=-3.0, high=9.0), True),
        (Normal(2), Sphere(2, radius=1.0), False),
        (Sphere(2, radius=1.0), Sphere(2, radius=1.0), True),
        (Sphere(2, radius=1.0), Sphere(2, radius=0.5), False),
        (Ball(2, radius=1.0), Normal(2), False),
        (Ball(2, radius=1.0), Ball(2, radius=0.5), True),
        (Ball(2, radius=1.0), Ball(2, radius=1.5), False),
        (Ball(2, radius=math.sqrt(2.0)), Box(2, low=-1.0, high=1.0), True),
        (Ball(2, radius=1.4), Box(2, low=-1.0, high=1.0), False),
        (Box(2, low=-1.0, high=1.0), Ball(2, radius=1.0), True),
        (Box(2, low=-1.0, high=1.0), Ball(2, radius=1.1), False),
        (TruncatedNormal(2, bound=2.0), Box(2, low=-2.0, high=2.0), True),
        (NormBoundedNormal(2, bound=2.0), Ball(2, radius=2.0), True),
        (Normal(2), Normal(3), False),
    ],
)
def test_which_law_covers_which(outer: Law, inner: Law, yes: bool) -> None:
    assert covers(outer, inner) is yes


def test_a_ball_of_radius_zero_is_the_default_one_of_a_normal_prior() -> None:
    assert uniform_domain(Normal(7), ball_radius=0.0) == Ball(7, radius=3.0)
    assert uniform_domain(NormBoundedNormal(2, bound=1.0), ball_radius=0.0) == Ball(2, radius=1.0)
