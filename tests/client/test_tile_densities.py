"""Densities and masses of tiles by the client: as the core has them, at a power of the volume, drawn and saved."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from magnet_client import AsyncClient, Client, InvalidInput, Refused, Tessellation
from magnet_service.generator import Generator, load_version
from magnet_service.geometry import density_of, slice_through, tessellate, tile_masses, tile_volumes
from tests.client.test_slices import POINTS, WHOLE
from tests.client.toy import LATENT_DIM

WINDOW = (-1.0, 1.0, -1.0, 1.0)


@pytest.fixture(scope="module")
def toy(repository: Path) -> Generator:
    return load_version(repository / "toy")[0]


@pytest.fixture(scope="module")
def rings(client: Client) -> Tessellation:
    return client.slice("rings", **WHOLE, volumes=True, masses=True)


@pytest.fixture(scope="module")
def plane(client: Client) -> Tessellation:
    return client.slice("toy", POINTS, window=WINDOW, volumes=True, masses=True)


def normal(latents: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(latents).sum(1)


def filled(figure: Figure) -> list[np.ma.MaskedArray]:
    """Values of the tiles drawn; each is drawn once more with smoothed borders."""
    return [one.get_array() for one in figure.axes[0].collections if not one.get_antialiaseds().all()]


@pytest.mark.parametrize("top_k", [0, 1, 3, LATENT_DIM])
def test_log_densities_are_those_of_the_core(plane: Tessellation, toy: Generator, top_k: int) -> None:
    tiles = tessellate(toy, slice_through(torch.tensor(POINTS), WINDOW), threads=1)
    prior = normal(tiles.slice.lift(torch.from_numpy(tiles.centroids)))
    expected = density_of(tile_volumes(toy, tiles), prior, top_k)
    found = plane.log_density(top_k)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-9)
    assert (found.is_density == expected.is_density.numpy()).all()
    assert (found.label, found.top_k, found.columns) == (expected.label, expected.k, expected.columns)


def test_a_tile_without_the_rank_has_no_value(plane: Tessellation) -> None:
    assert plane.rank is not None
    assert plane.log_singular_values is not None
    rank, logs = plane.rank.copy(), plane.log_singular_values.copy()
    rank[0], logs[0, 2:] = 2, -np.inf
    low = dataclasses.replace(plane, rank=rank, log_singular_values=logs)
    whole, two = low.log_density(), low.log_density(2)
    assert np.isnan(whole.values[0])
    assert np.isfinite(whole.values[1:]).all()
    assert whole.is_density.tolist() == [False] + [True] * (plane.tiles - 1)
    assert np.isfinite(two.values).all()
    for rho in (-1.0, 1.0):
        weighted = low.masses_at(rho)
        assert weighted.masses[0] == 0
        assert weighted.masses.sum() == pytest.approx(1.0)
        assert plane.masses is not None
        assert weighted.left_out == pytest.approx(plane.masses[0])
        assert low.masses_at(rho, 2).left_out == 0
    assert low.masses_at(0.0).left_out == 0
    none = dataclasses.replace(plane, log_singular_values=np.full_like(logs, -np.inf))
    with pytest.raises(InvalidInput, match="no tile of rank 1"):
        none.masses_at(1.0, 1)


def test_all_tiles_of_rings_have_probability_one(rings: Tessellation) -> None:
    found = rings.masses_at(0.0)
    assert rings.masses is not None
    assert found.masses is rings.masses
    assert found.masses.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found.masses, rings.areas / 4, rtol=1e-9)
    assert (found.law, found.rho, found.top_k, found.window) == ("latent law", 0.0, 2, found.masses.sum())
    assert rings.header.prior == "box(dim=2,low=-1.0,high=1.0)"


@pytest.mark.parametrize("rho", [-2.0, -0.5, 0.5, 1.0, 5.0])
def test_at_a_power_of_the_volume_tiles_have_their_share_of_the_law(rings: Tessellation, rho: float) -> None:
    # The plane is the whole latent space: volumes are what areas are stretched by.
    weights = rings.areas * rings.stretches**rho
    found = rings.masses_at(rho)
    np.testing.assert_allclose(found.masses, weights / weights.sum(), rtol=1e-6)
    assert (found.law, found.window, found.left_out) == (f"p v^{rho:g}, conditional on the window", None, 0.0)
    assert 0 <= found.error < 1e-9
    first = rings.masses_at(rho, 1)
    assert rings.log_singular_values is not None
    weights = rings.areas * np.exp(rho * rings.log_singular_values[:, 0])
    np.testing.assert_allclose(first.masses, weights / weights.sum(), rtol=1e-6)
    assert (first.law, first.top_k) == (f"p v_1^{rho:g}, conditional on the window", 1)


def test_a_slice_of_a_larger_space_has_the_conditional_law(plane: Tessellation, toy: Generator) -> None:
    tiles = tessellate(toy, slice_through(torch.tensor(POINTS), WINDOW), threads=1)
    expected = tile_masses(tiles, normal)
    found = plane.masses_at(0.0)
    np.testing.assert_allclose(found.masses, expected.masses, rtol=1e-6, atol=1e-9)
    assert (found.law, found.window) == ("conditional on the slice", None)
    assert plane.masses_at(0.5, 2).law == "p v_2^0.5, conditional on the slice"
    assert plane.masses_at(0.5, 2).masses.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"color": "log_density", "top_k": 5}, "top_k", "1 to 4"),
        ({"color": "log_volume", "top_k": -1}, "top_k", "1 to 4"),
        ({"color": "log_density", "rho": 1.0}, "rho", "'mass'"),
        ({"color": "area", "top_k": 1}, "top_k", "goes with"),
        ({"color": "mass", "rho": np.nan}, "rho", "finite"),
    ],
)
def test_what_cannot_be_drawn_names_the_argument(
    plane: Tessellation, asked: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        plane.render(**asked)
    assert caught.value.field == field


def test_what_was_not_asked_for_is_not_there(client: Client, plane: Tessellation) -> None:
    bare = client.slice("toy", POINTS, window=WINDOW)
    assert (bare.log_prior, bare.masses, bare.header.masses) == (None, None, None)
    assert bare.header.prior == "normal(dim=4)"
    for call, field in (
        (bare.log_density, "volumes"),
        (lambda: bare.masses_at(0.0), "masses"),
        (lambda: dataclasses.replace(plane, log_singular_values=None).masses_at(1.0), "volumes"),
        (lambda: bare.render(color="mass"), "color"),
        (lambda: bare.render(color="log_density"), "color"),
    ):
        with pytest.raises(InvalidInput, match="ask for") as caught:
            call()
        assert caught.value.field == field
    with pytest.raises(Refused, match=r"normal\(dim=4\)") as refused:
        dataclasses.replace(plane, log_prior=None).log_density()
    assert refused.value.reason == "NO_DENSITY"
    with pytest.raises(InvalidInput, match="a line has no masses") as line:
        client.slice("toy", POINTS[:2], masses=True)
    assert line.value.field == "points"
    cut = client.slice("toy", POINTS, window=WINDOW, masses=True, volumes=True, max_tiles=5)
    assert cut.truncated
    assert cut.masses is not None
    assert cut.masses.sum() == pytest.approx(1.0)
    with pytest.raises(InvalidInput, match="TRUNCATED"):
        cut.log_density()


@pytest.mark.parametrize(
    ("color", "more", "label"),
    [
        ("log_density", {}, "log density of one preimage at the centroid, nats"),
        ("log_density", {"top_k": 1}, "score_1 at the centroid, nats"),
        ("log_volume", {"top_k": 1}, "log-volume of the Jacobian, top 1, nats"),
        ("mass", {}, "probability of a tile: latent law"),
        ("mass", {"rho": 0.5}, "probability of a tile: p v^0.5, conditional on the window"),
    ],
)
def test_tiles_are_coloured_by_it(rings: Tessellation, color: Any, more: dict[str, Any], label: str) -> None:
    figure = rings.render(color=color, edges=False, **more)
    assert figure.axes[1].get_ylabel() == label
    values = {
        "log_density": rings.log_density(more.get("top_k", 0)).values,
        "mass": rings.masses_at(more.get("rho", 0.0)).masses,
    }.get(color)
    shown = np.ma.concatenate(filled(figure)).filled(np.nan)
    if values is not None:
        np.testing.assert_array_equal(np.sort(shown), np.sort(values))


def test_tiles_outside_of_the_support_are_grey(client: Client) -> None:
    wide = client.slice("rings", **{**WHOLE, "window": (-1.4, 1.4, -1.4, 1.4)}, volumes=True, masses=True)
    values = wide.log_density().values
    assert np.isneginf(values).any()
    figure = wide.render(color="log_density", edges=False)
    shown = np.ma.concatenate(filled(figure))
    assert np.ma.count_masked(shown) == np.isneginf(values).sum()
    assert wide.masses_at(0.0).window == pytest.approx(1.0, abs=1e-12)


def test_everything_is_saved(rings: Tessellation, tmp_path: Path) -> None:
    with np.load(rings.save(tmp_path / "rings.npz"), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["masses"], rings.masses)
        np.testing.assert_array_equal(arrays["log_prior"], rings.log_prior)
        header = json.loads(str(arrays["header"]))
    assert header["masses"]["law"] == "latent law"
    assert header["prior"] == rings.header.prior


def test_awaited_answers_are_the_same(address: str, plane: Tessellation) -> None:
    async def ask() -> Tessellation:
        async with AsyncClient(address) as awaiting:
            return await awaiting.slice("toy", POINTS, window=WINDOW, volumes=True, masses=True)

    found = asyncio.run(ask())
    for name in ("masses", "log_prior", "log_singular_values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plane, name))
    assert found.header.masses == plane.header.masses
