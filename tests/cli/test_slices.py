"""`magnet slice`: facts, pictures and arrays, from a server and without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magnet_client import Client
from tests.cli.conftest import Magnet

WHOLE = ("--origin", "0,0", "--directions", "1,0;0,1", "--window=-1,1,-1,1")
"""The domain of the bundled `rings`."""


def test_a_slice_through_rows_of_the_priors_draw(magnet: Magnet, address: str, tmp_path: Path) -> None:
    asked = ("slice", "toy", "--through", "1,5,2", "--seed", 7)
    text = magnet.done(*asked, "-o", tmp_path / "slice.png")
    said = " ".join(text.split())
    assert "plane of toy@1 through rows 1, 5, 2 of the prior's draw with seed 7" in said
    assert f"wrote {tmp_path / 'slice.png'}" in text
    with Image.open(tmp_path / "slice.png") as picture:
        assert picture.size[0] == 1200
    with Client(address) as client:
        drawn = client.sample("toy", 6, preset="as_trained", seed=7, images=None).latents
        assert drawn is not None
        found = client.slice("toy", drawn[[1, 5, 2]])
    assert f"tiles {found.tiles:,}, {len(found.ends):,} edges, {len(found.points):,} vertices" in said
    assert f"extent COMPLETE, up to {found.header.target}" in said
    (layer,) = found.layers
    assert f"{layer.name} relu {layer.units} {layer.bending} {layer.tiles} {layer.tiles - 1}" in said
    answer = magnet.json(*asked)
    assert (answer["header"]["tiles"], answer["halvings"], answer["out"]) == (found.tiles, 0, None)
    np.testing.assert_allclose(answer["header"]["origin"], drawn[1])
    assert answer["header"]["statistics"]["added"] == [layer.tiles - 1]


def test_files_hold_latents_directions_and_windows(magnet: Magnet, tmp_path: Path) -> None:
    source = np.random.RandomState(5)
    points, corners = source.normal(size=(3, 4)), [[0, 0], [2, 0], [0, 2]]
    for name, array in (("p", points), ("o", points[0]), ("d", points[1:] - points[0]), ("w", corners)):
        np.save(tmp_path / f"{name}.npy", array)
    window = ("--window", tmp_path / "w.npy")
    by_points = magnet.json("slice", "toy", "--through", tmp_path / "p.npy", *window)
    by_directions = magnet.json(
        "slice", "toy", "--origin", tmp_path / "o.npy", "--directions", tmp_path / "d.npy", "--window", "0,0;2,0;0,2"
    )
    assert by_points["header"]["window"] == corners
    for name in ("window", "origin", "tiles"):
        assert by_points["header"][name] == by_directions["header"][name]
    assert "3 corners within 0 to 2 by 0 to 2" in " ".join(
        magnet.done("slice", "toy", "--through", tmp_path / "p.npy", *window).split()
    )


def test_a_line_and_its_picture(magnet: Magnet, tmp_path: Path) -> None:
    text = magnet.done("slice", "toy", "--through", "0,1", "--out", tmp_path / "line.svg")
    assert "line of toy@1" in text
    assert "intervals" in text
    assert (tmp_path / "line.svg").read_bytes().startswith(b"<?xml")


def test_arrays_and_volumes(magnet: Magnet, tmp_path: Path) -> None:
    text = magnet.done(
        "slice", "rings", *WHOLE, "--volumes", "--patterns", "--boundary", "--precision", "float32",
        "--out", tmp_path / "rings.npz",
    )  # fmt: skip
    assert "nats (float32)" in text
    assert "decision boundary" in text
    with np.load(tmp_path / "rings.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["areas"].sum(), 4.0)
        assert arrays["patterns"].shape == (len(arrays["areas"]), 96)
        assert (arrays["labels"][:, 0] == -2).any()
        np.testing.assert_allclose(np.exp(arrays["log_singular_values"].sum(1)), arrays["stretches"], rtol=1e-3)


@pytest.mark.parametrize("color", ["log_volume", "norm", "none"])
def test_colours(magnet: Magnet, tmp_path: Path, color: str) -> None:
    text = magnet.done("slice", "rings", *WHOLE, "--color", color, "--no-edges", "-o", tmp_path / "rings.png")
    assert ("log-volume" in text) == (color == "log_volume")
    assert (tmp_path / "rings.png").stat().st_size > 5_000


def test_masses_and_densities_of_tiles(magnet: Magnet, tmp_path: Path) -> None:
    facts = " ".join(magnet.done("slice", "rings", *WHOLE, "--volumes", "--masses", "-o", tmp_path / "r.npz").split())
    assert "prior box(dim=2, low=-1, high=1)" in facts
    assert "masses latent law, at most" in facts
    assert "of the window probability 1" in facts
    with np.load(tmp_path / "r.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["masses"].sum(), 1.0)
        densities = arrays["log_prior"] - arrays["log_singular_values"].sum(1)
    assert f"log density {densities.min():.4g} to {densities.max():.4g} nats, of one preimage" in facts
    assert magnet.json("slice", "rings", *WHOLE, "--masses")["header"]["masses"]["law"] == "latent law"
    assert "conditional on the slice" in magnet.done("slice", "toy", "--through", "1,2,3", "--color", "mass")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--color", "log_density"), "log density"),
        (("--color", "log_density", "--top-k", 1), "score_1"),
        (("--top-k", 1), "top 1"),
        (("--rho", 0.5), "p v^0.5, conditional on the window"),
        (("--rho", 2, "--top-k", 1, "--color", "mass"), "p v_1^2, conditional on the window"),
    ],
)
def test_tiles_are_coloured_by_densities_and_masses(
    magnet: Magnet, tmp_path: Path, asked: tuple[object, ...], says: str
) -> None:
    assert says in " ".join(magnet.done("slice", "rings", *WHOLE, *asked, "-o", tmp_path / "r.png").split())
    assert (tmp_path / "r.png").stat().st_size > 5_000


def test_a_density(magnet: Magnet, tmp_path: Path) -> None:
    out = tmp_path / "density.npz"
    text = magnet.done("slice", "rings", *WHOLE, "--density", "12,8", "--out", out)
    assert "relu_2" in text
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["lengths"].shape == (3, 8, 12)
    magnet.done("slice", "rings", *WHOLE, "--density", 16, "--out", tmp_path / "density.png")
    with Image.open(tmp_path / "density.png") as picture:
        assert picture.size[0] > 3 * 300


def test_a_window_of_ours_shrinks_until_its_tiles_are_few_enough(magnet: Magnet) -> None:
    asked = ("slice", "toy", "--through", "1,2,3", "--max-tiles", 60)
    found = magnet.json(*asked)
    assert found["header"]["extent"] == "COMPLETE"
    assert 0 < found["halvings"] < 10
    assert 1 < found["header"]["tiles"] <= 60
    share = 2 ** found["halvings"]
    assert f"; 1/{share} of what bounds the latents" in " ".join(magnet.done(*asked).split())
    (left, bottom), (right, top) = np.min(found["header"]["window"], 0), np.max(found["header"]["window"], 0)
    before = magnet.json(*asked, f"--window={2 * left},{2 * right},{2 * bottom},{2 * top}")
    assert before["halvings"] == 0
    assert (before["header"]["extent"], before["header"]["stopped_at"]) == ("TRUNCATED", "relu")
    said = magnet.done(*asked, f"--window={2 * left},{2 * right},{2 * bottom},{2 * top}")
    assert "TRUNCATED before relu" in said
    assert "smaller --window" in " ".join(said.split())


def test_the_same_without_a_server(magnet: Magnet, repository: Path, store: Path) -> None:
    here = ("--local", "--repository", repository, "--store", store)
    asked = ("slice", "toy", "--through", "1,2,3", "--boundary")
    assert magnet.json(*asked, *here) == magnet.json(*asked)
    assert magnet.done(*asked, *here) == magnet.done(*asked)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--through=1,2,3"),
        (("--through", "1"), "two or three rows"),
        (("--through", "1,2,-3"), "two or three rows"),
        (("--through", "a,b"), ".npy"),
        (("--through", "nothing.npy"), "no readable .npy"),
        (("--through", "1,2,3", "--origin", "0,0,0,0"), "both are given"),
        (("--origin", "0,0,0,0"), "--directions"),
        (("--origin", "0,0,0", "--directions", "1,0,0;0,1,0", "--window=0,1,0,1"), "4 numbers"),
        (("--origin", "0,x", "--directions", "1,0"), "--origin"),
        (("--origin", "0,0,0,0", "--directions", "1,0;1"), "2, 1 numbers"),
        (("--origin", "0,0,0,0", "--directions", "1,0,0,0;0,1,0,0"), "a window is needed"),
        (("--through", "1,1,2"), "do not span"),
        (("--through", "1,2,3", "--window", "1,2,3"), "window"),
        (("--through", "1,2,3", "--window=1,0,0,1"), "LEFT below"),
        (("--through", "1,2,3", "--window=0,0;2,0;0.1,0.1;0,2"), "no convex"),
        (("--through", "1,2,3", "--up-to", "nothing"), "relu"),
        (("--through", "1,2,3", "--max-tiles", 10**7), "1,000,000"),
        (("--through", "1,2,3", "--density", "a"), "--density=COLUMNS,ROWS"),
        (("--through", "1,2", "--density", "8"), "line has no cells"),
        (("--through", "1,2,3", "--out", "x.jpg"), ".png"),
        (("--through", "1,2", "--masses"), "a line has no masses"),
        (("--through", "1,2,3", "--top-k", 5), "top_k must be an integer from 1 to 4"),
        (("--through", "1,2,3", "--rho", "nan"), "rho must be a finite number"),
        (("--through", "1,2,3", "--rho", 1, "--color", "area", "--out", "x.png"), "rho goes with color 'mass'"),
    ],
)
def test_misuse_is_said_in_one_line(magnet: Magnet, arguments: tuple[object, ...], says: str) -> None:
    assert says in magnet.error(2, "slice", "toy", *arguments)


@pytest.mark.usefixtures("eighty_columns")
def test_facts_fit_eighty_columns(magnet: Magnet) -> None:
    text = magnet.done("slice", "toy", "--through", "1,2,3", "--max-tiles", 60)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_what_is_smooth_cannot_be_sliced(magnet: Magnet) -> None:
    assert "smooth" in magnet.error(1, "slice", "toy", "--through", "1,2,3", "--up-to", "tanh")
