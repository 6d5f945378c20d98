"""The client for asyncio."""

from __future__ import annotations

from magnet_client.awaiting.advising import AsyncAdvising
from magnet_client.awaiting.banks import AsyncBanks
from magnet_client.awaiting.generators import AsyncGenerators
from magnet_client.awaiting.neighbourhoods import AsyncNeighbourhoods
from magnet_client.awaiting.regions import AsyncRegions
from magnet_client.awaiting.sampling import AsyncSampling
from magnet_client.awaiting.slices import AsyncSlices

__all__ = ["AsyncClient"]


class AsyncClient(
    AsyncGenerators, AsyncSampling, AsyncBanks, AsyncAdvising, AsyncSlices, AsyncNeighbourhoods, AsyncRegions
):
    """`Client` for asyncio: the same calls, the same parameters in the same order, awaited.

    `stream` and `watch_build` are asynchronous iterators. The channel opens at the first call, in the loop that makes
    it; one client belongs to one loop.

    Arguments:
        address: `host:port`; MAGNET_ADDRESS, else 127.0.0.1:50051, when not given.
        timeout: seconds that a call with one answer may take; `math.inf` for no limit.
        credentials: TLS; the channel is in clear text when not given.

    Raises:
        Nothing here: whether somebody answers shows at the first call (Unavailable).

    Example:
        async with AsyncClient() as client:
            async with client.stream("fashion", 10_000, rho=1.0, base="uniform") as chunks:
                async for draw in chunks:
                    print(draw.offset, draw.images.shape)
    """
