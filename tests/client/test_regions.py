"""Local complexity, densities, regions and patterns by the client: as the core has them, drawn and saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from magnet_client import (
    AsyncClient,
    BankInfo,
    Client,
    InvalidInput,
    LatentGrid,
    Refused,
    UnknownResource,
    latent_grid,
)
from magnet_service.generator import Generator, load_version
from magnet_service.geometry import local_complexity, patterns_of, region_at, slice_through, unpack_patterns
from tests.client.toy import LATENT_DIM

LATENTS = np.random.RandomState(4).normal(size=(6, LATENT_DIM))
SQUARE = {"origin": [0.0, 0.0], "directions": np.eye(2), "window": (-1.0, 1.0, -1.0, 1.0)}


@pytest.fixture(scope="module")
def toy(repository: Path) -> Generator:
    return load_version(repository / "toy")[0]


@pytest.fixture(scope="module")
def grid() -> LatentGrid:
    return latent_grid(LATENTS[:3], cells=(5, 4))


def test_a_grid_lies_on_the_plane_of_the_slice(grid: LatentGrid) -> None:
    plane = slice_through(torch.tensor(LATENTS[:3]))
    np.testing.assert_allclose(grid.frame, plane.frame.numpy(), atol=1e-12)
    corners = plane.window.numpy()
    np.testing.assert_allclose(grid.window, [*np.sort(corners[:, 0])[[0, -1]], *np.sort(corners[:, 1])[[0, -1]]])
    assert len(grid) == 20
    left, right, bottom, top = grid.window
    x, y = grid.coordinates.reshape(4, 5, 2)[3, 1]
    assert (x, y) == pytest.approx((left + 0.3 * (right - left), bottom + 0.875 * (top - bottom)))
    np.testing.assert_allclose(plane.lift(torch.tensor(grid.coordinates)).numpy(), grid.latents, atol=1e-12)
    assert grid.field(np.arange(20))[1, 0] == 5


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"points": np.ones((3, 4))}, "points"),
        ({"points": LATENTS[:2]}, "points"),
        ({}, "points"),
        ({"points": LATENTS[:3], "origin": LATENTS[0]}, "points"),
        ({"points": LATENTS[:3], "window": (1.0, 0.0, 0.0, 1.0)}, "window"),
        ({"origin": LATENTS[0], "directions": LATENTS[1:3]}, "window"),
        ({"origin": [0.0], "directions": LATENTS[1:3], "window": (0.0, 1.0, 0.0, 1.0)}, "origin"),
        ({"points": LATENTS[:3], "cells": (0, 3)}, "cells"),
    ],
)
def test_what_is_no_grid_names_its_field(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        latent_grid(**asked)
    assert caught.value.field == field


def test_complexity_and_density_of_a_grid_are_those_of_its_latents(
    client: Client, toy: Generator, grid: LatentGrid
) -> None:
    found = client.local_complexity("toy", grid, radius=0.5, frame=grid.frame)
    assert found.grid is grid
    frame = torch.tensor(grid.frame)
    expected = local_complexity(toy, torch.tensor(grid.latents), radius=0.5, frame=frame)
    assert (found.total == expected.total.numpy()).all()
    assert (found.by_layer == expected.by_layer.numpy()).all()
    assert [(layer.name, layer.units) for layer in found.layers] == [("relu", 32)]
    dense = client.log_density("toy", grid, top_k=2)
    volumes = client.log_volume("toy", grid, top_k=2).log_volumes
    prior = -0.5 * (grid.latents**2).sum(1) - LATENT_DIM / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(dense.values, prior - volumes, rtol=1e-12)
    assert (dense.label, dense.top_k, dense.columns, dense.prior) == ("score_2", 2, 4, "normal(dim=4)")
    assert not dense.is_density.any()
    assert client.log_density("toy", LATENTS).is_density.all()


def test_a_region_is_the_cores_and_holds_its_latent(client: Client, toy: Generator) -> None:
    expected = region_at(toy, torch.tensor(LATENTS[0]))
    near = LATENTS[0] + 0.5 * expected.radius * np.eye(LATENT_DIM)[0]
    found = client.region("toy", LATENTS[0], affine_map=True, half_spaces=True, others=np.stack([near, LATENTS[1]]))
    assert found.nearest is not None
    assert found.matrix is not None
    assert found.shift is not None
    assert found.same_region is not None
    assert (found.radius, found.name_of(found.nearest)) == (expected.radius, expected.name_of(expected.nearest or 0))
    assert (found.count, found.minimal, found.output_shape, found.layout) == (32, False, (1, 8, 8), "HW")
    assert found.same_region.tolist() == [True, False]
    assert found.contains(np.stack([LATENTS[0], near, LATENTS[1]])).tolist() == [True, True, False]
    values = client.generate("toy", LATENTS[:1], images="float32").images
    assert values is not None
    np.testing.assert_allclose(np.tanh(found.matrix @ LATENTS[0] + found.shift), values.ravel(), rtol=1e-4, atol=1e-6)
    plain = client.region("toy", LATENTS[0], ball=False)
    assert (plain.matrix, plain.normals, plain.ball_radius, plain.same_region) == (None, None, None, None)
    with pytest.raises(InvalidInput, match="half_spaces=True"):
        plain.contains(LATENTS)
    walls = client.region("toy", LATENTS[0], half_spaces=True, minimal=True, box=(-4.0, 4.0)).walls
    assert walls is not None
    assert len(walls) < 40


def test_patterns_and_their_distances_are_the_cores(client: Client, toy: Generator, bank: BankInfo) -> None:
    found = client.patterns("toy", LATENTS)
    codes = unpack_patterns(patterns_of(toy, torch.tensor(LATENTS))).numpy()
    assert found.units == 32
    assert (found.codes == codes).all()
    differ = (codes[:, None] != codes[None]).sum(-1)
    assert (client.hamming("toy", LATENTS).total == differ).all()
    assert (client.hamming("toy", LATENTS[:2], LATENTS).total == differ[:2]).all()
    pairs = client.hamming("toy", LATENTS, LATENTS[::-1], paired=True)
    assert (pairs.total == differ[np.arange(6), np.arange(6)[::-1]]).all()
    np.testing.assert_allclose(pairs.share, pairs.total / 32)
    near = client.nearest_patterns("toy", LATENTS, 3, bank=bank.bank_id, bank_revision=100)
    assert near.latents.shape == (6, 3, LATENT_DIM)
    paired = client.hamming("toy", np.repeat(LATENTS, 3, axis=0), near.latents.reshape(18, LATENT_DIM), paired=True)
    assert (paired.total.reshape(6, 3) == near.distances).all()
    assert (np.diff(near.distances, axis=1) >= 0).all()


def test_affine_rows_are_rows_of_the_regions_map(client: Client) -> None:
    found = client.affine_rows("toy", LATENTS[:2], [5, 0], lipschitz=True)
    region = client.region("toy", LATENTS[1], affine_map=True, ball=False)
    assert region.matrix is not None
    assert found.lipschitz is not None
    np.testing.assert_allclose(found.rows[1], region.matrix[[5, 0]], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.lipschitz[1], np.linalg.norm(region.matrix, 2), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "field"),
    [
        (lambda c: c.local_complexity("toy", LATENTS, radius=0.0), InvalidInput, "radius"),
        (lambda c: c.local_complexity("toy", LATENTS, radius=1.0, directions=5), InvalidInput, "directions"),
        (lambda c: c.local_complexity("toy", LATENTS, radius=1.0, frame=np.ones((2, 4))), InvalidInput, "frame"),
        (lambda c: c.local_complexity("toy", LATENTS, radius=1.0, estimator="cube"), InvalidInput, "estimator"),
        (lambda c: c.local_complexity("toy", LATENTS[:, :3], radius=1.0), InvalidInput, "latents"),
        (lambda c: c.local_complexity("toy", LATENTS * np.nan, radius=1.0), InvalidInput, "latents"),
        (lambda c: c.local_complexity("toy", LATENTS, radius=1.0, manifold="output"), Refused, None),
        (lambda c: c.log_density("toy", LATENTS, top_k=5), InvalidInput, "top_k"),
        (lambda c: c.region("toy", LATENTS), InvalidInput, "latent"),
        (lambda c: c.region("toy", LATENTS[0, :2]), InvalidInput, "latent"),
        (lambda c: c.region("toy", LATENTS[0], box=(1.0, 0.0)), InvalidInput, "box"),
        (lambda c: c.region("toy", LATENTS[0], box=(np.inf, 0.0)), InvalidInput, "box"),
        (lambda c: c.region("toy", LATENTS[0], others=LATENTS[:, :2]), InvalidInput, "others"),
        (lambda c: c.hamming("toy", LATENTS, LATENTS[:2], paired=True), InvalidInput, "others"),
        (lambda c: c.nearest_patterns("toy", LATENTS, bank="0123456789abcdef"), UnknownResource, None),
        (lambda c: c.nearest_patterns("toy", LATENTS, 0, bank="0123456789abcdef"), InvalidInput, "count"),
        (lambda c: c.affine_rows("toy", LATENTS), InvalidInput, "outputs"),
        (lambda c: c.affine_rows("toy", LATENTS, [64]), InvalidInput, "outputs"),
    ],
)
def test_what_cannot_be_names_the_argument(
    client: Client, call: Callable[[Client], object], error: type[Exception], field: str | None
) -> None:
    with pytest.raises(error) as caught:
        call(client)
    assert field is None or caught.value.field == field  # type: ignore[attr-defined]


def test_awaited_answers_are_the_same(address: str, client: Client, grid: LatentGrid, bank: BankInfo) -> None:
    async def ask() -> None:
        async with AsyncClient(address) as awaiting:
            complexity = await awaiting.local_complexity("toy", grid, radius=0.5)
            assert (complexity.total == client.local_complexity("toy", grid, radius=0.5).total).all()
            dense = await awaiting.log_density("toy", grid)
            assert (dense.values == client.log_density("toy", grid).values).all()
            region = await awaiting.region("toy", LATENTS[0])
            assert region.radius == client.region("toy", LATENTS[0]).radius
            assert ((await awaiting.patterns("toy", LATENTS)).packed == client.patterns("toy", LATENTS).packed).all()
            assert ((await awaiting.hamming("toy", LATENTS)).total == client.hamming("toy", LATENTS).total).all()
            near = await awaiting.nearest_patterns("toy", LATENTS, 2, bank=bank.bank_id)
            assert (near.rows == client.nearest_patterns("toy", LATENTS, 2, bank=bank.bank_id).rows).all()
            rows = await awaiting.affine_rows("toy", LATENTS, [1])
            assert (rows.rows == client.affine_rows("toy", LATENTS, [1]).rows).all()

    asyncio.run(ask())


def test_everything_is_drawn_and_saved(client: Client, grid: LatentGrid, bank: BankInfo, tmp_path: Path) -> None:
    square = latent_grid(**SQUARE, cells=(6, 6))
    made = {
        "map": client.local_complexity("toy", grid, radius=0.5),
        "bars": client.local_complexity("toy", LATENTS, radius=0.5),
        "density": client.log_density("toy", grid),
        "outside": client.log_density(
            "rings", latent_grid(**{**SQUARE, "window": (-2.0, 2.0, -2.0, 2.0)}, cells=(6, 6))
        ),
        "histogram": client.log_density("rings", square.latents),
        "columns": client.region("toy", LATENTS[0], affine_map=True),
        "distances": client.region("toy", LATENTS[0], half_spaces=True),
        "polygon": client.region("rings", [0.3, 0.4], half_spaces=True),
        "open": client.region("rings", [30.0, 40.0], half_spaces=True, minimal=True),
        "patterns": client.patterns("toy", LATENTS),
        "matrix": client.hamming("toy", LATENTS),
        "pairs": client.hamming("toy", LATENTS, LATENTS[::-1], paired=True),
        "near": client.nearest_patterns("toy", LATENTS, 4, bank=bank.bank_id),
        "rows": client.affine_rows("toy", LATENTS, [0, 1], lipschitz=True),
    }
    for name, found in made.items():
        found.render(tmp_path / f"{name}.png", dpi=50.0)
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 4, name
        with np.load(found.save(tmp_path / f"{name}.npz"), allow_pickle=False) as read:
            assert len(read.files) > 1, name
        with pytest.raises(InvalidInput) as caught:
            found.render(tmp_path / "x.pdf")
        assert caught.value.field == "path"
    assert "not beyond" not in made["polygon"].render().axes[0].get_title()
    assert "goes on beyond" in made["open"].render().axes[0].get_title()


def test_a_map_has_a_panel_a_layer_with_the_fields_values(client: Client) -> None:
    square = latent_grid(**SQUARE, cells=(8, 5))
    found = client.local_complexity("rings", square, radius=0.2)
    figure = found.render()
    images = [axes.images[0] for axes in figure.axes if axes.images and axes.get_title()]
    assert len(images) == 1 + len(found.layers)
    assert (images[0].get_array() == found.total.reshape(5, 8)).all()
    assert (images[2].get_array() == found.by_layer[:, 1].reshape(5, 8)).all()


def test_the_polygon_of_a_region_has_its_corners_on_walls(client: Client) -> None:
    found = client.region("rings", [0.3, 0.4], half_spaces=True)
    patch = found.render().axes[0].patches[0]
    corners = patch.get_xy()[:-1]
    assert found.normals is not None
    assert found.offsets is not None
    off = corners @ found.normals.T - found.offsets
    assert (off < 1e-9).all()
    assert ((np.abs(off) < 1e-9).sum(axis=1) >= 2).all()


def test_nothing_to_draw_says_what_to_ask_for(client: Client) -> None:
    for found in (client.region("toy", LATENTS[0]), client.affine_rows("toy", LATENTS, lipschitz=True)):
        with pytest.raises(InvalidInput, match="ask for"):
            found.render()
