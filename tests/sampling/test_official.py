from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magnet_service.errors import DamagedData, InvalidInput, MagnetError, OutOfMemory, Refused, RefusedArchive
from magnet_service.generator.condition import Condition
from magnet_service.sampling import (
    Bank,
    BankSpec,
    Base,
    Box,
    ImportedBank,
    Law,
    Normal,
    SampleRequest,
    Sphere,
    Store,
    TruncatedNormal,
    build,
    choose_bank,
    export_official,
    import_official,
    read_official,
    resolve,
)
from magnet_service.sampling.banks import growth
from tests.sampling.nets import layers
from tests.sampling.small_bank import create, files, folder_of, grow, small_engine, small_generator
from tests.sampling.volume_files import (
    CLASSES,
    COLUMNS,
    ROWS,
    WIDTH,
    arrays,
    claim,
    npy,
    raw_file,
    slow_log_volumes,
    written,
)

PRIOR = Normal(WIDTH)


def imports(store: Path, path: Path, law: Law = PRIOR, **more: object) -> tuple[ImportedBank, ...]:
    given: dict[str, Any] = {"generator_name": "ffhq", "law": law, **more}
    return import_official(Store(store), read_official(path), **given)


def imported(folder: Path, law: Law = PRIOR, **made: np.ndarray) -> Bank:
    (one,) = imports(folder / "banks", written(folder / "ffhq.npz", **made), law)
    return one.bank


