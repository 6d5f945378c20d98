"""Screened draws through both clients: what is answered, sent again, streamed, and refused before it is sent."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magnet_client import AsyncClient, Client, Draw, InvalidInput, Refused, Resolved, Result, Screening
from tests.client.toy import served

METHODS = ("screened", "screened_chain")
EVALUATIONS = {"screened": 1000.0, "screened_chain": 6000.0, "auto": 20_000.0}
AT = {"rho": 3.0, "top_k": 4, "seed": 2}


@pytest.fixture(scope="module")
def place(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server whose one bank is large enough for a surrogate."""
    with served(repository, tmp_path_factory.mktemp("screened")) as running, Client(running) as client:
        client.build_bank("toy", 2048, seed=5)
        yield running


@pytest.fixture(scope="module")
def asking(place: str) -> Iterator[Client]:
    with Client(place) as connected:
        yield connected


def drawn(client: Client, method: str, count: int = 60, **more: Any) -> Draw:
    return client.sample("toy", count, method=method, evaluations=EVALUATIONS[method], **{**AT, **more})


def same(one: Draw, other: Draw) -> None:
    for name in ("images", "latents", "log_volumes", "log_weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_the_header_says_how_a_screened_draw_came_about(asking: Client, method: str) -> None:
    draw = drawn(asking, method)
    header, screening = draw.header, draw.header.screening
    assert isinstance(screening, Screening)
    assert (header.method, draw.resolved.method, header.method_reason) == (method.upper(), method, "")
    assert draw.bank_rows is None
    assert 0 < screening.exact <= draw.resolved.exact
    assert 0 < screening.forwards <= draw.resolved.forwards
    spent = draw.resolved.exact + draw.resolved.forwards / 4
    assert spent <= EVALUATIONS[method] * 1.001
    assert 0.0 < screening.residual < 1.0
    assert screening.promised_ess is not None
    assert screening.kept
    pool, chain = screening.pool_ess is None, screening.autocorrelation is None and screening.acceptance is None
    assert (pool, chain) == ((False, True) if method == "screened" else (True, False))


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_those_of_the_volumes_of_the_latents(asking: Client, method: str) -> None:
    draw = drawn(asking, method)
    assert draw.latents is not None
    there = asking.log_volume("toy", draw.latents, top_k=4)
    np.testing.assert_allclose(draw.log_volumes, there.log_volumes, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_resolved_request_survives_json_and_gives_the_same_rows(asking: Client, method: str) -> None:
    draw = drawn(asking, method)
    read = Resolved.from_json(draw.resolved.to_json())
    assert read == draw.resolved
    assert (read.evaluations, len(read.surrogate or "")) == (0.0, 16)
    assert min(read.exact, read.forwards) > 0
    again = asking.sample_resolved(read)
    same(again, draw)
    assert again.resolved == draw.resolved
    assert again.header.screening == dataclasses.replace(_screening(draw), promised_ess=None)


@pytest.mark.parametrize("method", METHODS)
def test_other_counts_and_offsets_are_parts_of_one_draw(asking: Client, method: str) -> None:
    draw = drawn(asking, method)
    tail = asking.sample_resolved(draw.resolved, count=20, offset=40)
    longer = asking.sample_resolved(draw.resolved, count=90)
    assert draw.latents is not None
    assert draw.images is not None
    np.testing.assert_array_equal(tail.latents, draw.latents[40:])
    np.testing.assert_array_equal(tail.images, draw.images[40:])
    assert longer.latents is not None
    np.testing.assert_array_equal(longer.latents[:60], draw.latents)
    assert (tail.ess, longer.ess) == (draw.ess, draw.ess)


def test_an_endless_stream_is_judged_for_a_thousand_rows_and_ends_when_it_is_left(asking: Client) -> None:
    draw = drawn(asking, "screened")
    assert draw.result is Result.OK
    assert 100 < draw.ess < 1000
    asked = {**AT, "method": "screened", "evaluations": EVALUATIONS["screened"]}
    with asking.stream("toy", None, **asked) as stream:
        header = stream.header
        first, second = next(stream), next(stream)
    assert (header.result, header.ess, header.method) == (Result.LOW_ESS, draw.ess, "SCREENED")
    assert "1,000 are needed" in header.advice
    assert header.screening == draw.header.screening
    assert draw.latents is not None
    assert first.latents is not None
    shared = min(len(first), len(draw))
    np.testing.assert_array_equal(first.latents[:shared], draw.latents[:shared])
    assert second.offset == len(first)
    assert list(stream) == []
    assert asking.health()


def test_auto_says_what_it_took_and_why(asking: Client) -> None:
    poor = drawn(asking, "auto", rho=6.0)
    assert poor.header.method in ("SCREENED", "SCREENED_CHAIN")
    assert "promises" in poor.header.method_reason
    assert poor.resolved.method == poor.header.method.lower()
    same(asking.sample_resolved(poor.resolved), poor)
    rich = asking.sample("toy", 60, rho=0.2, top_k=4, seed=2, method="auto", evaluations=100.0)
    assert (rich.header.method, rich.resolved.method, rich.header.screening) == ("RESAMPLE", "resample", None)
    assert "the bank's ESS" in rich.header.method_reason
    assert (rich.resolved.surrogate, rich.resolved.exact, rich.resolved.forwards) == (None, 0, 0)


def test_a_draw_grows_towards_the_ess_asked_for(asking: Client) -> None:
    draw = drawn(asking, "screened", min_ess=600.0)
    assert draw.ess >= 600.0
    spent = draw.resolved.exact + draw.resolved.forwards / 4
    assert spent > 1.5 * EVALUATIONS["screened"]


def test_the_asyncio_client_answers_the_same(place: str, asking: Client) -> None:
    async def body() -> None:
        async with AsyncClient(place) as other:
            for method in METHODS:
                draw = drawn(asking, method)
                asked = {**AT, "method": method, "evaluations": EVALUATIONS[method]}
                one = await other.sample("toy", 60, **asked)
                assert one.header == draw.header
                same(one, draw)
                same(await other.sample_resolved(Resolved.from_json(one.resolved.to_json())), draw)
            async with other.stream("toy", None, **{**AT, "method": "screened", "evaluations": 1000.0}) as stream:
                assert stream.header is not None
                assert (stream.header.result, stream.header.method) == (Result.LOW_ESS, "SCREENED")
                async for chunk in stream:
                    assert chunk.latents is not None
                    break
            assert await other.health()

    asyncio.run(body())


def test_a_surrogate_that_is_not_there_is_refused_by_the_server(asking: Client) -> None:
    resolved = drawn(asking, "screened").resolved
    absent = hashlib.sha256(b"absent").hexdigest()[:16]
    with pytest.raises(Refused) as caught:
        asking.sample_resolved(dataclasses.replace(resolved, surrogate=absent))
    assert (caught.value.field, caught.value.reason) == ("surrogate", "NO_SURROGATE")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"method": "fast"}, "method", "'resample', 'screened', 'screened_chain', 'auto'"),
    ({"method": "SCREENED"}, "method", "'screened'"),
    ({"method": None}, "method", "'screened'"),
    ({"method": "screened", "evaluations": -1.0}, "evaluations", "not below 0"),
    ({"method": "screened", "evaluations": float("nan")}, "evaluations", "finite"),
    ({"method": "screened", "evaluations": "many"}, "evaluations", "finite"),
]


