"""Arithmetics over a real server: what is measured, what replaces what, what is refused; and the memory bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from magnet_client import BankInfo, Client, OutOfMemory, Refused
from magnet_client.words import PrecisionWord
from magnet_service.generator import add_generator, export_module
from magnet_service.geometry.sweep import preparation
from tests.client.toy import served

ROWS = 512
LIMIT = 0.05


def network(sigma: np.ndarray, width: int) -> nn.Module:
    """A ReLU network whose first layer has these singular values, along no axis."""
    source = np.random.default_rng(7)
    turns = [np.linalg.qr(source.normal(size=(rows, columns)))[0] for rows, columns in
             ((width, len(sigma)), (len(sigma), len(sigma)), (width + 8, width))]  # fmt: skip
    module = nn.Sequential(nn.Linear(len(sigma), width), nn.ReLU(), nn.Linear(width, width + 8))
    with torch.no_grad():
        module[0].weight.copy_(torch.from_numpy(turns[0] * sigma @ turns[1]))
        module[0].bias.fill_(2.0)
        module[2].weight.copy_(torch.from_numpy(turns[2]))
    return module


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with `partial`, whose directions beyond 32 bfloat16 blurs, and `steep`, where it blurs all but one."""
    folder = tmp_path_factory.mktemp("precision")
    made = {
        "partial": network(np.repeat([1.0, 0.012], [32, 16]), 128),
        "steep": network(np.repeat([1.0, 0.01], [1, 15]), 40),
    }
    for name, module in made.items():
        (folder / name).mkdir()
        export_module(module, module[0].in_features, folder / name / "generator.pt2")
        add_generator(folder / "generators", name, folder / name / "generator.pt2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "COMPILES", False)  # kernels of our own round nothing of networks this narrow
        with served(folder / "generators", folder / "store") as address, Client(address) as connected:
            yield connected


@pytest.fixture(scope="module")
def banks(client: Client) -> dict[tuple[str, PrecisionWord], BankInfo]:
    words: tuple[PrecisionWord, ...] = ("float64", "float32", "bfloat16")
    return {
        (name, word): client.build_bank(name, ROWS, precision=word) for name in ("partial", "steep") for word in words
    }


Banks = dict[tuple[str, PrecisionWord], BankInfo]


def test_every_bank_tells_its_error(client: Client, banks: Banks) -> None:
    assert len({bank.bank_id for bank in banks.values()}) == 6
    for (_, precision), bank in banks.items():
        assert client.bank(bank.bank_id) == bank
        assert bank.precision == precision
        assert (bank.errors[0].precision, bank.errors[0].latents) == (precision, 64)
        assert len(bank.errors[0].log_volume) == bank.columns
    for name in ("partial", "steep"):
        assert set(banks[name, "float64"].errors[0].log_volume) == {0.0}
        single = banks[name, "float32"]
        assert (single.precision_used, single.precision_reason, single.largest_k) == ("float32", "", single.columns)
        assert 0.0 < max(single.errors[0].log_volume) < 1e-3


def test_bfloat16_is_used_as_far_as_it_goes(client: Client, banks: Banks) -> None:
    bank = banks["partial", "bfloat16"]
    assert (bank.precision_used, bank.precision_reason, bank.largest_k) == ("bfloat16", "", 32)
    (error,) = bank.errors
    assert max(error.log_volume[:32]) <= LIMIT < error.log_volume[32]
    draw = client.sample("partial", 5, rho=1.0, top_k=32, precision="bfloat16", seed=1)
    assert (draw.header.precision_used, draw.header.precision_reason) == ("bfloat16", "")
    assert draw.header.volume_error == error.log_volume[31]
    assert draw.resolved.precision == "bfloat16"
    again = client.sample_resolved(draw.resolved)
    assert again.log_volumes is not None
    assert draw.log_volumes is not None
    assert again.log_volumes.tobytes() == draw.log_volumes.tobytes()
    with pytest.raises(Refused, match=r"bfloat16 log v_33 is off .*: write top_k 32 or less") as caught:
        client.sample("partial", 5, rho=1.0, top_k=33, precision="bfloat16")
    assert (caught.value.field, caught.value.reason) == ("top_k", "INEXACT")
    # The other bank has no such end.
    assert client.sample("partial", 5, rho=1.0, top_k=33).top_k == 33


def test_auto_stays_below_and_says_so(client: Client, banks: Banks) -> None:
    coarse = client.sample("partial", 5, rho=0.1, precision="bfloat16", seed=1).header
    fine = client.sample("partial", 5, rho=0.1, seed=1).header
    assert (coarse.top_k, fine.top_k) == (32, 48)
    assert "not exact enough" in coarse.top_k_reason
    assert max(client.describe_polarity("partial", precision="bfloat16").top_ks) == 32
    advice = client.advise("partial", [0.1], precision="bfloat16")
    assert max(advice.top_ks) == 32
    assert max(one.top_k for one in advice.presets) <= 32
    with pytest.raises(Refused) as caught:
        client.describe_polarity("partial", top_ks=[1, 33], precision="bfloat16")
    assert caught.value.field == "top_ks"


def test_float32_takes_the_place_of_a_bfloat16_that_is_no_use(client: Client, banks: Banks) -> None:
    bank, single = banks["steep", "bfloat16"], banks["steep", "float32"]
    assert (bank.precision, bank.precision_used, bank.largest_k) == ("bfloat16", "float32", 16)
    assert [error.precision for error in bank.errors] == ["bfloat16", "float32"]
    assert max(bank.errors[0].log_volume) > LIMIT
    assert "in bfloat16 log v_16 is off by up to" in bank.precision_reason
    rows, wanted = client.read_bank(bank.bank_id), client.read_bank(single.bank_id)
    assert rows.log_volumes.tobytes() == wanted.log_volumes.tobytes()
    header = client.sample("steep", 5, rho=0.5, precision="bfloat16", seed=1).header
    assert (header.resolved.precision, header.precision_used) == ("bfloat16", "float32")
    assert header.precision_reason == bank.precision_reason
    assert header.volume_error == bank.errors[1].log_volume[header.top_k - 1]


def test_volumes_at_ones_own_latents_are_refused_where_bfloat16_is_off(client: Client) -> None:
    latents = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    with pytest.raises(Refused, match="bfloat16") as caught:
        client.log_volume("steep", latents, precision="bfloat16")
    assert caught.value.reason == "INEXACT"
    with pytest.raises(Refused):
        client.generate("steep", latents, log_volumes=True, precision="bfloat16")
    # Without log-volumes there is nothing to be off: images are those of float32.
    images = client.generate("steep", latents, images="float32", precision="bfloat16").images
    assert images is not None
    assert (images == client.generate("steep", latents, images="float32").images).all()
    first = client.log_volume("steep", latents, top_k=1, precision="bfloat16")
    assert first.error is not None
    assert first.precision == "bfloat16"
    exact = client.log_volume("steep", latents, top_k=1, precision="float64")
    assert exact.error is None
    assert np.abs(first.log_volumes - exact.log_volumes).max() <= LIMIT


@pytest.mark.parametrize(("k", "used"), [(1, "bfloat16"), (0, "float32")])
def test_fresh_draws_fall_back_and_say_so(client: Client, k: int, used: str) -> None:
    draw = client.sample("steep", 20, rho=0.0, top_k=k, seed=3, precision="bfloat16")
    assert draw.header.precision_used == used
    assert ("bfloat16 log v_16 is off" in draw.header.precision_reason) == (used == "float32")
    if used == "float32":
        single = client.sample("steep", 20, rho=0.0, top_k=k, seed=3)
        assert single.log_volumes is not None
        assert draw.log_volumes is not None
        assert draw.log_volumes.tobytes() == single.log_volumes.tobytes()
        assert single.header.precision_reason == ""


def test_one_tile_above_the_bound_says_what_to_write(tmp_path: Path) -> None:
    big = nn.Sequential(nn.Linear(64, 2048), nn.ReLU(), nn.Linear(2048, 4096))
    export_module(big, 64, tmp_path / "generator.pt2")
    add_generator(tmp_path / "generators", "big", tmp_path / "generator.pt2")
    latents = np.zeros((40, 64), np.float32)
    with (
        served(tmp_path / "generators", tmp_path / "store", max_memory="1M", tile_rows=64) as address,
        Client(address) as connected,
    ):
        with pytest.raises(OutOfMemory, match="max_memory") as caught:
            connected.log_volume("big", latents)
        assert (caught.value.reason, caught.value.code) == ("OUT_OF_MEMORY", "RESOURCE_EXHAUSTED")
        with pytest.raises(OutOfMemory):
            connected.build_bank("big", 64)
