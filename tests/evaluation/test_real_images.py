"""Real images from files: every layout that is read, and each thing that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magnet_service.errors import InvalidInput
from magnet_service.evaluation import read_images

BYTES = np.random.default_rng(0).integers(0, 256, size=(9, 3, 4, 5), dtype=np.uint8)
FLOATS = BYTES.astype(np.float64) / 127.5 - 1.0


def written(folder: Path, **arrays: Any) -> Path:
    np.savez_compressed(folder / "real.npz", **arrays)
    return folder / "real.npz"


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", ["bytes", "float32", "float64", "float16"])
def test_images_come_in_bytes_or_floats_channels_first_or_last(tmp_path: Path, last: bool, kind: str) -> None:
    images = BYTES if kind == "bytes" else FLOATS.astype(kind)
    path = written(tmp_path, images=images.transpose(0, 2, 3, 1) if last else images)
    found = read_images(path, (3, 4, 5), (-1.0, 1.0))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, FLOATS, atol=1e-3 if kind == "float16" else 1e-6)


@pytest.mark.parametrize("given", [(4, 5), (1, 4, 5), (4, 5, 1)])
@pytest.mark.parametrize("wanted", [(4, 5), (1, 4, 5)])
def test_a_single_channel_may_be_written_or_left_out(
    tmp_path: Path, given: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    path = written(tmp_path, images=BYTES[:, 0].reshape(-1, *given))
    found = read_images(path, wanted, (0.0, 1.0))
    assert found.shape == (9, *wanted)
    np.testing.assert_allclose(found.reshape(9, 4, 5), BYTES[:, 0] / 255.0, atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": BYTES, "labels": np.arange(9)}, "its arrays are images, labels: write one array"),
        ({"pictures": BYTES}, "its arrays are pictures: write one array and call it images"),
        ({"images": np.array([None, {}], dtype=object)}, "a pickle"),
        ({"images": BYTES[:, :, :3]}, r"shape \[3, 3, 5\], and the generator makes \[3, 4, 5\]"),
        ({"images": BYTES[:0]}, r"shape \[0, 3, 4, 5\]"),
        ({"images": np.zeros(7, np.uint8)}, r"shape \[7\]"),
        ({"images": BYTES.astype(np.int64)}, "int64: write uint8, or floats"),
        ({"images": BYTES > 9}, "bool: write uint8, or floats"),
        ({"images": (BYTES > 99).astype(np.uint8)}, "bytes run from 0 to 1"),
        ({"images": BYTES.astype(np.float32)}, r"from 0 to 255, and the generator's outputs lie in \[-1, 1\]"),
        ({"images": (FLOATS + 1) / 2}, "from 0 to 1 only, and the generator's outputs lie in"),
        ({"images": np.where(FLOATS > 0.9, np.nan, FLOATS)}, "not finite"),
        ({"images": np.where(FLOATS > 0.9, np.inf, FLOATS)}, "not finite"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read_images(written(tmp_path, **arrays), (3, 4, 5), (-1.0, 1.0))
    assert caught.value.field == "real"
    assert "real.npz" in caught.value.message


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    whole = written(tmp_path, images=BYTES).read_bytes()
    broken = bytearray(whole)
    broken[80:120] = bytes(40)
    np.save(tmp_path / "array.npy", BYTES)
    cases = {
        "missing.npz": (None, "no such file"),
        "empty.npz": (b"", "no .npz file"),
        "text.npz": (b"hello", "no .npz file"),
        "pickle.npz": (b"\x80\x04N.", "no .npz file"),
        "half.npz": (whole[: len(whole) // 2], "no .npz file"),
        "broken.npz": (bytes(broken), "cannot be read"),
        "array.npy": ((tmp_path / "array.npy").read_bytes(), "no .npz file"),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=message) as caught:
            read_images(tmp_path / name, (3, 4, 5), (-1.0, 1.0))
        assert caught.value.field == "real"
