"""The client for plain code; `magnet_client.aio` holds the one for asyncio."""

from __future__ import annotations

from magnet_client.blocking.advising import Advising
from magnet_client.blocking.banks import Banks
from magnet_client.blocking.generators import Generators
from magnet_client.blocking.neighbourhoods import Neighbourhoods
from magnet_client.blocking.regions import Regions
from magnet_client.blocking.sampling import Sampling
from magnet_client.blocking.slices import Slices

__all__ = ["Client"]


class Client(Generators, Sampling, Banks, Advising, Slices, Neighbourhoods, Regions):
    """A connection to one magnet server; safe to share between threads.

    Every call takes a `timeout` that overrides the client's. Calls with one answer end after 60 seconds by default;
    streams and waiting for builds have no deadline unless one is given.

    Arguments:
        address: `host:port`; MAGNET_ADDRESS, else 127.0.0.1:50051, when not given.
        timeout: seconds that a call with one answer may take; `math.inf` for no limit.
        credentials: TLS; the channel is in clear text when not given.

    Raises:
        Nothing here: whether somebody answers shows at the first call (Unavailable).

    Example:
        with Client() as client:
            draw = client.sample("fashion", 100, preset="uniform", seed=0)
            print(draw.ess, draw.result, draw.advice)
            draw.save("uniform.png")
    """
