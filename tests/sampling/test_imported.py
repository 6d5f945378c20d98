from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.condition import Condition
from magnet_service.sampling import (
    Bank,
    BankSpec,
    Base,
    Box,
    Normal,
    SampleRequest,
    Sphere,
    Store,
    TruncatedNormal,
    build,
    choose_bank,
    import_official,
    read_official,
    resolve,
)
from magnet_service.sampling.banks import growth
from magnet_service.sampling.banks.inspection import inspect, repair
from tests.sampling.small_bank import files, folder_of, shard_file, small_engine, small_generator
from tests.sampling.volume_files import (
    CLASSES,
    COLUMNS,
    PRIOR,
    ROWS,
    WIDTH,
    arrays,
    imported,
    imports,
    slow_log_volumes,
    written,
)


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


def test_damage_to_an_imported_bank_is_named_and_cannot_be_computed_away(tmp_path: Path) -> None:
    generator = small_generator()
    bank = imported(tmp_path, Normal(3), latents=np.random.default_rng(0).normal(size=(50, 3)), svds=np.ones((50, 2)))
    path = shard_file(bank, 0)
    path.write_bytes(path.read_bytes()[:-1])
    (finding,) = inspect(bank)
    assert path.name in finding.problem
    assert "import its file again" in finding.problem
    with pytest.raises(Refused) as caught:
        repair(bank, generator, small_engine(bank.spec), [finding.entry])
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
