"""Pictures of slices and densities: what they show, and what they refuse."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from magnet_client import Client, InvalidInput, Refused, Tessellation
from tests.client.test_slices import POINTS, WHOLE


@pytest.fixture(scope="module")
def plane(client: Client) -> Tessellation:
    return client.slice("rings", **WHOLE, boundary=True, volumes=True, patterns=True)


@pytest.fixture(scope="module")
def line(client: Client) -> Tessellation:
    return client.slice("rings", [[-0.9, -0.5], [0.9, 0.6]], boundary=True)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("color", "edges"),
    [(None, None), ("log_volume", False), ("stretch", True), ("norm", None), ("area", None), ("none", None)],
)
def test_a_plane_is_drawn(plane: Tessellation, tmp_path: Path, color: Any, edges: bool | None) -> None:
    figure = plane.render(tmp_path / "plane.png", color=color, edges=edges, width=5.0, dpi=80.0)
    height, width, _ = pixels(tmp_path / "plane.png").shape
    assert width == 400
    assert 0 <= figure.get_figheight() * 80 - height < 1
    axes = figure.axes[0]
    kinds = [type(one).__name__ for one in axes.collections]
    assert ("PolyCollection" in kinds) == (color != "none")
    # Tiles of each number of corners, edges of each layer, and the decision boundary.
    filled = [one for one in axes.collections if type(one).__name__ == "PolyCollection"]
    # Without edges once more, smoothed.
    for smooth, expected in ((False, color != "none"), (True, edges is False)):
        drawn = sum(len(one.get_paths()) for one in filled if one.get_antialiaseds().all() == smooth)
        assert drawn == (plane.tiles if expected else 0)
    assert kinds.count("LineCollection") == (1 if edges is False else 4)
    labels = [one.get_ylabel() for one in figure.axes[1:]]
    assert labels == ([] if color == "none" else [labels[0]])
    assert "rings@1" in axes.get_title()
    box = axes.get_window_extent()
    np.testing.assert_allclose(box.width, box.height, rtol=0.01)
    # Room for all labels, and little more.
    inside = figure.get_tightbbox()
    assert inside.y0 > 0
    assert figure.get_figheight() - 0.3 < inside.y1 < figure.get_figheight()
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    names = [f"{one.name} ({one.bending} of {one.units} units)" for one in plane.layers]
    assert texts == [*(names if edges is not False else []), "decision boundary"]


def test_the_decision_boundary_is_red(plane: Tessellation, client: Client, tmp_path: Path) -> None:
    def reds(found: Tessellation) -> int:
        found.render(tmp_path / "some.png", color="none", edges=False, dpi=80.0)
        image = pixels(tmp_path / "some.png").astype(int)
        return int(((image[..., 0] > 180) & (image[..., 1] < 90) & (image[..., 2] < 90)).sum())

    assert reds(plane) > 100
    assert reds(client.slice("rings", **WHOLE)) == 0


def test_a_tile_has_the_colour_of_its_value(plane: Tessellation) -> None:
    figure = plane.render(color="area", edges=False)
    figure.draw_without_rendering()
    shown = [one for one in figure.axes[0].collections if type(one).__name__ == "PolyCollection"]
    scale, colours = shown[0].norm, shown[0].get_cmap()
    for one in shown:
        for path, face in zip(one.get_paths(), one.get_facecolor(), strict=True):
            x, y = path.vertices[:-1].T
            area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
            if area > 1e-3:  # colours are steps, and the areas of slivers are rounded
                np.testing.assert_allclose(face, colours(scale(area)), atol=0.02)


@pytest.mark.parametrize("height", [0.02, 0.3, 1.0, 1.9])
def test_no_label_of_a_picture_is_cut_off(client: Client, height: float) -> None:
    near = {**WHOLE, "window": (-0.001, 0.001, -0.001 * height, 0.001 * height)}
    found = client.slice("rings", **near, boundary=True)
    for color in ("norm", "none"):
        figure = found.render(color=color)
        figure.draw_without_rendering()
        inside = figure.get_tightbbox()
        assert min(inside.x0, inside.y0) >= 0
        assert inside.x1 <= figure.get_figwidth()
        assert inside.y1 <= figure.get_figheight()
        if height > 0.1:
            assert inside.y1 - inside.y0 > figure.get_figheight() - 0.4


def test_borders_of_tiles_are_smooth_and_the_ground_does_not_shine_through(client: Client, tmp_path: Path) -> None:
    figure = client.slice("rings", **WHOLE).render(color="stretch", edges=False)
    axes = figure.axes[0]
    shown = {}
    for ground in ("red", "blue", "hard"):
        if ground == "hard":
            for one in axes.collections:
                one.set_antialiased(False)
        else:
            axes.set_facecolor(ground)
        figure.savefig(tmp_path / "some.png", dpi=60.0)
        image = pixels(tmp_path / "some.png")
        left, bottom, right, top = (axes.get_window_extent().extents * 60 / figure.dpi).astype(int)
        shown[ground] = image[len(image) - top + 3 : len(image) - bottom - 3, left + 3 : right - 3].reshape(-1, 3)
    np.testing.assert_array_equal(shown["red"], shown["blue"])
    smooth, hard = (len(np.unique(shown[ground], axis=0)) for ground in ("blue", "hard"))
    assert smooth > 1.5 * hard


def test_points_and_a_budget_are_marked(client: Client, tmp_path: Path) -> None:
    found = client.slice("toy", POINTS, max_tiles=3)
    figure = found.render(tmp_path / "some.png")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3"]
    assert "TRUNCATED before relu" in figure.axes[0].get_title()
    for color in ("stretch", "norm", "log_volume"):
        with pytest.raises(InvalidInput, match="TRUNCATED") as caught:
            found.render(color=color)
        assert caught.value.field == "color"
    near = client.slice("toy", POINTS, window=(-0.1, 0.1, -0.1, 0.1)).render()
    assert [text.get_text() for text in near.axes[0].texts] == ["1"]


def test_an_svg_holds_shapes_where_they_are_few(plane: Tessellation, tmp_path: Path) -> None:
    plane.render(tmp_path / "plane.svg")
    root = ElementTree.parse(tmp_path / "plane.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert sum(1 for _ in root.iter(f"{space}path")) > plane.tiles


def test_pictures_of_one_slice_are_equal(plane: Tessellation, tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        plane.render(tmp_path / name, dpi=60.0)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_a_line_is_drawn(line: Tessellation, tmp_path: Path) -> None:
    figure = line.render(tmp_path / "line.png", dpi=60.0)
    above, rows = figure.axes
    assert [text.get_text() for text in above.texts] == ["1", "2"]
    assert [label.get_text() for label in rows.get_yticklabels()] == [layer.name for layer in line.layers]
    counts = [len(one.get_segments()) for one in rows.collections]
    assert counts == [int((line.labels[:, 0] == layer).sum()) for layer in range(3)]
    assert sum(counts) + line.decision.sum() == line.tiles - 1
    values, grid, _ = above.patches[0].get_data()
    np.testing.assert_array_equal(values, line.spectral_norms)
    np.testing.assert_allclose(np.diff(grid), line.areas)
    assert line.render(tmp_path / "line.svg", color="area") is not None


def test_a_density_is_drawn(client: Client, tmp_path: Path) -> None:
    found = client.hyperplane_density("rings", **WHOLE, cells=(16, 16))
    figure = found.render(tmp_path / "density.png", dpi=60.0)
    panels = [one for one in figure.axes if one.get_images()]
    assert [one.get_title().split(":")[0] for one in panels] == ["relu", "relu_1", "relu_2"]
    for panel, expected in zip(panels, found.densities, strict=True):
        np.testing.assert_array_equal(panel.get_images()[0].get_array(), expected)
    empty = client.hyperplane_density("rings", **WHOLE, max_tiles=1)
    with pytest.raises(InvalidInput, match="no layer"):
        empty.render()
    with np.load(found.save(tmp_path / "density.npz"), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["lengths"], found.lengths)


def test_other_files_and_colours_are_misuse(plane: Tessellation, line: Tessellation, tmp_path: Path) -> None:
    for call in (plane.render, line.render, plane.save):
        with pytest.raises(InvalidInput, match=r"\.npz") as caught:
            call(tmp_path / "some.jpg")
        assert caught.value.field == "path"
    with pytest.raises(InvalidInput, match="'log_volume'") as caught:
        plane.render(color="colour")  # type: ignore[arg-type]
    assert caught.value.field == "color"
    with pytest.raises(InvalidInput, match="inches"):
        plane.render(width=0)
    with pytest.raises(OSError, match="nowhere"):
        plane.render("/nowhere/some.png")
    assert not list(tmp_path.iterdir())


def test_log_volumes_have_to_be_asked_for(client: Client) -> None:
    with pytest.raises(InvalidInput, match="volumes=True"):
        client.slice("rings", **WHOLE).render(color="log_volume")


def test_without_matplotlib_the_way_to_it_is_said(plane: Tessellation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Refused, match=r"pip install 'magnet-service\[pictures\]'"):
        plane.render()
