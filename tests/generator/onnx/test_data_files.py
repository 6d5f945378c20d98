"""Data files outside the folder, missing, or not as long as they are said to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, TensorProto

from magnet_service.errors import DamagedData, RefusedArchive
from magnet_service.generator import read_onnx
from tests.generator.onnx.models import draw, model, node, with_external_data


def dense() -> ModelProto:
    return model([node("Gemm", "z w b", "f", transB=1), node("Relu", "f")], {"w": draw(7, 6), "b": draw(7)})


def relocated(built: ModelProto, folder: Path, edit: Callable[[TensorProto], None]) -> Path:
    path = with_external_data(built, folder)
    stored = onnx.load(str(path), load_external_data=False)
    edit(stored.graph.initializer[0])
    path.write_bytes(stored.SerializeToString())
    return path


def entry(key: str, value: str) -> Callable[[TensorProto], None]:
    def edit(tensor: TensorProto) -> None:
        kept = [(item.key, item.value) for item in tensor.external_data if item.key != key]
        tensor.ClearField("external_data")
        for name, text in [*kept, (key, value)]:
            tensor.external_data.add(key=name, value=text)

    return edit


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../secret.bin",
        "a/../../secret.bin",
        "C:\\secret.bin",
        "\\\\host\\secret",
        "link/secret.bin",
        "link.bin",
        "~/x",
        "a\0b",
    ],
)
def test_data_files_outside_the_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = relocated(dense(), folder, entry("location", location))
    with pytest.raises(RefusedArchive, match=r"tensor 'w' is stored in .* outside the folder.*beside it") as error:
        read_onnx(path)
    assert error.value.reason == "EXTERNAL_DATA"


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (entry("location", "other.bin"), "no such file.*copy it there"),
        (entry("location", "."), "outside|no such file"),
        (entry("offset", "100000"), "names 168 from byte 100000"),
        (entry("length", "99999999999"), "needs 168 bytes, and its entry names 99999999999"),
        (entry("length", "4"), "needs 168 bytes, and its entry names 4"),
        (entry("offset", "-1"), "offset of its bytes is '-1'"),
        (entry("offset", "1e3"), "offset of its bytes is '1e3'"),
        (lambda tensor: tensor.ClearField("external_data"), "no location says where"),
    ],
)
def test_data_files_that_do_not_fit(edit: Callable[[TensorProto], None], match: str, tmp_path: Path) -> None:
    path = relocated(dense(), tmp_path, edit)
    with pytest.raises((DamagedData, RefusedArchive), match=match):
        read_onnx(path)


def test_a_data_file_that_is_no_file(tmp_path: Path) -> None:
    path = with_external_data(dense(), tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(DamagedData, match="no such file"):
        read_onnx(path)
    (tmp_path / "weights.bin").mkdir()
    with pytest.raises(DamagedData, match="no such file"):
        read_onnx(path)
