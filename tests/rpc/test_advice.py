"""DescribePolarity with its advice over a real channel: its figures, its bank, and what presets would do."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from magnet.v1 import bank_pb2, sampling_pb2, types_pb2
from magnet_service.config import Settings
from magnet_service.registry import import_banks
from magnet_service.registry.generators import GeneratorShelf
from magnet_service.sampling import Store
from tests.rpc.calls import Services, build_bank, draw, failure
from tests.rpc.networks import LATENT_DIM

PRESETS = (1, 2, 3, 4)


def advise(services: Services, **fields: object) -> bank_pb2.DescribePolarityResponse:
    request = bank_pb2.DescribePolarityRequest(advise=True, **fields)  # type: ignore[arg-type]  # any field
    return services.banks.DescribePolarity(request)


def test_without_advise_nothing_is_new(services: Services, bank: str) -> None:
    asked = {"generator": "grey", "rhos": [-1, 0, 1], "top_ks": [1, 6]}
    plain = services.banks.DescribePolarity(bank_pb2.DescribePolarityRequest(**asked))
    assert {field.name for field, _ in plain.ListFields()} == {
        "cells", "bank_id", "bank_revision", "bank_reason", "base", "advice",
    }  # fmt: skip
    assert all(cell.need == bank_pb2.NEED_UNSPECIFIED and not cell.methods for cell in plain.cells)
    more = advise(services, **asked)
    for cell in more.cells:
        for name in ("need", "rows_needed", "lognormal_log10_rows", "remedy", "methods"):
            cell.ClearField(name)
    for name in ("spectrum", "ranges", "presets", "generator", "manifold", "imported"):
        more.ClearField(name)
    assert more == plain


def test_the_spectrum_is_that_of_the_rows_in_the_store(services: Services, bank: str, settings: Settings) -> None:
    found = advise(services, generator="grey")
    rows = Store(settings.store).open(bank).rows()
    logs = np.diff(rows.span(0, 3000).log_volumes.astype(np.float64), axis=1, prepend=0.0)
    spectrum = found.spectrum
    assert (found.generator, found.manifold, found.imported) == ("grey@1", types_pb2.MANIFOLD_OUTPUT, False)
    assert (spectrum.rows, len(spectrum.rank_share)) == (3000, 6)
    full = rows.ranks() >= 6
    assert spectrum.rank_share[5] == pytest.approx(full.mean())
    assert spectrum.log_sigma_mean[5] == pytest.approx(logs[full, 5].mean())
    assert spectrum.log_volume_sd[5] == pytest.approx(rows.log_volume(6)[full].astype(np.float64).std())
    assert [level.level for level in spectrum.levels] == [0.05, 0.25, 0.5, 0.75, 0.95]
    assert spectrum.definition == bank_pb2.EFFECTIVE_RANK_SINGULAR_VALUES
    squares = advise(services, generator="grey", effective_rank=bank_pb2.EFFECTIVE_RANK_SQUARES).spectrum
    assert squares.definition == bank_pb2.EFFECTIVE_RANK_SQUARES
    assert 1.0 < squares.effective_rank_mean < spectrum.effective_rank_mean < 6.0
    assert list(squares.log_sigma_mean) == list(spectrum.log_sigma_mean)


def test_presets_are_what_a_draw_answers(services: Services, bank: str) -> None:
    found = advise(services, generator="grey")
    assert [one.preset for one in found.presets] == list(PRESETS)
    for one in found.presets:
        header = draw(services, generator="grey", count=1, preset=one.preset).header
        assert not one.problem
        for name in ("rho", "top_k", "base", "method", "law_in_words", "rho_reason", "top_k_reason", "bank_reason"):
            assert getattr(one, name) == getattr(header, name), name
        assert (one.bank_id, one.bank_revision) == (header.resolved.bank_id, header.resolved.bank_revision)
        assert (one.result, one.advice) == (header.result, header.advice)
        if one.method == "RESAMPLE":
            assert (one.ess, one.khat) == (header.diagnostics.ess, header.diagnostics.khat)
    uniform = found.presets[1]
    assert "corrected" in uniform.bank_reason
    assert uniform.command == "magnet bank build grey@1 --base uniform"
    assert [bool(one.command) for one in found.presets] == [False, True, False, False]


def test_a_preset_without_a_bank_says_what_builds_it(services: Services) -> None:
    """Where the only bank is of a uniform base, it is no bank of MODE, whose base is the prior."""
    ball = sampling_pb2.Base(uniform=sampling_pb2.Base.Uniform(ball=sampling_pb2.Base.Ball(radius=1.5)))
    made = build_bank(services, "grey", 640, base=ball, manifold=types_pb2.MANIFOLD_PRE_ACTIVATION)
    found = advise(services, generator="grey", base=ball, manifold=types_pb2.MANIFOLD_PRE_ACTIVATION)
    assert (found.bank_id, found.manifold) == (made.bank_id, types_pb2.MANIFOLD_PRE_ACTIVATION)
    trained, uniform, *extremes = found.presets
    assert (trained.method, uniform.bank_id, uniform.command) == ("DIRECT", made.bank_id, "")
    assert "its law is the base" in uniform.bank_reason
    for one in extremes:
        assert one.result == sampling_pb2.RESULT_UNSPECIFIED
        assert one.command == "magnet bank build grey@1 --manifold pre_activation"
        assert one.command in one.problem
    services.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id=made.bank_id))


@pytest.fixture(scope="module")
def unheld(settings: Settings, services: Services, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Id of an imported bank of 300 rows, of a generator that nobody holds."""
    source = np.random.default_rng(9)
    path = tmp_path_factory.mktemp("volumes") / "few.npz"
    svds = -np.sort(-np.exp(0.9 * source.normal(size=(300, 3))), axis=1).astype(np.float32)
    np.savez(path, latents=source.normal(size=(300, LATENT_DIM)).astype(np.float32), svds=svds)
    found = import_banks(GeneratorShelf(settings.generator_folders), Store(settings.store), Path(path), "stylegan3")
    return found.banks[0].bank.id


def test_an_imported_bank_is_never_told_to_grow(services: Services, unheld: str) -> None:
    found = advise(services, bank_id=unheld)
    assert (found.generator, found.imported, len(found.spectrum.rank_share)) == ("", True, 3)
    assert {cell.need for cell in found.cells} == {bank_pb2.NEED_NONE, bank_pb2.NEED_FIXED}
    assert not any(cell.HasField("rows_needed") for cell in found.cells)
    said = [found.advice, *(cell.remedy for cell in found.cells), *(one.below + one.above for one in found.ranges)]
    said += [one.advice for one in found.presets]
    assert not any("larger bank" in text or "bank of about" in text for text in said)
    assert {one.bank_id for one in found.presets} == {unheld}
    assert sampling_pb2.RESULT_LOW_ESS in {one.result for one in found.presets}
    for one in found.presets:
        assert bool(one.advice) == (one.result != sampling_pb2.RESULT_OK)


def test_what_can_never_be_right_is_refused(services: Services, bank: str) -> None:
    unknown = failure(lambda: advise(services, generator="grey", effective_rank=7))
    assert (unknown.code, list(unknown.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["effective_rank"])
    beyond = failure(lambda: advise(services, generator="grey", top_ks=[7]))
    assert (beyond.code, list(beyond.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["top_ks"])
