"""The server itself: health, reflection, its port, its limits, its end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from magnet.v1 import bank_pb2, generator_pb2, geometry_pb2, sampling_pb2
from magnet_service.config import BUNDLED, Settings, load_settings
from magnet_service.errors import InvalidInput, Refused
from magnet_service.rpc.server import SERVICES, running_server
from tests.rpc.calls import Services, draw, everything, failure, until

SERVING = health_pb2.HealthCheckResponse.SERVING


def test_health_of_the_server_each_service_and_each_generator(services: Services) -> None:
    for service in ("", *SERVICES, "generator/grey", "generator/plain"):
        assert services.health.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING
    unknown = failure(lambda: services.health.Check(health_pb2.HealthCheckRequest(service="generator/nothing")))
    assert unknown.code is grpc.StatusCode.NOT_FOUND


def test_every_service_of_the_protocol_is_served() -> None:
    files = (bank_pb2, generator_pb2, geometry_pb2, sampling_pb2)
    declared = {service.full_name for file in files for service in file.DESCRIPTOR.services_by_name.values()}
    assert declared == {service for service in SERVICES if service.startswith("magnet.")}


def test_reflection_lists_every_service(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]))
    assert {one.name for one in answer.list_services_response.service} >= {*SERVICES, "grpc.health.v1.Health"}


def test_a_second_server_on_the_same_port_is_refused(settings: Settings, address: str, services: Services) -> None:
    port = int(address.rpartition(":")[2])
    with (
        pytest.raises(Refused, match="choose another port") as caught,
        running_server(settings.model_copy(update={"port": port})),
    ):
        pass
    assert (caught.value.field, caught.value.reason) == ("port", "ADDRESS_IN_USE")
    assert draw(services, generator="grey", count=1, rho=0.0).rows.latents.shape[0] == 1


def test_a_device_that_is_not_there(settings: Settings) -> None:
    with (
        pytest.raises(InvalidInput, match="cuda:99") as caught,
        running_server(settings.model_copy(update={"device": "cuda:99"})),
    ):
        pass
    assert caught.value.field == "device"


def test_listens_on_loopback_only(address: str) -> None:
    assert address.startswith("127.0.0.1:")


def test_an_answer_too_large_for_a_message_says_how_many_rows_fit(repository: Path, tmp_path: Path) -> None:
    settings = load_settings(
        port=0,
        repositories=[repository],
        store=tmp_path,
        builder=True,
        threads=1,
        log_level="error",
        max_message_bytes=2**16,
    )
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        services = Services(channel)
        found = failure(lambda: draw(services, generator="grey", count=1000, rho=0.0))
        assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
        most = int(found.metadata["rows"])
        assert draw(services, generator="grey", count=most, rho=0.0).rows.latents.shape[0] == most
        assert draw(services, generator="grey", count=most, rho=0.0).ByteSize() <= 2**16


def test_a_queue_that_is_full_says_when_to_come_again(repository: Path, tmp_path: Path) -> None:
    settings = load_settings(
        port=0,
        repositories=[repository],
        store=tmp_path,
        builder=True,
        threads=1,
        log_level="error",
        queue_limit=1,
        drain_seconds=5,
    )
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        services = Services(channel)
        request = sampling_pb2.SampleRequest(generator="grey", count=10_000, rho=0.0, outputs=everything())
        calls = [services.sampling.Sample.future(request) for _ in range(12)]
        errors = [call.exception() for call in calls]
        refused = [failure(call.result) for call, error in zip(calls, errors, strict=True) if error is not None]
        assert refused, "twelve large draws went through a queue of one"
        assert {one.code for one in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert {one.reason for one in refused} == {"OVERLOADED"}
        assert all(one.retry_seconds == 1.0 for one in refused)
        assert draw(services, generator="grey", count=1, rho=0.0).rows.latents.shape[0] == 1


def test_a_client_that_leaves_frees_the_worker(repository: Path, tmp_path: Path) -> None:
    settings = load_settings(
        port=0,
        repositories=[repository],
        store=tmp_path,
        builder=True,
        threads=1,
        log_level="error",
        queue_limit=2,
        drain_seconds=5,
    )
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        services = Services(channel)
        request = sampling_pb2.SampleRequest(generator="grey", count=10_000, rho=0.0, outputs=everything())
        for _ in range(20):  # more than the queue holds, were any of them still in it
            services.sampling.Sample.future(request).cancel()
            call = services.sampling.StreamSamples(sampling_pb2.StreamSamplesRequest(sample=request))
            next(call)
            call.cancel()
        until(lambda: not_overloaded(services))


def not_overloaded(services: Services) -> bool:
    call = services.sampling.Sample.future(sampling_pb2.SampleRequest(generator="grey", count=1, rho=0.0))
    assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED)
    return call.code() is grpc.StatusCode.OK


def test_a_deadline_counts_the_time_in_the_queue(services: Services) -> None:
    request = sampling_pb2.SampleRequest(generator="grey", count=3000, rho=0.0, outputs=everything())
    found = failure(lambda: services.sampling.Sample(request, timeout=0.002))
    assert found.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert draw(services, generator="grey", count=1, rho=0.0).rows.latents.shape[0] == 1


def test_draining_tells_health_watchers_and_lets_calls_end(repository: Path, tmp_path: Path) -> None:
    settings = load_settings(
        port=0, repositories=[repository], store=tmp_path, builder=True, threads=1, log_level="error", drain_seconds=60
    )
    seen: list[int] = []
    with contextlib.ExitStack() as server:
        address = server.enter_context(running_server(settings))
        with grpc.insecure_channel(address) as channel:
            services = Services(channel)
            watch = services.health.Watch(health_pb2.HealthCheckRequest(service=""))
            seen.append(next(watch).status)
            operation = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=1_000_000))
            request = sampling_pb2.SampleRequest(generator="grey", count=10_000, rho=0.0, outputs=everything())
            stream = services.sampling.StreamSamples(sampling_pb2.StreamSamplesRequest(sample=request))
            next(stream)
            ending = threading.Thread(target=server.close)
            ending.start()
            seen.append(next(watch).status)
            *_, last = stream
            ending.join()
    assert not operation.done
    assert seen == [SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    assert last.trailer.rows == 10_000
    with grpc.insecure_channel(address) as channel:
        found = failure(lambda: draw(Services(channel), generator="grey", count=1, rho=0.0))
    assert found.code is grpc.StatusCode.UNAVAILABLE


def test_the_bundled_repository_comes_last(tmp_path: Path) -> None:
    settings = load_settings(repositories=[tmp_path])
    assert settings.generator_folders == (tmp_path, BUNDLED)


PROGRAM = """
import sys
from magnet_service.config import load_settings
from magnet_service.rpc.server import run
folder, store, seconds = sys.argv[1:]
where = dict(repositories=[folder], store=store, builder=True)
settings = load_settings(port=0, **where, threads=1, drain_seconds=float(seconds))
run(settings, lambda address: print(address, flush=True))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_process_ends_cleanly_on_a_signal(repository: Path, tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, repository, tmp_path, "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with grpc.insecure_channel(address) as channel:
            services = Services(channel)
            assert draw(services, generator="grey", count=1, rho=0.0).header.method == "DIRECT"
            services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=1_000_000))
        process.send_signal(number)
        out, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert out.strip() == "ended"
    assert "method=/magnet.v1.SamplingService/Sample" in log
    assert "Traceback" not in log


@pytest.mark.long
def test_a_second_signal_cuts_the_drain_short(repository: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, repository, tmp_path, "3600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        with grpc.insecure_channel(process.stdout.readline().strip()) as channel:
            sample = sampling_pb2.SampleRequest(generator="grey", rho=0.0)
            services = Services(channel)
            stream = services.sampling.StreamSamples(sampling_pb2.StreamSamplesRequest(sample=sample, endless=True))
            next(stream)
            watch = services.health.Watch(health_pb2.HealthCheckRequest(service=""))
            next(watch)
            process.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            process.send_signal(signal.SIGTERM)
            out, log = process.communicate(timeout=60)
            stream.cancel()
    assert process.returncode == 0, log
    assert out.strip() == "ended"
    assert "Traceback" not in log
