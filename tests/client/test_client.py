"""The client over a real server."""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magnet_client import (
    BankInfo,
    Cancelled,
    Client,
    DeadlineExceeded,
    Draw,
    InvalidInput,
    Progress,
    Refused,
    Resolved,
    Result,
    Unavailable,
    UnknownResource,
)
from tests.client.conftest import ROWS
from tests.client.toy import LATENT_DIM


def equal(one: Draw, other: Draw) -> bool:
    arrays = ("images", "latents", "log_volumes", "log_weights", "bank_rows")
    pairs = [(getattr(one, name), getattr(other, name)) for name in arrays]
    return all((a is None) == (b is None) and (a is None or a.tobytes() == b.tobytes()) for a, b in pairs)


def joined(chunks: list[Draw], name: str) -> np.ndarray:
    return np.concatenate([getattr(chunk, name) for chunk in chunks])


def test_the_server_is_healthy_by_name_and_without(client: Client) -> None:
    assert client.health()
    assert client.health("magnet.v1.SamplingService")
    with pytest.raises(UnknownResource, match="no service 'nobody'") as caught:
        client.health("nobody")
    assert caught.value.field == "service"


def test_generators_are_listed_and_described(client: Client) -> None:
    assert "toy" in [one.name for one in client.generators()]
    toy = client.generator("toy", rank_latents=16)
    assert (toy.latent_dim, toy.output_shape, toy.prior) == (LATENT_DIM, (1, 8, 8), "normal(dim=4)")
    assert (toy.labels, toy.training_shares, toy.licence) == (("a", "b"), (0.25, 0.75), "Apache-2.0")
    assert toy.value_range == (-1.0, 1.0)
    assert toy.units == 32
    assert [node.operation for node in toy.operations if node.units] == ["relu"]
    assert toy.verified_against == "probe"
    assert toy.rank is not None
    assert toy.rank.latents == 16
    assert client.generator("toy@1").rank is None


def test_a_direct_draw_needs_no_bank_and_agrees_with_the_other_calls(client: Client) -> None:
    draw = client.sample("toy", 20, preset="as_trained", seed=7)
    assert draw.images is not None
    assert draw.images.shape == (20, 8, 8)
    assert draw.images.dtype == np.uint8
    assert (draw.rho, draw.det_rho, draw.top_k, draw.bank_rows, draw.seed) == (0.0, 0.0, 0, None, 7)
    assert draw.header.method == "DIRECT"
    assert draw.latents is not None
    again = client.generate("toy", draw.latents, log_volumes=True)
    np.testing.assert_array_equal(again.images, draw.images)
    np.testing.assert_array_equal(again.log_volumes, draw.log_volumes)
    volumes = client.log_volume("toy", draw.latents)
    np.testing.assert_array_equal(volumes.log_volumes, draw.log_volumes)
    np.testing.assert_allclose(volumes.log_singular_values.sum(axis=1), draw.log_volumes, atol=1e-9)
    assert (volumes.rank == LATENT_DIM).all()
    assert (volumes.top_k, volumes.manifold, volumes.precision) == (LATENT_DIM, "output", "float32")
    assert volumes.stamp["threads"] == "1"


def test_images_are_the_same_in_every_form(client: Client) -> None:
    forms = {form: client.sample("toy", 5, rho=0.0, seed=1, images=form) for form in ("uint8", "png", "float32")}
    np.testing.assert_array_equal(forms["png"].images, forms["uint8"].images)
    raw = forms["float32"].images
    assert raw is not None
    assert raw.dtype == np.float32
    np.testing.assert_allclose((raw.reshape(5, 8, 8) + 1) * 127.5, forms["uint8"].images, atol=0.51)
    assert client.sample("toy", 5, rho=0.0, seed=1, images=None).images is None


def test_what_is_not_wanted_is_not_sent(client: Client) -> None:
    draw = client.sample("toy", 3, rho=0.0, latents=False, log_volumes=False, weights=False)
    assert (draw.latents, draw.log_volumes, draw.log_weights) == (None, None, None)
    assert len(draw) == 3


