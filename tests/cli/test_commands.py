"""Commands that ask a server, and the same without one."""

from __future__ import annotations

import shlex
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
    assert "rank  4 of 4 at all 16 latents" in text
    assert "sigma_4" not in magnet.done("generator", "show", "toy", "--rank-latents", 0)


def test_show_tells_autos_k_or_how_to_get_one(magnet: Magnet, bank: dict[str, Any], tmp_path: Path) -> None:
    prior, uniform = magnet.json("generator", "show", "toy", "--rank-latents", 0)["auto_top_k"][:2]
    drawn = magnet.json("sample", "toy", "--rho", 1, "--count", 1)["header"]
    assert (prior["base"], prior["bank_id"]) == ("PRIOR", bank["bank_id"])
    assert (prior["top_k"], prior["reason"]) == (drawn["top_k"], drawn["top_k_reason"])
    assert (uniform["base"], "corrected" in uniform["bank_reason"]) == ("UNIFORM", True)
    text = " ".join(magnet.done("generator", "show", "toy", "--rank-latents", 0).split())
    assert f"k = {prior['top_k']} of normal(dim=4): {prior['reason']}; bank {bank['bank_id']} of 512 rows" in text


def test_show_is_the_same_from_a_server_and_without_one(
    magnet: Magnet, bank: dict[str, Any], repository: Path, store: Path
) -> None:
    asked = ("generator", "show", "toy@1", "--rank-latents", 32)
    here = ("--local", "--repository", repository, "--store", store)
    assert magnet.json(*asked, *here) == magnet.json(*asked)
    assert magnet.done(*asked, *here) == magnet.done(*asked)


@pytest.mark.usefixtures("eighty_columns")
@pytest.mark.parametrize("name", ["fashion", "rings", "toy"])
def test_a_description_fits_eighty_columns(repository: Path, tmp_path: Path, name: str) -> None:
    narrow = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    text = narrow.done(
        "generator", "show", name, "--rank-latents", 16, "--local", "--repository", repository, "--store", tmp_path
    )
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    said = " ".join(text.split())
    for word in ("parameters", "affine piecewise, up to", "quantile", "sd of log v_k, nats", "largest one"):
        assert word in said
    assert f"no bank yet: magnet bank build {name}@1" in said
    for operation in ("linear", "relu"):
        assert f" {operation} " in text


@pytest.mark.usefixtures("eighty_columns")
def test_lists_fit_eighty_columns(magnet: Magnet, bank: dict[str, Any]) -> None:
    for asked in (("bank", "list"), ("generator", "list"), ("bank", "polarity", "toy")):
        text = magnet.done(*asked)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
    assert bank["bank_id"] in magnet.done("bank", "list")


@pytest.mark.parametrize(
    "asked",
    [
        ("--ball-radius", 2 / 3, "--base", "uniform"),
        ("--box=-0.3333333333333333,1e-07", "--base", "uniform"),
        ("--truncation-psi", 1 / 3, "--base", "uniform"),
        ("--truncation-norm", 10 / 3),
    ],
)
def test_the_command_that_an_error_names_can_be_pasted(
    repository: Path, tmp_path: Path, asked: tuple[object, ...]
) -> None:
    magnet = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    here = ("--local", "--repository", repository, "--store", tmp_path)
    draw = ("sample", "toy", "--rho", 0.1, "--top-k", 1, "--count", 1, *asked, *here)
    _, _, command = magnet.error(1, *draw).partition(": magnet ")
    magnet.done(*shlex.split(command), "--rows", 64, *here)
    magnet.done(*draw)


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
