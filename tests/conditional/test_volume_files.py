"""Volume files with labels beside the generator that they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magnet_client import Client
from tests.cli.conftest import Magnet
from tests.client.toy import served
from tests.conditional.pets import CLASSES, LABELS, LATENT

ROWS = 1200


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("volumes") / "pets.npz"
    latents = source.normal(size=(ROWS, LATENT)).astype(np.float32)
    svds = np.sort(np.exp(0.2 * source.normal(size=(ROWS, 2))), axis=1)[:, ::-1].astype(np.float32)
    np.savez(path, latents=latents, svds=svds, labels=np.eye(CLASSES, dtype=np.float32)[np.arange(ROWS) % CLASSES])
    return path


def test_every_class_has_its_bank_and_all_are_drawn_in_turn(repository: Path, tmp_path: Path, volumes: Path) -> None:
    here = ("--repository", repository, "--store", tmp_path / "store")
    magnet = Magnet(MAGNET_THREADS="1")
    banks = magnet.json("bank", "import", volumes, "--generator", "pets", *here)["banks"]
    assert [bank["condition_label"] for bank in banks] == list(LABELS)
    assert [bank["revision"] for bank in banks] == [ROWS // CLASSES] * CLASSES
    (one,) = magnet.json("bank", "import", volumes, "--generator", "pets", "--condition", "cat", *here)["banks"]
    assert one["bank_id"] == banks[2]["bank_id"]
    with served(repository, tmp_path / "store") as address, Client(address) as client:
        draw = client.sample("pets", 40, rho=1.0, seed=0)
        assert [bank.bank for bank in draw.resolved.class_banks] == [bank["bank_id"] for bank in banks]
        assert draw.images is not None
        assert client.sample_resolved(draw.resolved).images is not None
        alone = client.sample(None, 40, rho=1.0, seed=0, bank=banks[3]["bank_id"], images=None)
        beside = client.sample("pets", 40, rho=1.0, seed=0, bank=banks[3]["bank_id"], condition=3)
        assert alone.latents is not None
        assert beside.latents is not None
        assert (alone.latents == beside.latents).all()
        assert alone.resolved.condition == 3
        again = client.sample_resolved(alone.resolved).latents
        assert again is not None
        assert (again == alone.latents).all()
    out = tmp_path / "out.npz"
    told = magnet.json("bank", "export", *[bank["bank_id"] for bank in banks], out, *here)
    assert (told["rows"], told["classes"], told["type"]) == (ROWS, CLASSES, "float32")
    with np.load(volumes) as before, np.load(out) as after:
        order = np.argsort(np.arange(ROWS) % CLASSES, kind="stable")
        assert (after["latents"] == before["latents"][order]).all()
        assert (after["labels"] == before["labels"][order]).all()
        assert np.allclose(after["svds"], before["svds"][order], rtol=1e-6)


def test_labels_and_conditions_that_do_not_fit(repository: Path, tmp_path: Path, volumes: Path) -> None:
    here = ("--repository", repository, "--store", tmp_path / "store")
    magnet = Magnet(MAGNET_THREADS="1")
    with np.load(volumes) as file:
        arrays = {name: file[name] for name in file.files}
    five = np.hstack([arrays["labels"], np.zeros((ROWS, 1))])
    np.savez(tmp_path / "five.npz", **{**arrays, "labels": five})
    np.savez(tmp_path / "none.npz", latents=arrays["latents"], svds=arrays["svds"])
    for path, asked, told in (
        (tmp_path / "five.npz", ("pets",), "five.npz has labels of 5 classes, pets@1 has 4"),
        (volumes, ("styled",), "has labels of 4 classes, styled@1 has none"),
        (volumes, ("pets", "--condition", "dragon"), "label 'dragon' is unknown"),
        (volumes, ("ffhq", "--condition", "cat"), "write an index"),
        (volumes, ("ffhq", "--condition", "0,1"), "write an index"),
        (volumes, ("ffhq", "--condition", 4), "no rows of class 4"),
        (tmp_path / "none.npz", ("pets",), "pets takes a condition here"),
        (tmp_path / "none.npz", ("styled", "--condition", 1), "takes a vector of 2 numbers"),
    ):
        assert told in magnet.error(2, "bank", "import", path, "--generator", *asked, *here), asked
    assert magnet.json("bank", "list", "--local", *here)["banks"] == []
    (by_hand,) = magnet.json("bank", "import", tmp_path / "none.npz", "--generator", "pets", "--condition", 1, *here)[
        "banks"
    ]
    assert by_hand["condition_label"] == "bee"
