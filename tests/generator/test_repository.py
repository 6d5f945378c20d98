"""The folder form: cards, versions, and generators that are added whole or leave no trace."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from magnet_service.errors import (
    DamagedData,
    DuplicateResource,
    InvalidInput,
    MagnetError,
    OutOfSpace,
    Refused,
    UnknownResource,
)
from magnet_service.generator import staging
from magnet_service.generator.card import GeneratorCard, infer_layout
from magnet_service.generator.card_file import read_card, render_card
from magnet_service.generator.export import export_module
from magnet_service.generator.probe import read_probe
from magnet_service.generator.repository import add_generator, generator_names, load_version, verify_version, versions
from tests.generator import crafted


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for seed in (0, 1):
        (folder / str(seed)).mkdir()
        export_module(crafted.small(seed), 6, folder / str(seed) / "g.pt2")
    return folder


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def test_add_then_load(tmp_path: Path, source: Path) -> None:
    repository = tmp_path / "made" / "generators"
    card, version, verification = add_generator(
        repository,
        "small",
        source / "0" / "g.pt2",
        prior="uniform(low=-1, high=1)",
        output_range=(0.0, 1.0),
        labels=("zero", 'o"n\\e\n'),
        training_shares=(0.25, 0.75),
        description="Größe",
        licence="Apache-2.0",
        source="here",
    )
    assert (version, card.latent_dim, card.layout, verification.reference) == (1, 6, "HW", "probe")
    assert set(_tree(repository)) == {
        "small",
        "small/1",
        "small/1/generator.pt2",
        "small/1/probe.npz",
        "small/generator.toml",
    }
    assert (repository / "small/1/generator.pt2").read_bytes() == (source / "0" / "g.pt2").read_bytes()
    generator, again, loaded = load_version(repository / "small")
    assert (again, loaded) == (card, 1)
    latents = torch.randn(3, 6)
    torch.testing.assert_close(generator.forward(latents), crafted.small()(latents), rtol=0, atol=1e-5)
    assert generator_names(repository) == ("small",)
    assert verify_version(repository / "small")[0].bits_depend_on_position is not None


def test_a_foreign_file_gets_a_probe_from_the_interpreter(tmp_path: Path, source: Path) -> None:
    foreign = crafted.saved(crafted.exported(crafted.small(), 6), tmp_path / "g.pt2")
    # A probe that was written for another archive is not taken for this one's.
    shutil.copy(source / "1" / "g.probe.npz", tmp_path / "g.probe.npz")
    _, _, verification = add_generator(tmp_path / "r", "foreign", foreign)
    assert verification.reference == "interpreter"
    probe = read_probe(tmp_path / "r/foreign/1/probe.npz")
    assert probe is not None
    assert probe.source == "interpreter"
    torch.testing.assert_close(probe.outputs, crafted.small()(probe.latents), rtol=0, atol=1e-5)
    assert verify_version(tmp_path / "r/foreign")[0].reference == "interpreter"


def test_a_version_of_another_repository_keeps_its_probe(tmp_path: Path, source: Path) -> None:
    add_generator(tmp_path / "old", "g", source / "0" / "g.pt2")
    _, _, verification = add_generator(tmp_path / "new", "g", tmp_path / "old" / "g" / "1" / "generator.pt2")
    assert verification.reference == "probe"
    assert _tree(tmp_path / "new") == _tree(tmp_path / "old")


def test_what_a_check_raises_leaves_no_trace(tmp_path: Path, source: Path) -> None:
    add_generator(tmp_path, "g", source / "0" / "g.pt2", prior="uniform(low=1, high=-1)")
    before = _tree(tmp_path)
    seen = []

    def check(card: GeneratorCard) -> None:
        seen.append((card.name, card.prior))
        raise InvalidInput("no such law", field="prior")

    for name, new_version in (("g", True), ("h", False)):
        with pytest.raises(InvalidInput, match="no such law"):
            add_generator(tmp_path, name, source / "1" / "g.pt2", new_version=new_version, check=check)
        assert _tree(tmp_path) == before
    assert seen == [("g", "uniform(low=1, high=-1)"), ("h", "normal")]


def test_versions(tmp_path: Path, source: Path) -> None:
    first, second = source / "0" / "g.pt2", source / "1" / "g.pt2"
    add_generator(tmp_path, "g", first, prior="normal(scale=2)")
    before = _tree(tmp_path)
    with pytest.raises(DuplicateResource, match=r"taken.*new version") as taken:
        add_generator(tmp_path, "g", second)
    assert taken.value.field == "name"
    for conflict in ({"prior": "normal"}, {"output_range": (0.0, 1.0)}, {"labels": ("a",)}, {"layout": "CHW"}):
        with pytest.raises(Refused, match=f"{next(iter(conflict)).removeprefix('output_')}") as refusal:
            add_generator(tmp_path, "g", second, new_version=True, **conflict)
        assert refusal.value.reason == "CARD_CONFLICT"
    assert _tree(tmp_path) == before
    with pytest.raises(UnknownResource):
        add_generator(tmp_path, "h", second, new_version=True)
    card, version, _ = add_generator(tmp_path, "g", second, new_version=True, prior="normal(scale=2)")
    assert version == 2
    (tmp_path / "g" / "10").mkdir()
    (tmp_path / "g" / "03").mkdir()
    assert versions(tmp_path / "g") == (1, 2)
    shutil.copytree(tmp_path / "g" / "1", tmp_path / "g" / "10", dirs_exist_ok=True)
    assert versions(tmp_path / "g") == (1, 2, 10)
    assert load_version(tmp_path / "g")[2] == 10
    old, again, number = load_version(tmp_path / "g", 1)
    new, _, _ = load_version(tmp_path / "g", 2)
    assert (again, number) == (card, 1)
    assert old.digest != new.digest
    with pytest.raises(UnknownResource, match=r"no version 3; it has: 1, 2, 10"):
        load_version(tmp_path / "g", 3)
    with pytest.raises(UnknownResource):
        load_version(tmp_path / "absent")
    with pytest.raises(UnknownResource):
        versions(tmp_path / "absent")
    assert generator_names(tmp_path / "absent") == ()


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/b", "/etc", "", ".", "-a", "_a", "A", "a b", "a" * 64, "ü", "a\n", "a.b"]
)
def test_names_that_are_refused(tmp_path: Path, source: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="write 1 to 63 of") as refusal:
        add_generator(tmp_path / "r", name, source / "0" / "g.pt2")
    assert refusal.value.field == "name"
    assert not any(tmp_path.iterdir())


def _no_file(folder: Path) -> Path:
    return folder / "absent.pt2"


def _unknown_memory_format(folder: Path) -> Path:
    class Contiguous(nn.Module):
        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return latents.relu().clone(memory_format=torch.contiguous_format)

    good = crafted.saved(crafted.exported(Contiguous(), 6), folder / "good.pt2")

    def edit(document: crafted.Document) -> None:
        node = crafted.node(document, "aten.clone")
        node["inputs"] = [item for item in node["inputs"] if item["name"] != "memory_format"]
        node["inputs"].append({"name": "memory_format", "arg": {"as_string": "nonexistent"}, "kind": 2})

    return crafted.edited(good, crafted.MODEL, edit, folder / "g.pt2")


def _pickle(folder: Path) -> Path:
    (folder / "g.pt2").write_bytes(crafted.torch_bomb(folder / "marker"))
    return folder / "g.pt2"


def _damaged(folder: Path) -> Path:
    export_module(crafted.small(), 6, folder / "g.pt2", outputs_probe=False)
    data = bytearray((folder / "g.pt2").read_bytes())
    data[len(data) // 2] ^= 255
    (folder / "g.pt2").write_bytes(data)
    return folder / "g.pt2"


def _unsupported(folder: Path) -> Path:
    class Sorter(nn.Module):
        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return latents.sort(dim=1).values

    return crafted.saved(crafted.exported(Sorter(), 6), folder / "g.pt2")


def _wrong_probe(folder: Path) -> Path:
    export_module(crafted.small(), 6, folder / "g.pt2")
    arrays = dict(np.load(folder / "g.probe.npz"))
    arrays["outputs"] = arrays["outputs"] + 0.01
    np.savez(folder / "g.probe.npz", **arrays)
    return folder / "g.pt2"


@pytest.mark.parametrize("make", [_no_file, _pickle, _damaged, _unsupported, _wrong_probe, _unknown_memory_format])
def test_a_bad_file_leaves_no_trace(tmp_path: Path, make: object) -> None:
    (tmp_path / "source").mkdir()
    file = make(tmp_path / "source")  # type: ignore[operator]  # one of the functions above
    with pytest.raises(MagnetError) as refusal:
        add_generator(tmp_path / "r", "g", file)
    assert ".add-" not in refusal.value.message
    assert not (tmp_path / "r").exists()
    assert not (tmp_path / "source" / "marker").exists()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"prior": "cauchy"}, "prior"),
        ({"prior": "normal(scale=__import__)"}, "prior"),
        ({"output_range": (1.0, -1.0)}, "output.range"),
        ({"output_range": (0.0, float("inf"))}, "output.range"),
        ({"layout": "WHC"}, "output.layout"),
        ({"layout": "vector"}, "output.layout"),
        ({"labels": ("a", "a")}, "labels.names"),
        ({"labels": ("a", "b"), "training_shares": (1.0,)}, "labels.training_shares"),
        ({"labels": ("a", "b"), "training_shares": (0.9, 0.9)}, "labels.training_shares"),
        ({"description": "\ud800"}, "description"),
    ],
)
def test_bad_fields_are_named_and_leave_no_trace(
    tmp_path: Path, source: Path, arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        add_generator(tmp_path / "r", "g", source / "0" / "g.pt2", **arguments)  # type: ignore[arg-type]  # wrong on purpose
    assert refusal.value.field == field
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, OutOfSpace), (errno.EROFS, Refused)])
def test_a_full_or_locked_device_leaves_no_trace(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[MagnetError]
) -> None:
    add_generator(tmp_path, "g", source / "0" / "g.pt2")
    before = _tree(tmp_path)

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(staging.os, "fsync", refuse)
    for name, new_version in (("h", False), ("g", True)):
        with pytest.raises(error):
            add_generator(tmp_path, name, source / "1" / "g.pt2", new_version=new_version)
        assert _tree(tmp_path) == before


def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r" / "g").mkdir(parents=True)
    (tmp_path / "r" / "g" / "kept").write_text("x")
    with staging.staging(tmp_path / "r") as stage:
        (stage / "file").write_text("y")
        with pytest.raises(DuplicateResource, match="meanwhile"):
            staging.publish(stage, tmp_path / "r" / "g")
    assert set(_tree(tmp_path / "r")) == {"g", "g/kept"}


def test_what_was_replaced_or_damaged_in_place_is_noticed(tmp_path: Path, source: Path) -> None:
    add_generator(tmp_path, "g", source / "0" / "g.pt2")
    home = tmp_path / "g" / "1"
    shutil.copy(source / "1" / "g.pt2", home / "generator.pt2")
    with pytest.raises(DamagedData, match="another archive"):
        load_version(tmp_path / "g")
    shutil.copy(source / "1" / "g.probe.npz", home / "probe.npz")
    load_version(tmp_path / "g")
    card = tmp_path / "g" / "generator.toml"
    card.write_text(card.read_text().replace("latent_dim = 6", "latent_dim = 7"))
    with pytest.raises(InvalidInput, match="latent_dim = 7, its archive takes 6") as refusal:
        load_version(tmp_path / "g")
    assert refusal.value.field == "latent_dim"


CARD = """name = "g"
latent_dim = 6
[output]
layout = "HW"
range = [-1, 1]
"""


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('name = "g"', 'name = "h"', "name"),
        ('name = "g"', "", "name"),
        ("latent_dim = 6", "", "latent_dim"),
        ("latent_dim = 6", "latent_dim = 6.0", "latent_dim"),
        ("latent_dim = 6", "latent_dim = true", "latent_dim"),
        ("latent_dim = 6", "latent_dim = 0", "latent_dim"),
        ("latent_dim = 6", "latent_dim = 6\nprior = 3", "prior"),
        ("latent_dim = 6", "latent_dim = 6\ncolour = 3", "colour"),
        ('layout = "HW"', 'layout = "XY"', "output.layout"),
        ('layout = "HW"', "layout = [1]", "output.layout"),
        ('layout = "HW"', "size = 3", "output.size"),
        ("[-1, 1]", "[-1, 0, 1]", "output.range"),
        ("[-1, 1]", '["a", "b"]', "output.range"),
        ("[-1, 1]", "3", "output.range"),
        ("[-1, 1]", "[nan, 1]", "output.range"),
        ("[-1, 1]", '[-1, 1]\n[labels]\nnames = "a"', "labels.names"),
        ("[-1, 1]", "[-1, 1]\n[labels]\nnames = [1]", "labels.names"),
        ("[-1, 1]", "[-1, 1]\n[labels]\nnames = ['a']\ntraining_shares = ['b']", "labels.training_shares"),
        ("[output]", "[output", "generator.toml"),
    ],
)
def test_card_files_that_are_wrong_name_the_key(tmp_path: Path, old: str, new: str, field: str) -> None:
    (tmp_path / "g").mkdir()
    file = tmp_path / "g" / "generator.toml"
    file.write_text(CARD)
    assert read_card(tmp_path / "g").value_range == (-1, 1)
    file.write_text(CARD.replace(old, new))
    with pytest.raises(InvalidInput, match=r"generator\.toml") as refusal:
        read_card(tmp_path / "g")
    assert refusal.value.field == field


def test_a_card_survives_being_written(tmp_path: Path) -> None:
    card = GeneratorCard(
        name="g",
        latent_dim=3,
        prior="truncated_normal(bound=2.5)",
        description='quotes " and \\ and \n\t\x01\x7f and "Ω"',
        layout="CHW",
        value_range=(0.1, 1e300),
        labels=("a", "b", "c"),
        training_shares=(1 / 3, 1 / 3, 1 / 3),
    )
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "generator.toml").write_text(render_card(card), encoding="utf-8")
    assert read_card(tmp_path / "g") == card


def test_layouts_that_shapes_suggest() -> None:
    shapes = {(784,): "vector", (28, 28): "HW", (1, 28, 28): "HW", (3, 8, 8): "CHW", (8, 8, 3): "HWC", (7, 8, 9): "CHW"}
    for shape, layout in shapes.items():
        assert infer_layout(shape) == layout
        GeneratorCard("g", 2, layout=layout).check_output(shape)
    with pytest.raises(InvalidInput):
        infer_layout((1, 2, 3, 4))
