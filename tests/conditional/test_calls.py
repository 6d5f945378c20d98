"""Conditions over a real channel: wire, validation, description, streams, the asynchronous client."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from magnet.v1 import geometry_pb2, sampling_pb2, types_pb2
from magnet_client import AsyncClient, BankInfo, Client, InvalidInput, Refused, Resolved
from tests.conditional.conftest import ROWS
from tests.conditional.pets import CLASSES, LABELS, LATENT, WIDTH
from tests.rpc.calls import Services, failure, tensor


def test_a_description_names_the_conditions(client: Client) -> None:
    given = {name: client.generator(name).conditions for name in ("pets", "hot", "styled")}
    assert [(item.kind, item.width, item.labels) for item in given.values() if item is not None] == [
        ("index", CLASSES, LABELS),
        ("one_hot", CLASSES, ()),
        ("vector", WIDTH, ()),
    ]


def test_a_draw_of_one_class_by_label_index_and_vector(client: Client, banks: tuple[BankInfo, ...]) -> None:
    by_label = client.sample("pets", 12, rho=1.0, top_k=2, seed=1, condition="cat")
    by_index = client.sample("pets", 12, rho=1.0, top_k=2, seed=1, condition=2)
    assert by_label.images is not None
    assert by_index.images is not None
    assert by_label.images.tobytes() == by_index.images.tobytes()
    assert by_label.resolved.condition == 2
    assert by_label.resolved.bank == banks[2].bank_id
    assert by_label.labels == ("cat",) * 12
    vector = client.sample("styled", 4, preset="as_trained", seed=1, condition=np.array([0.25, 1.5]))
    assert vector.resolved.condition == (0.25, 1.5)
    assert (vector.classes, vector.labels) == (None, None)


@pytest.mark.parametrize("target", [{"rho": 0.0}, {"rho": 1.0}, {"preset": "mode"}])
def test_all_classes_in_equal_shares(client: Client, banks: tuple[BankInfo, ...], target: dict[str, object]) -> None:
    draw = client.sample("pets", 90, seed=4, **target)  # type: ignore[arg-type]  # one of three
    assert draw.classes is not None
    assert draw.classes.tolist() == [row % CLASSES for row in range(90)]
    assert draw.labels is not None
    assert draw.labels[:5] == (*LABELS, "ant")
    again = client.sample_resolved(Resolved.from_json(draw.resolved.to_json()))
    streamed = list(client.stream("pets", 90, seed=4, **target))  # type: ignore[arg-type]  # one of three
    paged = [client.sample_resolved(draw.resolved, offset=start, count=30) for start in (0, 30, 60)]
    for name in ("images", "latents", "log_volumes", "log_weights", "bank_rows", "classes"):
        whole = getattr(draw, name)
        if whole is None:
            assert (name, draw.resolved.class_banks) == ("bank_rows", ())
            continue
        assert getattr(again, name).tobytes() == whole.tobytes(), name
        assert np.concatenate([getattr(part, name) for part in streamed]).tobytes() == whole.tobytes(), name
        assert np.concatenate([getattr(part, name) for part in paged]).tobytes() == whole.tobytes(), name
    if draw.resolved.class_banks:
        assert [bank.bank for bank in draw.resolved.class_banks] == [bank.bank_id for bank in banks]
        assert [bank.revision for bank in draw.resolved.class_banks] == [ROWS] * CLASSES
        assert draw.header.weakest_class in range(CLASSES)
        assert draw.header.weakest_ess is not None
        assert draw.ess <= CLASSES**2 * draw.header.weakest_ess
        assert draw.header.weighted_rows == CLASSES * ROWS


def test_an_endless_stream_of_all_classes_starts_as_the_finite_one(client: Client, banks: tuple[BankInfo, ...]) -> None:
    short = client.sample("pets", 20, rho=1.0, top_k=2, seed=9)
    with client.stream("pets", None, rho=1.0, top_k=2, seed=9) as stream:
        first = next(iter(stream))
    assert short.latents is not None
    assert first.latents is not None
    assert first.latents[:20].tobytes() == short.latents.tobytes()


def test_banks_say_whose_they_are(client: Client, banks: tuple[BankInfo, ...]) -> None:
    assert [(bank.condition, bank.condition_label) for bank in banks] == list(zip("0123", LABELS, strict=True))
    listed = [bank.condition for bank in client.banks("pets")]
    assert listed == ["0", "1", "2", "3"]
    state = client.start_build("pets", ROWS, condition="bee")
    assert (state.bank_id, state.condition) == (banks[1].bank_id, "bee")
    grid = client.describe_polarity("pets", [1.0], [1], condition="dog, small")
    assert grid.bank_id == banks[3].bank_id
    advice = client.advise("pets", [1.0], [1], condition="dog, small")
    assert (advice.bank_id, advice.cells[0].ess) == (banks[3].bank_id, grid.cells[0].ess)
    assert {one.bank for one in advice.presets} == {None, banks[3].bank_id}
    assert "--condition='dog, small' --base uniform" in advice.presets[1].command
    with pytest.raises(InvalidInput, match="'dog, small'") as caught:
        client.advise("pets")
    assert caught.value.field == "condition"


def test_own_latents_under_a_condition(client: Client) -> None:
    latents = np.zeros((2, LATENT), np.float32)
    cat, dog = (client.generate("pets", latents, condition=index, log_volumes=True) for index in (2, 3))
    assert cat.images is not None
    assert dog.images is not None
    assert cat.images.tobytes() != dog.images.tobytes()
    volumes = client.log_volume("pets", latents, condition="cat")
    assert cat.log_volumes is not None
    np.testing.assert_allclose(volumes.log_volumes, cat.log_volumes)


def test_what_cannot_be_names_the_field(client: Client, banks: tuple[BankInfo, ...]) -> None:
    latents = np.zeros((1, LATENT), np.float32)
    wrong = (
        lambda: client.sample("pets", 1, rho=1.0, condition="cta"),
        lambda: client.sample("pets", 1, rho=1.0, condition=CLASSES),
        lambda: client.sample("pets", 1, rho=1.0, condition=[1.0, 0.0]),
        lambda: client.sample("styled", 1, rho=1.0, condition=[1.0] * (WIDTH + 1)),
        lambda: client.sample("styled", 1, rho=0.0),
        lambda: client.generate("pets", latents),
        lambda: client.log_volume("pets", latents),
        lambda: client.build_bank("pets", 16),
        lambda: client.sample("pets", 1, rho=1.0, condition=""),
        lambda: client.sample("pets", 1, rho=1.0, condition=-1),
        lambda: client.sample("pets", 1, rho=1.0, condition=[float("nan")]),
        lambda: client.sample("pets", 1, rho=1.0, condition=np.zeros((2, 2))),
    )
    for call in wrong:
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == "condition", caught.value
    with pytest.raises(InvalidInput, match="perhaps 'cat'"):
        wrong[0]()
    with pytest.raises(Refused, match=r"hot@1 --all-conditions") as missing:
        client.sample("hot", 1, rho=1.0)
    assert missing.value.reason == "NO_BANK"


def test_statuses_on_the_wire(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        services = Services(channel)
        latents = tensor(np.zeros((1, LATENT)))
        found = failure(
            lambda: services.geometry.LogVolume(geometry_pb2.LogVolumeRequest(generator="pets", latents=latents))
        )
        assert (found.code, list(found.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["condition"])
        request = sampling_pb2.SampleRequest(generator="hot", count=1, rho=1.0, condition=types_pb2.Condition(index=1))
        found = failure(lambda: services.sampling.Sample(request))
        assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_BANK")
        assert found.metadata["command"] == "magnet bank build hot@1 --condition=1"


def test_the_asynchronous_client_does_the_same(address: str, client: Client, banks: tuple[BankInfo, ...]) -> None:
    async def run() -> tuple[bytes, str, bytes]:
        async with AsyncClient(address) as other:
            draw = await other.sample("pets", 8, rho=1.0, top_k=2, seed=2)
            bank = await other.build_bank("pets", ROWS, condition="bee")
            one = await other.generate("pets", np.zeros((1, LATENT), np.float32), condition=1)
            assert draw.images is not None
            assert one.images is not None
            return draw.images.tobytes(), bank.bank_id, one.images.tobytes()

    images, bank, one = asyncio.run(run())
    same = client.sample("pets", 8, rho=1.0, top_k=2, seed=2).images
    alone = client.generate("pets", np.zeros((1, LATENT), np.float32), condition="bee").images
    assert same is not None
    assert alone is not None
    assert (images, bank, one) == (same.tobytes(), banks[1].bank_id, alone.tobytes())


@pytest.mark.parametrize(
    "name", ["sample", "stream", "build_bank", "start_build", "describe_polarity", "advise", "generate", "log_volume"]
)
def test_condition_stands_at_the_same_place_everywhere(name: str) -> None:
    for client in (Client, AsyncClient):
        names = list(inspect.signature(getattr(client, name)).parameters)
        keywords = [
            key
            for key, parameter in inspect.signature(getattr(client, name)).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and key not in ("preset", "rho", "det_rho")
        ]
        assert keywords[0] == "condition", (client, names)


def test_a_sheet_has_lines_for_each_class(client: Client, banks: tuple[BankInfo, ...], tmp_path: Path) -> None:
    draw = client.sample("pets", 22, rho=0.0, seed=1)
    with Image.open(draw.save(tmp_path / "all.png")) as sheet:
        width, height = sheet.size
    assert height == 4 * (64 + 2) + 2
    assert width > 6 * (64 + 2) + 2
    with Image.open(draw.save(tmp_path / "narrow.png", columns=3)) as sheet:
        assert sheet.size[1] == 8 * (64 + 2) + 2
    one = client.sample("pets", 4, rho=0.0, seed=1, condition=0)
    with Image.open(one.save(tmp_path / "one.png")) as sheet:
        assert sheet.size == (2 * 66 + 2, 2 * 66 + 2)
    with np.load(draw.save(tmp_path / "all.npz")) as arrays:
        assert arrays["classes"].tolist() == [row % CLASSES for row in range(22)]
        assert json.loads(str(arrays["resolved"]))["condition"] is None


def test_a_slice_is_of_one_condition(client: Client) -> None:
    points = np.random.RandomState(2).normal(size=(3, LATENT))
    cat, same, dog = (client.slice("pets", points, condition=one) for one in ("cat", 2, 0))
    assert cat.header.condition == 2
    assert cat.areas.tobytes() == same.areas.tobytes()
    assert cat.areas.tobytes() != dog.areas.tobytes()
    styled = client.slice("styled", points, condition=np.array([0.25, 1.5]))
    assert styled.header.condition == (0.25, 1.5)
    density = client.hyperplane_density("pets", points, condition="cat", cells=(4, 4))
    inner = cat.labels[:, 0] >= 0
    np.testing.assert_allclose(density.lengths.sum(), cat.lengths[inner].sum())
    with pytest.raises(InvalidInput, match="takes a condition") as caught:
        client.slice("pets", points)
    assert caught.value.field == "condition"
