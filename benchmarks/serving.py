"""The server under load: health and small draws while a bank builds or a slice is cut, and what a stream carries.

    python -m benchmarks.serving [--json build/bench/serving.json] [--rounds 5]

The server runs in a process of its own, as it does for its users. Before anything is timed, a stream is compared byte
for byte with the same draw in one message, and a slice's areas are added up.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import numpy as np
from google.longrunning import operations_pb2, operations_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from benchmarks.report import Case, arguments, report
from magnet.v1 import (
    bank_pb2,
    bank_pb2_grpc,
    geometry_pb2,
    geometry_pb2_grpc,
    sampling_pb2,
    sampling_pb2_grpc,
    types_pb2,
)

__all__ = ["main"]

GENERATOR = "fashion"
LATENT_DIM = 16
PROBES = 200
SECONDS_BETWEEN_PROBES = 0.01
STREAM_ROWS = 2048
BANK_ROWS = 1_000_000  # far more than are built while anything is timed; cancelled afterwards
WINDOW = 0.01  # half the side of the slice: tens of thousands of tiles

SERVER = """
import sys
from magnet_service.config import load_settings
from magnet_service.rpc.server import run
settings = load_settings(port=0, store=sys.argv[1], builder=True, log_level="error")
run(settings, lambda address: print(address, flush=True))
"""

Outputs = sampling_pb2.Outputs


@contextlib.contextmanager
def server() -> Iterator[grpc.Channel]:
    """A channel to a fresh server with the bundled generators and an empty store."""
    options = [("grpc.max_receive_message_length", 2**28)]
    with (
        tempfile.TemporaryDirectory() as store,
        subprocess.Popen([sys.executable, "-c", SERVER, store], stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            with grpc.insecure_channel(process.stdout.readline().strip(), options) as channel:
                yield channel
        finally:
            process.terminate()


@contextlib.contextmanager
def building(channel: grpc.Channel, rows: int = BANK_ROWS) -> Iterator[None]:
    """A bank builds for the length of the block; fails if it was done before the end."""
    operations = operations_pb2_grpc.OperationsStub(channel)
    request = bank_pb2.BuildBankRequest(generator=GENERATOR, rows=rows, seed=1)
    name = bank_pb2_grpc.BankServiceStub(channel).BuildBank(request).name
    try:
        yield
        if operations.GetOperation(operations_pb2.GetOperationRequest(name=name)).done:
            raise RuntimeError("the bank was done, or failed, before the figures were taken: raise BANK_ROWS")
    finally:
        operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
        operations.WaitOperation(operations_pb2.WaitOperationRequest(name=name))


def slice_request(half: float) -> geometry_pb2.SliceRequest:
    """A square of the plane of the first two coordinates, about 0."""
    latents = np.eye(2, LATENT_DIM)
    return geometry_pb2.SliceRequest(
        generator=GENERATOR,
        along=geometry_pb2.SliceRequest.Along(origin=tensor(np.zeros(LATENT_DIM)), directions=tensor(latents)),
        rectangle=geometry_pb2.SliceRequest.Rectangle(left=-half, right=half, bottom=-half, top=half),
        max_tiles=1_000_000,
    )


def tensor(array: NDArray[np.float64]) -> types_pb2.Tensor:
    """An array of doubles on the wire."""
    return types_pb2.Tensor(type=types_pb2.Tensor.TYPE_FLOAT64, shape=array.shape, data=array.astype("<f8").tobytes())


def cut(geometry: geometry_pb2_grpc.GeometryServiceStub) -> int:
    """Cuts a slice and takes all of it; the number of its tiles, which must fill the window."""
    parts = [part.tiles for part in geometry.Slice(slice_request(WINDOW)) if part.HasField("tiles")]
    areas = np.concatenate([np.frombuffer(tiles.areas.data, "<f8") for tiles in parts])
    if not math.isclose(float(areas.sum()), (2 * WINDOW) ** 2, rel_tol=1e-9):
        raise RuntimeError("the tiles of a slice do not fill its window")
    return len(areas)


def slicing_case(
    geometry: geometry_pb2_grpc.GeometryServiceStub, call: Callable[[], object], probes: int = PROBES
) -> Case:
    """Latency of calls over all of the work on a slice, its way to the client too, and on more slices if need be."""
    taken: list[float] = []
    tiles, start = 0, time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        while len(taken) < probes:
            work = pool.submit(cut, geometry)
            while not work.done():
                taken += latencies(call, 1)
            tiles = work.result()
    case = latency_case(f"health, a slice of {tiles:,} tiles is cut", sorted(taken))
    return {**case, "seconds": time.perf_counter() - start}


def latencies(call: Callable[[], object], probes: int = PROBES) -> list[float]:
    """Milliseconds of each of some calls made at even distances, sorted."""
    taken = []
    for _ in range(probes):
        start = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - start))
        time.sleep(SECONDS_BETWEEN_PROBES)
    return sorted(taken)


def latency_case(name: str, taken: list[float]) -> Case:
    """One line of the report."""
    return {
        "name": name,
        "calls": len(taken),
        "p50_ms": statistics.median(taken),
        "p95_ms": taken[int(0.95 * (len(taken) - 1))],
        "max_ms": taken[-1],
    }


def sample_request(images: Outputs.Images.ValueType, count: int) -> sampling_pb2.SampleRequest:
    """A direct draw that needs no bank."""
    outputs = Outputs(images=images, latents=True)
    return sampling_pb2.SampleRequest(generator=GENERATOR, count=count, rho=0.0, seed=1, outputs=outputs)


def check_stream(sampling: sampling_pb2_grpc.SamplingServiceStub) -> None:
    """A stream and one message must hold the same bytes."""
    request = sample_request(Outputs.IMAGES_FLOAT32, 1000)
    parts = list(sampling.StreamSamples(sampling_pb2.StreamSamplesRequest(sample=request)))
    streamed = b"".join(part.chunk.rows.images.data for part in parts)
    if streamed != sampling.Sample(request).rows.images.data:
        raise RuntimeError("a stream differs from the same draw in one message")


def stream_case(name: str, stream: Callable[[], Iterator[int]], rows: int, rounds: int) -> Case:
    """Rows and bytes a second of a stream, the median of some."""
    seconds, sent = [], 0
    for _ in range(rounds):
        start = time.perf_counter()
        sent = sum(stream())
        seconds.append(time.perf_counter() - start)
    middle = statistics.median(seconds)
    return {"name": name, "rows": rows, "rows_per_s": rows / middle, "megabytes_per_s": sent / 1e6 / middle}


def main() -> None:
    """Takes the figures and writes them."""
    options = arguments("serving", __doc__)
    with server() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        sampling = sampling_pb2_grpc.SamplingServiceStub(channel)
        banks = bank_pb2_grpc.BankServiceStub(channel)
        geometry = geometry_pb2_grpc.GeometryServiceStub(channel)
        check_stream(sampling)
        cut(geometry)

        def alive() -> None:
            health.Check(health_pb2.HealthCheckRequest())

        def small() -> None:
            sampling.Sample(sample_request(Outputs.IMAGES_UINT8, 16))

        def images(kind: Outputs.Images.ValueType) -> Iterator[int]:
            request = sampling_pb2.StreamSamplesRequest(sample=sample_request(kind, STREAM_ROWS))
            return (part.ByteSize() for part in sampling.StreamSamples(request))

        cases = [latency_case("health, idle", latencies(alive)), latency_case("16 images, idle", latencies(small))]
        with building(channel):
            cases.append(latency_case("health, a bank builds", latencies(alive)))
            cases.append(latency_case("16 images, a bank builds", latencies(small)))
        cases.append(slicing_case(geometry, alive))
        for name, kind in (("float32", Outputs.IMAGES_FLOAT32), ("uint8", Outputs.IMAGES_UINT8)):
            cases.append(stream_case(f"stream of {name} images", partial(images, kind), STREAM_ROWS, options.rounds))
        name = banks.BuildBank(bank_pb2.BuildBankRequest(generator=GENERATOR, rows=STREAM_ROWS)).name
        operations_pb2_grpc.OperationsStub(channel).WaitOperation(operations_pb2.WaitOperationRequest(name=name))
        bank_id = next(one.bank_id for one in banks.ListBanks(bank_pb2.ListBanksRequest()).banks if not one.seed)

        def rows() -> Iterator[int]:
            return (part.ByteSize() for part in banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=bank_id)))

        cases.append(stream_case("stream of a bank's rows", rows, STREAM_ROWS, options.rounds))
    report(options.json, cases)


if __name__ == "__main__":
    main()
