"""Surrogates beside a bank, copied with it: objects named by their digest, whose content is screening's alone."""

from __future__ import annotations

import hashlib
import re

from magnet_service.sampling.banks.place import Place

__all__ = ["SURROGATES", "copy_surrogates"]

SURROGATES = "surrogates"
"""Folder beside a bank's rows; each object is ROWS-DIGEST.npz, digest the first 16 digits of the bytes' SHA-256."""

_NAME = re.compile(r"[0-9]+-([0-9a-f]{16})\.npz")


def copy_surrogates(source: Place, target: Place) -> None:
    """Copies the surrogates of a bank, each checked on its way.

    One that the target has whole is left. One that is damaged in the source is not copied, and no error, since no row
    depends on it; one that is damaged in the target alone is replaced.

    Arguments:
        source: place of a bank.
        target: place of its copy.

    Returns:
        Nothing.

    Raises:
        OutOfSpace, Unreachable: a store's.

    Accuracy:
        Exact: the same bytes.
    """
    here, there = source.child(SURROGATES), target.child(SURROGATES)
    for name in here.names():
        if _whole(there, name) is None and (data := _whole(here, name)) is not None:
            there.put(name, data)


def _whole(place: Place, name: str) -> bytes | None:
    """The bytes of a surrogate; None where there is none or its bytes are not those of its name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        data = place.read(name)
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest()[:16] == match.group(1) else None
