"""`magnet generator add` and `verify`: files into a repository, without a server."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tests.cli.conftest import Magnet
from tests.client.toy import export_toy

CARD = ("--prior", "normal", "--output-range=-1,1", "--labels", "cat, dog", "--training-shares", "0.9,0.1")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_toy(tmp_path_factory.mktemp("exported"))


def test_a_file_is_added_and_verified(magnet: Magnet, file: Path, tmp_path: Path) -> None:
    here = ("--repository", tmp_path / "own")
    added = magnet.json("generator", "add", "pets", file, *CARD, "--licence", "MIT", *here)
    assert (added["name"], added["version"], added["labels"]) == ("pets", 1, ["cat", "dog"])
    assert (added["layout"], added["value_range"], added["training_shares"]) == ("HW", [-1, 1], [0.9, 0.1])
    assert (added["verified_against"], added["rank"]["rank_min"], added["units"]) == ("probe", 4, 32)
    assert added["bits_depend_on_position"] in (True, False)
    assert added["format"] == "pt2"
    assert added["folder"] == str(tmp_path / "own" / "pets" / "1")
    assert magnet.json("generator", "verify", "pets", *here) == added
    text = magnet.done("generator", "verify", "pets@1", *here)
    assert "verified pets@1" in text
    assert "piecewise_linear" in text
    said = " ".join(text.split())
    assert "verified against outputs of the original module (probe)" in said
    assert f"outputs at most {added['forward_error']:.1e} of the largest one, at 80 latents" in said
    assert "a row's place: " in said
    assert magnet.json("generator", "show", "pets", "--local", *here) == {
        name: value for name, value in added.items() if name != "folder"
    }


def test_a_file_without_a_probe_is_verified_against_the_interpreter(magnet: Magnet, file: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.pt2"
    alone.write_bytes(file.read_bytes())
    here = ("--repository", tmp_path / "own", "--rank-latents", 0)
    added = magnet.json("generator", "add", "pets", alone, *here)
    assert (added["verified_against"], added["rank"]) == ("interpreter", None)
    assert "(interpreter)" in magnet.done("generator", "verify", "pets", *here)


def test_too_many_latents_are_refused_before_anything_is_added(magnet: Magnet, file: Path, tmp_path: Path) -> None:
    here = ("--repository", tmp_path / "own")
    assert "0 to 1024" in magnet.error(2, "generator", "add", "pets", file, "--rank-latents", 1025, *here)
    assert not (tmp_path / "own").exists()


def test_a_generator_added_is_drawn_from(magnet: Magnet, file: Path, tmp_path: Path) -> None:
    magnet.done("generator", "add", "pets", file, "--repository", tmp_path / "own")
    drawn = magnet.json(
        "sample", "pets", "--preset", "as_trained", "--count", 5,
        "--local", "--repository", tmp_path / "own", "--store", tmp_path / "store",
    )  # fmt: skip
    assert drawn["header"]["resolved"]["generator"] == "pets@1"


def test_without_a_repository_it_goes_where_local_and_serve_look(file: Path, tmp_path: Path) -> None:
    magnet = Magnet(XDG_DATA_HOME=str(tmp_path), MAGNET_ADDRESS=None, MAGNET_REPOSITORIES=None, MAGNET_THREADS="1")
    magnet.done("generator", "add", "pets", file)
    assert (tmp_path / "magnet" / "generators" / "pets" / "1" / "generator.pt2").is_file()
    listed = magnet.json("generator", "list", "--local", "--store", tmp_path / "store")
    assert "pets" in [one["name"] for one in listed]


def test_a_second_version_is_added_only_when_asked_for(magnet: Magnet, file: Path, tmp_path: Path) -> None:
    here = ("--repository", tmp_path / "own")
    magnet.done("generator", "add", "pets", file, *here)
    assert "--new-version" in magnet.error(1, "generator", "add", "pets", file, *here)
    assert magnet.json("generator", "add", "pets", file, "--new-version", *here)["version"] == 2


@pytest.mark.parametrize(
    ("name", "options", "code", "says"),
    [
        ("../pets", (), 2, "a-z"),
        ("pets", ("--output-range=1,-1",), 2, "output-range"),
        ("pets", ("--output-range", "wide"), 2, "--output-range=-1,1"),
        ("pets", ("--prior", "cauchy"), 2, "normal"),
        ("pets", ("--prior", "ball(foo=3)"), 2, "--prior: 'foo=3'"),
        ("pets", ("--prior", "ball"), 2, "--prior: 'ball' lacks radius"),
        ("pets", ("--prior", "uniform(low=1, high=-1)"), 2, "--prior: "),
        ("pets", ("--layout", "diagonal"), 2, "CHW"),
        ("pets", ("--labels", "a,b", "--training-shares", "0.5,x"), 2, "--training-shares=0.5,0.3,0.2"),
        ("pets", ("--labels", "a,b", "--training-shares", "0.5,0.1"), 2, "error --training-shares: write one share"),
        ("pets", ("--new-version",), 1, "no generator"),
    ],
)
def test_a_card_that_cannot_be_leaves_nothing_behind(
    magnet: Magnet, file: Path, tmp_path: Path, name: str, options: tuple[str, ...], code: int, says: str
) -> None:
    own = tmp_path / "own"
    assert says in magnet.error(code, "generator", "add", name, file, *options, "--repository", own)
    assert not own.exists() or not any(own.iterdir())


def test_what_is_no_archive_is_refused_and_never_run(magnet: Magnet, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "went-off",))

    plain = tmp_path / "model.pt2"
    plain.write_bytes(pickle.dumps(Bomb()))
    error = magnet.error(1, "generator", "add", "pets", plain, "--repository", tmp_path / "own")
    assert "is a pickle" in error
    assert not (tmp_path / "went-off").exists()


def test_a_file_that_is_not_there_is_misuse(magnet: Magnet, tmp_path: Path) -> None:
    assert "nope.pt2" in magnet.error(2, "generator", "add", "pets", tmp_path / "nope.pt2")


def test_an_unknown_generator_is_not_verified(magnet: Magnet, tmp_path: Path) -> None:
    assert "nobody" in magnet.error(1, "generator", "verify", "nobody", "--repository", tmp_path)
