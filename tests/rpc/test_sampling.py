"""SamplingService over a real channel: what an answer holds, and equal bytes however a draw is asked for."""

from __future__ import annotations

import io
import itertools

import grpc
import numpy as np
import pytest
import torch
from PIL import Image

from magnet.v1 import sampling_pb2
from magnet_service.config import Settings, load_settings
from magnet_service.generator import add_generator, export_module, load_version
from magnet_service.geometry import Engine, forward, log_volume, volumes
from magnet_service.rpc.server import running_server
from tests.rpc.calls import Services, array, build_bank, draw, everything, failure, tensor
from tests.rpc.networks import LATENT_DIM, picture

Outputs = sampling_pb2.Outputs
TARGETS = [
    {"preset": sampling_pb2.PRESET_AS_TRAINED},
    {"preset": sampling_pb2.PRESET_MODE},
    {"preset": sampling_pb2.PRESET_ANTI_MODE},
    {"rho": 1.0},
    {"det_rho": -0.25, "top_k": 2},
    {"rho": 0.5, "top_k": 3, "without_replacement": True},
    {"rho": 0.0, "truncation": sampling_pb2.Truncation(psi=0.5)},
]


def stream(services: Services, request: sampling_pb2.SampleRequest) -> list[sampling_pb2.StreamSamplesResponse]:
    return list(services.sampling.StreamSamples(sampling_pb2.StreamSamplesRequest(sample=request)))


def joined(rows: list[sampling_pb2.Rows], name: str) -> np.ndarray:
    return np.concatenate([array(getattr(one, name)) for one in rows])


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_resolved_request_sent_again_gives_the_same_bytes(services: Services, bank: str, target: dict) -> None:
    first = draw(services, generator="grey", count=21, **target)
    again = services.sampling.Sample(first.header.resolved)
    assert again.rows.SerializeToString() == first.rows.SerializeToString()
    assert again.header.resolved == first.header.resolved
    resolved = first.header.resolved
    assert resolved.generator == "grey@1"
    assert resolved.HasField("seed")
    assert resolved.WhichOneof("target") == "rho"
    assert first.header.rho == resolved.rho == 2 * first.header.det_rho


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_pages_one_call_and_stream_are_the_same_bytes(services: Services, bank: str, target: dict) -> None:
    whole = draw(services, generator="grey", count=70, seed=3, offset=0, **target).rows
    cuts = [0, 5, 16, 37, 70]
    pages = [
        draw(services, generator="grey", count=stop - start, seed=3, offset=start, **target).rows
        for start, stop in itertools.pairwise(cuts)
    ]
    request = sampling_pb2.SampleRequest(generator="grey", count=70, seed=3, outputs=everything(), **target)
    chunks = [part.chunk.rows for part in stream(services, request) if part.WhichOneof("part") == "chunk"]
    for name in ("images", "latents", "log_volumes", "log_weights"):
        expected = array(getattr(whole, name)).tobytes()
        assert joined(pages, name).tobytes() == expected
        assert joined(chunks, name).tobytes() == expected


def test_a_stream_is_header_chunks_and_trailer(services: Services, bank: str) -> None:
    request = sampling_pb2.SampleRequest(
        generator="grey", count=2990, offset=7, seed=1, rho=1, outputs=everything(Outputs.IMAGES_FLOAT32)
    )
    parts = stream(services, request)
    kinds = [part.WhichOneof("part") for part in parts]
    assert kinds == ["header", *["chunk"] * (len(parts) - 2), "trailer"]
    assert parts[0].header.result == sampling_pb2.RESULT_LOW_ESS
    sizes = [part.ByteSize() for part in parts[1:-1]]
    assert max(sizes) <= 2**20 + 2**12
    starts = [part.chunk.offset for part in parts[1:-1]]
    rows = [part.chunk.rows.latents.shape[0] for part in parts[1:-1]]
    assert starts[0] == 7
    assert starts[1:] == list(np.cumsum(rows)[:-1] + 7)
    latents = joined([part.chunk.rows for part in parts[1:-1]], "latents")
    assert parts[-1].trailer.rows == 2990 == len(latents)
    assert parts[-1].trailer.distinct == len(np.unique(latents, axis=0))


