"""Banks without their generator, over a real channel: imported ones, and built ones whose generator is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from magnet.v1 import bank_pb2, sampling_pb2, types_pb2
from magnet_service.config import Settings, load_settings
from magnet_service.errors import MagnetError
from magnet_service.generator.condition import Condition
from magnet_service.registry import import_banks
from magnet_service.registry.generators import GeneratorShelf
from magnet_service.rpc.server import running_server
from magnet_service.sampling import Bank, Store
from tests.rpc.calls import Services, array, draw, failure
from tests.rpc.networks import LATENT_DIM

ROWS, COLUMNS = 1500, 3
NOTHING = sampling_pb2.Outputs.IMAGES_NONE
FIGURES = sampling_pb2.Outputs(images=NOTHING, latents=True, log_volumes=True, weights=True)


@pytest.fixture(scope="module")
def volume_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("volumes") / "grey.npz"
    latents = source.normal(size=(ROWS, LATENT_DIM)).astype(np.float32)
    svds = np.sort(np.exp(0.3 * source.normal(size=(ROWS, COLUMNS))), axis=1)[:, ::-1].astype(np.float32)
    np.savez(path, latents=latents, svds=svds)
    return path


def into(settings: Settings, path: Path, name: str, **more: Any) -> Bank:
    found = import_banks(GeneratorShelf(settings.generator_folders), Store(settings.store), path, name, **more)
    return found.banks[0].bank


@pytest.fixture(scope="module")
def unheld(settings: Settings, services: Services, volume_file: Path) -> str:
    """Id of an imported bank of a generator that nobody holds, made while the server runs."""
    return into(settings, volume_file, "ffhq").id


@pytest.fixture(scope="module")
def alone(settings: Settings, bank: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A server on the same store that only reads it, and holds no generator of it."""
    other = load_settings(
        port=0, repositories=[tmp_path_factory.mktemp("none")], store=settings.store, threads=1, log_level="error"
    )
    with running_server(other) as address, grpc.insecure_channel(address) as channel:
        yield Services(channel)


def sample(services: Services, bank: str, **more: Any) -> sampling_pb2.SampleResponse:
    return draw(services, **{"bank_id": bank, "count": 40, "outputs": FIGURES, "rho": 1.0, "seed": 3, **more})


@pytest.mark.parametrize("rho", [0.0, 1.0, -0.5])
def test_a_bank_alone_serves_latents_and_diagnostics(
    services: Services, unheld: str, volume_file: Path, rho: float
) -> None:
    answer = sample(services, unheld, rho=rho)
    header, rows = answer.header, answer.rows
    with np.load(volume_file) as file:
        latents, logs = file["latents"], np.log(file["svds"].astype(np.float64)).cumsum(axis=1)
    drawn = array(rows.bank_rows)
    assert (array(rows.latents) == latents[drawn]).all()
    assert not rows.HasField("images")
    assert (header.top_k, header.method) == (COLUMNS, "RESAMPLE")
    assert np.abs(array(rows.log_volumes) - logs[drawn, COLUMNS - 1]).max() < 1e-6
    weights = np.exp(rho * logs[:, COLUMNS - 1])
    assert header.diagnostics.ess == pytest.approx(weights.sum() ** 2 / np.square(weights).sum(), rel=1e-5)
    assert np.abs(array(rows.log_weights) - np.log(weights / weights.mean())[drawn]).max() < 1e-5
    assert (header.base, header.bank_law, header.generator_digest) == ("normal(dim=6)", "normal(dim=6)", "")
    assert "imported, its volumes as published" in header.bank_reason
    assert header.resolved.generator == ""
    again = services.sampling.Sample(header.resolved)
    assert again.rows.SerializeToString() == rows.SerializeToString()
    assert again.header.resolved == header.resolved


@pytest.mark.parametrize("preset", ["AS_TRAINED", "UNIFORM", "MODE", "ANTI_MODE"])
def test_presets_of_a_bank_alone(services: Services, unheld: str, preset: str) -> None:
    number = sampling_pb2.Preset.Value(f"PRESET_{preset}")
    request = {"bank_id": unheld, "count": 5, "seed": 1, "outputs": FIGURES}
    answer = draw(services, preset=number, **request)
    assert services.sampling.Sample(answer.header.resolved).rows == answer.rows
    if preset == "UNIFORM":
        assert answer.header.base.startswith("ball(dim=6")
        assert answer.header.law_in_words.startswith(f"uniform in the top-{COLUMNS} volume over ball")


