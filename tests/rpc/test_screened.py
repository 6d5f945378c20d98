"""Screened draws over a real channel: what is settled, kept, refused and grown."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from magnet.v1 import bank_pb2, sampling_pb2
from magnet_service.config import Settings
from magnet_service.sampling import Store
from magnet_service.sampling.banks.transfer import copy_bank
from tests.rpc.calls import Services, array, build_bank, draw, failure
from tests.rpc.test_replicas import serving

SCREENED = (sampling_pb2.METHOD_SCREENED, sampling_pb2.METHOD_SCREENED_CHAIN)
OUTPUTS = sampling_pb2.Outputs(latents=True, log_volumes=True, weights=True)
SMALL = sampling_pb2.Budget(evaluations=6000)  # chains begin at 16,384 forwards, of which 4 are one evaluation here


def screened(services: Services, method: sampling_pb2.Method.ValueType, **more: object) -> sampling_pb2.SampleResponse:
    known = {"generator": "grey", "count": 60, "rho": 1.0, "top_k": 2, "seed": 5, "outputs": OUTPUTS, "budget": SMALL}
    return draw(services, **{**known, "method": method, **more})


@pytest.mark.parametrize("method", SCREENED)
def test_a_resolved_request_gives_the_same_bytes(services: Services, bank: str, method: int) -> None:
    first = screened(services, method)
    header = first.header
    resolved = header.resolved
    assert header.method == sampling_pb2.Method.Name(method).removeprefix("METHOD_")
    assert resolved.method == method
    assert len(resolved.surrogate) == 16
    assert resolved.budget.exact > 0
    assert resolved.budget.forwards > 0
    assert resolved.bank_id == bank
    assert header.screening.kept
    assert 0 < header.screening.exact <= resolved.budget.exact
    assert header.screening.residual > 0
    assert not first.rows.HasField("bank_rows")
    again = services.sampling.Sample(resolved)
    assert again.rows.SerializeToString() == first.rows.SerializeToString()
    assert again.header.diagnostics == header.diagnostics
    # A later page of the same draw starts where the first one ended, and a longer one holds both.
    later = sampling_pb2.SampleRequest()
    later.CopyFrom(resolved)
    later.count, later.offset = 30, 30
    page = array(services.sampling.Sample(later).rows.latents)
    assert np.array_equal(page, array(first.rows.latents)[30:])


def test_a_stream_has_the_bytes_of_one_message(services: Services, bank: str) -> None:
    whole = screened(services, sampling_pb2.METHOD_SCREENED)
    request = sampling_pb2.StreamSamplesRequest(sample=whole.header.resolved)
    parts = list(services.sampling.StreamSamples(request))
    whole.header.screening.ClearField("promised_ess")  # a settled budget promises nothing
    assert parts[0].header.screening == whole.header.screening
    chunks = np.concatenate([array(part.chunk.rows.latents) for part in parts if part.HasField("chunk")])
    assert np.array_equal(chunks, array(whole.rows.latents))


def test_log_volumes_are_those_of_the_generator(services: Services, bank: str) -> None:
    found = screened(services, sampling_pb2.METHOD_SCREENED)
    request = sampling_pb2.GenerateRequest(
        generator="grey",
        latents=found.rows.latents,
        top_k=2,
        outputs=sampling_pb2.Outputs(images=sampling_pb2.Outputs.IMAGES_NONE, log_volumes=True),
    )
    there = array(services.sampling.Generate(request).rows.log_volumes)
    assert np.allclose(array(found.rows.log_volumes), there, atol=1e-5)


def test_auto_keeps_a_bank_that_is_worth_more(services: Services, bank: str) -> None:
    found = screened(services, sampling_pb2.METHOD_AUTO, rho=0.1, budget=sampling_pb2.Budget(evaluations=1000))
    assert found.header.method == "RESAMPLE"
    assert "ESS" in found.header.method_reason
    assert found.header.resolved.method == sampling_pb2.METHOD_RESAMPLE
    assert not found.header.HasField("screening")
    again = services.sampling.Sample(found.header.resolved)
    assert again.rows.SerializeToString() == found.rows.SerializeToString()


def test_auto_leaves_a_bank_that_is_worth_less(services: Services, bank: str) -> None:
    found = screened(services, sampling_pb2.METHOD_AUTO, rho=3.0, top_k=0, bank_revision=2500, min_ess=400)
    header = found.header
    assert header.method in ("SCREENED", "SCREENED_CHAIN")
    assert "promises" in header.method_reason
    assert header.screening.HasField("promised_ess")
    assert services.sampling.Sample(header.resolved).rows.SerializeToString() == found.rows.SerializeToString()


def test_at_rho_0_every_method_draws_directly(services: Services) -> None:
    for method in (*SCREENED, sampling_pb2.METHOD_AUTO):
        found = screened(services, method, rho=0.0)
        assert found.header.method == "DIRECT"
        assert not found.header.HasField("screening")


def test_a_draw_grows_until_it_has_the_ess_asked_for(services: Services, bank: str) -> None:
    poor = screened(services, sampling_pb2.METHOD_SCREENED, budget=sampling_pb2.Budget(evaluations=100))
    need = 3 * poor.header.diagnostics.ess
    grown = screened(services, sampling_pb2.METHOD_SCREENED, budget=sampling_pb2.Budget(evaluations=100), min_ess=need)
    assert grown.header.diagnostics.ess >= need
    assert grown.header.resolved.budget.exact > poor.header.resolved.budget.exact
    again = services.sampling.Sample(grown.header.resolved)
    assert again.rows.SerializeToString() == grown.rows.SerializeToString()


def test_an_ess_out_of_reach_is_told_with_what_was_reached(services: Services, bank: str) -> None:
    found = screened(services, sampling_pb2.METHOD_SCREENED, budget=sampling_pb2.Budget(evaluations=20), min_ess=1e7)
    assert found.header.result == sampling_pb2.RESULT_LOW_ESS
    assert "10,000,000" in found.header.advice
    assert found.header.diagnostics.ess > 0


def test_min_ess_judges_a_resampled_draw_too(services: Services, bank: str) -> None:
    found = screened(services, sampling_pb2.METHOD_RESAMPLE, budget=None, min_ess=1e6)
    assert found.header.result == sampling_pb2.RESULT_LOW_ESS
    assert "1,000,000" in found.header.advice


def test_a_deadline_ends_the_growth(services: Services, bank: str) -> None:
    request = sampling_pb2.SampleRequest(
        generator="grey",
        count=10,
        rho=1.0,
        top_k=2,
        seed=5,
        method=sampling_pb2.METHOD_SCREENED,
        budget=sampling_pb2.Budget(evaluations=500),
        min_ess=1e7,
    )
    found = services.sampling.Sample(request, timeout=60.0)
    assert found.header.result == sampling_pb2.RESULT_LOW_ESS


def test_a_bank_too_small_is_refused_and_auto_says_so(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path / "store", builder=True) as alone:
        build_bank(alone, "grey", 200)
        error = failure(lambda: screened(alone, sampling_pb2.METHOD_SCREENED))
        assert error.code is grpc.StatusCode.FAILED_PRECONDITION
        assert error.reason == "SMALL_BANK"
        found = screened(alone, sampling_pb2.METHOD_AUTO, rho=2.0)
        assert found.header.method == "RESAMPLE"
        assert "2,000" in found.header.method_reason


def test_a_reader_draws_the_same_bytes_keeps_nothing_and_fits_nothing(repository: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(repository, store, builder=True) as builder, serving(repository, store) as reader:
        build_bank(builder, "grey", 2048)
        error = failure(lambda: screened(reader, sampling_pb2.METHOD_SCREENED))
        assert error.code is grpc.StatusCode.FAILED_PRECONDITION
        assert error.reason == "NO_SURROGATE"
        first = screened(builder, sampling_pb2.METHOD_SCREENED)
        other = sampling_pb2.SampleRequest()
        other.CopyFrom(first.header.resolved)
        other.seed = 6
        mine, theirs = builder.sampling.Sample(other), reader.sampling.Sample(other)
        assert mine.rows.SerializeToString() == theirs.rows.SerializeToString()
        assert theirs.header.screening.kept  # by the builder, which computed it first
        other.seed = 7
        dropped = reader.sampling.Sample(other)
        assert not dropped.header.screening.kept
        assert dropped.rows.SerializeToString() == builder.sampling.Sample(other).rows.SerializeToString()
        other.surrogate = "0" * 16
        for one in (builder, reader):
            error = failure(lambda one=one: one.sampling.Sample(other))
            assert error.code is grpc.StatusCode.FAILED_PRECONDITION
            assert error.reason == "NO_SURROGATE"
            assert "surrogate" in error.fields
        # The bank's revision never counts what sampling computed.
        assert builder.banks.ListBanks(bank_pb2.ListBanksRequest()).banks[0].revision == 2048


@pytest.mark.parametrize("method", SCREENED)
def test_a_copy_of_the_bank_answers_a_resolved_request_with_equal_bytes(
    services: Services, bank: str, settings: Settings, repository: Path, tmp_path: Path, method: int
) -> None:
    first = screened(services, method, seed=11)
    target = Store(tmp_path / "copy")
    copied = copy_bank(Store(settings.store).open(bank), target.place.child(bank))
    assert copied.place.child("screened").names() == []
    with serving(repository, tmp_path / "copy") as reader:
        again = reader.sampling.Sample(first.header.resolved)
        assert again.rows.SerializeToString() == first.rows.SerializeToString()
        assert again.header.diagnostics == first.header.diagnostics
        assert not again.header.screening.kept  # computed anew by a server that only reads


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"without_replacement": True}, "without_replacement"),
        ({"budget": sampling_pb2.Budget(exact=5)}, "budget.forwards"),
        ({"budget": sampling_pb2.Budget(evaluations=1e9)}, "budget.evaluations"),
        ({"budget": sampling_pb2.Budget(exact=10**9, forwards=10**9)}, "budget.exact"),
        ({"method": sampling_pb2.METHOD_RESAMPLE}, "budget"),
        ({"method": sampling_pb2.METHOD_RESAMPLE, "budget": None, "surrogate": "0" * 16}, "surrogate"),
    ],
)
def test_what_can_never_be_answered_is_refused(services: Services, more: dict[str, object], field: str) -> None:
    error = failure(lambda: screened(services, more.pop("method", sampling_pb2.METHOD_SCREENED), **more))
    assert field in error.fields, error