@pytest.mark.parametrize("kind", ["f4", "f8", ">f4"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_are_those_of_the_file(kind: str, save: object, tmp_path: Path) -> None:
    made = {name: array.astype(kind) for name, array in arrays().items()}
    save(tmp_path / "ffhq.npz", **made)  # type: ignore[operator]  # one of numpy's two
    (one,) = imports(tmp_path / "banks", tmp_path / "ffhq.npz")
    rows = one.bank.rows()
    assert (rows.latents == made["latents"].astype(np.float32)).all()
    assert (rows.rank == COLUMNS).all()
    assert not rows.status.any()
    assert rows.log_volumes.shape == (ROWS, COLUMNS)
    expected = np.array([slow_log_volumes(row) for row in made["svds"].astype(np.float64)])
    assert np.abs(rows.log_volumes - expected).max() <= 2**-24 * np.abs(expected).max() + 1e-14
    assert (one.zero_rows, one.unsorted_rows, one.doubt) == (0, 0, "")
    spec = one.bank.spec
    assert (spec.columns, spec.generator_name, spec.generator_digest) == (COLUMNS, "ffhq", "")
    assert (one.bank.revision, one.bank.manifest.accuracy) == (ROWS, None)


def test_the_order_of_an_arrays_numbers_in_the_file_does_not_matter(tmp_path: Path) -> None:
    made = arrays()
    rows = imported(tmp_path, latents=np.asfortranarray(made["latents"]), svds=np.asfortranarray(made["svds"])).rows()
    assert (rows.latents == made["latents"]).all()


def test_ids_of_banks_that_were_computed_know_nothing_of_imports() -> None:
    spec = BankSpec(generator_digest="d" * 64, law="normal(dim=20)")
    # As versions before imports made it.
    assert spec.id == "44029569a8bfacf0"
    assert not {"origin", "generator_name", "singular_values"} & set(spec.content())
    assert spec.columns == 20


def test_an_imported_bank_is_told_by_its_file_generator_and_law(tmp_path: Path) -> None:
    made = arrays()
    first = imported(tmp_path, **made)
    again = imports(tmp_path / "banks", written(tmp_path / "renamed.npz", **made))[0].bank
    assert again.id == first.id
    before = files(folder_of(first))
    assert files(folder_of(again)) == before
    other = {**made, "svds": np.nextafter(made["svds"], np.float32(0))}
    ids = {
        first.id,
        imported(tmp_path, **other).id,
        imported(tmp_path, law=Normal(WIDTH, scale=2.0), **made).id,
        import_official(
            Store(tmp_path / "banks"), read_official(tmp_path / "renamed.npz"), generator_name="b", law=PRIOR
        )[0].bank.id,
    }
    assert len(ids) == 4


def test_an_import_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magnet_service.sampling.banks.imported.SHARD_ROWS", 64)
    (tmp_path / "whole").mkdir()
    whole = imported(tmp_path / "whole", **arrays())
    assert len(whole.manifest.shards) == 4

    class Killed(Exception):
        pass

    stored = growth.Growth._stored

    def dies(self: object, first: int, rows: object) -> object:
        if first == 128:
            raise Killed
        return stored(self, first, rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(growth.Growth, "_stored", dies)
        with pytest.raises(Killed):
            imported(tmp_path, **arrays())
    (half,) = Store(tmp_path / "banks").banks()
    assert half.revision == 128
    done = imported(tmp_path, **arrays())
    assert (done.id, done.revision) == (half.id, ROWS)
    assert files(folder_of(done)) == files(folder_of(whole))


def test_zero_rows_are_dropped_and_others_keep_their_order(tmp_path: Path) -> None:
    made = arrays()
    made["svds"][[0, 7, ROWS - 1]] = 0.0
    (one,) = imports(tmp_path / "banks", written(tmp_path / "a.npz", **made))
    kept = np.delete(np.arange(ROWS), [0, 7, ROWS - 1])
    assert (one.zero_rows, one.bank.revision) == (3, ROWS - 3)
    assert (one.bank.rows().latents == made["latents"][kept]).all()
    made["svds"][:] = 0.0
    with pytest.raises(InvalidInput, match="none has a volume"):
        imports(tmp_path / "banks", written(tmp_path / "b.npz", **made))


def test_singular_values_of_0_end_the_rank_and_nothing_is_clipped(tmp_path: Path) -> None:
    made = arrays()
    made["svds"][3] = [5.0, 2.0, 0.0, 0.0]
    made["svds"][4] = [1.0, 1e-3, 1e-30, 1e-38]  # below d eps sigma_1 of float32
    made["svds"][5] = [1e-30, 1e-33, 0.0, 0.0]  # small, and yet a volume
    rows = imported(tmp_path, **made).rows()
    assert rows.rank[3:6].tolist() == [2, 2, 2]
    assert (rows.log_volumes[3:6, 2:] == -np.inf).all()
    assert rows.log_volumes[3, 1] == np.float32(np.log(10.0))
    assert rows.log_volumes[5, 1] == np.float32(
        np.log(np.float64(np.float32(1e-30))) + np.log(float(np.float32(1e-33)))
    )
    wider = {name: array.astype(np.float64) for name, array in made.items()}
    assert imported(tmp_path, **wider).rows().rank[4] == 2  # 1e-30 is below that of float64 too
    wider["svds"][4] = [1.0, 1e-3, 1e-8, 1e-12]
    assert imported(tmp_path, **wider).rows().rank[4] == 4


def test_rows_in_another_order_are_sorted_and_counted(tmp_path: Path) -> None:
    made = arrays()
    plain = imported(tmp_path, **made).rows()
    made["svds"][:9] = made["svds"][:9, ::-1]
    (one,) = imports(tmp_path / "banks", written(tmp_path / "a.npz", **made))
    assert one.unsorted_rows == 9
    assert one.bank.rows().log_volumes.tobytes() == plain.log_volumes.tobytes()


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


def test_a_law_that_the_latents_cannot_have(tmp_path: Path) -> None:
    made = arrays()
    path = written(tmp_path / "a.npz", **made)
    first = int(np.flatnonzero((np.abs(made["latents"]) > 1.0).any(axis=1))[0])
    for law, told in (
        (Box(WIDTH, low=-1.0, high=1.0), f"row {first}: no draw of box"),
        (TruncatedNormal(WIDTH, bound=1.0), f"row {first}: no draw of truncated_normal"),
        (Sphere(WIDTH, radius=1.0), "row 0: no draw of sphere"),
        (Normal(WIDTH + 1), "6 wide"),
        (Sphere(COLUMNS, radius=1.0), "6 wide"),
    ):
        with pytest.raises(InvalidInput, match=told) as caught:
            imports(tmp_path / "banks", path, law)
        assert caught.value.field == "law"
    assert Store(tmp_path / "banks").banks() == ()
    on_sphere = made["latents"] / np.linalg.norm(made["latents"], axis=1, keepdims=True)
    square = np.tile(made["svds"], (1, 2))[:, :WIDTH]
    with pytest.raises(InvalidInput, match="6 singular values a row: under sphere"):
        imports(
            tmp_path / "banks", written(tmp_path / "b.npz", latents=on_sphere, svds=square), Sphere(WIDTH, radius=1.0)
        )


def test_a_law_that_the_latents_hardly_have_is_doubted(tmp_path: Path) -> None:
    made = arrays(2000)
    (wide,) = imports(tmp_path / "banks", written(tmp_path / "a.npz", **made), Normal(WIDTH, scale=3.0))
    assert "is that the law" in wide.doubt
    assert "normal(dim=6,scale=3.0) 8.93" in wide.doubt
    (right,) = imports(tmp_path / "banks", tmp_path / "a.npz")
    assert right.doubt == ""


def test_labels_make_a_bank_of_each_class(tmp_path: Path) -> None:
    made = arrays(labels=True)
    path = written(tmp_path / "a.npz", **made)
    found = imports(tmp_path / "banks", path)
    classes = made["labels"].argmax(axis=1)
    assert [one.bank.spec.condition for one in found] == ["0", "1", "2", "3"]  # no row is of the last
    for index, one in enumerate(found):
        assert (one.bank.rows().latents == made["latents"][classes == index]).all()
        assert one.bank.manifest.stamp["classes"] == str(CLASSES)
    (alone,) = imports(tmp_path / "others", path, condition=Condition(index=2))
    assert alone.bank.id == found[2].bank.id
    assert files(folder_of(alone.bank)) == files(folder_of(found[2].bank))
    with pytest.raises(InvalidInput, match="no rows of class 4: its labels tell 5 classes apart, of which 4") as caught:
        imports(tmp_path / "banks", path, condition=Condition(index=4))
    assert caught.value.field == "condition"
    del made["labels"]
    (given,) = imports(tmp_path / "banks", written(tmp_path / "b.npz", **made), condition=Condition(vector=(0.5, 1.0)))
    assert given.bank.spec.condition == "0.5,1.0,"


def test_an_imported_bank_grows_no_more(tmp_path: Path) -> None:
    generator = small_generator()
    source = np.random.default_rng(0)
    made = {"latents": source.normal(size=(50, 3)), "svds": np.ones((50, 2))}
    bank = imported(tmp_path, Normal(3), **made)
    of_it = Bank.create(
        tmp_path / "other", replace(bank.spec, generator_digest=generator.digest), stamp={}, shard_rows=64
    )
    for one in (bank, of_it):
        with pytest.raises(Refused) as caught:
            build(one, generator, small_engine(one.spec), 100)
        assert caught.value.reason == "IMPORTED"


def test_k_beyond_the_columns_held_is_refused_and_auto_stays_within(tmp_path: Path) -> None:
    bank = imported(tmp_path, **arrays(2000))
    choice = choose_bank([bank.spec], SampleRequest(count=1, rho=0.1), PRIOR, generator_digest="", reference="ffhq@3")
    assert "imported, its volumes as published and of unknown error" in choice.reason

    def drawn(**given: object) -> object:
        request = SampleRequest(count=10, seed=1, **given)  # type: ignore[arg-type]  # any attribute
        return resolve(request, PRIOR, generator_digest="", choice=choice, rows=bank.rows(), from_bank=True)

    with pytest.raises(InvalidInput, match="holds the 4 largest singular values of 6, write 1 to 4") as caught:
        drawn(rho=0.1, top_k=5)
    assert caught.value.field == "top_k"
    assert drawn(rho=0.1).resolved.top_k == COLUMNS  # type: ignore[attr-defined]
    uniform = drawn(rho=1.0, base=Base.UNIFORM, top_k=4).resolved  # type: ignore[attr-defined]
    assert uniform.uniformity == "uniform in the top-k volume"
    # Drawn from the bank at rho 0 too, each row as likely as any.
    at_zero = drawn(rho=0.0)
    assert at_zero.diagnostics.ess == 2000  # type: ignore[attr-defined]
    assert (at_zero.latents(0, 10) == bank.rows().latents[at_zero.indices(0, 10)]).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("digest", ["", "e" * 64])
def test_whose_bank_it_is(digest: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.npz", **arrays())
    (one,) = import_official(
        Store(tmp_path / "banks"), read_official(path), generator_name="ffhq", generator_digest=digest, law=PRIOR
    )
    spec = one.bank.spec
    assert spec.is_of("e" * 64, "ffhq@2")
    assert spec.is_of("f" * 64, "ffhq@2") == (not digest)
    assert spec.is_of("e" * 64, "afhq@2") == bool(digest)
    computed = BankSpec(generator_digest="f" * 64, law=PRIOR.to_text(), seed=9)
    chosen = choose_bank(
        [spec, replace(spec, generator_digest="f" * 64), computed],
        SampleRequest(count=1, rho=1.0),
        PRIOR,
        generator_digest="f" * 64,
        reference="ffhq@2",
    )
    assert chosen.spec == computed  # before any that was imported


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
