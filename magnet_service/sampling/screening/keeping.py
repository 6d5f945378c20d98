"""What screening leaves beside a bank: surrogates by digest, and exact volumes by the request that computed them."""

from __future__ import annotations

from magnet_service.errors import DamagedData
from magnet_service.sampling.banks.place import Place
from magnet_service.sampling.banks.surrogates import SURROGATES
from magnet_service.sampling.screening.choices import Choices
from magnet_service.sampling.screening.surrogate import Surrogate

__all__ = ["MOST_KEPT", "Keeping"]

MOST_KEPT = 64
"""Draws of one bank whose volumes are kept: the oldest makes room."""

_DRAWS = "screened"


class Keeping:
    """Surrogates and kept volumes of one bank.

    Arguments:
        place: of the bank.
    """

    def __init__(self, place: Place) -> None:
        self._surrogates, self._draws = place.child(SURROGATES), place.child(_DRAWS)

    def digests(self, revision: int) -> list[str]:
        """Digests of the surrogates fitted on at most so many rows, the one of the most rows first."""
        names = [name.removesuffix(".npz").split("-") for name in self._surrogates.names() if name.endswith(".npz")]
        known = [(int(rows), digest) for rows, digest in (parts for parts in names if len(parts) == 2)]
        return [digest for rows, digest in sorted(known, key=lambda item: (-item[0], item[1])) if rows <= revision]

    def surrogate(self, digest: str) -> Surrogate | None:
        """The surrogate of a digest; None where there is none, DamagedData where its bytes are not those."""
        name = next((name for name in self._surrogates.names() if name.endswith(f"-{digest}.npz")), None)
        if name is None:
            return None
        try:
            found = Surrogate.from_bytes(self._surrogates.read(name), f"surrogate {digest}")
        except FileNotFoundError:  # deleted meanwhile
            return None
        if found.digest != digest:
            raise DamagedData(
                f"surrogate {digest} holds other bytes: delete {SURROGATES}/{name}, and another is fitted."
            )
        return found

    def keep_surrogate(self, surrogate: Surrogate) -> None:
        """Stores a surrogate; one that is there already stays."""
        self._surrogates.create(f"{surrogate.revision:012d}-{surrogate.digest}.npz", surrogate.to_bytes())

    def volumes(self, key: str) -> Choices | None:
        """Volumes kept under a key; None where there are none, or none that can be read."""
        try:
            name = next((name for name in self._draws.names() if name.endswith(f"-{key}.npz")), None)
            return None if name is None else Choices.from_bytes(self._draws.read(name))
        except (DamagedData, FileNotFoundError):
            return None  # computed again

    def keep_volumes(self, key: str, kept: Choices, now: float) -> None:
        """Stores volumes under a key, and removes the oldest beyond 64.

        Arguments:
            key: of the draw.
            kept: the volumes.
            now: seconds since the epoch, by which the oldest are found.

        Raises:
            OutOfSpace, Unreachable: as `Place.put`.

        Accuracy: exact.
        """
        self._draws.put(f"{int(now * 1000.0):015d}-{key}.npz", kept.to_bytes())
        for name in self._draws.names()[:-MOST_KEPT]:
            self._draws.remove(name)
