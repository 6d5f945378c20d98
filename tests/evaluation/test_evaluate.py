"""The whole of it: a report of `fashion` over a small bank, and the same figures every time."""

from __future__ import annotations

import dataclasses
import io
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magnet_service.cli.terminal import STDOUT
from magnet_service.config import BUNDLED
from magnet_service.errors import InvalidInput, Refused
from magnet_service.evaluation import Evaluated, EvaluationRequest, Family, Setting, evaluate, report, write_report
from magnet_service.evaluation.norms import log_norms_of_values
from magnet_service.evaluation.sweep import draw, draw_as_trained, prepared
from magnet_service.generator import Manifold
from magnet_service.registry import Registry, Wanted
from magnet_service.sampling import Method, Result, SampleRequest
from tests.cli.conftest import Magnet
from tests.evaluation.conftest import exported, network

FASHION_CLASSIFIER = Path(__file__).resolve().parents[2] / "examples" / "demo" / "classifier" / "classifier.pt2"
SMALL = EvaluationRequest(rhos=(-1.0,), psis=(0.7,), keeps=(0.2, 0.7), count=100, bank_rows=256, neighbours=3)


SCREENED = EvaluationRequest(
    rhos=(3.0,), psis=(0.5,), keeps=(0.5,), count=100, bank_rows=2048, top_k=2, method=Method.SCREENED
)


