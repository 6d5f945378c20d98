"""BankService and google.longrunning.Operations over a real channel."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from magnet.v1 import bank_pb2, sampling_pb2, types_pb2
from magnet_service.config import Settings, load_settings
from magnet_service.generator import load_version
from magnet_service.geometry import Engine
from magnet_service.rpc.server import running_server
from magnet_service.sampling import Store, compute_rows
from tests.rpc.calls import Services, array, build_bank, draw, failure, until


def names(services: Services) -> list[str]:
    return [one.bank_id for one in services.banks.ListBanks(bank_pb2.ListBanksRequest()).banks]


def unpacked(operation: operations_pb2.Operation) -> bank_pb2.BuildProgress:
    progress = bank_pb2.BuildProgress()
    assert operation.metadata.Unpack(progress)
    return progress


def test_a_bank_tells_everything_that_its_rows_depend_on(services: Services, bank: str, repository: Path) -> None:
    found = services.banks.GetBank(bank_pb2.GetBankRequest(bank_id=bank)).bank
    generator, _, _ = load_version(repository / "grey")
    assert (found.bank_id, found.generator, found.generator_digest) == (bank, "grey@1", generator.digest)
    assert (found.law, found.revision, found.columns, found.seed) == ("normal(dim=6)", 3000, 6, 0)
    assert (found.tile_rows, found.threads) == (16, 1)
    assert (found.manifold, found.precision) == (types_pb2.MANIFOLD_OUTPUT, types_pb2.PRECISION_FLOAT32)
    assert found.bytes > 3000 * 4 * 12
    assert {entry.key for entry in found.stamp} >= {"engine", "torch"}


def test_read_bank_streams_the_rows_of_the_store(services: Services, bank: str, settings: Settings) -> None:
    stored = Store(settings.store).open(bank).rows()
    parts = list(services.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=bank, offset=5, count=2000)))
    assert parts[0].offset == 5
    assert max(part.ByteSize() for part in parts) <= 2**20 + 2**12
    for name in ("latents", "log_volumes", "rank"):
        sent = np.concatenate([array(getattr(part, name)) for part in parts])
        assert (sent == getattr(stored, name)[5:2005]).all()
    everything = list(services.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=bank)))
    assert sum(part.latents.shape[0] for part in everything) == 3000


def test_a_bank_built_here_is_what_the_core_computes(
    services: Services, bank: str, settings: Settings, repository
) -> None:
    stored = Store(settings.store).open(bank)
    generator, _, _ = load_version(repository / "grey")
    rows = compute_rows(generator, Engine(threads=1), stored.spec, 0, 160)
    assert stored.rows(160).log_volumes.tobytes() == rows.log_volumes.tobytes()


def test_lists_by_generator_and_deletes(services: Services) -> None:
    made = build_bank(services, "colour", 32, seed=77)
    assert made.law == "box(dim=6,low=-1.0,high=1.0)"
    of_colour = services.banks.ListBanks(bank_pb2.ListBanksRequest(generator="colour")).banks
    assert made.bank_id in {one.bank_id for one in of_colour}
    assert {one.generator for one in of_colour} == {"colour@1"}
    services.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id=made.bank_id))
    assert made.bank_id not in names(services)
    gone = failure(lambda: services.banks.GetBank(bank_pb2.GetBankRequest(bank_id=made.bank_id)))
    assert gone.code is grpc.StatusCode.NOT_FOUND
    assert "bank_id" in gone.fields


def test_describe_polarity_answers_the_grid(services: Services, bank: str) -> None:
    request = bank_pb2.DescribePolarityRequest(generator="grey", rhos=[-1, 0, 1], top_ks=[1, 6])
    found = services.banks.DescribePolarity(request)
    assert [(cell.rho, cell.top_k) for cell in found.cells] == [(r, k) for r in (-1, 0, 1) for k in (1, 6)]
    assert (found.bank_id, found.bank_revision, found.base) == (bank, 3000, "normal(dim=6)")
    at_zero = [cell for cell in found.cells if cell.rho == 0]
    assert all(cell.ess == pytest.approx(3000) for cell in at_zero)
    header = draw(services, generator="grey", count=1, rho=1, top_k=6).header
    cell = found.cells[-1]
    assert header.diagnostics.ess == cell.ess
    assert header.diagnostics.khat == cell.khat
    assert "rho" in found.advice
    default = services.banks.DescribePolarity(bank_pb2.DescribePolarityRequest(generator="grey"))
    assert len(default.cells) == 19 * 6
    assert {cell.rho for cell in default.cells} >= {-5.0, 0.0, 5.0}


def test_watching_tells_the_state_at_once_and_ends_with_done(services: Services) -> None:
    operation = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=30_000, seed=5))
    assert operation.name.startswith("operations/")
    seen = list(services.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=operation.name)))
    rows = [one.progress.rows_done for one in seen]
    assert rows == sorted(rows)
    assert rows[-1] == 30_000 == seen[-1].progress.rows_total
    assert [one.operation.done for one in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1].progress == unpacked(seen[-1].operation)
    assert any(one.progress.rows_per_second > 0 for one in seen)
    again = list(services.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=operation.name)))
    assert len(again) == 1
    assert again[0].operation.done


def test_the_same_build_is_joined_and_another_size_refused(services: Services) -> None:
    request = bank_pb2.BuildBankRequest(generator="grey", rows=200_000, seed=6)
    first = services.banks.BuildBank(request)
    assert services.banks.BuildBank(request).name == first.name
    other = failure(lambda: services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=100_000, seed=6)))
    assert (other.code, other.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUSY")
    assert other.metadata["operation"] == first.name
    busy = failure(lambda: services.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id=unpacked(first).bank_id)))
    assert (busy.code, busy.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUSY")
    services.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=first.name))
    ended = services.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=first.name))
    assert ended.done
    assert ended.error.code == grpc.StatusCode.CANCELLED.value[0]
    until(lambda: unpacked(first).bank_id in names(services))
    services.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id=unpacked(first).bank_id))


def test_rows_that_exist_are_done_at_once_beside_a_build_of_more(services: Services) -> None:
    build_bank(services, "grey", 16, seed=41)
    more = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=500_000, seed=41))
    assert build_bank(services, "grey", 16, seed=41).bank_id == unpacked(more).bank_id
    assert not services.operations.GetOperation(operations_pb2.GetOperationRequest(name=more.name)).done
    services.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=more.name))
    assert services.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=more.name)).done


def test_a_cancelled_build_keeps_its_shards_and_goes_on_to_the_same_bank(
    services: Services, settings: Settings
) -> None:
    request = bank_pb2.BuildBankRequest(generator="grey", rows=40_000, seed=8)
    operation = services.banks.BuildBank(request)
    bank_id = unpacked(operation).bank_id
    for seen in services.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=operation.name)):
        if seen.progress.rows_done > 11_000:
            services.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name))
    # A fast machine may have been done before the cancel came.
    until(lambda: Store(settings.store).open(bank_id).revision >= 10_240)
    finished = build_bank(services, "grey", 40_000, seed=8)
    assert finished.bank_id == bank_id
    assert finished.revision == 40_000


def test_operations_are_listed_newest_first_and_in_pages(services: Services) -> None:
    for seed in (21, 22, 23):
        build_bank(services, "grey", 16, seed=seed)
    everything = services.operations.ListOperations(operations_pb2.ListOperationsRequest(name="operations"))
    listed = [one.name for one in everything.operations]
    paged: list[str] = []
    token = ""
    while True:
        page = services.operations.ListOperations(
            operations_pb2.ListOperationsRequest(name="operations", page_size=2, page_token=token)
        )
        paged += [one.name for one in page.operations]
        token = page.next_page_token
        if not token:
            break
    assert paged == listed
    assert unpacked(everything.operations[0]).rows_done == 16
    newest = listed[0]
    assert services.operations.GetOperation(operations_pb2.GetOperationRequest(name=newest)).done
    services.operations.DeleteOperation(operations_pb2.DeleteOperationRequest(name=newest))
    gone = failure(lambda: services.operations.GetOperation(operations_pb2.GetOperationRequest(name=newest)))
    assert (gone.code, list(gone.fields)) == (grpc.StatusCode.NOT_FOUND, ["name"])


def test_waiting_ends_at_its_timeout(services: Services) -> None:
    operation = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=500_000, seed=31))
    waited = services.operations.WaitOperation(
        operations_pb2.WaitOperationRequest(name=operation.name, timeout=duration_pb2.Duration(nanos=50_000_000))
    )
    assert not waited.done
    services.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name))
    assert services.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=operation.name)).done


def test_requests_go_before_a_build(services: Services) -> None:
    operation = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=500_000, seed=32))
    answers = [draw(services, generator="plain", count=5, rho=0.0, seed=seed) for seed in range(5)]
    now = services.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
    assert len(answers) == 5
    assert not now.done, "the build was over before five small draws were answered"
    services.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name))
    assert services.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=operation.name)).done


def test_many_clients_at_once_get_what_one_gets(services: Services, bank: str) -> None:
    expected = [draw(services, generator="grey", count=33, rho=1.0, seed=seed).rows for seed in range(6)]
    found: dict[int, sampling_pb2.Rows] = {}

    def ask(seed: int) -> None:
        found[seed] = draw(services, generator="grey", count=33, rho=1.0, seed=seed).rows

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(6)] == expected


def test_a_full_disk_ends_the_build_and_nothing_else(repository: Path, small_disk: Path) -> None:
    settings = load_settings(
        port=0,
        repositories=[repository],
        store=small_disk / "banks",
        builder=True,
        threads=1,
        log_level="error",
        drain_seconds=5,
    )
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        services = Services(channel)
        kept = build_bank(services, "grey", 2048)
        before = draw(services, generator="grey", count=9, rho=1.0, seed=1)
        operation = services.banks.BuildBank(bank_pb2.BuildBankRequest(generator="grey", rows=200_000))
        *_, last = services.banks.WatchOperation(bank_pb2.WatchOperationRequest(name=operation.name))
        assert last.operation.done
        assert last.operation.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        reasons = [error_details_pb2.ErrorInfo.FromString(one.value).reason for one in last.operation.error.details[:1]]
        assert reasons == ["OUT_OF_SPACE"]
        assert services.banks.GetBank(bank_pb2.GetBankRequest(bank_id=kept.bank_id)).bank.revision >= 2048
        after = services.sampling.Sample(before.header.resolved)
        assert after.rows.SerializeToString() == before.rows.SerializeToString()


def test_a_damaged_shard_is_named_and_the_server_goes_on(services: Services, settings: Settings) -> None:
    made = build_bank(services, "plain", 64, seed=50)
    shard = next((Path(settings.store) / made.bank_id / "rows").glob("rows-*.parquet"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    found = failure(lambda: list(services.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=made.bank_id))))
    assert (found.code, found.reason) == (grpc.StatusCode.DATA_LOSS, "DAMAGED_DATA")
    assert shard.name in found.message
    services.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id=made.bank_id))


def test_a_bank_that_cannot_be_opened_is_told_in_the_list(services: Services, settings: Settings) -> None:
    folder = Path(settings.store) / "00000000000000aa"
    folder.mkdir()
    (folder / "manifest.json").write_text("{")
    listed = services.banks.ListBanks(bank_pb2.ListBanksRequest())
    assert [one for one in listed.unreadable if one.startswith("00000000000000aa: ")]
    services.banks.DeleteBank(bank_pb2.DeleteBankRequest(bank_id="00000000000000aa"))
    assert not services.banks.ListBanks(bank_pb2.ListBanksRequest()).unreadable