def test_a_bank_is_built_described_read_and_deleted(client: Client) -> None:
    states: list[Progress] = []
    bank = client.build_bank("toy", 500, base="uniform", ball_radius=1.5, seed=2**64 - 1, on_progress=states.append)
    assert (bank.revision, len(bank), bank.columns, bank.generator) == (500, 500, LATENT_DIM, "toy@1")
    assert (bank.law, bank.seed) == ("ball(dim=4,radius=1.5)", 2**64 - 1)
    assert states[-1].done
    assert (states[-1].rows_done, states[-1].rows_total) == (500, 500)
    assert [state.rows_done for state in states] == sorted(state.rows_done for state in states)
    assert client.build_bank("toy", 500, base="uniform", ball_radius=1.5, seed=2**64 - 1) == bank
    assert client.bank(bank.bank_id) == bank
    assert bank in client.banks()
    assert bank in client.banks("toy@1")
    assert client.banks().unreadable == ()
    rows = client.read_bank(bank.bank_id)
    assert rows.latents.shape == (500, LATENT_DIM)
    assert (np.linalg.norm(rows.latents, axis=1) <= 1.5).all()
    assert rows.log_volumes.shape == (500, LATENT_DIM)
    page = client.read_bank(bank.bank_id, 100, 50)
    assert (len(page), page.offset) == (50, 100)
    np.testing.assert_array_equal(page.latents, rows.latents[100:150])
    np.testing.assert_array_equal(page.rank, rows.rank[100:150])
    client.delete_bank(bank.bank_id)
    with pytest.raises(UnknownResource):
        client.bank(bank.bank_id)


def test_a_build_can_be_started_followed_and_cancelled(client: Client) -> None:
    started = client.start_build("toy", 2_000_000, seed=77)
    assert not started.done
    states = client.watch_build(started.operation)
    assert next(states).operation == started.operation
    states.close()
    client.cancel_build(started.operation)
    with pytest.raises(Cancelled):
        list(client.watch_build(started.operation))
    client.delete_bank(started.bank_id)
    with pytest.raises(UnknownResource):
        client.cancel_build("operations/none")


def test_a_draw_by_rho_reads_the_bank(client: Client, bank: BankInfo) -> None:
    draw = client.sample("toy", 30, rho=0.5, top_k=2, seed=1, bank=bank.bank_id)
    assert (draw.rho, draw.det_rho, draw.top_k) == (0.5, 0.25, 2)
    assert draw.header.method == "RESAMPLE"
    assert draw.result is Result.OK
    assert 200 < draw.ess <= ROWS
    assert draw.khat is not None
    rows = client.read_bank(bank.bank_id)
    assert draw.bank_rows is not None
    np.testing.assert_array_equal(draw.latents, rows.latents[draw.bank_rows])
    np.testing.assert_array_equal(draw.log_volumes, rows.log_volumes[draw.bank_rows, 1].astype(np.float64))
    weights = 0.5 * rows.log_volumes[:, 1].astype(np.float64)
    mean = np.log(np.mean(np.exp(weights)))
    np.testing.assert_allclose(draw.log_weights, weights[draw.bank_rows] - mean, atol=1e-9)
    assert draw.distinct == len(set(draw.bank_rows.tolist()))
    assert equal(client.sample("toy", 30, det_rho=0.25, top_k=2, seed=1, bank=bank.bank_id), draw)


def test_a_resolved_request_sent_again_gives_the_same_bytes(client: Client, bank: BankInfo) -> None:
    for arguments in ({"preset": "uniform"}, {"preset": "mode"}, {"rho": 0.7}, {"preset": "as_trained"}):
        draw = client.sample("toy", 25, **arguments)
        kept = Resolved.from_json(draw.resolved.to_json())
        again = client.sample_resolved(kept)
        assert equal(again, draw)
        assert again.resolved == draw.resolved
        page = client.sample_resolved(kept, count=7, offset=9)
        assert page.offset == 9
        assert page.latents is not None
        assert draw.latents is not None
        np.testing.assert_array_equal(page.latents, draw.latents[9:16])


def test_a_stream_is_the_same_draw_in_chunks(client: Client, bank: BankInfo) -> None:
    whole = client.sample("toy", 2000, rho=0.5, top_k=2, seed=1, offset=3, images="float32")
    stream = client.stream("toy", 2000, rho=0.5, top_k=2, seed=1, offset=3, images="float32")
    assert stream.header.ess == whole.ess
    chunks = list(stream)
    assert (stream.rows, stream.distinct) == (2000, whole.distinct)
    assert [chunk.offset for chunk in chunks] == [3 + sum(map(len, chunks[:i])) for i in range(len(chunks))]
    for name in ("images", "latents", "log_volumes", "log_weights", "bank_rows"):
        np.testing.assert_array_equal(joined(chunks, name), getattr(whole, name))
    assert list(stream) == []


def test_an_endless_stream_ends_when_it_is_left(client: Client) -> None:
    with client.stream("toy", None, rho=0.0, seed=1) as stream:
        first, second = next(stream), next(stream)
    assert second.offset == len(first)
    assert list(stream) == []
    stream.close()
    for chunk in client.stream("toy", None, rho=0.0, seed=1):
        assert chunk.latents is not None
        break
    assert client.health()


