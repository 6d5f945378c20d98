"""A draw that arrives in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from magnet.v1 import sampling_pb2
from magnet_client import codec
from magnet_client.blocking.connection import Responses
from magnet_client.draw import Draw, DrawHeader
from magnet_client.errors import ServerFault

__all__ = ["DrawStream"]

_Part = sampling_pb2.StreamSamplesResponse


class DrawStream:
    """An iterator over the chunks of a draw, each a `Draw` under the same header.

    Close it, or leave its `with` block, and the server stops computing. What is not read is not computed far ahead:
    the stream is as fast as its reader.
    """

    header: DrawHeader
    """What the draw came from; there before the first chunk."""
    rows: int | None = None
    """Rows received in all, once the stream has ended."""
    distinct: int | None = None
    """Distinct latents among them, once the stream has ended."""

    def __init__(self, responses: Responses[_Part], receive: Callable[[Responses[_Part]], _Part | None]) -> None:
        self._responses = responses
        self._receive = receive
        self._ended = False
        first = receive(responses)
        if first is None or first.WhichOneof("part") != "header":
            self.close()
            raise ServerFault("the stream does not start with a header", reason="MALFORMED_ANSWER")
        self.header = codec.decode_header(first.header)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Draw:
        part = None if self._ended else self._receive(self._responses)
        if part is not None and part.WhichOneof("part") == "chunk":
            return codec.decode_chunk(self.header, part.chunk.offset, part.chunk.rows)
        if not self._ended:
            self.close()
            if part is None or part.WhichOneof("part") != "trailer":
                raise ServerFault("the stream ended before its trailer", reason="MALFORMED_ANSWER")
            self.rows, self.distinct = part.trailer.rows, part.trailer.distinct
        raise StopIteration

    def close(self) -> None:
        """End the stream; the server stops computing for it. A second time does nothing."""
        self._ended = True
        self._responses.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
