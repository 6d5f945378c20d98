"""Where a client connects and how: address, deadlines, channel options."""

from __future__ import annotations

import os

__all__ = ["DEFAULT_ADDRESS", "DEFAULT_TIMEOUT", "MAX_MESSAGE_BYTES", "channel_options", "resolve_address"]

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 60.0
"""Seconds that a call with one answer may take, the server's queue included. Streams and builds have no deadline."""
MAX_MESSAGE_BYTES = 256 * 2**20
"""gRPC's own default refuses answers above 4 MiB, which 1,400 pictures of 28 x 28 float32 already are."""


def resolve_address(address: str | None) -> str:
    """Return the address to connect to: the argument, else MAGNET_ADDRESS, else 127.0.0.1:50051.

    Arguments:
        address: `host:port`, any target that gRPC knows (`unix:...`, `dns:///...`), or None.

    Returns:
        The target for gRPC.

    Raises:
        Nothing: an address where nobody answers shows at the first call, as Unavailable.

    Accuracy: exact.
    """
    return address or os.environ.get("MAGNET_ADDRESS") or DEFAULT_ADDRESS


def channel_options() -> list[tuple[str, int]]:
    """Return the options of every channel: raised message sizes, and a keepalive that servers of ours allow.

    Returns:
        Pairs of option and value; servers accept a ping each 30 s, so 60 s never draws "too many pings".

    Raises:
        Nothing.

    Accuracy: exact.
    """
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
