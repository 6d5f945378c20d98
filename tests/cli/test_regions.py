"""`magnet complexity`, `density`, `distances`, `region`, `patterns` and `rows`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from magnet_client import Client, latent_grid
from tests.cli.conftest import Magnet


def latents(address: str, *rows: int) -> np.ndarray:
    with Client(address) as client:
        drawn = [client.sample("toy", 1, preset="as_trained", seed=0, offset=row).latents for row in rows]
    return np.concatenate([one for one in drawn if one is not None]).astype(np.float64)


def test_fields_over_a_plane_are_written_and_summed_up(magnet: Magnet, address: str, tmp_path: Path) -> None:
    grid = latent_grid(latents(address, 1, 2, 3), cells=(6, 5))
    with Client(address) as client:
        counts = client.local_complexity("toy", grid, radius=0.3, frame=grid.frame)
        dense = client.log_density("toy", grid, top_k=2)
    plane = ("--through", "1,2,3", "--cells", "6,5")
    picture, arrays = tmp_path / "x.png", tmp_path / "x.npz"
    text = magnet.done("complexity", "toy", *plane, "--radius", 0.3, "--in-plane", "-o", picture)
    assert f"mean {counts.total.mean():,.2f}, {counts.total.min()} to {counts.total.max()} units" in text
    assert "6 x 5 of the plane through rows 1, 2, 3" in text
    assert f"wrote {picture}" in text
    with Image.open(picture) as read:
        assert read.size[0] > 500
    said = magnet.json("complexity", "toy", *plane, "--radius", 0.3, "--in-plane", "-o", arrays)
    assert said["total"] == counts.total.tolist()
    with np.load(arrays, allow_pickle=False) as read:
        assert (read["by_layer"] == counts.by_layer).all()
    said = magnet.json("density", "toy", *plane, "--top-k", 2, "-o", tmp_path / "d.svg")
    assert said["values"] == pytest.approx(dense.values.tolist())
    assert (tmp_path / "d.svg").read_text().startswith("<?xml")
    assert "score_2" in magnet.done("density", "toy", *plane, "--top-k", 2)


def test_rows_and_files_name_the_same_latents(magnet: Magnet, address: str, tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", latents(address, 4, 0))
    by_file = magnet.json("density", "toy", "--latents", tmp_path / "z.npy")
    assert magnet.json("density", "toy", "--latents", "4,0")["values"] == pytest.approx(by_file["values"])
    several = magnet.json("density", "toy", "--latents", "0:3,4")["values"]
    assert several[::3] == pytest.approx(by_file["values"][::-1])
    assert "4: rows 0 to 2, 4 of the prior's draw" in magnet.done("density", "toy", "--latents", "0:3,4")


def test_distances_are_a_table_a_picture_and_json(magnet: Magnet, address: str, tmp_path: Path) -> None:
    asked = ("distances", "toy", "--latents", "0:5", "--space", "layer")
    with Client(address) as client:
        expected = client.hyperplane_distances("toy", latents(address, 0, 1, 2, 3, 4), space="layer")
    text = " ".join(magnet.done(*asked, "-o", tmp_path / "d.png").split())
    assert "5: rows 0 to 4 of the prior's draw" in text
    assert f"relu relu 32 {expected.mean[0]:.4f} {expected.root_mean_square[0]:.4f} 0" in text
    with Image.open(tmp_path / "d.png") as read:
        assert read.size[0] > 500
    said = magnet.json(*asked, "-o", tmp_path / "d.npz")
    assert said["mean"] == pytest.approx(expected.mean.tolist())
    assert (said["space"], said["rows"], said["left_out"]) == ("layer", 5, {})
    with np.load(tmp_path / "d.npz", allow_pickle=False) as read:
        assert read["mean"] == pytest.approx(expected.mean)


def test_a_region_is_a_sheet_a_picture_and_json(magnet: Magnet, address: str, tmp_path: Path) -> None:
    at = latents(address, 2)[0]
    with Client(address) as client:
        expected = client.region("toy", at, half_spaces=True, minimal=True)
    asked = ("region", "toy", "--latent", 2, "--minimal", "--others", "2,3")
    text = magnet.done(*asked, "--map", "-o", tmp_path / "r.png")
    assert expected.nearest is not None
    assert f"{expected.radius:.4g}, to {expected.name_of(expected.nearest)}" in text
    assert "row 2 of the prior's draw" in text
    assert "yes, no" in text
    assert "64x4" in text
    said = magnet.json(*asked, "--half-spaces")
    assert said["count"] == expected.count == len(said["normals"])
    coordinates = ",".join(map(repr, at.tolist()))
    assert magnet.json("region", "toy", f"--latent={coordinates}")["radius"] == said["radius"]
    magnet.done("region", "toy", "--latent", 2, "-o", tmp_path / "h.svg")


def test_patterns_and_rows_are_tables(magnet: Magnet, bank: dict[str, Any], tmp_path: Path) -> None:
    said = magnet.json("patterns", "toy", "--latents", "0,1,2", "-o", tmp_path / "p.png")
    total = np.array(said["total"])
    assert (total == total.T).all()
    assert (np.diag(total) == 0).all()
    assert "3 x 3 pairs" in magnet.done("patterns", "toy", "--latents", "0,1,2")
    near = magnet.json("patterns", "toy", "--latents", "0,1", "--bank", bank["bank_id"], "--count", 3)
    assert np.shape(near["rows"]) == (2, 3)
    assert bank["bank_id"] in magnet.done("patterns", "toy", "--latents", 0, "--bank", bank["bank_id"])
    rows = magnet.json("rows", "toy", "--latents", "0,1", "--outputs", "3,60", "-o", tmp_path / "a.png")
    assert np.shape(rows["rows"]) == (2, 2, 4)
    assert "Lipschitz" in magnet.done("rows", "toy", "--latents", 0)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("complexity", "toy"), "--through=1,2,3"),
        (("complexity", "toy", "--latents", 0, "--through", "1,2,3"), "both are given"),
        (("complexity", "toy", "--latents", 0, "--in-plane"), "--through"),
        (("complexity", "toy", "--latents", 0, "--radius", 0), "radius must be a finite number above 0"),
        (("density", "toy", "--through", "1,2"), "three rows"),
        (("density", "toy", "--through", "1,2,3", "--cells", "x"), "--cells=COLUMNS,ROWS"),
        (("density", "toy", "--through", "1,2,3", "--window", "0,1"), "LEFT,RIGHT,BOTTOM,TOP"),
        (("density", "toy", "--latents", "a"), "--latents=I,J,K"),
        (("density", "toy", "--latents", 0, "-o", "x.pdf"), ".png, .svg"),
        (("region", "toy", "--latent", "1,2"), "write 4"),
        (("region", "toy", "--latent", 0, "--box", "3"), "LOW,HIGH"),
        (("patterns", "toy"), "--latents=1,2,3"),
        (("distances", "toy"), "--latents=1,2,3"),
        (("distances", "toy", "--latents", "3:3"), "each 0 or more"),
        (("distances", "toy", "--latents", "0:x"), "--latents=I,J,K"),
        (("distances", "toy", "--latents", 0, "-o", "x.pdf"), ".png, .svg"),
        (("patterns", "toy", "--latents", 0, "--paired"), "as many"),
        (("patterns", "toy", "--latents", 0, "--bank", "x", "--paired"), "both are given"),
        (("rows", "toy", "--latents", 0, "--outputs", "x"), "--outputs=I,J"),
        (("rows", "toy", "--latents", 0, "--no-lipschitz"), "nothing is asked for"),
    ],
)
def test_misuse_is_one_line_that_says_what_to_write(magnet: Magnet, asked: tuple[object, ...], says: str) -> None:
    assert says in magnet.error(2, *asked)


def test_what_is_smooth_ends_with_one(magnet: Magnet) -> None:
    assert "PRE_ACTIVATION" in magnet.error(1, "region", "toy", "--latent", 0, "--manifold", "output")
