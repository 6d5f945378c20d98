"""A draw that arrives in chunks, awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Self

from magnet.v1 import sampling_pb2
from magnet_client import codec
from magnet_client.draw import Draw, DrawHeader
from magnet_client.errors import ServerFault

__all__ = ["AsyncDrawStream"]


class AsyncDrawStream:
    """An asynchronous iterator over the chunks of a draw, each a `Draw` under the same header.

    Leave its `async with` block, or close it, and the server stops computing. What is not read is not computed far
    ahead: the stream is as fast as its reader.
    """

    header: DrawHeader | None = None
    """What the draw came from; there inside `async with`, else from the first chunk on."""
    rows: int | None = None
    """Rows received in all, once the stream has ended."""
    distinct: int | None = None
    """Distinct latents among them, once the stream has ended."""

    def __init__(self, parts: AsyncGenerator[sampling_pb2.StreamSamplesResponse, None]) -> None:
        self._parts = parts
        self._ended = False

    async def _start(self) -> DrawHeader:
        if self.header is None:
            first = await anext(self._parts, None)
            if first is None or first.WhichOneof("part") != "header":
                await self.close()
                raise ServerFault("the stream does not start with a header", reason="MALFORMED_ANSWER")
            self.header = codec.decode_header(first.header)
        return self.header

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Draw:
        if self._ended:
            raise StopAsyncIteration
        header = await self._start()
        part = await anext(self._parts, None)
        if part is not None and part.WhichOneof("part") == "chunk":
            return codec.decode_chunk(header, part.chunk.offset, part.chunk.rows)
        await self.close()
        if part is None or part.WhichOneof("part") != "trailer":
            raise ServerFault("the stream ended before its trailer", reason="MALFORMED_ANSWER")
        self.rows, self.distinct = part.trailer.rows, part.trailer.distinct
        raise StopAsyncIteration

    async def close(self) -> None:
        """End the stream; the server stops computing for it. A second time does nothing."""
        self._ended = True
        await self._parts.aclose()

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
