"""The registry: generators by name and version, banks by id, pages of draws."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from magnet_service.errors import DamagedData, InvalidInput, Refused, UnknownResource
from magnet_service.generator import Manifold, Precision, add_generator, export_module
from magnet_service.geometry import Engine
from magnet_service.registry import BuildRequest, DescribeRequest, Registry, Wanted, page, spans
from magnet_service.sampling import Base, SampleRequest
from tests.rpc.networks import LATENT_DIM, fill, picture


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    fill(folder, tmp_path_factory.mktemp("exported"))
    return folder


@pytest.fixture
def registry(repository: Path, tmp_path: Path) -> Registry:
    return Registry([repository], tmp_path / "store", threads=1)


def test_the_first_repository_that_has_a_name_wins(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "grey", tmp_path / "first" / "grey")
    card = tmp_path / "first" / "grey" / "generator.toml"
    card.write_text(card.read_text().replace("The grey one.", "Another."))
    both = Registry([tmp_path / "first", repository], tmp_path / "store")
    assert both.generators.names() == ("colour", "grey", "plain")
    assert both.generators.get("grey").card.description == "Another."


def test_a_generator_is_loaded_once_and_again_when_its_files_change(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "mine")
    registry = Registry([tmp_path / "mine"], tmp_path / "store")
    first = registry.generators.get("grey")
    assert registry.generators.get("grey@1").generator is first.generator
    card = tmp_path / "mine" / "grey" / "generator.toml"
    card.write_text(card.read_text().replace("The grey one.", "Changed since."))
    assert registry.generators.get("grey").card.description == "Changed since."


def test_a_new_version_is_the_default_from_then_on(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "mine")
    registry = Registry([tmp_path / "mine"], tmp_path / "store")
    assert registry.generators.get("grey").version == 1
    export_module(picture(7), LATENT_DIM, tmp_path / "generator.pt2")
    add_generator(tmp_path / "mine", "grey", tmp_path / "generator.pt2", new_version=True)
    newest = registry.generators.get("grey")
    assert (newest.reference, newest.versions) == ("grey@2", (1, 2))
    assert registry.generators.get("grey@1").generator.digest != newest.generator.digest


def test_a_generator_that_does_not_load_hinders_no_other(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "mine")
    (tmp_path / "mine" / "colour" / "1" / "generator.pt2").write_bytes(b"no archive")
    card = tmp_path / "mine" / "plain" / "generator.toml"
    card.write_text(card.read_text().replace('"normal"', '"gumbel"'))
    registry = Registry([tmp_path / "mine"], tmp_path / "store")
    found = {listing.name: listing for listing in registry.generators.listings()}
    assert found["grey"].held is not None
    assert found["colour"].held is None
    assert found["colour"].problem
    with pytest.raises((Refused, DamagedData)):
        registry.generators.get("colour")
    with pytest.raises(Refused, match="gumbel") as caught:
        registry.generators.get("plain")
    assert caught.value.reason == "BAD_CARD"


@pytest.mark.parametrize(
    "reference", ["", "..", "../grey", "grey/1", "Grey", "grey@", "grey@0", "grey@-1", "grey@1\n", "@1"]
)
def test_a_name_that_is_no_name(registry: Registry, reference: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        registry.generators.get(reference)
    assert caught.value.field == "generator"


@pytest.mark.parametrize("reference", ["nothing", "grey@2", "nothing@1"])
def test_a_generator_that_is_not_there(registry: Registry, reference: str) -> None:
    with pytest.raises(UnknownResource, match="grey") as caught:
        registry.generators.get(reference)
    assert caught.value.field == "generator"


@pytest.mark.parametrize(
    ("offset", "count", "rows", "tile"), [(0, 100, 32, 16), (5, 30, 16, 16), (7, 1, 99, 4), (3, 50, 1, 8)]
)
def test_spans_cut_at_tiles_and_lose_nothing(offset: int, count: int, rows: int, tile: int) -> None:
    found = list(spans(offset, count, rows, tile))
    covered = [row for start, length in found for row in range(start, start + length)]
    assert covered == list(range(offset, offset + count))
    assert all(start % tile == 0 for start, _ in found[1:])
    assert all(length <= max(rows, tile) for _, length in found)


@pytest.mark.parametrize("precision", list(Precision))
def test_a_page_is_the_same_bytes_however_it_is_cut(registry: Registry, precision: Precision) -> None:
    wanted = Wanted(latents=True, log_volumes=True, log_weights=True)
    plan = registry.plan("grey", SampleRequest(count=64, rho=0.0, seed=1, precision=precision))
    whole = page(plan, 0, 64, wanted)
    for start, count in [(0, 1), (5, 20), (16, 16), (33, 31), (63, 1)]:
        part = page(plan, start, count, wanted)
        for name in ("values", "latents", "log_volumes", "log_weights"):
            assert getattr(part, name).tobytes() == getattr(whole, name)[start : start + count].tobytes()
    assert whole.values.dtype == (np.float64 if precision is Precision.FLOAT64 else np.float32)


def built(registry: Registry, name: str, request: BuildRequest) -> str:
    build = registry.plan_build(name, request)
    for _ in build.steps:
        pass
    return build.bank.id


def test_a_bank_is_built_chosen_and_described(registry: Registry) -> None:
    with pytest.raises(Refused, match="magnet bank build grey@1") as caught:
        registry.plan("grey", SampleRequest(count=1, rho=1.0))
    assert caught.value.metadata["command"] == "magnet bank build grey@1"
    bank_id = built(registry, "grey", BuildRequest(rows=512))
    plan = registry.plan("grey", SampleRequest(count=1, rho=0.5, top_k=2))
    assert plan.draw.resolved.bank_id == bank_id
    assert plan.draw.resolved.bank_revision == 512
    found = registry.describe("grey", DescribeRequest(rhos=(0.5,), top_ks=(2,)))
    assert found.cells[0].ess == plan.draw.diagnostics.ess
    assert built(registry, "grey", BuildRequest(rows=600)) == bank_id
    assert registry.plan("grey", SampleRequest(count=1, rho=0.5, top_k=2)).draw.resolved.bank_revision == 600


def test_the_command_for_a_missing_bank_has_its_flags(registry: Registry) -> None:
    request = SampleRequest(count=1, rho=1.0, base=Base.UNIFORM, box=(-2.0, 2.0), precision=Precision.FLOAT64)
    with pytest.raises(Refused) as caught:
        registry.plan("plain", request)
    expected = "magnet bank build plain@1 --base uniform --box=-2.0,2.0 --precision float64"
    assert caught.value.metadata["command"] == expected


@pytest.mark.parametrize(
    ("generator", "given"),
    [
        ("plain", {"base": Base.UNIFORM, "ball_radius": 2.0 / 3.0}),
        ("plain", {"base": Base.UNIFORM, "box": (-1.0 / 3.0, 1e-7)}),
        ("plain", {"base": Base.UNIFORM, "truncation_psi": 1.0 / 3.0}),
        ("plain", {"base": Base.UNIFORM, "truncation_norm": 1.0 / 3.0}),
        ("colour", {"base": Base.UNIFORM, "truncation_psi": 1.0 / 3.0}),
        ("plain", {"truncation_norm": 10.0 / 3.0}),
    ],
)
def test_the_bank_that_the_command_builds_answers_the_request(
    registry: Registry, generator: str, given: dict[str, object]
) -> None:
    request = SampleRequest(count=1, rho=0.1, top_k=1, **given)  # type: ignore[arg-type]  # any attribute
    with pytest.raises(Refused) as caught:
        registry.plan(generator, request)
    words = shlex.split(caught.value.metadata["command"].replace("=", " "))
    flags = dict(zip(words[4::2], words[5::2], strict=True))
    box = flags.get("--box", "").split(",")
    wanted = BuildRequest(
        rows=16,
        base=Base(flags.get("--base", "prior").upper()),
        ball_radius=float(flags["--ball-radius"]) if "--ball-radius" in flags else None,
        box=(float(box[0]), float(box[1])) if "--box" in flags else None,
    )
    bank_id = built(registry, words[3], wanted)
    assert registry.plan(generator, request).draw.resolved.bank_id == bank_id


def test_rows_read_stay_in_memory_until_the_bank_changes(registry: Registry) -> None:
    bank_id = built(registry, "grey", BuildRequest(rows=64))
    rows = registry.banks.open(bank_id).rows()
    assert registry.banks.open(bank_id).rows() is rows
    built(registry, "grey", BuildRequest(rows=128))
    assert len(registry.banks.open(bank_id).rows()) == 128


def test_rank_statistics_are_those_of_the_volumes(registry: Registry) -> None:
    held = registry.generators.get("grey")
    found = registry.rank(held, 100)
    assert found is not None
    assert (found.latents, len(found.log_volume_sd)) == (100, LATENT_DIM)
    assert found.log_volume_sd[0] > 0
    assert registry.rank(held, 0) is None
    latents = held.prior.rows(0, 0, 100)
    singular = np.exp(
        registry.volumes(held, latents, manifold=Manifold.OUTPUT, precision=Precision.FLOAT32, top_k=0)[
            0
        ].log_singular_values.numpy()
    )
    assert sum(found.rank_counts.values()) == 100
    assert list(found.rank_counts) == sorted(found.rank_counts)
    np.testing.assert_allclose(np.exp(found.log_sigma_first)[[0, -1]], [singular[:, 0].min(), singular[:, 0].max()])
    ratios = np.sort(np.divide(singular[:, 0], singular[:, -1], out=np.full(100, np.inf), where=singular[:, -1] > 0))
    # The least value with so many at or below it, of 100.
    places = [max(round(100 * level), 1) - 1 for level in found.quantile_levels]
    np.testing.assert_allclose(np.exp(found.log_condition), ratios[places], rtol=1e-12)


def test_quantiles_of_a_deficient_generator_are_never_not_a_number(repository: Path, tmp_path: Path) -> None:
    narrow = torch.nn.Sequential(torch.nn.Linear(LATENT_DIM, 3), torch.nn.ReLU(), torch.nn.Linear(3, 9))
    export_module(narrow, LATENT_DIM, tmp_path / "generator.pt2")
    add_generator(tmp_path / "mine", "narrow", tmp_path / "generator.pt2")
    registry = Registry([tmp_path / "mine"], tmp_path / "store", threads=1)
    found = registry.rank(registry.generators.get("narrow"), 64)
    assert found is not None
    assert found.rank_max <= 3
    assert sum(found.rank_counts.values()) == 64
    assert set(found.log_sigma_last) == {-np.inf}
    assert set(found.log_condition) == {np.inf}
    assert not np.isnan(found.log_sigma_first).any()


def test_limits_are_told(repository: Path, tmp_path: Path) -> None:
    registry = Registry([repository], tmp_path, max_count=10, max_bank_rows=20)
    with pytest.raises(InvalidInput, match="1 to 10") as caught:
        registry.plan("grey", SampleRequest(count=11, rho=0.0))
    assert caught.value.field == "count"
    with pytest.raises(InvalidInput, match="1 to 20") as caught:
        registry.plan_build("grey", BuildRequest(rows=21))
    assert caught.value.field == "rows"
    held = registry.generators.get("grey")
    with pytest.raises(InvalidInput, match="at most 10") as caught:
        registry.generate(held, np.zeros((11, LATENT_DIM), np.float32), Wanted())
    assert caught.value.field == "latents"


def test_the_device_is_found_or_refused(repository: Path, tmp_path: Path) -> None:
    auto = Registry([repository], tmp_path, max_memory=2**30).engine()
    assert auto == Engine(device="cuda:0" if torch.cuda.is_available() else "cpu", threads=1, max_memory=2**30)
    assert (Registry([repository], tmp_path).engine().max_memory or 0) > 2**20
    with pytest.raises(InvalidInput) as caught:
        Registry([repository], tmp_path, device="cuda:99")
    assert caught.value.field == "device"


def test_a_bank_without_rows_is_not_chosen_over_one_that_has_some(registry: Registry) -> None:
    prior = built(registry, "plain", BuildRequest(rows=512))
    uniform = registry.plan_build("plain", BuildRequest(rows=512, base=Base.UNIFORM))
    request = SampleRequest(count=1, rho=1.0, base=Base.UNIFORM)
    assert registry.plan("plain", request).draw.resolved.bank_id == prior
    for _ in uniform.steps:
        pass
    assert registry.plan("plain", request).draw.resolved.bank_id == uniform.bank.id


def test_a_bank_finds_its_generator_by_digest_old_versions_too(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "mine")
    shelf = Registry([tmp_path / "mine"], tmp_path / "store").generators
    digest = shelf.get("grey").generator.digest
    assert shelf.reference_of(digest) == "grey@1"
    export_module(picture(7), LATENT_DIM, tmp_path / "generator.pt2")
    add_generator(tmp_path / "mine", "grey", tmp_path / "generator.pt2", new_version=True)
    assert shelf.reference_of(digest) == "grey@1"
    assert shelf.reference_of(shelf.get("grey").generator.digest) == "grey@2"
    assert shelf.reference_of("0" * 64) == ""


def test_on_a_sphere_there_is_one_column_less(repository: Path, tmp_path: Path) -> None:
    export_module(picture(3), LATENT_DIM, tmp_path / "generator.pt2")
    add_generator(tmp_path / "mine", "globe", tmp_path / "generator.pt2", prior="sphere(radius=2)")
    registry = Registry([tmp_path / "mine"], tmp_path / "store", threads=1)
    held = registry.generators.get("globe")
    with pytest.raises(InvalidInput, match="1 to 5"):
        registry.plan("globe", SampleRequest(count=1, rho=1.0, top_k=LATENT_DIM))
    built(registry, "globe", BuildRequest(rows=320))
    drawn = registry.plan("globe", SampleRequest(count=40, rho=0.5, top_k=LATENT_DIM - 1, seed=2))
    resampled = page(drawn, 0, 40, Wanted(latents=True, log_volumes=True))
    found, k, _ = registry.volumes(
        held, resampled.latents, manifold=Manifold.OUTPUT, precision=Precision.FLOAT32, top_k=0
    )
    assert k == LATENT_DIM - 1
    np.testing.assert_allclose(resampled.log_volumes, found.log_singular_values.sum(1), atol=2e-5)


def test_auto_is_told_for_each_base_and_every_further_bank(registry: Registry) -> None:
    held = registry.generators.get("plain")
    missing = registry.auto_top_k(held)
    assert [(entry.base, entry.law, entry.top_k) for entry in missing] == [
        (Base.PRIOR, "normal(dim=6)", None),
        (Base.UNIFORM, f"ball(dim=6,radius={8**0.5!r})", None),
    ]
    assert missing[0].problem == "no bank yet: magnet bank build plain@1"
    assert missing[1].problem == "no bank yet: magnet bank build plain@1 --base uniform"
    prior = built(registry, "plain", BuildRequest(rows=1024))
    box = built(registry, "plain", BuildRequest(rows=512, base=Base.UNIFORM, box=(-1.0, 1.0)))
    before = built(registry, "plain", BuildRequest(rows=512, manifold=Manifold.PRE_ACTIVATION))
    built(registry, "plain", BuildRequest(rows=64, seed=1))  # seed 0 comes first: a draw would not take it
    found = registry.auto_top_k(held)
    assert [entry.bank_id for entry in found] == [prior, prior, box, before]
    assert [entry.bank_revision for entry in found] == [1024, 1024, 512, 512]
    assert [entry.manifold for entry in found[2:]] == [Manifold.OUTPUT, Manifold.PRE_ACTIVATION]
    assert "corrected" in found[1].bank_reason
    requests = ({}, {"base": Base.UNIFORM}, {"base": Base.UNIFORM, "box": (-1.0, 1.0)})
    for entry, given in zip(found, requests, strict=False):
        resolved = registry.plan("plain", SampleRequest(count=1, rho=1.0, **given)).draw.resolved
        assert entry.top_k is not None
        assert (entry.bank_id, entry.top_k.k, entry.top_k.reason) == (
            resolved.bank_id,
            resolved.top_k,
            resolved.top_k_reason,
        )


def test_where_the_prior_is_uniform_there_is_one_base(registry: Registry) -> None:
    assert [entry.base for entry in registry.auto_top_k(registry.generators.get("colour"))] == [Base.PRIOR]


def test_a_damaged_bank_says_so_where_its_k_would_stand(registry: Registry, tmp_path: Path) -> None:
    bank_id = built(registry, "plain", BuildRequest(rows=64, base=Base.UNIFORM, box=(-1.0, 1.0)))
    (shard,) = (tmp_path / "store" / bank_id / "rows").glob("rows-*.parquet")
    shard.write_bytes(shard.read_bytes()[:-1])
    entry = registry.auto_top_k(registry.generators.get("plain"))[-1]
    assert (entry.bank_id, entry.top_k) == (bank_id, None)
    assert shard.name in entry.problem