def test_streams_of_a_bank_alone_are_the_same_rows(services: Services, unheld: str) -> None:
    whole = sample(services, unheld, count=700)
    request = sampling_pb2.StreamSamplesRequest(sample=whole.header.resolved)
    parts = list(services.sampling.StreamSamples(request))
    assert parts[0].header.resolved == whole.header.resolved
    chunks = [array(part.chunk.rows.latents) for part in parts if part.HasField("chunk")]
    assert (np.concatenate(chunks) == array(whole.rows.latents)).all()


@pytest.mark.parametrize("images", ["UNSPECIFIED", "UINT8", "FLOAT32", "PNG"])
def test_images_need_a_generator(services: Services, unheld: str, images: str) -> None:
    outputs = sampling_pb2.Outputs(images=sampling_pb2.Outputs.Images.Value(f"IMAGES_{images}"), latents=True)
    found = failure(lambda: sample(services, unheld, outputs=outputs))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_GENERATOR")
    assert "IMAGES_NONE" in found.message
    wanted = sampling_pb2.SampleRequest(bank_id=unheld, count=1, rho=1.0, outputs=outputs)
    stream = sampling_pb2.StreamSamplesRequest(sample=wanted)
    assert failure(lambda: list(services.sampling.StreamSamples(stream))).reason == "NO_GENERATOR"


def test_what_a_bank_alone_cannot_answer(services: Services, unheld: str) -> None:
    for changes, code, field, told in (
        ({"bank_id": ""}, grpc.StatusCode.INVALID_ARGUMENT, "generator", "name@version"),
        ({"bank_id": "0" * 16}, grpc.StatusCode.NOT_FOUND, "bank_id", unheld),
        ({"top_k": 4}, grpc.StatusCode.INVALID_ARGUMENT, "top_k", "the 3 largest singular values of 6"),
        ({"bank_revision": ROWS + 1}, grpc.StatusCode.INVALID_ARGUMENT, "bank_revision", "holds 1500 rows"),
        ({"manifold": types_pb2.MANIFOLD_PRE_ACTIVATION}, grpc.StatusCode.FAILED_PRECONDITION, "bank_id", "manifold"),
        ({"condition": types_pb2.Condition(index=1)}, grpc.StatusCode.FAILED_PRECONDITION, "bank_id", "condition"),
        ({"count": 3001}, grpc.StatusCode.INVALID_ARGUMENT, "count", "3,000"),
    ):
        found = failure(lambda changes=changes: sample(services, unheld, **changes))  # type: ignore[misc]
        assert (found.code, list(found.fields)) == (code, [field] if found.fields else []), changes
        assert told in found.message, changes


