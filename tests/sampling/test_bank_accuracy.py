"""The arithmetic of a bank: measured, decided, kept, and what may be asked of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from magnet_service.errors import DamagedData, Refused
from magnet_service.generator import Generator, Precision
from magnet_service.geometry import ERROR_LIMIT, Engine, MeasuredError, measure_error, stamp
from magnet_service.geometry.sweep import preparation
from magnet_service.sampling import (
    Accuracy,
    Bank,
    BankChoice,
    Draw,
    Normal,
    SampleRequest,
    Weights,
    check_top_k,
    compute_rows,
    engine_for,
    probe_latents,
    resolve,
    shortfall,
)
from tests.sampling.nets import generator_of, layers
from tests.sampling.small_bank import (
    SHARD_ROWS,
    create,
    files,
    folder_of,
    grow,
    manifest_file,
    small_generator,
    small_spec,
)
from tests.sampling.synthetic import DIGEST, rows_of, spec_of

PRIOR = Normal(4)
ROWS = rows_of(PRIOR, 10_000, [0.2, 0.2, 0.2, 0.2])
COARSE = MeasuredError(Precision.BFLOAT16, (0.01, 0.04, 0.2, 0.03), 64)
FINE = MeasuredError(Precision.FLOAT32, (1e-6,) * 4, 64)
AS_ASKED = Accuracy(Precision.BFLOAT16, "", (COARSE,))
INSTEAD = Accuracy(Precision.FLOAT32, "in bfloat16 log v_3 is off", (COARSE, FINE))


def badly_conditioned() -> Generator:
    """One direction of the latent space counts a hundred times as much as the others, none of them an axis."""
    made = layers((16, 40, 48), seed=4)
    source = np.random.RandomState(5)
    left, _ = np.linalg.qr(source.normal(size=(40, 16)))
    right, _ = np.linalg.qr(source.normal(size=(16, 16)))
    made[0] = ((left * np.array([1.0] + [0.01] * 15)) @ right, np.full(40, 2.0))
    return generator_of(made)


def build_in(folder: Path, generator: Generator, precision: Precision, rows: int = 100) -> Bank:
    spec = small_spec(generator, law=Normal(generator.latent_dim).to_text(), precision=precision)
    return grow(Bank.create(folder, spec, stamp=stamp(engine_for(spec)), shard_rows=SHARD_ROWS), generator, rows)


def ask(accuracy: Accuracy, **given: object) -> Draw:
    request = SampleRequest(**{"count": 20, "seed": 1, "precision": Precision.BFLOAT16, **given})  # type: ignore[arg-type]  # any attribute
    choice = BankChoice(spec_of(PRIOR, precision=Precision.BFLOAT16), "for the test", accuracy)
    return resolve(request, PRIOR, generator_digest=DIGEST, choice=choice, rows=ROWS)


@pytest.mark.parametrize("precision", list(Precision))
def test_a_bank_keeps_the_error_of_its_arithmetic(precision: Precision, tmp_path: Path) -> None:
    generator = small_generator()
    bank = build_in(tmp_path / "b", generator, precision)
    accuracy = bank.manifest.accuracy
    assert accuracy is not None
    assert accuracy.errors[0].precision is precision
    assert (accuracy.error.precision, accuracy.error.latents) == (accuracy.used, 64)
    engine, law = engine_for(bank.spec), bank.spec.base_law
    assert accuracy.errors[0] == measure_error(engine, generator, bank.spec.manifold, False, probe_latents(law))
    if precision is not Precision.BFLOAT16:
        assert (accuracy.used, accuracy.reason, accuracy.largest_k) == (precision, "", 3)
        assert max(accuracy.error.log_volume) <= (0.0 if precision is Precision.FLOAT64 else 1e-4)


def test_a_generator_too_coarse_for_bfloat16_is_computed_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "COMPILES", False)  # kernels of our own round nothing of networks this narrow
    generator = badly_conditioned()
    bank = build_in(tmp_path / "b", generator, Precision.BFLOAT16)
    accuracy = bank.manifest.accuracy
    assert accuracy is not None
    assert accuracy.used is Precision.FLOAT32
    assert [error.precision for error in accuracy.errors] == [Precision.BFLOAT16, Precision.FLOAT32]
    assert max(accuracy.errors[0].log_volume) > ERROR_LIMIT > max(accuracy.error.log_volume)
    assert "in bfloat16 log v_" in accuracy.reason
    single = compute_rows(generator, Engine(threads=1), bank.spec, 0, 96)
    assert bank.rows(96).log_volumes.tobytes() == single.log_volumes.tobytes()
    assert bank.spec.precision is Precision.BFLOAT16
    # Grown later, or in steps, it stays one computation.
    whole = build_in(tmp_path / "whole", generator, Precision.BFLOAT16, 150)
    assert files(folder_of(grow(bank, generator, 150))) == files(folder_of(whole))


def test_the_id_is_that_of_the_arithmetic_asked_for() -> None:
    ids = {small_spec(small_generator(), precision=precision).id for precision in Precision}
    assert len(ids) == len(Precision)


def test_an_empty_bank_has_measured_nothing(tmp_path: Path) -> None:
    bank = create(tmp_path / "b", small_generator())
    assert bank.manifest.accuracy is None
    assert bank.manifest.precision_used is Precision.FLOAT32


def test_a_bank_from_before_errors_were_measured_is_read_and_grown(tmp_path: Path) -> None:
    generator = small_generator()
    bank = grow(create(tmp_path / "b", generator), generator, 64)
    content = json.loads(manifest_file(bank).read_text())
    del content["accuracy"]
    manifest_file(bank).write_text(json.dumps(content))
    old = Bank.open(bank.place)
    assert old.manifest.accuracy is None
    assert grow(old, generator, 80).manifest.accuracy == bank.manifest.accuracy


@pytest.mark.parametrize("accuracy", [AS_ASKED, INSTEAD])
def test_what_is_written_is_read_again(accuracy: Accuracy) -> None:
    assert Accuracy.of_content(json.loads(json.dumps(accuracy.content(), allow_nan=False))) == accuracy


def test_an_infinite_error_is_written_as_json_can() -> None:
    error = MeasuredError(Precision.FLOAT32, (0.0, math.inf), 64, (3, 5))
    accuracy = Accuracy(Precision.FLOAT32, "", (error,))
    assert Accuracy.of_content(json.loads(json.dumps(accuracy.content(), allow_nan=False))) == accuracy


@pytest.mark.parametrize("content", [3, {}, {"used": "float32", "reason": "", "errors": []}, {"used": "float16"}])
def test_an_accuracy_that_is_none_is_damage(content: object, tmp_path: Path) -> None:
    generator = small_generator()
    bank = grow(create(tmp_path / "b", generator), generator, 20)
    manifest = json.loads(manifest_file(bank).read_text())
    manifest_file(bank).write_text(json.dumps({**manifest, "accuracy": content}))
    with pytest.raises(DamagedData):
        Bank.open(bank.place)


def test_only_bfloat16_has_a_largest_k() -> None:
    assert (AS_ASKED.largest_k, INSTEAD.largest_k) == (2, 4)
    INSTEAD.check(4)
    coarse_single = MeasuredError(Precision.FLOAT32, COARSE.log_volume, 64)
    assert Accuracy(Precision.FLOAT32, "", (coarse_single,)).largest_k == 4


@pytest.mark.parametrize(("k", "told"), [(3, "log v_3 is off by up to 0.2 nats"), (4, "log v_3 is off by up to 0.2")])
def test_a_k_beyond_is_refused_with_the_error_and_what_to_write(k: int, told: str) -> None:
    check_top_k(COARSE, 2)
    with pytest.raises(Refused, match=told) as caught:
        ask(AS_ASKED, rho=1.0, top_k=k)
    assert (caught.value.reason, caught.value.field) == ("INEXACT", "top_k")
    assert "top_k 2 or less" in caught.value.message
    assert "float32" in caught.value.message
    assert caught.value.metadata["largest_k"] == "2"


def test_where_nothing_could_be_compared_the_error_is_unknown() -> None:
    error = MeasuredError(Precision.BFLOAT16, (0.0, 0.0), 2, (0, 1))
    assert "its error is unknown" in shortfall(error, 1)
    assert shortfall(COARSE, 2) == ""


def test_auto_never_goes_beyond(tmp_path: Path) -> None:
    assert ask(INSTEAD, rho=1.0).resolved.top_k == 4
    resolved = ask(AS_ASKED, rho=1.0).resolved
    assert resolved.top_k == 2
    assert "not exact enough" in resolved.top_k_reason
    assert Weights(ROWS, PRIOR, PRIOR).choose_top_k(1.0).k == 4
    assert "not exact" not in Weights(ROWS, PRIOR, PRIOR, 4).choose_top_k(1.0).reason


def test_a_draw_says_which_arithmetic_was_used_and_how_far_it_is_off() -> None:
    resolved = ask(AS_ASKED, rho=1.0, top_k=2).resolved
    assert (resolved.precision, resolved.precision_used) == (Precision.BFLOAT16, Precision.BFLOAT16)
    assert (resolved.precision_reason, resolved.volume_error) == ("", 0.04)
    resolved = ask(INSTEAD, rho=1.0, top_k=3).resolved
    assert (resolved.precision, resolved.precision_used) == (Precision.BFLOAT16, Precision.FLOAT32)
    assert (resolved.precision_reason, resolved.volume_error) == (INSTEAD.reason, 1e-6)
    assert resolved.request().precision is Precision.BFLOAT16