@pytest.mark.parametrize(("wrong", "field", "says"), WRONG, ids=str)
def test_wrong_words_are_refused_before_anything_is_sent(
    tmp_path: Path, wrong: dict[str, Any], field: str, says: str
) -> None:
    """Nobody listens there: what was sent would fail as Unavailable."""
    nobody = f"unix:{tmp_path}/nobody"

    async def awaited() -> None:
        async with AsyncClient(nobody) as other:
            await other.sample("toy", 1, rho=1.0, **wrong)

    with Client(nobody) as lonely:
        for call in (
            lambda: lonely.sample("toy", 1, rho=1.0, **wrong),
            lambda: lonely.stream("toy", 1, rho=1.0, **wrong),
            lambda: lonely.sample_resolved(Resolved(generator="toy", count=1, rho=1.0, **wrong)),
            lambda: asyncio.run(awaited()),
        ):
            with pytest.raises(InvalidInput) as caught:
                call()
            assert caught.value.field == field
            assert says in caught.value.message
            assert caught.value.code is None


@pytest.mark.parametrize("surrogate", ["", "abc", "0" * 15, "G" * 16, "../" + "0" * 13, 7])
def test_a_surrogate_is_a_digest(tmp_path: Path, surrogate: Any) -> None:
    wanted = Resolved(generator="toy", count=1, rho=1.0, method="screened", surrogate=surrogate)
    with Client(f"unix:{tmp_path}/nobody") as lonely, pytest.raises(InvalidInput) as caught:
        lonely.sample_resolved(wanted)
    assert (caught.value.field, caught.value.code) == ("surrogate", None)


def _screening(draw: Draw) -> Screening:
    assert draw.header.screening is not None
    return draw.header.screening