def test_polarity_of_a_bank_alone(services: Services, unheld: str) -> None:
    request = bank_pb2.DescribePolarityRequest(bank_id=unheld, rhos=[-1, 1])
    found = services.banks.DescribePolarity(request)
    assert [(cell.rho, cell.top_k) for cell in found.cells] == [(r, k) for r in (-1, 1) for k in (1, 2, 3)]
    assert found.cells[-1].ess == sample(services, unheld).header.diagnostics.ess
    request.top_ks.append(4)
    wrong = failure(lambda: services.banks.DescribePolarity(request))
    assert (wrong.code, list(wrong.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["top_ks"])
    nothing = failure(lambda: services.banks.DescribePolarity(bank_pb2.DescribePolarityRequest()))
    assert list(nothing.fields) == ["generator"]


def test_a_built_bank_outlives_its_generator(services: Services, alone: Services, bank: str) -> None:
    there = draw(services, generator="grey", bank_id=bank, count=30, rho=0.5, seed=2)
    assert list(failure(lambda: draw(alone, generator="grey", count=1, rho=1.0)).fields) == ["generator"]
    here = sample(alone, bank, count=30, rho=0.5, seed=2)
    for name in ("latents", "log_volumes", "log_weights", "bank_rows"):
        assert getattr(here.rows, name) == getattr(there.rows, name)
    assert here.header.diagnostics == there.header.diagnostics
    assert here.header.generator_digest == there.header.generator_digest
    assert here.header.volume_error == there.header.volume_error
    assert alone.sampling.Sample(here.header.resolved).rows == here.rows
    assert alone.banks.GetBank(bank_pb2.GetBankRequest(bank_id=bank)).bank.generator == ""
    grid = alone.banks.DescribePolarity(bank_pb2.DescribePolarityRequest(bank_id=bank))
    whole = services.banks.DescribePolarity(bank_pb2.DescribePolarityRequest(generator="grey", bank_id=bank))
    assert grid.cells == whole.cells


def test_an_imported_bank_is_listed_read_and_grows_no_more(services: Services, settings: Settings, unheld: str) -> None:
    found = services.banks.GetBank(bank_pb2.GetBankRequest(bank_id=unheld)).bank
    assert (found.generator, found.generator_digest, found.generator_name) == ("", "", "ffhq")
    assert (found.columns, found.largest_k, found.revision) == (COLUMNS, COLUMNS, ROWS)
    assert len(found.origin) == 64
    assert not found.errors
    (part,) = services.banks.ReadBank(bank_pb2.ReadBankRequest(bank_id=unheld))
    assert list(part.log_volumes.shape) == [ROWS, COLUMNS]
    assert unheld in {one.bank_id for one in services.banks.ListBanks(bank_pb2.ListBanksRequest()).banks}
    of_grey = services.banks.ListBanks(bank_pb2.ListBanksRequest(generator="grey")).banks
    assert unheld not in {one.bank_id for one in of_grey}


def test_the_generator_of_a_name_serves_images(
    services: Services, settings: Settings, volume_file: Path, bank: str
) -> None:
    imported = into(settings, volume_file, "grey")
    assert imported.spec.generator_digest != ""
    without = Settings(**{**settings.model_dump(), "repositories": ()})
    by_name = into(without, volume_file, "grey")
    assert by_name.spec.generator_digest == ""
    for one in (imported, by_name):
        found = services.banks.GetBank(bank_pb2.GetBankRequest(bank_id=one.id)).bank
        assert (found.generator, found.generator_name) == ("grey@1", "grey")
        answer = draw(services, generator="grey", bank_id=one.id, count=7, rho=1.0, seed=1)
        latents = answer.rows.latents
        generated = services.sampling.Generate(
            sampling_pb2.GenerateRequest(
                generator="grey",
                latents=latents,
                outputs=sampling_pb2.Outputs(images=sampling_pb2.Outputs.IMAGES_FLOAT32),
            )
        )
        assert generated.rows.images == answer.rows.images
        foreign = failure(lambda one=one: draw(services, generator="plain", bank_id=one.id, count=1, rho=1.0))  # type: ignore[misc]
        assert "another generator" in foreign.message
        wrong = failure(lambda one=one: draw(services, generator="grey", bank_id=one.id, count=1, rho=1.0, top_k=4))  # type: ignore[misc]
        assert list(wrong.fields) == ["top_k"]
    # A bank that was computed comes first where none is named.
    assert draw(services, generator="grey", count=1, rho=1.0).header.resolved.bank_id == bank


def test_the_law_is_that_of_the_generator_held(settings: Settings, tmp_path: Path) -> None:
    source = np.random.default_rng(7)
    latents = source.uniform(-1.0, 1.0, size=(400, LATENT_DIM)).astype(np.float32)
    np.savez(tmp_path / "a.npz", latents=latents, svds=np.ones((400, 2), np.float32))
    imported = into(settings, tmp_path / "a.npz", "colour")
    assert imported.spec.law == "box(dim=6,low=-1.0,high=1.0)"


@pytest.mark.parametrize(
    ("name", "latents", "more", "field", "told"),
    [
        ("grey", 5, {}, "generator", "5 numbers wide, grey@1 takes 6"),
        ("grey", 6, {"condition": Condition(index=0)}, "condition", "takes no condition"),
        ("grey@7", 6, {}, "generator", "grey@7"),
        ("no such/name", 6, {}, "generator", "name@version"),
        ("ffhq", 6, {"condition": Condition(label="cat")}, "condition", "write an index"),
        ("ffhq", 6, {"law": "cauchy"}, "law", "names no law"),
        ("colour", 6, {}, "law", "no draw of box"),
    ],
)
def test_files_that_do_not_fit(
    settings: Settings, tmp_path: Path, name: str, latents: int, more: dict[str, Any], field: str, told: str
) -> None:
    made = np.random.default_rng(1).normal(size=(20, latents)).astype(np.float32)
    np.savez(tmp_path / "a.npz", latents=made, svds=np.ones((20, 2), np.float32))
    with pytest.raises(MagnetError, match=told) as caught:
        into(settings, tmp_path / "a.npz", name, **more)
    assert caught.value.field == field
    labels = np.eye(4, dtype=np.float32)[np.arange(20) % 4]
    np.savez(tmp_path / "b.npz", latents=made, svds=np.ones((20, 2), np.float32), labels=labels)
    if (name, more) == ("grey", {}) and latents == 6:
        with pytest.raises(MagnetError, match="labels of 4 classes, grey@1 has none"):
            into(settings, tmp_path / "b.npz", name)
