"""Steps of the walk: each leaves its law alone, and none leaves its support."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from magnet_service.errors import Refused
from magnet_service.sampling import Ball, Box, Law, Normal, NormBoundedNormal, Sphere, TruncatedNormal
from magnet_service.sampling.pushforward import Pushforward
from magnet_service.sampling.screening.moves import normals, proposed, walkable

LAWS: tuple[Law, ...] = (
    Normal(3, scale=2.0),
    TruncatedNormal(3, bound=1.5, scale=2.0),
    NormBoundedNormal(3, bound=2.5, scale=2.0),
    Box(3, low=-0.5, high=2.0),
    Ball(3, radius=1.7),
    Sphere(3, radius=1.7),
)
STEPS = (0.3, 1.0)
CHAINS = 40_000
# One alpha: four tests of each law and step.
EACH = 0.001 / (4 * len(LAWS) * len(STEPS))

each_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
each_step = pytest.mark.parametrize("step", STEPS)


def moved(law: Law, step: float) -> tuple[np.ndarray, np.ndarray]:
    """States of the law, and where one step brings them; who is refused stays."""
    states = law.rows(5, 0, CHAINS).astype(np.float64)
    normal = np.random.default_rng(6).normal(size=states.shape)
    there, inside = proposed(law, states, normal, step)
    return states, np.where(inside[:, None], there, states)


@each_step
@each_law
def test_a_step_leaves_the_law_alone(law: Law, step: float) -> None:
    fresh = law.rows(7, 0, CHAINS).astype(np.float64)
    _, there = moved(law, step)
    numbers = [lambda z: z[:, 0], lambda z: z.max(1), lambda z: np.abs(z).sum(1)]
    assert all(stats.ks_2samp(number(there), number(fresh)).pvalue > EACH for number in numbers)


@each_step
@each_law
def test_a_step_is_as_likely_one_way_as_back(law: Law, step: float) -> None:
    here, there = moved(law, step)

    def low(z: np.ndarray) -> np.ndarray:
        return z[:, 0]

    def high(z: np.ndarray) -> np.ndarray:
        return z[:, 0] ** 3 + np.abs(z).max(1)

    flow = low(here) * high(there) - high(here) * low(there)
    assert stats.ttest_1samp(flow, 0.0).pvalue > EACH
    assert (there != here).any(axis=1).mean() > 0.1


def test_a_plain_random_walk_over_a_normal_law_is_told() -> None:
    states = LAWS[0].rows(5, 0, CHAINS).astype(np.float64)
    there = states + 0.3 * 2.0 * np.random.default_rng(6).normal(size=states.shape)
    assert stats.ks_2samp(there[:, 0], LAWS[0].rows(7, 0, CHAINS)[:, 0]).pvalue < EACH


@each_law
def test_no_step_leaves_the_support(law: Law) -> None:
    states = law.rows(1, 0, 2000).astype(np.float64)
    for seed in range(10):
        there, inside = proposed(law, states, np.random.default_rng(seed).normal(size=states.shape), 1.0)
        states = np.where(inside[:, None], there, states)
    assert np.isfinite(law.log_density(states)).mean() > 0.999  # a rounding off the wall is the walk's to refuse


def flown(place: np.ndarray, move: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, int]:
    """One flight in a ball, chord by chord: the end, the direction there and the bounces."""
    left, direction, bounces = float(np.linalg.norm(move)), move / np.linalg.norm(move), 0
    while True:
        along = float(place @ direction)
        wall = -along + math.sqrt(along**2 + radius**2 - float(place @ place))
        if wall >= left:
            return place + left * direction, direction, bounces
        place, left, bounces = place + wall * direction, left - wall, bounces + 1
        normal = place / np.linalg.norm(place)
        direction = direction - 2.0 * float(direction @ normal) * normal


def test_a_flight_bounces_as_chord_by_chord_and_flies_back_to_its_start() -> None:
    law, step = Ball(3, radius=1.7), 1.0
    scale = step * law.radius / math.sqrt(law.dim)
    states = law.rows(5, 0, 300).astype(np.float64)
    moves = 3.0 * scale * np.random.default_rng(6).normal(size=states.shape)
    there, inside = proposed(law, states, moves / scale, step)
    flights = [flown(state, move, law.radius) for state, move in zip(states, moves, strict=True)]
    assert max(bounces for _, _, bounces in flights) >= 4
    assert inside.all()
    assert np.abs(there - np.array([end for end, _, _ in flights])).max() < 1e-9
    lengths = np.linalg.norm(moves, axis=1, keepdims=True)
    back = -lengths * np.array([direction for _, direction, _ in flights])
    home, inside = proposed(law, there, back / scale, step)
    assert inside.all()
    assert np.abs(home - states).max() < 1e-8


def test_a_flight_along_the_wall_is_given_up_and_disturbs_no_other() -> None:
    law = Ball(2, radius=1.0)
    states = law.rows(3, 0, 50).astype(np.float64)
    moves = np.random.default_rng(4).normal(size=states.shape)
    alone, _ = proposed(law, states, moves, 1.0)
    states = np.concatenate([states, [[1.0 - 1e-9, 0.0]]])
    there, inside = proposed(law, states, np.concatenate([moves, [[0.0, math.sqrt(2.0)]]]), 1.0)
    assert inside.tolist() == [True] * 50 + [False]
    assert (there[:-1] == alone).all()


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_flights_from_the_middle_and_from_the_wall(start: float) -> None:
    law = Ball(2, radius=1.0)
    states = np.array([[start, 0.0]] * 3)
    moves = np.array([[0.0, 0.0], [-0.5, 0.0], [1.25, 0.0]]) * math.sqrt(2.0)
    there, inside = proposed(law, states, moves, 1.0)
    assert inside.all()
    # A flight ahead comes back from the wall by what is left of it.
    assert there[:, 0] == pytest.approx([start, start - 0.5, 0.75 if start == 0.0 else -0.25])
    assert there[:, 1] == pytest.approx([0.0] * 3)


def test_a_box_reflects_however_far_the_step_leads() -> None:
    law = Box(1, low=1.0, high=3.0)
    there, inside = proposed(law, np.full((5, 1), 1.5), np.array([[0.5], [2.0], [-1.0], [4.0], [-4.5]]), 1.0)
    assert inside.all()
    assert there[:, 0].tolist() == pytest.approx([2.0, 2.5, 1.5, 1.5, 1.0])


def test_who_walks() -> None:
    assert all(walkable(law) for law in LAWS)
    assert walkable(Pushforward(2, Normal(3)))
    assert not walkable(Pushforward(2, Pushforward(3, Normal(3))))
    with pytest.raises(Refused) as caught:
        proposed(Pushforward(3, Normal(3)), np.zeros((1, 3)), np.zeros((1, 3)), 0.5)
    assert (caught.value.reason, caught.value.field) == ("NO_CHAIN", "method")


def test_normal_numbers_are_quantiles() -> None:
    found = normals(np.array([[0.5, 0.975], [0.025, 2.0**-53]]))
    assert found == pytest.approx(np.array([[0.0, 1.959964], [-1.959964, -8.209536]]), abs=1e-6)
