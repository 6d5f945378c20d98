"""An `.onnx` file in a repository: added whole, loaded, verified, replaced and served as any other."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from magnet_service.errors import DamagedData, InvalidInput, MagnetError, Refused
from magnet_service.generator import Generator, add_generator, load_version, read_onnx, read_probe, versions
from magnet_service.generator.formats import copy_into, version_file
from magnet_service.generator.repository import verify_version
from magnet_service.geometry import log_volume, volumes
from magnet_service.registry.generators import GeneratorShelf
from tests.cli.conftest import Magnet
from tests.families.exports import Shelf
from tests.families.nets import net
from tests.generator.onnx.models import draw, model, node, saved, with_external_data


@pytest.fixture
def file(shelf: Shelf) -> Path:
    return shelf.file(net("vae_decoder"), "onnx-17")


def without_onnxruntime(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "onnxruntime", None)  # as Python itself marks what cannot be imported


def test_it_is_added_verified_and_loaded(file: Path, tmp_path: Path) -> None:
    card, version, found = add_generator(tmp_path, "vae", file, output_range=(0.0, 1.0))
    assert (card.latent_dim, card.layout, version) == (6, "HW", 1)
    assert (found.reference, found.rows, found.forward_error < 1e-5) == ("onnxruntime", 80, True)
    home = tmp_path / "vae/1"
    assert sorted(path.name for path in home.iterdir()) == ["generator.onnx", "probe.npz"]
    assert (home / "generator.onnx").read_bytes() == file.read_bytes()
    assert version_file(home) == home / "generator.onnx"
    probe = read_probe(home / "probe.npz")
    assert probe is not None
    assert probe.source == "onnxruntime"
    generator, again, _ = load_version(tmp_path / "vae")
    assert (again, generator.digest) == (card, Generator.from_program(read_onnx(file)).digest)
    assert verify_version(tmp_path / "vae")[0] == found


def test_it_is_the_generator_that_its_archive_is(shelf: Shelf, file: Path, tmp_path: Path) -> None:
    add_generator(tmp_path, "vae", shelf.file(net("vae_decoder"), "pt2"))
    add_generator(tmp_path, "vae", file, new_version=True)
    assert versions(tmp_path / "vae") == (1, 2)
    first, second = (load_version(tmp_path / "vae", version)[0] for version in (1, 2))
    assert first.digest == second.digest
    latents = torch.randn(20, 6)
    one, two = (log_volume(volumes(generator, latents), 6) for generator in (first, second))
    assert torch.equal(one, two)


def test_without_onnxruntime_the_reference_is_the_interpreter(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_onnxruntime(patch)
        assert add_generator(tmp_path, "vae", file)[2].reference == "interpreter"
        assert verify_version(tmp_path / "vae")[0].reference == "interpreter"
    assert verify_version(tmp_path / "vae")[0].reference == "onnxruntime"
    add_generator(tmp_path, "vae", file, new_version=True)
    without_onnxruntime(monkeypatch)  # what onnxruntime said when it was added is still there
    assert verify_version(tmp_path / "vae")[0].reference == "onnxruntime"


def test_data_files_come_along(tmp_path: Path) -> None:
    (tmp_path / "exported/deep").mkdir(parents=True)
    built = model([node("Gemm", "z w b", "f", transB=1), node("Relu", "f")], {"w": draw(7, 6), "b": draw(7)})
    file = with_external_data(built, tmp_path / "exported", "deep/weights.bin")
    add_generator(tmp_path / "r", "dense", file)
    data = tmp_path / "r/dense/1/deep/weights.bin"
    assert data.read_bytes() == (tmp_path / "exported/deep/weights.bin").read_bytes()
    shelf = GeneratorShelf([tmp_path / "r"])
    held = shelf.get("dense")
    assert shelf.get("dense").generator is held.generator
    data.write_bytes(np.ones(49, np.float32).tobytes())
    with pytest.raises(Refused, match="outputs differ from the onnxruntime"):
        shelf.get("dense")
    data.unlink()
    with pytest.raises(DamagedData, match="no such file"):
        load_version(tmp_path / "r/dense")


def test_a_data_file_may_not_take_the_place_of_another(tmp_path: Path) -> None:
    built = model([node("Gemm", "z w b")], {"w": draw(6, 7), "b": draw(7)})
    file = with_external_data(built, tmp_path, "probe.npz")
    (tmp_path / "home").mkdir()
    with pytest.raises(InvalidInput, match=r"'probe\.npz'.*another name"):
        copy_into(file, tmp_path / "home")


def test_a_file_that_was_replaced_in_place_is_noticed(shelf: Shelf, file: Path, tmp_path: Path) -> None:
    add_generator(tmp_path, "vae", file)
    home = tmp_path / "vae/1"
    (home / "generator.onnx").write_bytes(shelf.file(net("upsampling_wgan"), "onnx-17").read_bytes())
    with pytest.raises(DamagedData, match="another archive"):
        load_version(tmp_path / "vae")
    (home / "generator.pt2").write_bytes(b"")
    with pytest.raises(DamagedData, match=r"both generator\.pt2 and generator\.onnx"):
        load_version(tmp_path / "vae")


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = saved(model([node("LSTM", "z")]), tmp_path)
    with pytest.raises(MagnetError, match="LSTM"):
        add_generator(tmp_path / "r", "bad", bad)
    assert not (tmp_path / "r").exists()


def test_the_command_line_adds_it_and_draws_from_it(file: Path, tmp_path: Path) -> None:
    magnet = Magnet()
    here = ("--repository", tmp_path / "own")
    added = magnet.json("generator", "add", "vae", file, "--output-range=0,1", "--rank-latents", 16, *here)
    assert (added["verified_against"], added["rank"]["rank_max"], added["output_shape"]) == (
        "onnxruntime",
        6,
        [1, 12, 12],
    )
    assert "onnxruntime" in magnet.done("generator", "show", "vae", "--local", "--rank-latents", 0, *here)
    drawn = magnet.json(
        "sample", "vae", "--preset", "as_trained", "--count", 4, "--local", *here, "--store", tmp_path / "store"
    )
    assert drawn["header"]["resolved"]["generator"] == "vae@1"
