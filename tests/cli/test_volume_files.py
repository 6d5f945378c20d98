"""`magnet bank import` and `export`, and commands about a bank without its generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Magnet
from tests.client.toy import LATENT_DIM


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = np.random.default_rng(2)
    path = tmp_path_factory.mktemp("volumes") / "ffhq.npz"
    svds = np.sort(np.exp(0.2 * source.normal(size=(500, 2))), axis=1)[:, ::-1].astype(np.float32)
    svds[7] = 0.0
    svds[9] = svds[9, ::-1]
    np.savez(path, latents=source.normal(size=(500, LATENT_DIM)).astype(np.float32), svds=svds)
    return path


@pytest.fixture(scope="module")
def imported(magnet: Magnet, volumes: Path, store: Path) -> dict[str, Any]:
    """A bank of a generator that nobody holds, imported beside a server at work."""
    found = magnet.json("bank", "import", volumes, "--generator", "ffhq", "--store", store)
    assert len(found["notes"]) == 4
    (bank,) = found["banks"]
    return dict(bank)


def test_an_import_says_what_it_did(magnet: Magnet, volumes: Path, store: Path, imported: dict[str, Any]) -> None:
    text = " ".join(magnet.done("bank", "import", volumes, "--generator", "ffhq", "--store", store).split())
    for told in (
        imported["bank_id"],
        "ffhq, not held",
        "volumes as published, error unknown",
        "1 rows without a singular value above 0 are left out",
        "1 rows had their singular values in another order",
        "no generator ffhq here",
        "taken for draws of normal(dim=4)",
    ):
        assert told in text
    assert imported["bank_id"] in magnet.done("bank", "list")
    assert "imported" in magnet.done("bank", "list")
    assert "log v_1 to log v_2" in " ".join(magnet.done("bank", "show", imported["bank_id"]).split())


def test_a_bank_alone_is_drawn_from_and_described(magnet: Magnet, imported: dict[str, Any], tmp_path: Path) -> None:
    bank, out = imported["bank_id"], tmp_path / "rows.npz"
    drawn = magnet.json("sample", "--bank", bank, "--rho", 1, "--count", 20, "--seed", 3, "--out", out)
    assert (drawn["rows"], drawn["header"]["resolved"]["generator"]) == (20, "")
    with np.load(out) as arrays:
        assert set(arrays.files) == {"latents", "log_volumes", "log_weights", "bank_rows", "resolved"}
        assert arrays["latents"].shape == (20, LATENT_DIM)
    assert f"20 rows of bank {bank}" in magnet.done("sample", "--bank", bank, "--rho", 1, "--count", 20)
    assert magnet.json("bank", "polarity", "--bank", bank, "--rho", 1)["bank_id"] == bank
    assert "needs images" in magnet.error(2, "sample", "--bank", bank, "--rho", 1, "--out", tmp_path / "a.png")
    refused = magnet.error(2, "sample", "--bank", bank, "--rho", 1, "--images", "png", "--out", out)
    assert "without a generator there are no images" in refused
    assert "must be a name" in magnet.error(2, "sample", "--rho", 1)
    assert "must be a name" in magnet.error(2, "bank", "polarity")
    assert "the 2 largest singular values of 4" in magnet.error(2, "sample", "--bank", bank, "--rho", 1, "--top-k", 3)


def test_without_a_server_it_is_the_same(magnet: Magnet, imported: dict[str, Any], store: Path, tmp_path: Path) -> None:
    asked = ("sample", "--bank", imported["bank_id"], "--rho", 0, "--count", 5, "--seed", 1)
    assert magnet.json(*asked, "--local", "--store", store) == magnet.json(*asked)


def test_out_and_in_again(magnet: Magnet, bank: dict[str, Any], repository: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "toy.npz"
    told = magnet.done("bank", "export", bank["bank_id"], out, "--store", store)
    assert f"wrote {out}: latents float32, svds float" in told
    here = ("--repository", repository, "--store", tmp_path / "other")
    (back,) = magnet.json("bank", "import", out, "--generator", "toy", *here)["banks"]
    assert (back["generator"], back["law"], back["revision"]) == ("toy@1", bank["law"], bank["revision"])
    drawn = magnet.json("sample", "toy", "--rho", 1, "--count", 3, "--local", *here)
    assert drawn["header"]["resolved"]["bank"] == back["bank_id"]


def test_misuse(magnet: Magnet, store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no zip")
    there = ("--store", store)
    assert "there is no file" in magnet.error(2, "bank", "import", tmp_path / "b.npz", "--generator", "a", *there)
    assert "no .npz file" in magnet.error(1, "bank", "import", tmp_path / "a.npz", "--generator", "a", *there)
    assert "no bank" in magnet.error(1, "bank", "export", "0" * 16, tmp_path / "b.npz", *there)
    assert magnet("bank", "import", tmp_path / "a.npz").exit_code == 2
