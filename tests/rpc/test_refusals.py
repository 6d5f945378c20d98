"""Bad input on the wire: the status, its reason, the field at fault, and a server that still answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.longrunning import operations_pb2

from magnet.v1 import bank_pb2, generator_pb2, sampling_pb2, types_pb2
from magnet_service.rpc.status import DOMAIN
from tests.rpc.calls import Services, draw, failure

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MISSING = grpc.StatusCode.NOT_FOUND
REFUSED = grpc.StatusCode.FAILED_PRECONDITION
NAN, INF = float("nan"), float("inf")

Base, Truncation = sampling_pb2.Base, sampling_pb2.Truncation


@pytest.fixture(autouse=True)
def still_serving(services: Services) -> Iterator[None]:
    yield
    assert draw(services, generator="grey", count=2, rho=0.0).rows.latents.shape[0] == 2


def box(low: float, high: float) -> Base:
    return Base(uniform=Base.Uniform(box=Base.Box(low=low, high=high)))


def ball(radius: float) -> Base:
    return Base(uniform=Base.Uniform(ball=Base.Ball(radius=radius)))


# What is wrong -> (fields of the request, code, field at fault, what the message must hold)
DRAWS = {
    "count 0": ({"count": 0}, INVALID, "count", "1"),
    "count below 0": ({"count": -1}, INVALID, "count", "1 or more"),
    "count beyond the limit": ({"count": 3001}, INVALID, "count", "3,000"),
    "offset below 0": ({"offset": -1}, INVALID, "offset", "0"),
    "offset beyond reach": ({"offset": 2**62}, INVALID, "offset", "2^53"),
    "rho nan": ({"rho": NAN}, INVALID, "rho", "finite"),
    "rho inf": ({"rho": INF}, INVALID, "rho", "finite"),
    "rho -inf": ({"rho": -INF}, INVALID, "rho", "finite"),
    "det_rho nan": ({"det_rho": NAN}, INVALID, "det_rho", "finite"),
    "det_rho that doubles to inf": ({"det_rho": 1e308}, INVALID, "rho", "finite"),
    "no target": ({"rho": None}, INVALID, "target", "preset, rho, det_rho"),
    "preset unspecified": ({"preset": 0}, INVALID, "preset", "PRESET_MODE"),
    "preset unknown": ({"preset": 99}, INVALID, "preset", "PRESET_MODE"),
    "preset with another base": ({"preset": 3, "base": ball(1.0)}, INVALID, "base", "PRIOR"),
    "top_k above d": ({"top_k": 7}, INVALID, "top_k", "1 to 6"),
    "top_k above d of a direct draw": ({"rho": 0.0, "top_k": 7}, INVALID, "top_k", "1 to 6"),
    "top_k below 0": ({"top_k": -1}, INVALID, "top_k", "0"),
    "no generator": ({"generator": ""}, INVALID, "generator", "name@version"),
    "unknown generator": ({"generator": "nothing"}, MISSING, "generator", "grey"),
    "unknown version": ({"generator": "grey@7"}, MISSING, "generator", "grey@1"),
    "version 0": ({"generator": "grey@0"}, INVALID, "generator", "name@version"),
    "name with ..": ({"generator": "../grey"}, INVALID, "generator", "name@version"),
    "name of dots": ({"generator": ".."}, INVALID, "generator", "name@version"),
    "name with a slash": ({"generator": "grey/1"}, INVALID, "generator", "name@version"),
    "name with a null": ({"generator": "grey\0"}, INVALID, "generator", "name@version"),
    "name of 81": ({"generator": "a" * 81}, INVALID, "generator", "80"),
    "manifold unknown": ({"manifold": 9}, INVALID, "manifold", "MANIFOLD_OUTPUT"),
    "precision unknown": ({"precision": 9}, INVALID, "precision", "PRECISION_FLOAT32"),
    "bank id of another form": ({"bank_id": "../../etc"}, INVALID, "bank_id", "16"),
    "unknown bank": ({"bank_id": "0" * 16}, MISSING, "bank_id", "0" * 16),
    "revision beyond the bank": ({"bank_revision": 10**9}, INVALID, "bank_revision", "3000"),
    "revision below 0": ({"bank_revision": -1}, INVALID, "bank_revision", "0"),
    "psi 0": ({"truncation": Truncation(psi=0)}, INVALID, "truncation.psi", "greater than 0"),
    "psi above 1": ({"truncation": Truncation(psi=1.5)}, INVALID, "truncation.psi", "1"),
    "norm bound inf": ({"truncation": Truncation(norm_bound=INF)}, INVALID, "truncation.norm_bound", "finite"),
    "norm bound of a uniform prior": (
        {"generator": "colour", "rho": 0.0, "truncation": Truncation(norm_bound=1.0)},
        INVALID,
        "truncation.norm_bound",
        "psi",
    ),
    "empty box": ({"base": box(1.0, 1.0)}, INVALID, "base.uniform.box.high", "low < high"),
    "infinite box": ({"base": box(0.0, INF)}, INVALID, "base.uniform.box.high", "finite"),
    "default ball of a prior that is not normal": (
        {"generator": "colour", "base": ball(0.0)},
        INVALID,
        "base.uniform.ball.radius",
        "no default ball",
    ),
    "ball below 0": ({"base": ball(-1.0)}, INVALID, "base.uniform.ball.radius", "0"),
    "condition of a generator without": (
        {"condition": types_pb2.Condition(label="cat")},
        INVALID,
        "condition",
        "takes no condition",
    ),
    "condition of nothing": ({"condition": types_pb2.Condition()}, INVALID, "condition.kind", "label"),
    "condition below 0": ({"condition": types_pb2.Condition(index=-1)}, INVALID, "condition.index", "0"),
    "banks of classes that there are not": (
        {"bank_id": "0" * 16, "class_banks": [sampling_pb2.ClassBank(index=0, bank_id="0" * 16, revision=1)]},
        INVALID,
        "class_banks",
        "bank_id",
    ),
    "min_ess nan": ({"min_ess": NAN}, INVALID, "min_ess", "finite"),
    "min_ess below 0": ({"min_ess": -1.0}, INVALID, "min_ess", "0"),
    "images unknown": ({"outputs": sampling_pb2.Outputs(images=9)}, INVALID, "outputs.images", "IMAGES_PNG"),
    "png of no picture": (
        {"generator": "plain", "rho": 0.0, "outputs": sampling_pb2.Outputs(images=sampling_pb2.Outputs.IMAGES_PNG)},
        INVALID,
        "outputs.images",
        "IMAGES_FLOAT32",
    ),
    "too many without replacement": (
        {"count": 3000, "without_replacement": True},
        REFUSED,
        "without_replacement",
        "half",
    ),
    "no bank": (
        {"precision": types_pb2.PRECISION_FLOAT64},
        REFUSED,
        "bank_id",
        "bank build grey@1 --precision float64",
    ),
    "no bank of the manifold": (
        {"manifold": types_pb2.MANIFOLD_PRE_ACTIVATION},
        REFUSED,
        "bank_id",
        "bank build grey@1 --manifold pre_activation",
    ),
    "another generator's bank": ({"generator": "colour", "bank_id": "BANK"}, REFUSED, "bank_id", "another generator"),
}


@pytest.mark.parametrize("case", list(DRAWS))
def test_a_draw_that_cannot_be(services: Services, bank: str, case: str) -> None:
    changes, code, field, words = DRAWS[case]
    wanted = {"generator": "grey", "count": 10, "rho": 1.0, **changes}
    if wanted.get("bank_id") == "BANK":
        wanted["bank_id"] = bank
    if "preset" in wanted or "det_rho" in wanted:
        del wanted["rho"]
    request = sampling_pb2.SampleRequest(**{name: value for name, value in wanted.items() if value is not None})
    found = failure(lambda: services.sampling.Sample(request))
    assert found.code is code, found
    assert field in found.fields, found
    assert words in found.message, found
    assert words in found.fields[field]
    assert found.domain == DOMAIN
    assert found.reason
    assert found.request_id
    # A stream answers the same before its first message.
    streamed = sampling_pb2.StreamSamplesRequest(sample=request)
    again = failure(lambda: list(services.sampling.StreamSamples(streamed)))
    assert again.code is code
    assert {one.removeprefix("sample.") for one in again.fields} == set(found.fields)


OTHERS: dict[str, tuple[Callable[[Services], object], grpc.StatusCode, str]] = {
    "describe: unknown generator": (
        lambda s: s.banks.DescribePolarity(bank_pb2.DescribePolarityRequest(generator="nothing")),
        MISSING,
        "generator",
    ),
    "describe: rho nan": (
        lambda s: s.banks.DescribePolarity(bank_pb2.DescribePolarityRequest(generator="grey", rhos=[0, NAN])),
        INVALID,
        "rhos[1]",
    ),
    "describe: k above d": (
        lambda s: s.banks.DescribePolarity(bank_pb2.DescribePolarityRequest(generator="grey", top_ks=[7])),
        INVALID,
        "top_ks",
    ),
    "build: no rows": (
        lambda s: s.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey")),
        INVALID,
        "rows",
    ),
    "build: more rows than allowed": (
        lambda s: s.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=99_999_999)),
        INVALID,
        "rows",
    ),
    "build: unknown generator": (
        lambda s: s.banks.BuildBank(bank_pb2.BuildBankRequest(generator="nothing", rows=1)),
        MISSING,
        "generator",
    ),
    "build: empty box": (
        lambda s: s.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=1, base=box(1, 0))),
        INVALID,
        "base.uniform.box.high",
    ),
    "read: beyond the end": (
        lambda s: list(s.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=bank_of(s), offset=1, count=3000))),
        INVALID,
        "count",
    ),
    "read: starts beyond the end": (
        lambda s: list(s.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=bank_of(s), offset=3001))),
        INVALID,
        "offset",
    ),
    "delete: unknown": (
        lambda s: s.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id="f" * 16)),
        MISSING,
        "bank_id",
    ),
    "get generator: too many latents": (
        lambda s: s.generators.GetGenerator(generator_pb2.GetGeneratorRequest(generator="grey", rank_latents=5000)),
        INVALID,
        "rank_latents",
    ),
    "watch: unknown": (
        lambda s: list(s.banks.WatchOperation(bank_pb2.WatchOperationRequest(name="operations/x"))),
        MISSING,
        "name",
    ),
    "cancel: unknown": (
        lambda s: s.operations.CancelOperation(operations_pb2.CancelOperationRequest(name="operations/x")),
        MISSING,
        "name",
    ),
    "list operations: filter": (
        lambda s: s.operations.ListOperations(operations_pb2.ListOperationsRequest(filter="done=true")),
        INVALID,
        "filter",
    ),
    "list operations: token": (
        lambda s: s.operations.ListOperations(operations_pb2.ListOperationsRequest(page_token="-1")),
        INVALID,
        "page_token",
    ),
    "list operations: size": (
        lambda s: s.operations.ListOperations(operations_pb2.ListOperationsRequest(page_size=-1)),
        INVALID,
        "page_size",
    ),
    "stream: endless with a count": (
        lambda s: list(
            s.sampling.StreamSamples(
                sampling_pb2.StreamSamplesRequest(
                    sample=sampling_pb2.SampleRequest(generator="grey", rho=0, count=1), endless=True
                )
            )
        ),
        INVALID,
        "count",
    ),
    "stream: no draw": (
        lambda s: list(s.sampling.StreamSamples(sampling_pb2.StreamSamplesRequest())),
        INVALID,
        "sample",
    ),
}


def bank_of(services: Services) -> str:
    banks = services.banks.ListBanks(bank_pb2.ListBanksRequest(generator="grey")).banks
    return next(one.bank_id for one in banks if one.revision == 3000)


@pytest.mark.parametrize("case", list(OTHERS))
def test_other_calls_that_cannot_be(services: Services, bank: str, case: str) -> None:
    call, code, field = OTHERS[case]
    found = failure(lambda: call(services))
    assert found.code is code, found
    assert list(found.fields) == [field], found
    assert found.domain == DOMAIN


def test_several_violations_are_all_told(services: Services) -> None:
    request = sampling_pb2.SampleRequest(generator="a" * 81, count=-1, rho=NAN)
    found = failure(lambda: services.sampling.Sample(request))
    assert set(found.fields) == {"generator", "count", "rho"}
    assert found.reason == "INVALID_REQUEST"


def test_what_does_not_exist_is_named(services: Services) -> None:
    found = failure(lambda: draw(services, generator="nothing", count=1, rho=0.0))
    assert found.resource == "nothing"


def test_an_unknown_method_is_unimplemented(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/magnet.v1.SamplingService/Nothing")
        assert failure(lambda: call(b"")).code is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_that_is_no_message(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/magnet.v1.SamplingService/Sample")
        found = failure(lambda: call(b"\xff\xff\xff"))
    assert (found.code, found.reason) == (INVALID, "MALFORMED")
    assert "magnet.v1.SampleRequest" in found.message
