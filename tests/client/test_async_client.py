"""The asyncio client over a real server: the same answers as the blocking one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from magnet_client import (
    AsyncClient,
    BankInfo,
    Cancelled,
    Client,
    DeadlineExceeded,
    InvalidInput,
    Progress,
    Unavailable,
    UnknownResource,
)


def run(address: str, body: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AsyncClient(address) as client:
            await body(client)

    asyncio.run(whole())


def test_every_call_answers_as_the_blocking_one(address: str, client: Client, bank: BankInfo) -> None:
    async def body(other: AsyncClient) -> None:
        assert await other.health()
        assert await other.generators() == client.generators()
        assert await other.generator("toy", 8) == client.generator("toy", 8)
        draw = client.sample("toy", 20, rho=0.5, top_k=2, seed=1)
        same = await other.sample("toy", 20, rho=0.5, top_k=2, seed=1)
        assert same.header == draw.header
        np.testing.assert_array_equal(same.images, draw.images)
        again = await other.sample_resolved(draw.resolved)
        np.testing.assert_array_equal(again.images, draw.images)
        assert draw.latents is not None
        np.testing.assert_array_equal((await other.generate("toy", draw.latents)).images, draw.images)
        np.testing.assert_array_equal(
            (await other.log_volume("toy", draw.latents, top_k=2)).log_volumes,
            client.log_volume("toy", draw.latents, top_k=2).log_volumes,
        )
        assert await other.banks() == client.banks()
        assert await other.bank(bank.bank_id) == bank
        assert (await other.describe_polarity("toy", [1.0], [2])).cells == client.describe_polarity(
            "toy", [1.0], [2]
        ).cells
        rows = await other.read_bank(bank.bank_id, 10, 20)
        np.testing.assert_array_equal(rows.log_volumes, client.read_bank(bank.bank_id, 10, 20).log_volumes)

    run(address, body)


def test_a_bank_is_built_followed_cancelled_and_deleted(address: str) -> None:
    async def body(client: AsyncClient) -> None:
        states: list[Progress] = []
        bank = await client.build_bank("toy", 64, seed=12, on_progress=states.append)
        assert bank.revision == 64
        assert states[-1].done
        assert await client.build_bank("toy", 64, seed=12) == bank
        await client.delete_bank(bank.bank_id)
        started = await client.start_build("toy", 2_000_000, seed=78)
        async for state in client.watch_build(started.operation):
            assert state.rows_total == 2_000_000
            break
        await client.cancel_build(started.operation)
        with pytest.raises(Cancelled):
            _ = [state async for state in client.watch_build(started.operation)]
        await client.delete_bank(started.bank_id)

    run(address, body)


def test_a_stream_is_the_same_draw_in_chunks(address: str, client: Client) -> None:
    async def body(other: AsyncClient) -> None:
        whole = client.sample("toy", 1500, rho=0.0, seed=4)
        async with other.stream("toy", 1500, rho=0.0, seed=4) as stream:
            assert stream.header is not None
            assert stream.header.resolved.count == 1500
            chunks = [chunk async for chunk in stream]
        assert stream.rows == 1500
        np.testing.assert_array_equal(np.concatenate([chunk.images for chunk in chunks]), whole.images)
        async for chunk in other.stream("toy", None, rho=0.0, seed=4):
            np.testing.assert_array_equal(chunk.images[:10], whole.images[:10])
            break
        assert await other.health()

    run(address, body)


def test_errors_are_the_same(address: str) -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(UnknownResource, match="toy") as caught:
            await client.sample("nobody", 1, rho=0.0)
        assert caught.value.field == "generator"
        with pytest.raises(InvalidInput, match="exactly one"):
            await client.sample("toy", 1)
        with pytest.raises(InvalidInput, match="exactly one"):
            client.stream("toy", 1, rho=1.0, preset="uniform")
        with pytest.raises(InvalidInput) as refused:
            async with client.stream("toy", 1, rho=0.5, top_k=9):
                pass
        assert refused.value.field == "top_k"
        with pytest.raises(DeadlineExceeded):
            await client.sample("toy", 2000, rho=0.0, timeout=1e-4)
        with pytest.raises(UnknownResource, match="no service"):
            await client.health("nobody")
        async with AsyncClient("127.0.0.1:1") as lonely:
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
                await lonely.generators()

    run(address, body)
