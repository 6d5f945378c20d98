"""The tree of errors that every layer raises, each with a machine-readable reason and, where one is at fault, a field.

    MagnetError
    ├── InvalidInput           the caller wrote something that cannot be: say what to write instead
    ├── UnknownResource        no generator, version, bank or operation of that name
    ├── DuplicateResource      the name is taken
    ├── Refused                the request is well formed, the state of things forbids it
    │   ├── UnsupportedOperation   a generator uses an operation outside the table
    │   └── RefusedArchive         a file holds something that is never read (a pickle, native code)
    ├── DamagedData            stored bytes are not what their checksum or their manifest says
    ├── OutOfSpace             the store's device is full
    ├── OutOfMemory            a computation needs more memory than it may take, or than there is
    ├── Overloaded             the queue is full: try again later
    ├── Unreachable            a store does not answer, or is gone: try again later
    └── Cancelled              the caller left, or asked to stop

An expected numerical outcome (low ESS, rank deficiency) is a field of a result and never an error.
`magnet_service.rpc.status` holds the one table from these to gRPC status codes.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "Cancelled",
    "DamagedData",
    "DuplicateResource",
    "InvalidInput",
    "MagnetError",
    "OutOfMemory",
    "OutOfSpace",
    "Overloaded",
    "Refused",
    "RefusedArchive",
    "UnknownResource",
    "Unreachable",
    "UnsupportedOperation",
]


class MagnetError(Exception):
    """Base of all expected errors.

    Arguments:
        message: one or two sentences: what is wrong and what to write or do instead.
        field: dotted name of the request field or setting at fault, if there is one.
        reason: UPPER_SNAKE_CASE code that programs may match; the class's own when not given.
        metadata: short facts for programs (names, limits), all strings.
    """

    default_reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.reason = reason if reason is not None else self.default_reason
        self.metadata = dict(metadata or {})


class InvalidInput(MagnetError):
    """An argument that can never be right; the message says what to write instead."""

    default_reason = "INVALID_INPUT"


class UnknownResource(MagnetError):
    """A named generator, version, bank or operation does not exist; the message lists what does."""

    default_reason = "UNKNOWN_RESOURCE"


class DuplicateResource(MagnetError):
    """The name or the version is taken."""

    default_reason = "DUPLICATE_RESOURCE"


class Refused(MagnetError):
    """A well-formed request that the present state forbids; the message says what would allow it."""

    default_reason = "REFUSED"


class UnsupportedOperation(Refused):
    """A generator uses an operation outside the table; the message names it and where it stands."""

    default_reason = "UNSUPPORTED_OPERATION"


class RefusedArchive(Refused):
    """A file holds something that is never read: a pickle, native code, an expression to evaluate."""

    default_reason = "REFUSED_ARCHIVE"


class DamagedData(MagnetError):
    """Stored bytes differ from what their checksum, header or manifest promises; the message names the file."""

    default_reason = "DAMAGED_DATA"


class OutOfSpace(MagnetError):
    """The device under the store is full; what was complete before stays readable."""

    default_reason = "OUT_OF_SPACE"


class OutOfMemory(MagnetError):
    """One tile needs more memory than the bound or the device leaves it; the message says what to write instead."""

    default_reason = "OUT_OF_MEMORY"


class Overloaded(MagnetError):
    """The bounded queue is full.

    Arguments:
        retry_after: seconds after which a new try makes sense.
    """

    default_reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(MagnetError):
    """A store does not answer, or is no longer there; what was complete in it stays so."""

    default_reason = "UNREACHABLE"


class Cancelled(MagnetError):
    """The caller left or asked to stop; nothing is wrong."""

    default_reason = "CANCELLED"
