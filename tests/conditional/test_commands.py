"""Conditions on the command line, against a server and `--local`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Magnet
from tests.conditional.pets import CLASSES, LABELS


@pytest.fixture
def local() -> Magnet:
    """`magnet` that computes by itself, where `--local` is given."""
    return Magnet(MAGNET_THREADS="1")


@pytest.fixture
def remote(address: str) -> Magnet:
    return Magnet(MAGNET_ADDRESS=address, MAGNET_THREADS="1")


def test_from_the_banks_of_all_classes_to_a_sheet(local: Magnet, repository: Path, tmp_path: Path) -> None:
    here = ("--local", "--repository", repository, "--store", tmp_path / "store")
    refused = local.error(1, "sample", "pets", "--rho", 1, "--top-k", 1, *here)
    assert "magnet bank build pets@1 --all-conditions" in refused
    banks = local.json("bank", "build", "pets", "--rows", 256, "--all-conditions", *here)
    assert [bank["condition_label"] for bank in banks] == list(LABELS)
    out = tmp_path / "pets.png"
    drawn = local.json("sample", "pets", "--rho", 1, "--top-k", 1, "--count", 12, "--out", out, *here)
    resolved = drawn["header"]["resolved"]
    assert [bank["bank"] for bank in resolved["class_banks"]] == [bank["bank_id"] for bank in banks]
    with Image.open(out) as sheet:
        assert sheet.size[1] == CLASSES * 66 + 2
    told = local.done("sample", "pets", "--rho", 1, "--top-k", 1, "--count", 12, *here)
    assert "all classes in equal shares" in told
    assert "of the weakest class" in told
    assert "bee" in local.done("bank", "list", *here)


def test_one_class_by_label_and_by_index(remote: Magnet) -> None:
    by_label = remote.json("bank", "build", "pets", "--rows", 64, "--condition", "dog, small")
    by_index = remote.json("bank", "build", "pets", "--rows", 64, "--condition", 3)
    assert by_label["bank_id"] == by_index["bank_id"]
    assert "3 (dog, small)" in remote.done("bank", "show", by_label["bank_id"])
    drawn = remote.json("sample", "pets", "--rho", 1, "--top-k", 1, "--condition", "dog, small")
    assert drawn["header"]["resolved"]["condition"] == 3
    assert "dog, small" in remote.done("sample", "pets", "--rho", 1, "--top-k", 1, "--condition", 3)
    assert remote.json("bank", "polarity", "pets", "--condition", 3, "--rho", 1)["bank_id"] == by_label["bank_id"]


def test_a_vector_with_commas_and_from_a_file(remote: Magnet, tmp_path: Path) -> None:
    written = remote.json("sample", "styled", "--rho", 0, "--seed", 1, "--condition=-0.5,2")
    np.save(tmp_path / "style.npy", np.array([-0.5, 2.0], np.float32))
    read = remote.json("sample", "styled", "--rho", 0, "--seed", 1, "--condition", tmp_path / "style.npy")
    assert written["header"]["resolved"] == read["header"]["resolved"]
    assert written["header"]["resolved"]["condition"] == [-0.5, 2.0]
    assert "-0.5, 2" in remote.done("sample", "styled", "--rho", 0, "--condition=-0.5,2")


def test_what_cannot_be(remote: Magnet, tmp_path: Path) -> None:
    assert "perhaps 'bee'" in remote.error(2, "sample", "pets", "--rho", 0, "--condition", "be")
    assert "write 0 to 3" in remote.error(2, "sample", "pets", "--rho", 0, "--condition", 4)
    assert "a vector of 2 numbers" in remote.error(2, "sample", "styled", "--rho", 0, "--condition", 1)
    assert "no readable .npy" in remote.error(2, "sample", "styled", "--rho", 0, "--condition", tmp_path / "a.npy")
    both = remote.error(2, "bank", "build", "pets", "--condition", 1, "--all-conditions")
    assert "write one of them" in both
    assert "has no classes" in remote.error(2, "bank", "build", "styled", "--all-conditions")
    np.save(tmp_path / "objects.npy", np.array([object()]), allow_pickle=True)
    assert "no readable" in remote.error(2, "sample", "styled", "--rho", 0, "--condition", tmp_path / "objects.npy")
