from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import InvalidInput, Refused
from magnet_service.sampling import (
    Normal,
    export_official,
)
from tests.sampling.nets import layers
from tests.sampling.small_bank import create, grow, small_generator
from tests.sampling.volume_files import (
    CLASSES,
    COLUMNS,
    ROWS,
    arrays,
    imported,
    imports,
    written,
)


def far(volumes: np.ndarray) -> np.ndarray:
    """The bound that `export_official` states, per column."""
    k = np.arange(1, volumes.shape[1] + 1)
    finite = np.where(np.isfinite(volumes), np.abs(volumes), 0.0)
    return 2.0**-24 * (k + 3.0 * finite.max(axis=1, keepdims=True))


@pytest.mark.parametrize(("kind", "scale"), [("f4", 1.0), ("f8", 1.0), ("f8", 1e-40), ("f8", 1e40)])
def test_export_and_import_give_the_same_rows(kind: str, scale: float, tmp_path: Path) -> None:
    made = arrays(kind=kind)
    made["svds"] *= scale
    made["svds"][5, 2:] = 0.0
    bank = imported(tmp_path, **made)
    told = export_official([bank], tmp_path / "out.npz")
    assert (told.rows, told.columns, told.left_out, told.classes) == (ROWS, COLUMNS, 0, 0)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as saved:
        assert set(saved.files) == {"latents", "svds"}
        assert saved["latents"].dtype == np.float32
        assert str(saved["svds"].dtype) == told.type == ("float32" if scale == 1.0 else "float64")
        assert (saved["svds"][5, 2:] == 0.0).all()
        assert np.allclose(saved["svds"], made["svds"].astype(np.float64), rtol=1e-4, atol=0.0)
    (back,) = imports(tmp_path / "back", tmp_path / "out.npz")
    before, after = bank.rows(), back.bank.rows()
    assert after.latents.tobytes() == before.latents.tobytes()
    assert (after.rank == before.rank).all()
    same = np.isfinite(before.log_volumes)
    assert (np.isfinite(after.log_volumes) == same).all()
    error = np.abs(np.where(same, after.log_volumes, 0.0) - np.where(same, before.log_volumes, 0.0).astype(np.float64))
    assert (error <= far(before.log_volumes.astype(np.float64))).all()


def slow_jacobian(latent: np.ndarray) -> np.ndarray:
    """Of `small_generator`, layer by layer in float64."""
    value, matrix = latent.astype(np.float64), np.eye(3)
    made = layers((3, 8, 8, 5), seed=1)
    for index, (weight, bias) in enumerate(made):
        value, matrix = weight @ value + bias, weight @ matrix
        if index < len(made) - 1:
            matrix, value = matrix * (value > 0.0)[:, None], np.maximum(value, 0.0)
    return matrix


def test_a_computed_bank_goes_out_and_comes_back(tmp_path: Path) -> None:
    generator = small_generator()
    bank = grow(create(tmp_path / "bank", generator), generator, 100)
    told = export_official([bank], tmp_path / "out.npz")
    rows = bank.rows()
    with np.load(tmp_path / "out.npz") as saved:
        for row in (0, 50, 99):
            expected = np.linalg.svd(slow_jacobian(rows.latents[row]), compute_uv=False)
            found = saved["svds"][row].astype(np.float64)
            assert np.abs(found - expected)[: rows.rank[row]].max() < 1e-4 * expected[0]
    (back,) = imports(tmp_path / "back", tmp_path / "out.npz", Normal(3))
    kept = rows.rank > 0
    assert told.zero_rows == int((~kept).sum()) == back.zero_rows
    assert (back.bank.rows().rank == rows.rank[kept]).all()
    assert back.bank.rows().latents.tobytes() == rows.latents[kept].tobytes()


def test_small_singular_values_that_count_are_kept_as_float64(tmp_path: Path) -> None:
    made = {name: array.astype(np.float64) for name, array in arrays().items()}
    made["svds"][3] = [1.0, 0.5, 0.25, 1e-10]
    bank = imported(tmp_path, **made)
    assert bank.rows().rank[3] == 4
    assert export_official([bank], tmp_path / "out.npz").type == "float64"
    assert imports(tmp_path / "back", tmp_path / "out.npz")[0].bank.rows().rank[3] == 4


def test_class_banks_make_one_file_with_labels(tmp_path: Path) -> None:
    made = arrays(labels=True)
    found = imports(tmp_path / "banks", written(tmp_path / "a.npz", **made))
    banks = [one.bank for one in found]
    assert export_official(banks, tmp_path / "out.npz").classes == CLASSES
    assert export_official(banks, tmp_path / "out.npz", classes=9).classes == 9
    export_official(banks, tmp_path / "out.npz")
    order = np.argsort(made["labels"].argmax(axis=1), kind="stable")
    with np.load(tmp_path / "out.npz") as saved:
        assert (saved["labels"] == made["labels"][order]).all()
        assert (saved["latents"] == made["latents"][order]).all()
    again = imports(tmp_path / "back", tmp_path / "out.npz")
    for one, other in zip(found, again, strict=True):
        assert one.bank.rows().latents.tobytes() == other.bank.rows().latents.tobytes()
    other = imported(tmp_path, **arrays(seed=2))
    for wrong, field in (([banks[0], other], "bank_id"), ([banks[0], banks[0]], "bank_id"), ([], "bank_id")):
        with pytest.raises(InvalidInput) as caught:
            export_official(wrong, tmp_path / "no.npz")
        assert caught.value.field == field
    with pytest.raises(InvalidInput, match="classes 4 or more"):
        export_official(banks, tmp_path / "no.npz", classes=3)
    with pytest.raises(InvalidInput, match="does not end"):
        export_official(banks, tmp_path / "no.npy")
    with pytest.raises(OSError, match="absent"):
        export_official(banks, tmp_path / "absent" / "no.npz")
    assert not [*tmp_path.glob("*.tmp*"), *tmp_path.glob("no*")]


def test_an_empty_bank_and_rows_that_are_not_finite(tmp_path: Path) -> None:
    generator = small_generator()
    empty = create(tmp_path / "empty", generator)
    with pytest.raises(Refused) as caught:
        export_official([empty], tmp_path / "no.npz")
    assert caught.value.reason == "EMPTY_BANK"
