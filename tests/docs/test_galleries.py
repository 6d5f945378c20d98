"""The galleries: Python runs as written against a real server, commands draw the pictures that stand below them."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from magnet_service.cli.terminal import STDOUT
from magnet_service.config import load_settings
from magnet_service.rpc.server import running_server
from tests.cli.conftest import Magnet

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = ("geometry.md", "slices.md")
LONG = ("slice_norm.png", "slice_density.png", "slice_boundary.png")
"""Pictures of tens of thousands of tiles, and of a generator that is added first."""


@pytest.fixture
def magnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Magnet]:
    """`magnet` at a server, in a folder with nothing but the examples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(STDOUT, "width", 120)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with running_server(load_settings(port=0, threads=1)) as address:
        monkeypatch.setenv("MAGNET_ADDRESS", address)
        yield Magnet(MAGNET_ADDRESS=address, MAGNET_THREADS="1")


def run_python(page: str) -> None:
    """Run the page's Python, and compare what it prints where the page says that."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, flags=re.DOTALL)
    assert len(blocks) == text.count("```python")
    for code, output in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), {})
        assert output in ("", printed.getvalue())


def commands(page: str) -> list[tuple[list[str], str, str]]:
    """Words of each command of a page, the picture below it, and what the page says that it prints."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^(?:    magnet .*\n)+(?:(?!^    |^#).*\n)*", text, flags=re.MULTILINE):
        lines = re.findall(r"^    (magnet .*)$", block, flags=re.MULTILINE)
        (picture,) = re.findall(r"!\[.*?\]\(images/(.*?)\)", block)
        printed = re.findall(r"\n\n```text\n(.*?)```", block.split("```python")[0], flags=re.DOTALL)
        found += [(shlex.split(line)[1:], "", "") for line in lines[:-1]]
        found.append((shlex.split(lines[-1])[1:], picture, "".join(printed)))
    return found


def draw(magnet: Magnet, words: list[str], picture: str, expected: str) -> None:
    """Run a command, and hold its picture and its sheet against the page's."""
    printed = magnet.done(*words)
    lines = {" ".join(line.split()) for line in printed.splitlines()}
    assert [line for line in expected.splitlines() if " ".join(line.split()) not in lines] == []
    if picture:
        drawn = Path(words[words.index("-o") + 1])
        assert drawn.name == picture
        with Image.open(drawn) as image, Image.open(DOCS / "images" / picture) as shown:
            # Fonts differ a little between builds.
            assert image.width == shown.width
            assert abs(image.height - shown.height) < 0.05 * shown.height
        assert (DOCS / "images" / picture).stat().st_size < 300_000


@pytest.mark.parametrize("page", PAGES)
def test_the_python_runs_as_written(page: str, magnet: Magnet, tmp_path: Path) -> None:
    run_python(page)
    for picture in [*tmp_path.glob("*.png")]:
        with Image.open(picture) as image:
            image.verify()


def test_commands_draw_the_slices_below_them(magnet: Magnet) -> None:
    drawn = [command for command in commands("slices.md") if command[1] not in ("", *LONG)]
    assert len(drawn) == 4
    for command in drawn:
        draw(magnet, *command)


@pytest.mark.long
def test_commands_draw_slices_of_many_tiles_and_of_an_added_generator(magnet: Magnet) -> None:
    run_python("slices.md")  # the images of the decision boundary's plane
    drawn = [command for command in commands("slices.md") if command[1] in ("", *LONG)]
    assert len(drawn) == 1 + len(LONG)
    for words, picture, expected in drawn:
        # The server that is running does not know what is added now.
        draw(magnet, [*words, *(["--local"] if "classifier" in words[:2] else [])], picture, expected)


@pytest.mark.long
def test_advice_draws_its_picture(magnet: Magnet, tmp_path: Path) -> None:
    here = ("--local", "--store", str(tmp_path / "banks"))
    for words, picture, expected in commands("advice.md"):
        draw(magnet, [*words, *here], picture, expected)


@pytest.mark.parametrize("page", [*PAGES, "advice.md"])
def test_pictures_and_pages_that_are_named_exist(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([^)#]+)(?:#.*?)?\)", text):
        assert (DOCS / name).exists(), name
