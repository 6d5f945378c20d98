"""Commands that ask a server, and the same without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from magnet_client import Client
from tests.cli.conftest import Magnet


def test_generators_are_listed_and_shown(magnet: Magnet) -> None:
    assert "toy" in magnet.done("generator", "list")
    listed = {one["name"]: one for one in magnet.json("generator", "list")}
    assert listed["toy"]["output_shape"] == [1, 8, 8]
    shown = magnet.json("generator", "show", "toy", "--rank-latents", 16)
    assert (shown["units"], shown["verified_against"], shown["rank"]["rank_max"]) == (32, "probe", 4)
    text = magnet.done("generator", "show", "toy", "--rank-latents", 16)
    assert "piecewise_linear" in text
    assert "4 to 4, median 4 of 4" in text


def test_banks_are_built_listed_shown_described_and_deleted(magnet: Magnet, bank: dict[str, Any]) -> None:
    assert (bank["revision"], bank["law"]) == (512, "normal(dim=4)")
    assert bank["bank_id"] in magnet.done("bank", "list")
    assert magnet.json("bank", "show", bank["bank_id"]) == bank
    assert "512" in magnet.done("bank", "show", bank["bank_id"])
    other = magnet.json("bank", "build", "toy", "--rows", 64, "--base", "uniform", "--box=-1,1", "--seed", 3)
    assert other["law"] == "box(dim=4,low=-1.0,high=1.0)"
    listed = magnet.json("bank", "list", "--generator", "toy")
    assert {one["bank_id"] for one in listed["banks"]} >= {bank["bank_id"], other["bank_id"]}
    assert "deleted" in magnet.done("bank", "delete", other["bank_id"])
    assert other["bank_id"] in magnet.error(1, "bank", "show", other["bank_id"])


def test_a_build_without_json_prints_the_bank(magnet: Magnet, bank: dict[str, Any]) -> None:
    assert bank["bank_id"] in magnet.done("bank", "build", "toy", "--rows", 512)


def test_polarity_is_a_table_and_json(magnet: Magnet, bank: dict[str, Any]) -> None:
    asked = ("bank", "polarity", "toy", "--rho=-1", "--rho", 5, "--top-k", 1, "--top-k", 4)
    found = magnet.json(*asked)
    assert [(cell["rho"], cell["top_k"]) for cell in found["cells"]] == [(-1, 1), (-1, 4), (5, 1), (5, 4)]
    text = magnet.done(*asked)
    assert "k=4" in text
    assert found["advice"].split()[0] in text


def test_a_draw_is_summed_up_and_written(magnet: Magnet, bank: dict[str, Any], tmp_path: Path) -> None:
    sheet, arrays = tmp_path / "x.png", tmp_path / "x.npz"
    text = magnet.done("sample", "toy", "--rho", 0.5, "--count", 9, "--seed", 1, "--out", sheet, "--columns", 3)
    assert "ESS" in text
    assert f"wrote {sheet}" in text
    with Image.open(sheet) as picture:
        assert picture.size == (3 * 66 + 2, 3 * 66 + 2)
    said = magnet.json("sample", "toy", "--rho", 0.5, "--count", 9, "--seed", 1, "--out", arrays)
    assert (said["rows"], said["out"], said["header"]["rho"]) == (9, str(arrays), 0.5)
    with np.load(arrays, allow_pickle=False) as read:
        assert read["images"].shape == (9, 8, 8)
        assert {"latents", "log_volumes", "log_weights", "bank_rows", "resolved"} <= set(read.files)


def test_a_draw_without_a_file_says_what_it_would_be(magnet: Magnet, bank: dict[str, Any]) -> None:
    text = magnet.done("sample", "toy", "--preset", "mode", "--count", 9)
    assert "anti" not in text
    assert "wrote" not in text


@pytest.mark.parametrize("target", [("--preset", "uniform"), ("--det-rho", 0.25), ("--preset", "as_trained")])
def test_local_gives_the_same_bytes(
    magnet: Magnet, bank: dict[str, Any], repository: Path, store: Path, tmp_path: Path, target: tuple[object, ...]
) -> None:
    asked = ("sample", "toy", *target, "--count", 40, "--seed", 7, "--images", "float32")
    magnet.done(*asked, "--out", tmp_path / "remote.npz")
    here = ("--local", "--repository", repository, "--store", store)
    magnet.done(*asked, "--out", tmp_path / "local.npz", *here)
    assert (tmp_path / "local.npz").read_bytes() == (tmp_path / "remote.npz").read_bytes()


def test_local_builds_the_same_bank(
    magnet: Magnet, bank: dict[str, Any], address: str, repository: Path, tmp_path: Path
) -> None:
    here = ("--local", "--repository", repository, "--store", tmp_path / "own")
    assert "no banks yet" in magnet.done("bank", "list", *here)
    built = magnet.json("bank", "build", "toy", "--rows", 512, *here)
    assert built == bank


def test_health_says_so_by_its_exit_code(magnet: Magnet, address: str, tmp_path: Path) -> None:
    assert "is serving" in magnet.done("health")
    assert magnet.json("health", "--service", "magnet.v1.BankService")["serving"] is True
    nobody = f"unix:{tmp_path}/nobody"
    assert nobody in magnet.error(1, "health", "--address", nobody)
    result = magnet("health", "--address", nobody, "--json")
    assert result.exit_code == 1
    assert '"serving": false' in result.stdout


def test_json_can_be_sent_again(magnet: Magnet, address: str, bank: dict[str, Any]) -> None:
    said = magnet.json("sample", "toy", "--rho", 0.5, "--count", 9)
    with Client(address) as client:
        resolved = client.sample("toy", 9, rho=0.5, seed=said["header"]["resolved"]["seed"]).resolved
    assert said["header"]["resolved"]["seed"] == resolved.seed
    assert said["header"]["resolved"]["bank_revision"] == resolved.bank_revision
