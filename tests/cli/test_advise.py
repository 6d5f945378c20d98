"""`magnet advise`, with a server and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from magnet_service.cli.terminal import STDOUT
from tests.cli.conftest import Magnet


def test_the_sheet_fits_a_hundred_columns(
    magnet: Magnet, bank: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STDOUT, "width", 100)
    text = magnet.done("advise", "toy")
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    said = " ".join(text.split())
    for words in (
        "generator toy@1",
        bank["bank_id"],
        "effective rank",
        "shares of sigma (5 % to 95 %:",
        "sd of log v_k, nats",
        "rho supported",
        "a bank of about",
        "anti_mode",
        "a bank of that base instead: magnet bank build toy@1 --base uniform",
    ):
        assert words in said, words


def test_many_k_are_thinned_out_in_the_sheet_and_not_in_json(repository: Path, tmp_path: Path) -> None:
    here = ("--local", "--repository", repository, "--store", tmp_path)
    alone = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    alone.done("bank", "build", "fashion", "--rows", 64, *here)
    found = alone.json("advise", "fashion", "--rho", 1, *here)
    assert {cell["top_k"] for cell in found["cells"]} == set(range(1, 17))
    text = alone.done("advise", "fashion", "--rho", 1, *here)
    (heads,) = [line.split() for line in text.splitlines() if line.startswith("rho  ") and "k=1" in line]
    assert (heads[1], heads[-1], len(heads)) == ("k=1", "k=16", 11)


def test_json_and_the_picture_and_local(
    magnet: Magnet, bank: dict[str, Any], repository: Path, store: Path, tmp_path: Path
) -> None:
    asked = ("advise", "toy", "--rho=-1", "--rho", 5, "--top-k", 1, "--top-k", 4, "--effective-rank", "squares")
    found = magnet.json(*asked, "--out", tmp_path / "advice.png", "--dpi", 40)
    assert [(cell["rho"], cell["top_k"]) for cell in found["cells"]] == [(-1, 1), (-1, 4), (5, 1), (5, 4)]
    assert found["spectrum"]["definition"] == "squares"
    assert [one["preset"] for one in found["presets"]] == ["as_trained", "uniform", "mode", "anti_mode"]
    with Image.open(tmp_path / "advice.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (500, 300))
    here = ("--local", "--repository", repository, "--store", store)
    assert magnet.json(*asked, *here) == found
    assert f"wrote {tmp_path / 'advice.svg'}" in magnet.done(*asked, "-o", tmp_path / "advice.svg")


def test_misuse_is_one_line(magnet: Magnet, bank: dict[str, Any], tmp_path: Path) -> None:
    assert "--out writes .png and .svg" in magnet.error(2, "advise", "toy", "--out", tmp_path / "advice.jpg")
    assert "no bank" in magnet.error(1, "advise", "toy", "--manifold", "pre_activation")
    assert "top_ks" in magnet.error(2, "advise", "toy", "--top-k", 5)
    assert "generator" in magnet.error(2, "advise")
