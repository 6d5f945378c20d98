"""Work that waits for others, in a thread of its own: it never takes the device's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

__all__ = ["aside"]

Value = TypeVar("Value")


async def aside(items: Iterator[Value], stop: Event) -> AsyncIterator[Value]:
    """Advances a generator in a thread of its own.

    Arguments:
        items: advanced and closed in that thread only.
        stop: set when the caller is cancelled, for the generator to see.

    Yields:
        Its items.

    Raises:
        MagnetError: whatever the generator raises.
    """
    loop, ended = asyncio.get_running_loop(), object()
    thread = ThreadPoolExecutor(1, thread_name_prefix="magnet-build")
    try:
        while True:
            found = await loop.run_in_executor(thread, next, items, ended)
            if found is ended:
                return
            yield found  # type: ignore[misc]  # not the mark of the end
    finally:
        stop.set()
        # Behind a step that may still run: one thread keeps the order.
        await asyncio.shield(loop.run_in_executor(thread, getattr(items, "close", lambda: None)))
        thread.shutdown(wait=False)
