"""Who computes the rows, as the command line and settings write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from magnet_service.errors import InvalidInput

__all__ = ["Workers", "parse_workers"]

_LOCAL = re.compile(r"local|(?:local:)?(?P<count>[1-9]\d{0,3})", re.ASCII)
_RAY = re.compile(r"ray(?::(?P<address>[^\s:/]+:\d{1,5}))?(?::(?P<count>[1-9]\d{0,3}))?", re.ASCII)


@dataclass(frozen=True)
class Workers:
    """Workers asked for.

    Attributes:
        kind: `local` for processes of this machine, `ray` for actors of a Ray cluster.
        count: how many; None for one a device.
        address: `HOST:PORT` of the cluster's head; None for the one that this machine belongs to. None for local ones.
    """

    kind: str
    count: int | None = None
    address: str | None = None


def parse_workers(text: str) -> Workers:
    """Reads `local`, `local:COUNT` or `COUNT`, `ray`, `ray:COUNT`, `ray:HOST:PORT` or `ray:HOST:PORT:COUNT`.

    Arguments:
        text: as written.

    Returns:
        What it means.

    Raises:
        InvalidInput: anything else; field `workers`.

    Accuracy: exact.

    Example:
        >>> parse_workers("ray:10.0.0.7:6379:4")
        Workers(kind='ray', count=4, address='10.0.0.7:6379')
    """
    for kind, form in (("local", _LOCAL), ("ray", _RAY)):
        match = form.fullmatch(text)
        if match is not None:
            found = match.groupdict()
            return Workers(kind, None if found["count"] is None else int(found["count"]), found.get("address"))
    raise InvalidInput(
        f"workers is {text[:80]!r}: write COUNT or local:COUNT for processes of this machine, local for as many as it "
        "has room for, ray for the Ray cluster that it belongs to, or ray:HOST:PORT for one by its address, with "
        ":COUNT behind it for fewer than one worker a device.",
        field="workers",
    )