def test_chunks_are_near_one_mebibyte_and_end_at_tiles(services: Services, repository) -> None:
    request = sampling_pb2.SampleRequest(generator="grey", count=3000, seed=0, rho=0, outputs=everything())
    parts = stream(services, request)[1:-1]
    sizes = [part.ByteSize() for part in parts]
    assert len(sizes) == 1 or all(size > 2**19 for size in sizes[:-1])
    assert all((part.chunk.offset + part.chunk.rows.latents.shape[0]) % 16 == 0 for part in parts[:-1])


def test_images_and_volumes_are_those_of_the_core(services: Services, bank: str, repository) -> None:
    answer = draw(services, generator="grey", count=40, rho=1.0, top_k=4, seed=2)
    generator, _, _ = load_version(repository / "grey")
    latents = torch.tensor(array(answer.rows.latents))
    engine = Engine(threads=1)
    assert array(answer.rows.images).tobytes() == forward(engine, generator, latents).numpy().tobytes()
    exact = log_volume(volumes(generator, latents, engine=engine), 4).numpy()
    np.testing.assert_allclose(array(answer.rows.log_volumes), exact, atol=2e-5)
    assert answer.rows.bank_rows.shape[0] == 40


def test_a_direct_draw_reads_no_bank(services: Services) -> None:
    answer = draw(services, generator="plain", count=17, rho=0.0, seed=5)
    assert answer.header.method == "DIRECT"
    assert answer.header.top_k == 0
    assert answer.header.bank_law == ""
    assert not answer.header.resolved.bank_id
    assert not answer.rows.HasField("bank_rows")
    assert (array(answer.rows.log_weights) == 0).all()
    assert np.isfinite(array(answer.rows.log_volumes)).all()
    assert answer.header.diagnostics.distinct == 17
    assert array(answer.rows.latents).std() == pytest.approx(1.0, abs=0.3)


def test_uint8_float32_and_png_agree(services: Services) -> None:
    raw, bytes_, png = (
        draw(services, generator="grey", count=9, rho=0.0, seed=4, outputs=Outputs(images=kind)).rows
        for kind in (Outputs.IMAGES_FLOAT32, Outputs.IMAGES_UNSPECIFIED, Outputs.IMAGES_PNG)
    )
    values, pixels = array(raw.images), array(bytes_.images)
    assert values.shape == (9, 1, 8, 8)
    assert values.dtype == np.float32
    assert pixels.shape == (9, 8, 8)
    assert (pixels == np.rint((values[:, 0].astype(np.float64) + 1) * 127.5)).all()
    pictures = [np.asarray(Image.open(io.BytesIO(file))) for file in png.png]
    assert (np.stack(pictures) == pixels).all()
    assert not png.HasField("images")


def test_colour_pictures_come_channels_last(services: Services) -> None:
    rows = draw(
        services, generator="colour", count=5, rho=0.0, seed=4, outputs=Outputs(images=Outputs.IMAGES_UINT8)
    ).rows
    raw = draw(services, generator="colour", count=5, rho=0.0, seed=4).rows
    assert array(rows.images).shape == (5, 4, 4, 3)
    expected = np.rint((array(raw.images).astype(np.float64) + 1) * 127.5)
    assert (array(rows.images) == np.moveaxis(expected, 1, -1)).all()


def test_nothing_more_is_sent_than_was_asked_for(services: Services) -> None:
    rows = draw(services, generator="grey", count=3, rho=0.0, outputs=Outputs(images=Outputs.IMAGES_NONE)).rows
    assert rows == sampling_pb2.Rows()


def test_uniform_corrects_the_priors_bank_and_says_so(services: Services, bank: str) -> None:
    header = draw(services, generator="grey", count=10, preset=sampling_pb2.PRESET_UNIFORM).header
    assert header.base.startswith("ball(dim=6,radius=2.828")
    assert header.bank_law == "normal(dim=6)"
    assert "corrected" in header.bank_reason
    assert header.resolved.base.uniform.ball.radius == pytest.approx(8**0.5)


def test_a_bank_of_the_base_is_preferred(services: Services, bank: str) -> None:
    uniform = sampling_pb2.Base(uniform=sampling_pb2.Base.Uniform())
    own = build_bank(services, "plain", 600, base=uniform)
    build_bank(services, "plain", 400)
    header = draw(services, generator="plain", count=10, preset=sampling_pb2.PRESET_UNIFORM).header
    assert header.resolved.bank_id == own.bank_id
    assert header.resolved.bank_revision == 600
    assert header.law_in_words.startswith("uniform")


