"""The survey's figures: small versions of each, and the facts that they show."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from examples.survey import command, figure_3, figure_4, figure_5, figure_7, figure_8, figure_9, figure_12
from examples.survey.__main__ import PICTURES
from examples.survey.digits import GLYPHS, digits, strokes
from examples.survey.drawing import pattern_colours, polygons
from examples.survey.networks import Biases, mlp, set_batch_norms
from examples.survey.toys import moons, square, star
from magnet_service.generator import Generator, Precision
from magnet_service.geometry.slice import slice_along
from magnet_service.geometry.tessellation import Tessellation, hyperplane_density, tessellate

ROOT = Path(__file__).resolve().parents[2]


def exact(generator: Generator, found: Tessellation, points: np.ndarray) -> torch.Tensor:
    """Values at points of a slice, float64."""
    return generator.to(precision=Precision.FLOAT64).forward(found.slice.lift(torch.from_numpy(points)))


def drawn(figure: Figure, axes: int) -> None:
    """A figure with so many axes that draws without a warning."""
    figure.canvas.draw()
    assert len(figure.axes) == axes


@pytest.fixture(scope="module")
def layers() -> figure_3.Layers:
    return figure_3.make(width=6, steps=150)


def test_figure_3_areas_add_up_and_layers_only_refine(layers: figure_3.Layers) -> None:
    tiles = [found.tiles for found in (*layers.layers, layers.whole)]
    assert tiles == sorted(tiles)
    assert tiles[0] < tiles[1] < tiles[2]
    for found in (*layers.layers, layers.whole):
        assert found.areas.sum() == pytest.approx(16.0, abs=1e-9)


def test_figure_3_lines_are_straight_in_the_first_layer_and_never_end_inside(layers: figure_3.Layers) -> None:
    folded = 0
    for number, found in enumerate(layers.layers):
        inside = np.abs(found.points).max(axis=1) < 2.0 - 1e-9
        for unit in np.unique(found.labels[found.labels[:, 0] == number, 1]):
            mine = found.ends[(found.labels[:, 0] == number) & (found.labels[:, 1] == unit)]
            degrees = np.bincount(mine.ravel(), minlength=len(inside))
            assert not (inside & (degrees == 1)).any()
            corners = found.points[np.unique(mine)]
            straight = np.linalg.svd(corners - corners.mean(axis=0), compute_uv=False)[1] < 1e-9
            assert straight or number > 0
            folded += not straight
    assert folded > 3


def test_figure_3_the_network_is_0_on_the_decision_boundary(layers: figure_3.Layers) -> None:
    found = layers.whole
    ends = found.points[np.unique(found.ends[found.decision])]
    assert len(ends) > 2
    assert float(exact(layers.generator, found, ends).abs().max()) < 1e-9
    drawn(figure_3.draw(layers), 4)


def test_colours_follow_the_pattern_and_tell_neighbours_apart(layers: figure_3.Layers) -> None:
    found = layers.layers[2]
    colours = pattern_colours(layers.generator, found)
    assert 0.6 < colours.min() < colours.max() < 1.0
    across = found.sides[~found.border]
    assert (np.abs(colours[across[:, 0]] - colours[across[:, 1]]).max(axis=1) > 1e-4).all()


@pytest.fixture(scope="module")
def surfaces() -> tuple[figure_4.Surface, figure_4.Surface]:
    return figure_4.make(width=7, steps=150)


def test_figure_4_pieces_meet_without_a_gap(surfaces: tuple[figure_4.Surface, figure_4.Surface]) -> None:
    for surface in surfaces:
        found = surface.tessellation
        assert found.tiles > 20
        values = exact(surface.generator, found, found.points).numpy()
        # Every corner of every piece: computed from its tile's own map, and from the network.
        assert np.abs(np.concatenate(surface.pieces) - values[found.corners]).max() < 1e-9


def test_figure_4_pieces_are_flat_and_their_areas_are_those_of_their_maps(
    surfaces: tuple[figure_4.Surface, figure_4.Surface],
) -> None:
    sheet = surfaces[1]
    areas = []
    for piece in sheet.pieces:
        sides = piece[1:] - piece[0]
        assert np.linalg.svd(sides, compute_uv=False)[2:].max(initial=0.0) < 1e-9
        areas.append(np.linalg.norm(np.cross(sides[:-1], sides[1:]), axis=1).sum() / 2)
    found = sheet.tessellation
    assert np.allclose(areas, found.areas * found.stretches, rtol=1e-6, atol=1e-7)
    drawn(figure_4.draw(*surfaces), 4)


@pytest.fixture(scope="module")
def images() -> figure_5.Digits:
    return figure_5.make_digits(channels=2, steps=250)


def test_figure_5_classes_change_on_the_decision_boundary_and_nowhere_else(images: figure_5.Digits) -> None:
    assert images.accuracy > 0.5
    for found in (images.whole, *images.details):
        assert found.areas.sum() == pytest.approx(found.slice.area, rel=1e-9)
        classes = figure_5.classes_of(images.generator, found)
        inner = ~found.border
        # Along an edge that is hardly longer than rounding, a centroid may be given to a neighbour.
        inner &= (found.areas[found.sides] > 1e-12 * found.slice.area).all(axis=1)
        left, right = classes[found.sides[inner]].T
        assert (left[found.decision[inner]] != right[found.decision[inner]]).all()
        assert (left[~found.decision[inner]] == right[~found.decision[inner]]).all()


def test_figure_5_the_plane_goes_through_the_images(images: figure_5.Digits) -> None:
    lifted = images.whole.slice.lift(torch.from_numpy(images.places))
    assert torch.allclose(lifted.float(), images.images.flatten(1), atol=1e-6)
    given = exact(images.generator, images.whole, images.places).argmax(dim=1)
    assert given.tolist() == list(figure_5.CHOSEN)


def test_figure_5_the_zero_set(images: figure_5.Digits) -> None:
    solid = figure_5.make_solid(width=10, steps=300)
    for found in solid.planes:
        assert found.areas.sum() == pytest.approx(4.0, abs=1e-9)
        ends = found.points[np.unique(found.ends[found.decision])]
        assert len(ends) > 10
        assert float(exact(solid.generator, found, ends).abs().max()) < 1e-9
    drawn(figure_5.draw(images, solid), 5)


def test_the_solid_is_a_ring_around_a_ball() -> None:
    inside, between, outside = (0.0, 0.0, 0.0), (0.4, 0.0, 0.0), (1.0, 1.0, 0.0)
    found = figure_5.distance(torch.tensor([inside, between, (0.65, 0.0, 0.0), outside])).flatten()
    assert torch.allclose(found, torch.tensor([-0.3, 0.07, -0.18, 2**0.5 - 0.83]), atol=1e-6)


@pytest.fixture(scope="module")
def pairs() -> list[figure_7.Pair]:
    return [figure_7.make(seed=seed) for seed in (0, 1)]


def test_figure_7_first_lines_of_batch_norm_meet_in_the_mean_of_the_points(pairs: list[figure_7.Pair]) -> None:
    for pair in pairs:
        mean = pair.points.double().mean(dim=0).numpy()
        for biases, meets in ((Biases.BATCH_NORM, True), (Biases.RANDOM, False)):
            found = pair.found[biases]
            first = found.labels[:, 0] == 0
            offsets = []
            for unit in range(6):
                a, b = found.points[found.ends[first & (found.labels[:, 1] == unit)][0]]
                across = np.array([b[1] - a[1], a[0] - b[0]]) / np.linalg.norm(b - a)
                offsets.append(abs(across @ (mean - a)))
            assert (max(offsets) < 1e-6) == meets


def test_figure_7_batch_norm_draws_deeper_lines_to_the_points(pairs: list[figure_7.Pair]) -> None:
    for layer in range(1, figure_7.DEPTH):
        near, far = (
            np.mean([np.median(figure_7.distances(pair.found[biases], pair.points, layer)) for pair in pairs])
            for biases in (Biases.BATCH_NORM, Biases.RANDOM)
        )
        assert near < 0.5 * far
    drawn(figure_7.draw(pairs[0]), 8)


def test_distances_against_points_along_the_edges(pairs: list[figure_7.Pair]) -> None:
    found = pairs[0].found[Biases.BATCH_NORM]
    ends = found.points[found.ends[found.labels[:, 0] == 2]]
    share = np.linspace(0, 1, 400)[:, None, None]
    along = ((1 - share) * ends[:, 0] + share * ends[:, 1]).reshape(-1, 2)
    brute = np.linalg.norm(pairs[0].points.double().numpy()[:, None] - along, axis=-1).min(axis=1)
    assert np.allclose(figure_7.distances(found, pairs[0].points, 2), brute, atol=0.02)
    assert np.isinf(figure_7.distances(found, pairs[0].points, 9)).all()


@pytest.fixture(scope="module")
def grids() -> figure_8.Grids:
    return figure_8.make(width=48, layers=(1, 3, 5), cells=20)


def test_figure_8_without_biases_all_first_lines_go_through_0(grids: figure_8.Grids) -> None:
    first = grids.counts[Biases.ZERO][0]
    # The four cells around 0 see every line but those that only touch their corner at 0: two cells see each.
    assert first[9:11, 9:11].sum() >= 2 * 48
    # There rounding decides the sign at 0; a line that enters any other cell enters the opposite one.
    for biases, symmetric in ((Biases.ZERO, True), (Biases.RANDOM, False)):
        counts = grids.counts[biases][0].copy()
        counts[9:11, 9:11] = 0
        assert (counts == counts[::-1, ::-1]).all() == symmetric


def test_figure_8_batch_norm_is_denser_at_the_points(grids: figure_8.Grids) -> None:
    normed, spread = grids.near(Biases.BATCH_NORM), grids.near(Biases.RANDOM)
    assert normed[2] > spread[2] + 0.1
    assert normed[2] > 1.2
    assert grids.counts[Biases.BATCH_NORM][2].sum() > 2 * grids.counts[Biases.RANDOM][2].sum()
    drawn(figure_8.draw(grids), 18)


@pytest.mark.parametrize("biases", Biases)
def test_figure_8_counts_and_exact_lengths_agree_on_a_narrow_network(biases: Biases) -> None:
    cells = 15
    network = mlp((2, 10, 10, 10, 1), seed=4, biases=biases)
    set_batch_norms(network, star(50))
    generator = Generator.from_module(network, 2)
    counts = figure_8.cell_counts(generator, cells)
    found = tessellate(generator, slice_along(torch.zeros(2), torch.eye(2), square(figure_8.HALF)))
    lengths = hyperplane_density(found, (cells, cells))
    least = 1e-9
    # A unit that differs at two corners has a line between them; one line of the first layer always parts two corners.
    assert (lengths[counts > 0] > least).all()
    assert (counts[0][lengths[0] > least] > 0).all()
    missed = (counts == 0) & (lengths > least)
    assert missed.mean() < 0.1
    assert np.corrcoef(counts.ravel(), lengths.ravel())[0, 1] > 0.7


def test_figure_8_first_layer_by_hand() -> None:
    cells = 12
    network = mlp((2, 30, 1), seed=2)
    counts = figure_8.cell_counts(Generator.from_module(network, 2), cells)[0]
    weight, bias = (network[0].get_parameter(name).detach().double().numpy() for name in ("weight", "bias"))
    half = figure_8.HALF / cells
    middles = (np.arange(cells) + 0.5) * 2 * half - figure_8.HALF
    x, y = np.meshgrid(middles, middles)
    values = np.stack([x, y], axis=-1) @ weight.T + bias
    assert (counts == (np.abs(values) < half * np.abs(weight).sum(axis=1)).sum(axis=-1)).all()


@pytest.fixture(scope="module")
def course() -> figure_9.Course:
    return figure_9.make(width=24, steps=500, rows=80, around=20, radius=0.3)


def test_figure_9_looks() -> None:
    at = figure_9.looks(20_000)
    assert (at[0], at[1], at[-1]) == (0, 10, 20_000)
    assert at == sorted(set(at))
    assert max(after / before for before, after in pairwise(at[1:])) < 1.6


def test_figure_9_follows_the_training(course: figure_9.Course) -> None:
    assert course.steps == figure_9.looks(500)
    for name in figure_9.COLOURS:
        assert len(course.complexity[name]) == len(course.steps)
        assert min(course.complexity[name]) > 0
    assert course.accuracy["training images"][-1] == 1.0 > course.accuracy["training images"][0]
    assert [step for step, _ in course.planes][::2] == [0, 500]
    for _, found in course.planes:
        assert found.areas.sum() == pytest.approx(found.slice.area, rel=1e-9)
    fitted = course.planes[1][0]
    first = next(
        step for step, share in zip(course.steps, course.accuracy["training images"], strict=True) if share == 1
    )
    assert fitted == first
    drawn(figure_9.draw(course), 5)


@pytest.fixture(scope="module")
def polarities() -> figure_12.Polarities:
    return figure_12.make(count=1000, rows=20 * figure_12.TILE_ROWS)


def test_figure_12_modes_lie_nearer_to_the_means_than_anti_modes(polarities: figure_12.Polarities) -> None:
    near = [drawn.near for drawn in polarities.draws]
    assert near == sorted(near, reverse=True)
    assert near[0] > near[1] + 0.1
    assert near[2] > near[3] + 0.1
    drawn(figure_12.draw(polarities), 11)


def test_figure_12_draws_follow_the_exact_law_of_tiles(polarities: figure_12.Polarities) -> None:
    found = polarities.tessellation
    assert found.areas.sum() == pytest.approx(4.0, abs=1e-9)
    logs = np.log(found.stretches)
    for one in polarities.draws:
        law = figure_12.tile_law(found, one.rho)
        mean = float(law @ logs)
        spread = float(np.sqrt(law @ (logs - mean) ** 2))
        at = logs[holding(polygons(found), one.latents.astype(np.float64))]
        error = spread * np.sqrt(1 / len(at) + 1 / one.ess)
        assert abs(float(np.mean(at)) - mean) < 4.5 * error
        # The law of another polarity is refuted by the same draws.
        other = figure_12.tile_law(found, one.rho + 1) @ logs
        assert abs(float(np.mean(at)) - other) > 4.5 * error


def holding(tiles: list[np.ndarray], points: np.ndarray) -> np.ndarray:
    """The tile that each point lies deepest in."""
    depths = []
    for corners in tiles:
        side = np.roll(corners, -1, axis=0) - corners
        beyond = points[:, None] - corners
        depth = (side[:, 0] * beyond[..., 1] - side[:, 1] * beyond[..., 0]) / np.linalg.norm(side, axis=1)
        depths.append(depth.min(axis=1))
    return np.argmax(depths, axis=0)


def test_digits_are_the_bitmaps() -> None:
    for glyph, fine in zip(GLYPHS, strokes()[:, 0], strict=True):
        points = fine[16 + 4 : -16 : 8, 24 + 4 : -24 : 8] > 0.5
        assert "".join("1" if point else "0" for point in points.flatten()) == glyph.replace(" ", "")


def test_digits_follow_their_seed_and_tell_their_class() -> None:
    images, classes = digits(600, size=16, seed=1)
    again, same = digits(600, size=16, seed=1)
    assert torch.equal(images, again)
    assert torch.equal(classes, same)
    assert not torch.equal(images, digits(600, size=16, seed=2)[0])
    assert set(classes.tolist()) == set(range(10))
    others, truth = digits(300, size=16, seed=3)
    nearest = torch.cdist(others.flatten(1), images.flatten(1)).argmin(dim=1)
    assert (classes[nearest] == truth).double().mean() > 0.8


def test_toys() -> None:
    points, which = moons(400, noise=0.0, seed=0)
    assert points.mean(dim=0).abs().max() < 0.1
    # Without noise a point of either half circle is one away from its middle.
    middles = torch.tensor([[-0.5, -0.25], [0.5, 0.25]])[which]
    assert torch.allclose((points - middles).norm(dim=1), torch.ones(400), atol=1e-5)
    radii = star(50).norm(dim=1)
    assert radii.min() < 0.6 < 1.4 < radii.max()


def test_every_figure_has_its_command_and_its_place_in_the_docs() -> None:
    text = (ROOT / "docs" / "survey.md").read_text(encoding="utf-8")
    names = {path.stem for path in (ROOT / "examples" / "survey").glob("figure_*.py")}
    assert names == {f"figure_{number}" for number in PICTURES}
    for name in names:
        assert f"python -m examples.survey.{name} " in text
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(pictures) == len(PICTURES)
    for picture in pictures:
        path = ROOT / "docs" / picture
        with Image.open(path) as image:
            image.verify()
        assert path.stat().st_size < 250_000, picture


def test_the_command_writes_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "figure_0.png"
    monkeypatch.setattr(sys, "argv", ["figure_0", "--out", str(out)])
    command.run(0, lambda: (Figure(figsize=(2, 1)), ["a fact"]), "nothing")
    with Image.open(out) as image:
        assert image.size == (300, 150)
    assert capsys.readouterr().out.startswith(f"a fact\nwrote {out} in ")
    monkeypatch.setattr(sys, "argv", ["figure_0", "--out", str(out), "--width", "120"])
    command.run(0, lambda: (Figure(figsize=(2, 1)), []), "nothing")
    with Image.open(out) as image:
        assert (image.size, image.mode) == ((120, 60), "P")


def test_small_files_keep_the_colours_of_thin_lines(layers: figure_3.Layers, tmp_path: Path) -> None:
    command.save(figure_3.draw(layers), tmp_path / "small.png", 1200)
    with Image.open(tmp_path / "small.png") as image:
        shown = np.asarray(image.convert("RGB")) / 255
    for colour in colormaps["Dark2"].colors[:6]:
        near = np.abs(shown - colour).max(axis=-1) < 0.1
        assert near.sum() > 100, colour


@pytest.mark.long
@pytest.mark.parametrize("number", PICTURES)
def test_whole_figures(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.write(PICTURES[number], tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert min(image.size) > 400
    said = capsys.readouterr().out
    if number == 9:
        means = [float(found) for found in re.findall(r"training images ([0-9.]+)", said)]
        assert means[2] < 0.5 * means[0]
        assert means[2] < 0.5 * means[1]
    if number == 8:
        near = [float(line.split()[-1]) for line in said.splitlines()[:3]]
        assert near[2] > max(near[:2]) + 0.3
