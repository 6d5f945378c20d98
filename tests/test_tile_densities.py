"""Probabilities of tiles under every prior that a generator may have, against draws of the prior and its density."""

from __future__ import annotations

import itertools
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

from magnet_service.errors import Cancelled, InvalidInput, Refused
from magnet_service.generator import Precision, add_generator, export_module
from magnet_service.registry import Registry, Sliced, SlicePlace, SliceRequest
from magnet_service.registry.slices import sliced
from magnet_service.registry.tile_densities import check_masses, log_priors_of, masses_of

PRIORS = {
    "normal": "normal(scale=0.5)",
    "cut": "truncated_normal(bound=0.9, scale=0.6)",
    "box": "uniform(low=-0.5, high=1)",
    "ball": "ball(radius=1.2)",
}
each_prior = pytest.mark.parametrize("name", PRIORS)
DIMS = {"flat": 2, "deep": 5}
PLANE = np.random.RandomState(3).normal(size=(3, 5)) / 4
WINDOW = (-1.6, 1.4, -1.5, 1.7)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("priors")
    for name, dim in DIMS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(dim)
            module = nn.Sequential(nn.Linear(dim, 10), nn.ReLU(), nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 7))
        export_module(module, dim, folder / f"{name}.pt2")
        add_generator(folder / "made", name, folder / f"{name}.pt2", output_range=(-4.0, 4.0))
        for kind, prior in {**PRIORS, "sphere": "sphere(radius=1)"}.items():
            shutil.copytree(folder / "made" / name, folder / "held" / f"{name}-{kind}")
            card = folder / "held" / f"{name}-{kind}" / "generator.toml"
            text = card.read_text().replace(f'"{name}"', f'"{name}-{kind}"')
            card.write_text(text.replace('"normal"', f'"{prior}"'))
    return Registry([folder / "held"], folder / "store", threads=1)


def taken(registry: Registry, name: str, **more: Any) -> Sliced:
    place = SlicePlace(origin=np.zeros(2), directions=np.eye(2), window=WINDOW)
    if name.startswith("deep"):
        place = SlicePlace(points=PLANE, window=WINDOW)
    return sliced(registry, name, SliceRequest(**{"place": place, "volumes": True, **more}))


def counted(found: Sliced, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight of the places in each tile, by the sides of its edges."""
    tiles, sums = found.tessellation, []
    for first, last in itertools.pairwise(tiles.starts.tolist()):
        polygon = tiles.points[tiles.corners[first:last]]
        side, beyond = np.roll(polygon, -1, 0) - polygon, places[:, None] - polygon
        inside = (side[:, 0] * beyond[..., 1] - side[:, 1] * beyond[..., 0] >= 0).all(1)
        sums.append(weights[inside].sum())
    return np.array(sums)


@each_prior
def test_regions_have_their_share_of_draws(registry: Registry, name: str) -> None:
    found = taken(registry, f"flat-{name}")
    masses, prior = masses_of(found), found.held.prior
    draws = prior.rows(0, 0, 40_000).astype(np.float64)
    shares = counted(found, draws, np.full(len(draws), 1 / len(draws)))
    spread = np.sqrt(masses.masses * (1 - masses.masses) / len(draws))
    assert masses.law == "latent law"
    assert (np.abs(shares - masses.masses) < 5 * spread + 1e-12).all()
    expected = 1.0
    if name == "normal":
        expected = (ndtr(2.8) - ndtr(-3.2)) * (ndtr(3.4) - ndtr(-3.0))
    assert masses.window == pytest.approx(expected, abs=1e-9)
    assert masses.error < 1e-8


@each_prior
def test_tiles_of_a_larger_space_have_their_share_of_the_density(registry: Registry, name: str) -> None:
    found = taken(registry, f"deep-{name}")
    masses, place = masses_of(found), found.tessellation.slice
    source = np.random.RandomState(1)
    draws = source.uniform([WINDOW[0], WINDOW[2]], [WINDOW[1], WINDOW[3]], size=(60_000, 2))
    densities = np.exp(found.held.prior.log_density(place.lift(torch.from_numpy(draws)).numpy()))
    assert 0.1 < (densities > 0).mean() <= 1
    shares = counted(found, draws, densities / densities.sum())
    squares = counted(found, draws, (densities / densities.sum()) ** 2)
    assert masses.law == "conditional on the slice"
    assert np.isnan(masses.window)
    assert masses.masses.sum() == pytest.approx(1.0, abs=1e-12)
    assert (np.abs(shares - masses.masses) < 6 * np.sqrt(squares) + 1e-4).all()
    assert (masses.masses > 1e-3).sum() > 5


@each_prior
def test_log_priors_are_those_of_the_centroids(registry: Registry, name: str) -> None:
    found = taken(registry, f"deep-{name}", precision=Precision.FLOAT32)
    place, prior = found.tessellation.slice, found.held.prior
    expected = prior.log_density(place.lift(torch.from_numpy(found.tessellation.centroids)).numpy())
    logs = log_priors_of(found, 1, found.tessellation.tiles - 1)
    assert logs is not None
    assert logs.tobytes() == expected[1:].tobytes()
    assert np.isneginf(logs).any() == (name != "normal")
    assert log_priors_of(taken(registry, f"deep-{name}", volumes=False), 0, 1) is None


def test_a_plane_that_misses_the_support_has_no_probability(registry: Registry) -> None:
    far = SlicePlace(origin=np.full(5, 2.0), directions=np.eye(2, 5), window=WINDOW)
    for name in ("cut", "box", "ball"):
        found = sliced(registry, f"deep-{name}", SliceRequest(place=far))
        with pytest.raises(InvalidInput, match="no probability") as caught:
            masses_of(found)
        assert caught.value.field == "window"


def test_what_has_no_masses_is_refused_beforehand(registry: Registry) -> None:
    plane = SlicePlace(points=PLANE, window=WINDOW)
    with pytest.raises(Refused, match=r"sphere\(dim=5,radius=1.0\)") as caught:
        check_masses(registry, "deep-sphere", SliceRequest(place=plane))
    assert (caught.value.reason, caught.value.field) == ("NO_DENSITY", "generator")
    assert log_priors_of(taken(registry, "deep-sphere"), 0, 1) is None
    for place, field in ((SlicePlace(points=PLANE[:2]), "points"), (SlicePlace(directions=PLANE[:1]), "directions")):
        with pytest.raises(InvalidInput, match="a line") as line:
            check_masses(registry, "deep-normal", SliceRequest(place=place))
        assert line.value.field == field
    check_masses(registry, "deep-normal", SliceRequest(place=plane))


def test_it_stops_when_asked_to(registry: Registry) -> None:
    found = taken(registry, "flat-normal")
    with pytest.raises(Cancelled):
        masses_of(found, lambda: True)