def test_distinct_rows_are_drawn_without_replacement(client: Client, bank: BankInfo) -> None:
    draw = client.sample("toy", 50, rho=0.2, top_k=1, seed=1, replacement=False)
    assert draw.distinct == 50
    assert "successive" in draw.law
    with pytest.raises(Refused):
        client.sample("toy", 1000, rho=0.2, top_k=1, replacement=False)


def test_polarity_says_which_rho_and_k_a_bank_supports(client: Client, bank: BankInfo) -> None:
    grid = client.describe_polarity("toy", [-1.0, 0.0, 2.0], [1, 4], bank=bank.bank_id, bank_revision=512)
    assert (grid.rhos, grid.top_ks, grid.bank_id, grid.bank_revision) == ((-1, 0, 2), (1, 4), bank.bank_id, 512)
    assert grid.cell(0.0, 4).ess == pytest.approx(512)
    assert grid.cell(2.0, 1).ess > grid.cell(2.0, 4).ess
    assert grid.advice
    with pytest.raises(InvalidInput, match="no cell"):
        grid.cell(0.5, 1)
    assert len(client.describe_polarity("toy").cells) > 10


def test_files_are_written(client: Client, tmp_path: Path) -> None:
    draw = client.sample("toy", 6, preset="as_trained", seed=1)
    draw.save(tmp_path / "x.png")
    with np.load(draw.save(tmp_path / "x.npz"), allow_pickle=False) as read:
        np.testing.assert_array_equal(read["latents"], draw.latents)


@pytest.mark.parametrize(
    ("arguments", "error", "field", "says"),
    [
        ({"generator": "nobody"}, UnknownResource, "generator", "toy"),
        ({"generator": "toy@9"}, UnknownResource, "generator", "toy@1"),
        ({"generator": "../toy"}, InvalidInput, "generator", "name"),
        ({"count": 2001}, InvalidInput, "count", "2,000"),
        ({"top_k": 5}, InvalidInput, "top_k", "4"),
        ({"bank": "0123456789abcdef"}, UnknownResource, None, "0123456789abcdef"),
        ({"bank_revision": 10**6}, InvalidInput, "bank_revision", str(ROWS)),
        ({"manifold": "pre_activation"}, Refused, "bank", "bank build"),
        ({"rho": None, "preset": "mode", "base": "uniform"}, InvalidInput, "base", "PRIOR"),
    ],
)
def test_what_the_server_refuses_names_field_and_remedy(
    client: Client, bank: BankInfo, arguments: dict[str, Any], error: type[Exception], field: str | None, says: str
) -> None:
    with pytest.raises(error) as caught:
        client.sample(**{"generator": "toy", "count": 1, "rho": 0.5, **arguments})
    refused: Any = caught.value
    assert field is None or refused.field == field
    assert says in refused.message
    assert refused.request_id
    with pytest.raises(error):
        client.stream(**{"generator": "toy", "count": 1, "rho": 0.5, **arguments})
    assert client.health()


def test_latents_of_the_wrong_width_are_refused(client: Client) -> None:
    for call in (client.generate, client.log_volume):
        with pytest.raises(InvalidInput, match="4") as caught:
            call("toy", np.zeros((2, 3)))
        assert caught.value.field == "latents"
        assert caught.value.code == "INVALID_ARGUMENT"


def test_nobody_there_is_said_with_the_address(tmp_path: Path) -> None:
    with Client(f"unix:{tmp_path}/nobody") as lonely, pytest.raises(Unavailable, match="magnet serve") as caught:
        lonely.generators()
    assert str(tmp_path) in caught.value.message


def test_a_call_ends_at_its_deadline(client: Client, address: str) -> None:
    with pytest.raises(DeadlineExceeded, match="timeout"):
        client.sample("toy", 2000, rho=0.0, timeout=1e-4)
    with Client(address, timeout=1e-4) as hasty:
        with pytest.raises(DeadlineExceeded):
            hasty.sample("toy", 2000, rho=0.0)
        assert len(hasty.sample("toy", 2, rho=0.0, timeout=math.inf)) == 2
    stream = client.stream("toy", None, rho=0.0, timeout=1.0)
    with pytest.raises(DeadlineExceeded):
        deque(stream, maxlen=0)


def test_the_address_comes_from_the_environment(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGNET_ADDRESS", address)
    with Client() as found:
        assert found.address == address
        assert repr(found) == f"Client('{address}')"
        assert found.health()
    monkeypatch.delenv("MAGNET_ADDRESS")
    assert Client().address == "127.0.0.1:50051"


def test_a_stream_whose_client_closes_ends(address: str) -> None:
    with Client(address) as leaving:
        stream = leaving.stream("toy", None, rho=0.0, seed=1)
        next(stream)
    with pytest.raises(Cancelled):
        deque(stream, maxlen=0)