def test_an_old_revision_gives_the_old_bytes(services: Services) -> None:
    small = build_bank(services, "plain", 320, seed=9)
    before = draw(services, generator="plain", count=12, rho=0.5, top_k=2, seed=1, bank_id=small.bank_id)
    grown = build_bank(services, "plain", 640, seed=9)
    assert grown.bank_id == small.bank_id
    assert grown.revision == 640
    after = draw(services, generator="plain", count=12, rho=0.5, top_k=2, seed=1, bank_id=small.bank_id)
    assert after.header.resolved.bank_revision == 640
    again = services.sampling.Sample(before.header.resolved)
    assert again.rows.SerializeToString() == before.rows.SerializeToString()


def test_generate_runs_the_clients_latents(services: Services, repository) -> None:
    latents = np.random.RandomState(0).normal(size=(19, LATENT_DIM)).astype(np.float32)
    outputs = Outputs(images=Outputs.IMAGES_FLOAT32, log_volumes=True)
    answer = services.sampling.Generate(
        sampling_pb2.GenerateRequest(generator="grey", latents=tensor(latents), outputs=outputs)
    )
    generator, _, _ = load_version(repository / "grey")
    engine = Engine(threads=1)
    assert array(answer.rows.images).tobytes() == forward(engine, generator, torch.tensor(latents)).numpy().tobytes()
    expected = log_volume(volumes(generator, torch.tensor(latents), engine=engine), LATENT_DIM).numpy()
    assert array(answer.rows.log_volumes).tobytes() == expected.tobytes()
    assert answer.generator_digest == generator.digest
    assert {entry.key for entry in answer.stamp} >= {"engine", "torch", "instruction_set", "device", "threads"}


def test_generate_gives_a_draws_images_back(services: Services) -> None:
    first = draw(services, generator="grey", count=20, rho=0.0, seed=8).rows
    again = services.sampling.Generate(
        sampling_pb2.GenerateRequest(generator="grey", latents=first.latents, outputs=everything())
    ).rows
    assert again.images == first.images


def test_the_last_target_on_the_wire_wins(services: Services) -> None:
    both = sampling_pb2.SampleRequest(generator="grey", count=2, seed=1, rho=3.0)
    raw = both.SerializeToString() + sampling_pb2.SampleRequest(det_rho=0.0).SerializeToString()
    merged = sampling_pb2.SampleRequest.FromString(raw)
    assert merged.WhichOneof("target") == "det_rho"
    assert services.sampling.Sample(merged).header.rho == 0.0


def test_an_endless_stream_ends_when_the_client_leaves(settings: Settings) -> None:
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        services = Services(channel)
        sample = sampling_pb2.SampleRequest(generator="grey", rho=0.0, seed=1, outputs=everything())
        call = services.sampling.StreamSamples(sampling_pb2.StreamSamplesRequest(sample=sample, endless=True))
        parts = [next(call) for _ in range(5)]
        call.cancel()
        assert parts[0].HasField("header")
        assert parts[1].chunk.offset == 0
        # The one worker is free again: another call is answered.
        assert draw(services, generator="grey", count=1, rho=0.0).header.method == "DIRECT"
    # Leaving the block ends within the drain: the stream that was left holds nothing.


def test_a_stream_whose_tile_fits_no_message_is_refused_before_its_header(repository, tmp_path) -> None:
    export_module(picture(4, shape=(1, 160, 160), smooth=False), LATENT_DIM, tmp_path / "generator.pt2")
    add_generator(tmp_path / "mine", "large", tmp_path / "generator.pt2")
    settings = load_settings(
        port=0, repositories=[tmp_path / "mine"], store=tmp_path / "store", builder=True, threads=1, log_level="error",
        max_message_bytes=2**20,
    )  # fmt: skip
    with running_server(settings) as address, grpc.insecure_channel(address) as channel:
        services = Services(channel)
        sample = sampling_pb2.SampleRequest(generator="large", count=40, rho=0.0, outputs=everything())
        found = failure(lambda: stream(services, sample))
        assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
        assert list(found.fields) == ["outputs"]
        sample.outputs.images = Outputs.IMAGES_UINT8
        assert stream(services, sample)[0].HasField("header")
