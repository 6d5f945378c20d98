"""Several servers over one store: a builder, readers, and an object store over HTTP between them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2

from magnet.v1 import bank_pb2, sampling_pb2
from magnet_service.config import load_settings
from magnet_service.rpc.server import running_server
from magnet_service.sampling import OperationRecords, Store, this_process
from tests.rpc.calls import Services, build_bank, draw, failure, until
from tests.sampling.s3 import bucket_at


@contextmanager
def serving(repository: Path, store: str | Path, **more: Any) -> Iterator[Services]:
    settings = load_settings(port=0, repositories=[repository], store=store, threads=1, log_level="error", **more)
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        yield Services(channel)


def got(services: Services, name: str) -> operations_pb2.Operation:
    found: operations_pb2.Operation = services.operations.GetOperation(operations_pb2.GetOperationRequest(name=name))
    return found


def progress_of(operation: operations_pb2.Operation) -> bank_pb2.BuildProgress:
    found = bank_pb2.BuildProgress()
    assert operation.metadata.Unpack(found)
    return found


def test_two_servers_on_one_bank_in_an_object_store_answer_equal_bytes(
    s3: str, repository: Path, tmp_path: Path
) -> None:
    with bucket_at(s3, "shared") as url:
        caches = [{"cache": tmp_path / name} for name in "ab"]
        with (
            serving(repository, f"{url}/banks", builder=True, **caches[0]) as builder,
            serving(repository, f"{url}/banks", **caches[1]) as reader,
        ):
            made = build_bank(builder, "grey", 1000)
            assert reader.banks.GetBank(bank_pb2.GetBankRequest(bank_id=made.bank_id)).bank == made
            outputs = sampling_pb2.Outputs(latents=True, log_volumes=True, weights=True)
            first = draw(builder, generator="grey", count=40, rho=1.0, seed=3, outputs=outputs)
            again = [one.sampling.Sample(first.header.resolved) for one in (builder, reader)]
            assert again[0].rows.SerializeToString() == again[1].rows.SerializeToString()
            assert again[0].rows.SerializeToString() == first.rows.SerializeToString()
            # A bank that grows keeps the revision that a request names.
            build_bank(builder, "grey", 1100)
            later = reader.sampling.Sample(first.header.resolved)
            assert later.rows.SerializeToString() == first.rows.SerializeToString()
            newest = draw(reader, generator="grey", count=4, rho=1.0, seed=3)
            assert newest.header.resolved.bank_revision == 1100


def test_any_replica_gets_watches_and_cancels_a_build(s3: str, repository: Path) -> None:
    with (
        bucket_at(s3, "watched") as url,
        serving(repository, url, builder=True) as builder,
        serving(repository, url) as reader,
    ):
        name = builder.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=5_000_000)).name
        states = reader.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=name))
        seen = [next(states) for _ in range(3)]
        rows = [one.progress.rows_done for one in seen]
        assert rows == sorted(rows)
        assert rows[-1] > 0
        assert seen[-1].progress.rows_per_second > 0
        assert seen[-1].progress.HasField("remaining")
        listed = reader.operations.ListOperations(operations_pb2.ListOperationsRequest(name="operations"))
        assert [one.name for one in listed.operations] == [name]
        reader.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
        *_, last = states
        assert last.operation.done
        assert last.operation.error.code == grpc.StatusCode.CANCELLED.value[0]
        until(lambda: got(builder, name).error.code == grpc.StatusCode.CANCELLED.value[0])
        reader.operations.DeleteOperation(operations_pb2.DeleteOperationRequest(name=name))
        assert failure(lambda: got(builder, name)).code is grpc.StatusCode.NOT_FOUND


def test_a_build_is_told_as_done_once_and_with_its_bank(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store is slow to take the last record."""
    prune = OperationRecords.prune

    def slow(self: OperationRecords, bank_id: str) -> None:
        time.sleep(1.0)
        prune(self, bank_id)

    monkeypatch.setattr(OperationRecords, "prune", slow)
    with serving(repository, tmp_path, builder=True) as services:
        name = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=64)).name
        states = list(services.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=name)))
        assert [state.operation.done for state in states] == [False] * (len(states) - 1) + [True]
        bank = bank_pb2.Bank()
        assert states[-1].operation.response.Unpack(bank)
        assert bank.revision == 64