class Balanced(HTMLParser):
    """Fails on tags that do not match; keeps what is written between them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe")
        assert not {name for name, _ in attrs} & {"href", "onload", "onclick"}
        self.sources.extend(value or "" for name, value in attrs if name == "src")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> tuple[list[Image.Image], str]:
    """The pictures and the words of a report, which needs nothing but itself."""
    page = Balanced()
    page.feed(text)
    assert page.open == []
    assert "http" not in text
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    pictures = [Image.open(io.BytesIO(b64decode(source.partition(",")[2]))) for source in page.sources]
    for picture in pictures:
        picture.load()
    return pictures, " ".join(page.text)


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, Path]:
    """`fashion` over an empty store, and images of it that pass for real ones."""
    folder = tmp_path_factory.mktemp("fashion")
    registry = Registry([BUNDLED], folder / "store", threads=1)
    held = registry.generators.get("fashion")
    images = registry.generate(held, held.prior.rows(77, 0, 240), Wanted()).values
    assert images is not None
    np.savez_compressed(folder / "real.npz", images=np.rint((images + 1) * 127.5).astype(np.uint8))
    return registry, folder / "real.npz"


@pytest.fixture(scope="module")
def evaluated(fashion: tuple[Registry, Path]) -> Evaluated:
    registry, real = fashion
    return evaluate(registry, "fashion", SMALL, FASHION_CLASSIFIER, real)


def test_a_report_of_fashion_needs_nothing_but_itself(evaluated: Evaluated, tmp_path: Path) -> None:
    found = evaluated.evaluation
    path = write_report(evaluated, tmp_path / "made" / "here")
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]
    pictures, words = read(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 1_500_000
    # Four plots, and a sheet of four rows of ten for each of the five points; real images are not passed on.
    assert len(pictures) == 4 + 5
    assert {picture.size for picture in pictures[4:]} == {(280, 112)}
    for sentence in (*found.verdict, found.reference, *found.labels, found.bank_id, found.features[0]):
        assert sentence in words
    for row in found.rows:
        assert row.setting.name in words
        assert f"{row.precision.value:.3f}" in words


def test_rows_are_what_was_asked_for(evaluated: Evaluated) -> None:
    found = evaluated.evaluation
    names = ["rho -1", "rho 0", "psi 0.7", "norm 0.2", "norm 0.7", "real images"]
    assert [row.setting.name for row in found.rows] == names
    assert (found.bank_revision, found.reference_rows, found.features) == (256, (100, 140), ("relu_3", 96))
    assert found.top_k >= 1
    for row in found.rows:
        assert sum(share.value for share in row.shares) == pytest.approx(1.0)
        assert all(share.low <= share.value <= share.high for share in row.shares)
        assert 0.0 <= row.precision.value <= 1.0
    by_name = {row.setting.name: row for row in found.rows}
    # The images that pass for real are of the generator: its own draws reach them, and modes do less.
    assert by_name["rho 0"].recall.value > 0.5
    assert by_name["rho -1"].top_probability.value > by_name["rho 0"].top_probability.value
    norms = [by_name[name].log_norm for name in ("norm 0.2", "norm 0.7", "rho 0")]
    assert [norm.value for norm in norms if norm] == sorted(norm.value for norm in norms if norm)
    # 51 rows of the bank are kept for 100 draws, and said to be.
    assert by_name["norm 0.2"].result is Result.LOW_ESS
    assert by_name["norm 0.2"].ess == pytest.approx(51)
    assert by_name["norm 0.7"].distinct == 100
    assert by_name["real images"].log_norm is None


def test_marked_rows_and_names_that_look_like_html(evaluated: Evaluated) -> None:
    found = evaluated.evaluation
    rows = tuple(dataclasses.replace(row, result=Result.DEGENERATE) for row in found.rows[:1]) + found.rows[1:]
    labels = ('<script>alert("x")</script>', "a&b", *found.labels[2:])
    text = report(dataclasses.replace(evaluated, evaluation=dataclasses.replace(found, rows=rows, labels=labels)))
    _, words = read(text)
    assert labels[0] in words
    assert "a&b" in words
    assert re.search(r'<tr class="DEGENERATE"><td>rho -1</td>', text)
    assert re.search(r'<tr class="LOW_ESS"><td>norm 0.2</td>', text)
    assert re.search(r'<tr class="base"><td>rho 0</td>', text)


def test_without_real_images_the_reference_is_the_generator_and_that_is_said(
    registry: Registry, classifier: Path
) -> None:
    request = EvaluationRequest(rhos=(0.2,), psis=(), keeps=(), count=100, bank_rows=128, top_k=2)
    found = evaluate(registry, "grey", request, classifier).evaluation
    assert "not from its data" in found.reference
    assert found.top_k_reason == ""
    ground = prepared(registry, "grey", request)
    latents = draw_as_trained(ground, 100).latents
    judged = [draw(ground, setting).latents for setting in request.settings]
    others = {row.tobytes() for part in [*judged, ground.rows.latents_at(np.arange(128))] for row in part}
    assert not {row.tobytes() for row in latents} & others


@pytest.mark.parametrize("name", ["colour", "plain"])
def test_other_layouts_and_priors(registry: Registry, tmp_path: Path, name: str) -> None:
    shape = (3, 4, 4) if name == "colour" else (9,)
    judge = exported(network(int(np.prod(shape)), 3), tmp_path / "c.pt2", shape)
    request = EvaluationRequest(rhos=(), psis=(0.5,), keeps=(), count=100, bank_rows=128)
    found = evaluate(registry, name, request, judge)
    assert found.evaluation.labels == ("class 0", "class 1", "class 2")
    pictures, _ = read(report(found))
    assert [picture.mode for picture in pictures[4:]] == (["RGB"] * 2 if name == "colour" else [])


def test_draws_that_are_one_draw_repeated_are_a_row_and_no_error(registry: Registry, classifier: Path) -> None:
    request = EvaluationRequest(rhos=(-200.0,), psis=(), keeps=(), count=100, bank_rows=128, top_k=2)
    found = evaluate(registry, "grey", request, classifier)
    row = found.evaluation.rows[0]
    assert (row.result, row.distinct) == (Result.DEGENERATE, 1)
    assert np.isnan(row.precision.low)
    assert (row.tv.low, row.tv.value, row.tv.high) == (0.5, 0.5, 0.5)
    _, words = read(report(found))
    assert "nan" not in words
    assert "rho -200" not in " ".join(found.evaluation.verdict)


def test_norms_of_fresh_draws_and_of_the_bank_are_of_the_latents_drawn(registry: Registry) -> None:
    request = EvaluationRequest(rhos=(0.5,), psis=(0.5,), keeps=(0.5,), count=100, bank_rows=128, top_k=2)
    ground = prepared(registry, "grey", request)
    for setting in request.settings:
        drawn = draw(ground, setting)
        measured, _, _ = registry.volumes(
            ground.held, drawn.latents, manifold=Manifold.OUTPUT, precision=ground.registry.engine().precision, top_k=0
        )
        np.testing.assert_allclose(
            drawn.log_norms, log_norms_of_values(measured.log_singular_values.numpy()), atol=1e-4, err_msg=setting.name
        )
    assert request.settings[1] == Setting(Family.POLARITY, 0.5)


@pytest.fixture(scope="module")
def screened(
    repository: Path, classifier: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Registry, Evaluated]:
    registry = Registry([repository], tmp_path_factory.mktemp("screened"), threads=1)
    return registry, evaluate(registry, "grey", SCREENED, classifier)


def test_polarity_is_drawn_by_the_method_asked_for_and_truncation_as_ever(
    screened: tuple[Registry, Evaluated], classifier: Path
) -> None:
    registry, evaluated = screened
    found = evaluated.evaluation
    methods = {row.setting.name: row.method for row in found.rows}
    assert methods == {
        "rho 0": Method.DIRECT,
        "rho 3": Method.SCREENED,
        "psi 0.5": Method.DIRECT,
        "norm 0.5": None,
    }
    assert found.method == "SCREENED"
    again = evaluate(registry, "grey", SCREENED, classifier)
    assert again.evaluation.rows == found.rows
    resampled = evaluate(registry, "grey", dataclasses.replace(SCREENED, method=Method.RESAMPLE), classifier)
    others = {row.setting.name: row for row in resampled.evaluation.rows}
    for row in found.rows:
        assert (row == others[row.setting.name]) == (row.setting.name != "rho 3")
    assert others["rho 3"].method is Method.RESAMPLE


def test_screened_draws_are_those_of_the_method_and_their_norms_those_of_their_latents(
    screened: tuple[Registry, Evaluated],
) -> None:
    registry, _ = screened
    ground = prepared(registry, "grey", SCREENED)
    drawn = draw(ground, Setting(Family.POLARITY, 3.0))
    assert drawn.method is Method.SCREENED
    request = SampleRequest(
        count=SCREENED.count, seed=SCREENED.seed, rho=3.0, top_k=2, method=Method.SCREENED, bank_id=ground.bank.id
    )
    np.testing.assert_array_equal(drawn.latents, registry.plan("grey", request).draw.latents(0, SCREENED.count))
    bank = {row.tobytes() for row in ground.rows.latents_at(np.arange(ground.revision))}
    assert not bank & {row.tobytes() for row in drawn.latents}
    measured, _, _ = registry.volumes(
        ground.held, drawn.latents, manifold=Manifold.OUTPUT, precision=registry.engine().precision, top_k=0
    )
    expected = log_norms_of_values(measured.log_singular_values.numpy())
    np.testing.assert_allclose(drawn.log_norms, expected, atol=1e-4)


def test_a_report_names_the_method_where_it_is_not_resample(
    screened: tuple[Registry, Evaluated], evaluated: Evaluated
) -> None:
    text = report(screened[1])
    _, words = read(text)
    assert "SCREENED at every rho but 0" in words
    assert "a surrogate found" in words
    assert re.search('<td>rho 3</td><td class="text">SCREENED</td>', text)
    assert re.search('<td>rho 0</td><td class="text">DIRECT</td>', text)
    assert re.search('<td>norm 0.5</td><td class="text">-</td>', text)
    table = text.partition('<div class="wide"><table>')[2].partition("</table>")[0]
    cells = {len(re.findall("<t[dh][ >]", row)) for row in table.split("</tr>") if "<tr" in row}
    assert cells == {15}
    _, plain = read(report(evaluated))
    for word in ("SCREENED", "RESAMPLE", "surrogate"):
        assert word not in plain


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"psis": (1.0,)}, "psi"),
        ({"keeps": (0.0,)}, "keep"),
        ({"keeps": (float("nan"),)}, "keep"),
        ({"rhos": (float("inf"),)}, "rho"),
        ({"count": 99}, "count"),
        ({"count": 10_001}, "count"),
        ({"top_k": -1}, "top_k"),
        ({"neighbours": 0}, "neighbours"),
        ({"bank_rows": 1}, "bank_rows"),
        ({"seed": -1}, "seed"),
        ({"method": Method.DIRECT}, "method"),
        ({"method": Method.SCREENED, "bank_rows": 1999}, "bank_rows"),
        ({"method": Method.SCREENED_CHAIN, "bank_rows": 1999}, "bank_rows"),
    ],
)
def test_requests_that_cannot_be(changed: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        EvaluationRequest(**changed)  # type: ignore[arg-type]  # what is under test
    assert caught.value.field == field


def test_too_few_real_images_and_too_large_a_k(registry: Registry, classifier: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "real.npz", images=np.random.default_rng(0).integers(0, 256, (13, 8, 8), dtype=np.uint8))
    with pytest.raises(InvalidInput, match="real images are 13, and 5 nearest neighbours need 14") as caught:
        evaluate(registry, "grey", EvaluationRequest(count=100), classifier, tmp_path / "real.npz")
    assert caught.value.field == "real"
    with pytest.raises(InvalidInput, match="draws are 100, and 49 nearest neighbours need 102") as caught:
        evaluate(registry, "grey", EvaluationRequest(count=100, neighbours=49), classifier)
    assert caught.value.field == "count"
    with pytest.raises(InvalidInput, match="write 1 to 6") as caught:
        evaluate(registry, "grey", EvaluationRequest(count=100, bank_rows=64, top_k=7), classifier)
    assert caught.value.field == "top_k"


def test_a_store_that_is_only_read_is_not_built_in(repository: Path, tmp_path: Path, classifier: Path) -> None:
    registry = Registry([repository], tmp_path, threads=1, builder=False)
    with pytest.raises(Refused) as caught:
        evaluate(registry, "grey", EvaluationRequest(count=100), classifier)
    assert caught.value.reason == "READ_ONLY"


@pytest.fixture
def magnet(repository: Path, tmp_path: Path) -> Magnet:
    return Magnet(MAGNET_THREADS="1", MAGNET_REPOSITORIES=str(repository), MAGNET_STORE=str(tmp_path / "store"))


def test_the_command_prints_a_table_and_a_verdict_or_the_same_json_every_time(
    magnet: Magnet, classifier: Path, tmp_path: Path
) -> None:
    known = ["evaluate", "grey", "--classifier", classifier, "--count", 100, "--top-k", 1, "--keep", "none"]
    known += ["--out", tmp_path / "out"]
    printed = magnet.done(*known, "--rho", "0", "--psi", "0.5", "--bank-rows", 128)
    for words in ("rho 0", "psi 0.5", "Truncation psi", "report.html"):
        assert words in printed
    # From now on the bank at hand is used as it is.
    first, again, other = (magnet.json(*known, "--rho=0.2", "--psi", "none", "--seed", seed) for seed in (5, 5, 6))
    assert [row["setting"]["value"] for row in first["rows"]] == [0.0, 0.2]
    assert first["bank_revision"] == 128
    assert first == again
    assert first["rows"] != other["rows"]
    assert "method" not in printed
    assert {row["method"] for row in first["rows"]} == {"DIRECT", "RESAMPLE"}


@pytest.mark.long
def test_the_command_draws_by_a_method_and_names_it(
    magnet: Magnet, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STDOUT, "width", 100)  # rich reads COLUMNS only when it is imported
    known = ["evaluate", "grey", "--classifier", classifier, "--count", 100, "--top-k", 2, "--keep", "none"]
    known += ["--psi", "none", "--rho", "3", "--bank-rows", 2048, "--out", tmp_path / "out"]
    printed = magnet.done(*known, "--method", "screened")
    lines = [line.split() for line in printed.splitlines() if line.startswith("rho")]
    assert [line[:3] for line in lines] == [["rho", "0", "DIRECT"], ["rho", "3", "SCREENED"]]
    found = magnet.json(*known, "--method", "auto")
    assert found["method"] == "AUTO"
    trained, polar = (row["method"] for row in found["rows"])
    assert trained == "DIRECT"
    assert polar in ("RESAMPLE", "SCREENED", "SCREENED_CHAIN")
    few = magnet.error(2, *known, "--method", "screened", "--bank-rows", 100)
    assert "2,000 or more" in few
    assert magnet(*known, "--method", "direct").exit_code == 2


def test_misuse_is_one_line(magnet: Magnet, classifier: Path, tmp_path: Path) -> None:
    known = ["evaluate", "grey", "--count", 100, "--bank-rows", 64, "--out", tmp_path / "out"]
    wide = exported(network(128), tmp_path / "wide.pt2", (2, 8, 8))
    three = exported(network(classes=3), tmp_path / "three.pt2")
    cases: list[tuple[list[object], str]] = [
        (["--classifier", wide], "it takes [2, 8, 8]"),
        (["--classifier", three], "names 2 labels"),
        (["--classifier", classifier, "--real", tmp_path / "none.npz"], "no such file"),
        (["--classifier", classifier, "--rho", "one"], "--rho=0.5,0.7"),
        (["--classifier", classifier, "--psi", "1.5"], "psi: write numbers above 0"),
        (["--classifier", classifier, "--neighbours", 0], "neighbours is 0"),
        (["--classifier", classifier, "--condition", "round"], "takes no condition"),
    ]
    for arguments, message in cases:
        assert message in magnet.error(2, *known, *arguments)
    assert not (tmp_path / "out").exists()
