"""What every servicer works with."""

from __future__ import annotations

from dataclasses import dataclass

from magnet_service.errors import InvalidInput
from magnet_service.registry import Registry
from magnet_service.rpc.operations import OperationBoard
from magnet_service.rpc.worker import Worker

__all__ = ["CHUNK_BYTES", "Backend"]

CHUNK_BYTES = 2**20
"""Payload of a stream's message: the size at which a channel carries most."""

_FRAME_BYTES = 2**14  # header, field tags and diagnostics of an answer, generously


@dataclass(frozen=True)
class Backend:
    """The registry and the thread that alone may call it.

    Attributes:
        registry: generators and banks.
        worker: runs every call of the registry.
        operations: builds in work.
        max_message_bytes: largest message sent.
    """

    registry: Registry
    worker: Worker
    operations: OperationBoard
    max_message_bytes: int

    def check_size(self, rows: int, row_bytes: int, field: str, instead: str = "") -> None:
        """Refuses an answer that would not fit in one message, before anything is computed.

        Arguments:
            rows: of the answer.
            row_bytes: largest size of one.
            field: what the caller may make smaller; `outputs` where the rows cannot be fewer, a tile of a stream.
            instead: what to write, where it is not fewer rows, a stream or less in each row.

        Raises:
            InvalidInput: reason MESSAGE_TOO_LARGE; the message names the largest number of rows that fits.

        Accuracy: an upper bound; an answer that passes may be smaller.
        """
        most = (self.max_message_bytes - _FRAME_BYTES) // row_bytes
        if rows > most:
            if not instead:
                fewer = "" if field == "outputs" else f"at most {most:,} rows at once, or stream them, or "
                instead = f"ask for {fewer}less in each row (outputs)"
            raise InvalidInput(
                f"{rows:,} rows of {row_bytes:,} bytes do not fit in one message of {self.max_message_bytes:,} bytes: "
                f"{instead}.",
                field=field,
                reason="MESSAGE_TOO_LARGE",
                metadata={"rows": str(most)},
            )