def test_a_reader_neither_builds_nor_deletes(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path) as reader:
        request = bank_pb2.BuildBankRequest(generator="grey", rows=16)
        for call in (
            lambda: reader.banks.BuildBank(request),
            lambda: reader.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id="0" * 16)),
        ):
            found = failure(call)
            assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "READ_ONLY")
            assert "--builder" in found.message
        assert not list(tmp_path.iterdir())


def test_a_build_whose_server_was_killed_is_told_as_ended(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, builder=True) as services:
        made = build_bank(services, "grey", 16)
        (path,) = (tmp_path / made.bank_id / "operations").glob("*.json")
        name = f"operations/{made.bank_id}-{path.stem}"
        with subprocess.Popen(["sleep", "60"]) as process:
            process.kill()
        holder = replace(this_process(), process=process.pid, started="1")
        record = {**json.loads(path.read_text()), "done": False, "holder": holder.content(), "written": time.time()}
        path.write_text(json.dumps(record))
        found = got(services, name)
        assert found.done
        assert found.error.code == grpc.StatusCode.CANCELLED.value[0]
        assert "Build again" in found.error.message
        *_, last = services.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=name))
        assert last.operation.done


def test_a_damaged_record_is_told(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, builder=True) as services:
        made = build_bank(services, "grey", 16)
        (path,) = (tmp_path / made.bank_id / "operations").glob("*.json")
        path.write_text("{")
        name = f"operations/{made.bank_id}-{path.stem}"
        assert failure(lambda: got(services, name)).code is grpc.StatusCode.DATA_LOSS
        assert not services.operations.ListOperations(operations_pb2.ListOperationsRequest()).operations


def test_a_store_that_is_gone_is_told_and_the_server_lives(s3: str, repository: Path) -> None:
    with bucket_at(s3, "leaving") as url, serving(repository, f"{url}/banks", builder=True) as services:
        made = build_bank(services, "grey", 64)
        Store(url).place.remove_all()
        found = failure(lambda: services.banks.GetBank(bank_pb2.GetBankRequest(bank_id=made.bank_id)))
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "UNREACHABLE")
        assert "leaving" in found.message
        assert draw(services, generator="grey", count=2, rho=0.0).rows.images.shape[0] == 2


def test_an_idle_builder_grows_its_smallest_bank_within_its_budget(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, builder=True) as services:
        small, large = (build_bank(services, "grey", rows, seed=seed) for rows, seed in ((32, 1), (64, 2)))
    with serving(repository, tmp_path, builder=True, grow_rows=500, grow_bytes=1 << 20) as services:
        until(lambda: [bank.revision for bank in Store(tmp_path).banks()] == [500, 500], seconds=60)
        listed = services.operations.ListOperations(operations_pb2.ListOperationsRequest()).operations
        assert {progress_of(one).bank_id for one in listed} == {small.bank_id, large.bank_id}
    with serving(repository, tmp_path, builder=True, grow_rows=100_000, grow_bytes=1000):
        time.sleep(2.5)
        assert [bank.revision for bank in Store(tmp_path).banks()] == [500, 500]


def test_a_build_that_is_asked_for_takes_the_place_of_growth(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, builder=True, grow_rows=5_000_000, grow_bytes=1 << 30) as services:
        made = build_bank(services, "grey", 32)
        until(lambda: Store(tmp_path).open(made.bank_id).revision > 32, seconds=60)
        wanted = Store(tmp_path).open(made.bank_id).revision + 100
        assert build_bank(services, "grey", wanted).revision >= wanted


def test_processes_of_this_machine_build_the_same_bank(repository: Path, tmp_path: Path) -> None:
    stores = [tmp_path / name for name in ("here", "elsewhere")]
    for store, workers in zip(stores, ("here", "local:2"), strict=True):
        with serving(repository, store, builder=True, workers=workers) as services:
            made = build_bank(services, "grey", 3000)
    alone, together = (Store(store).open(made.bank_id) for store in stores)
    assert alone.manifest == together.manifest
