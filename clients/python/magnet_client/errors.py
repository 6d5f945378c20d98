"""Everything that a call to a magnet server may raise.

    MagnetError
    ├── InvalidInput           an argument can never be right; the message says what to write instead
    ├── UnknownResource        no generator, version, bank, operation or service of that name
    ├── DuplicateResource      the name is taken
    ├── Refused                the request is well formed, the state of things forbids it
    │   ├── UnsupportedOperation   a generator uses an operation outside the table
    │   └── RefusedArchive         a file holds something that is never read
    ├── DamagedData            stored bytes are not what their checksum says
    ├── OutOfSpace             the server's store is full
    ├── OutOfMemory            a computation needs more memory than the server may take
    ├── Overloaded             the server's queue is full; `retry_after` says when to try again
    ├── MessageTooLarge        the answer or the request does not fit in one message
    ├── Cancelled              the call, or the build, was cancelled
    ├── DeadlineExceeded       no answer within the timeout
    ├── Unavailable            nothing answers at the address
    ├── Unreachable            the server cannot reach the store of its banks; try again later
    └── ServerFault            the server failed unexpectedly; its log has more under `request_id`

A poor draw (low ESS, rank deficiency) is no error: it is told in `Draw.result` and `Draw.advice`.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "Cancelled",
    "DamagedData",
    "DeadlineExceeded",
    "DuplicateResource",
    "InvalidInput",
    "MagnetError",
    "MessageTooLarge",
    "OutOfMemory",
    "OutOfSpace",
    "Overloaded",
    "Refused",
    "RefusedArchive",
    "ServerFault",
    "Unavailable",
    "UnknownResource",
    "Unreachable",
    "UnsupportedOperation",
]


class MagnetError(Exception):
    """Base of all errors of this package.

    Arguments:
        message: what is wrong and what to write or do instead.
        reason: UPPER_SNAKE_CASE code that programs may match.
        field: name of the argument at fault, if one is.
        code: gRPC status code by name, as `INVALID_ARGUMENT`; None if nothing was sent.
        request_id: the server's id of the call, if it answered one.
        metadata: short facts for programs (names, limits).
        retry_after: seconds after which a new try makes sense, if the server said so.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "INTERNAL",
        field: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field
        self.code = code
        self.request_id = request_id
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class InvalidInput(MagnetError):
    """An argument can never be right; raised here before anything is sent, or by the server."""


class UnknownResource(MagnetError):
    """No generator, version, bank, operation or service of that name."""


class DuplicateResource(MagnetError):
    """The name is taken."""


class Refused(MagnetError):
    """The request is well formed, but the state of things forbids it; the message says what would allow it."""


class UnsupportedOperation(Refused):
    """A generator uses an operation outside the table."""


class RefusedArchive(Refused):
    """A file holds something that is never read."""


class DamagedData(MagnetError):
    """Stored bytes on the server are not what their checksum says."""


class OutOfSpace(MagnetError):
    """The device under the server's store is full; what was complete before stays readable."""


class OutOfMemory(MagnetError):
    """One tile needs more memory than the server's `max_memory` or its device leaves it."""


class Overloaded(MagnetError):
    """The server's queue is full."""


class MessageTooLarge(MagnetError):
    """The answer, or the request, does not fit in one message: stream it, or ask for fewer rows."""


class Cancelled(MagnetError):
    """The call, or the build that it follows, was cancelled."""


class DeadlineExceeded(MagnetError):
    """No answer within the timeout, which counts the time in the server's queue."""


class Unavailable(MagnetError):
    """Nothing answers at the address, or the server is going down."""


class Unreachable(MagnetError):
    """The server cannot reach the store of its banks, or the store is gone; a later try may go well."""


class ServerFault(MagnetError):
    """The server failed unexpectedly."""
