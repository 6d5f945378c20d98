"""Every family of generators in every format: added, described, verified and sampled by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from magnet_service.generator import add_generator
from magnet_service.generator.condition import ConditionCard
from magnet_service.geometry import volumes
from magnet_service.registry import Registry
from tests.cli.conftest import Magnet
from tests.families.conftest import shelf as shelf
from tests.families.exports import Shelf
from tests.families.nets import CLASSES, CONDITIONAL, NETS, Net


@pytest.mark.parametrize("form", ["pt2", "onnx-17"])
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_a_family_from_its_file_to_a_draw(net: Net, form: str, shelf: Shelf, tmp_path: Path) -> None:
    magnet = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    here = ("--repository", tmp_path / "own", "--store", tmp_path / "store")
    name, file = net.name.replace(" ", "_"), shelf.file(net, form)
    added = magnet.json("generator", "add", name, file, "--rank-latents", 32, *here)
    assert added["format"] == form.partition("-")[0]
    assert added["piecewise_affine"]
    assert (added["parameters"] > 0, added["units"] > 0) == (True, True)
    local = ("--local", *here)
    if form == "pt2":
        described = {key: value for key, value in added.items() if key != "folder"}
        assert magnet.json("generator", "show", name, "--rank-latents", 32, *local) == described
    magnet.done("bank", "build", name, "--rows", 256, *local)
    drawn = magnet.json("sample", name, "--rho", 0.1, "--top-k", 1, "--count", 4, "--seed", 1, *local)
    assert (drawn["rows"], drawn["header"]["method"]) == (4, "RESAMPLE")


@pytest.mark.parametrize("form", ["pt2", "onnx-17"])
@pytest.mark.parametrize("net", CONDITIONAL, ids=lambda net: net.name)
def test_a_conditional_one_from_its_file_to_its_description(net: Net, form: str, shelf: Shelf, tmp_path: Path) -> None:
    magnet = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    here = ("--repository", tmp_path / "own", "--store", tmp_path / "store")
    names = ",".join("abcde"[:CLASSES])
    asked = ("--condition", f"{net.condition}:{CLASSES}", "--condition-labels", names, "--rank-latents", 32)
    added = magnet.json("generator", "add", net.name, shelf.file(net, form), *asked, *here)
    assert added["conditions"] == {"kind": net.condition, "width": CLASSES, "labels": names.split(",")}
    assert sum(added["rank"]["rank_counts"].values()) == 32
    text = " ".join(magnet.done("generator", "show", net.name, "--rank-latents", 32, "--local", *here).split())
    assert f"condition {net.condition} of {CLASSES} classes: a, b, c, d, e" in text
    assert "in equal shares of the classes" in text
    assert f"no bank yet: magnet bank build {net.name}@1 --all-conditions" in text
    magnet.done("bank", "build", net.name, "--rows", 256, "--condition", "b", "--local", *here)
    text = " ".join(magnet.done("generator", "show", net.name, "--rank-latents", 0, "--local", *here).split())
    assert "PRIOR, b k = " in text
    assert text.count("no bank yet") == 1  # of the uniform base
    magnet.done("bank", "build", net.name, "--rows", 256, "--all-conditions", "--local", *here)
    text = " ".join(magnet.done("generator", "show", net.name, "--rank-latents", 0, "--local", *here).split())
    assert f"; banks of 256 rows, a bank for each of {CLASSES} classes" in text


def test_conditions_that_are_vectors_have_no_rank_of_their_own(shelf: Shelf, tmp_path: Path) -> None:
    magnet = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    here = ("--repository", tmp_path / "own", "--store", tmp_path / "store")
    magnet.done(
        "generator", "add", "pets", shelf.file(CONDITIONAL[0], "pt2"), "--condition", f"vector:{CLASSES}", *here
    )
    assert magnet.json("generator", "verify", "pets", *here)["rank"] is None
    assert f"vector of {CLASSES} numbers" in magnet.done("generator", "verify", "pets", *here)


def test_rank_and_spectrum_of_a_conditional_one_are_over_equal_shares_of_its_classes(
    shelf: Shelf, tmp_path: Path
) -> None:
    condition = ConditionCard("index", CLASSES)
    add_generator(tmp_path / "own", "pets", shelf.file(CONDITIONAL[1], "pt2"), condition=condition)
    registry = Registry([tmp_path / "own"], tmp_path / "store", threads=1)
    held = registry.generators.get("pets")
    found = registry.rank(held, 3 * CLASSES + 1)
    assert found is not None
    latents = torch.tensor(held.prior.rows(0, 0, 3 * CLASSES + 1))
    alone = [volumes(held.generator.conditioned(row % CLASSES), z[None]) for row, z in enumerate(latents)]
    first = sorted(float(one.log_singular_values[0, 0]) for one in alone)
    assert found.log_sigma_first[0] == pytest.approx(first[0], abs=1e-5)
    assert found.log_sigma_first[-1] == pytest.approx(first[-1], abs=1e-5)
    assert sorted(int(one.rank[0]) for one in alone) == [
        rank for rank, times in found.rank_counts.items() for _ in range(times)
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--condition", "index"), "write KIND:N"),
        (("--condition", "index:0"), "--condition: write an integer"),
        (("--condition", "color:3"), "--condition: write one of one_hot"),
        (("--condition", "index:5", "--condition-labels", "a,b"), "--condition-labels: write one label a class"),
        (("--condition-labels", "a,b"), "--condition=one_hot:10"),
    ],
)
def test_conditions_that_cannot_be(options: tuple[str, ...], says: str, shelf: Shelf, tmp_path: Path) -> None:
    magnet = Magnet(MAGNET_ADDRESS=None, MAGNET_THREADS="1")
    own = tmp_path / "own"
    file = shelf.file(CONDITIONAL[1], "pt2")
    assert says in magnet.error(2, "generator", "add", "pets", file, *options, "--repository", own)
    assert not own.exists() or not any(own.iterdir())
