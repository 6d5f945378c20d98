from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import DamagedData, InvalidInput, MagnetError, OutOfMemory, RefusedArchive
from magnet_service.sampling import (
    read_official,
)
from tests.sampling.volume_files import (
    ROWS,
    arrays,
    claim,
    npy,
    raw_file,
    written,
)


def bad(**changes: object) -> dict[str, np.ndarray]:
    made = arrays(labels="labels" in changes)
    for name, change in changes.items():
        if change is None:
            del made[name]
        else:
            made[name] = change(made[name]) if callable(change) else np.asarray(change)
    return made


def with_entry(row: int, value: float) -> object:
    def change(array: np.ndarray) -> np.ndarray:
        array[row, 1] = value
        return array

    return change


BAD_ARRAYS = {
    "no latents": (bad(latents=None), "no array latents"),
    "no svds": (bad(svds=None), "no array svds"),
    "NaN in a latent": (bad(latents=with_entry(17, np.nan)), "latents of bad.npz, row 17"),
    "infinite singular value": (bad(svds=with_entry(18, np.inf)), "svds of bad.npz, row 18"),
    "negative singular value": (bad(svds=with_entry(19, -1e-6)), "row 19: a number is below 0"),
    "whole numbers": (bad(svds=lambda array: array.astype(np.int64)), "svds of bad.npz is int64"),
    "half precision": (bad(svds=lambda array: array.astype(np.float16)), "float16"),
    "complex": (bad(latents=lambda array: array.astype(np.complex64)), "complex64"),
    "text": (bad(latents=lambda array: array.astype(str)), "save it as float32"),
    "records": (bad(latents=lambda array: array.view([("a", "<f4")])), "save it as float32"),
    "a vector": (bad(svds=lambda array: array[:, 0]), "two-dimensional"),
    "three axes": (bad(latents=lambda array: array[:, None]), "two-dimensional"),
    "no rows": (bad(latents=lambda array: array[:0], svds=lambda array: array[:0]), "not empty"),
    "other rows": (bad(svds=lambda array: array[:-1]), "200 latents and 199 rows of svds"),
    "more values than numbers": (bad(svds=lambda array: np.hstack([array, array])), "at most 6"),
    "beyond float32": (
        bad(latents=lambda array: array.astype(np.float64) + 1e39),
        "latents of bad.npz, row 0: a number is beyond float32",
    ),
    "two classes in a row": (bad(labels=with_entry(20, 1.0)), "labels of bad.npz, row"),
    "no class in a row": (bad(labels=lambda array: array * (np.arange(ROWS) != 21)[:, None]), "row 21: not one-hot"),
    "soft labels": (bad(labels=lambda array: array * 0.5), "row 0: not one-hot"),
    "other labels": (bad(labels=lambda array: array[1:]), "rows of labels"),
    "classes by number": (bad(labels=lambda array: array.argmax(axis=1)), "two-dimensional"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_what_no_volume_file_holds_is_refused(name: str, tmp_path: Path) -> None:
    made, told = BAD_ARRAYS[name]
    if name == "two classes in a row":
        made["labels"][20] = [1, 1, 0, 0, 0]
    with pytest.raises(InvalidInput, match=told) as caught:
        read_official(written(tmp_path / "bad.npz", **made))
    assert caught.value.field == "file"


class Bomb:
    """What unpickling it would do shows."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("unpickled"),))  # type: ignore[return-value]


def test_no_pickle_is_ever_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = arrays()
    ragged = np.empty(ROWS, object)
    ragged[:] = [row[: 1 + index % 3] for index, row in enumerate(made["latents"])]
    bomb = np.empty((ROWS, 2), object)
    bomb[:] = Bomb()
    for name, values in (("latents", ragged), ("svds", bomb), ("labels", bomb)):
        with pytest.raises(RefusedArchive, match=f"{name} of a.npz is an array of objects"):
            read_official(written(Path("a.npz"), **{**made, name: values}))
    # Beside the arrays of a volume file it is never opened.
    assert len(read_official(written(Path("a.npz"), **made, zs=bomb)).latents) == ROWS
    assert not Path("unpickled").exists()


def test_sizes_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    svds = npy(arrays()["svds"])
    # Some hundred bytes that declare 4 TB, and a member that holds more, or less, than it declares.
    huge = raw_file(tmp_path / "huge.npz", {"latents.npy": claim((10**9, 1000)), "svds.npy": svds})
    with pytest.raises(DamagedData, match="declares 4,000,000,000,000 bytes"):
        read_official(huge)
    for shape in ((-1, 6), (2**40, 2**40), (2**63, 2)):
        with pytest.raises(MagnetError):
            read_official(raw_file(tmp_path / "odd.npz", {"latents.npy": claim(shape), "svds.npy": svds}))
    zeros = {"latents": np.zeros((50_000, 100), np.float32), "svds": np.ones((50_000, 1), np.float32)}
    np.savez_compressed(tmp_path / "zeros.npz", **zeros)
    assert (tmp_path / "zeros.npz").stat().st_size < 200_000
    with pytest.raises(OutOfMemory, match="40,400,000 bytes of memory, and 1,000,000 are free"):
        read_official(tmp_path / "zeros.npz", max_memory=1_000_000)
    longer = npy(arrays()["latents"]) + b"\0" * 1000
    with pytest.raises(DamagedData, match="declares"):
        read_official(raw_file(tmp_path / "longer.npz", {"latents.npy": longer, "svds.npy": svds}))


def test_files_that_are_none_or_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npz", **arrays())
    data = path.read_bytes()
    with pytest.raises(InvalidInput, match="there is no file"):
        read_official(tmp_path / "absent.npz")
    for wrong in (b"", b"\x80\x04pickle", data[: len(data) // 2], npy(arrays()["svds"])):
        path.write_bytes(wrong)
        with pytest.raises(DamagedData, match="or not a whole one"):
            read_official(path)
    middle = len(data) // 3
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(DamagedData):
        read_official(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("latents.npy", npy(arrays()["latents"]))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("latents.npy", b"")
    with pytest.raises(RefusedArchive, match="2 times"):
        read_official(path)
    for junk in (b"\x93NUMPY\x01\x00\x10\x00{'descr': open(1)}", b"\x93NUMPY\x03\x00", b"not an array", b""):
        members = {"latents.npy": junk, "svds.npy": npy(arrays()["svds"])}
        with pytest.raises(InvalidInput, match=r"latents\.npy of junk\.npz is no array"):
            read_official(raw_file(tmp_path / "junk.npz", members))


def test_damage_anywhere_is_an_error_of_this_program(tmp_path: Path) -> None:
    source, path = np.random.default_rng(0), tmp_path / "a.npz"
    np.savez(path, **{name: array[:20] for name, array in arrays(labels=True).items()})
    whole, told = path.read_bytes(), 0
    for _ in range(400):
        data = bytearray(whole)
        # Half of them in the directory at the end, whose offsets lead to the rest.
        first = 0 if source.random() < 0.5 else len(data) - 250
        data[source.integers(first, len(data))] = source.integers(256)
        path.write_bytes(bytes(data))
        try:
            read_official(path)
        except MagnetError:
            told += 1
    assert told > 200
