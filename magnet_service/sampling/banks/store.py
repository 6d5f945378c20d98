"""Where banks lie: a folder, or a prefix of an object store, with one folder a bank."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from pathlib import Path

from magnet_service.errors import DuplicateResource, MagnetError, Refused, UnknownResource
from magnet_service.sampling.banks.bank import SHARD_ROWS, Bank
from magnet_service.sampling.banks.cache import Cache
from magnet_service.sampling.banks.lease import Lease
from magnet_service.sampling.banks.local_place import LocalPlace
from magnet_service.sampling.banks.manifest import MANIFESTS, Manifest, in_force, manifest_number
from magnet_service.sampling.banks.place import Place, place_of
from magnet_service.sampling.banks.spec import BankSpec

__all__ = ["Store"]

_ID = re.compile(r"[0-9a-f]{16}")
# An object store is asked for its banks at most so often, in seconds; a bank named is looked up at once.
_GLANCE_SECONDS = 2.0


class Store:
    """Banks by id at one place, made when the first bank is. Manifests that it has seen are not read again.

    Arguments:
        where: a path, a `file://` URL, or one that fsspec knows, as `s3://bucket/banks`.
        cache: where columns of its banks are kept; in memory where None.

    Raises:
        InvalidInput: a URL of an unknown kind; field `store`.
    """

    def __init__(self, where: str | Path | Place, cache: Cache | None = None) -> None:
        self.place = place_of(where)
        self._cache = cache
        self._seen: dict[str, tuple[int, Manifest]] = {}
        self._names: tuple[float, tuple[str, ...]] = (-_GLANCE_SECONDS, ())

    def banks(self) -> tuple[Bank, ...]:
        """All banks that can be opened, by id; those that cannot are told by `survey`, and it raises as that."""
        return self.survey()[0]

    def survey(self) -> tuple[tuple[Bank, ...], dict[str, MagnetError]]:
        """All banks, looked at once.

        Returns:
            Those that can be opened, by id, as they stand; and why each of the others cannot, by id.

        Raises:
            Unreachable: the store does not answer.
            Refused: this user may not read it; reason STORE_DENIED.

        Accuracy:
            Exact.
        """
        found: list[Bank] = []
        unreadable: dict[str, MagnetError] = {}
        for name in self._listed():
            try:
                found.append(self.open(name))
            except UnknownResource:  # what a killed deletion left, or a bank that is just being made
                continue
            except MagnetError as error:
                unreadable[name] = error
        return tuple(found), unreadable

    def glance(self) -> tuple[Bank, ...]:
        """The banks as last seen, by id: new ones and those without rows are looked at, the others are not.

        For choosing among recipes, which never change: of many banks in an object store this is one request, or none
        within two seconds.
        """
        found = []
        for name in self._listed(fresh=isinstance(self.place, LocalPlace)):
            _, known = self._seen.get(name, (0, None))
            if known is not None and known.rows:
                found.append(Bank(self.place.child(name), known, self._cache))
                continue
            with contextlib.suppress(MagnetError):  # `survey` tells of it
                found.append(self.open(name))
        return tuple(found)

    def open(self, bank_id: str) -> Bank:
        """The bank of an id.

        Arguments:
            bank_id: 16 hexadecimal digits.

        Returns:
            The bank as it stands.

        Raises:
            UnknownResource: no such bank; the message lists those there are. Field `bank_id`.
            Refused: the folder holds another bank (FOREIGN_BANK) or another format (NEWER_FORMAT, OLDER_FORMAT).
            DamagedData: its manifest is not one.
            Unreachable: the store does not answer.

        Accuracy:
            Exact.
        """
        place, number = self._existing(bank_id)
        seen = self._seen.get(bank_id)
        if seen is not None and seen[0] == number > 0:
            return Bank(place, seen[1], self._cache)
        number, manifest = in_force(place, number)
        if manifest.spec.id != bank_id:
            raise Refused(
                f"folder {bank_id} holds bank {manifest.spec.id}: it was renamed or copied", reason="FOREIGN_BANK"
            )
        self._seen[bank_id] = (number, manifest)
        return Bank(place, manifest, self._cache)

    def create(self, spec: BankSpec, *, stamp: Mapping[str, str], shard_rows: int = SHARD_ROWS) -> Bank:
        """An empty bank of a recipe.

        Arguments:
            spec: the recipe.
            stamp: of the engine that will compute it.
            shard_rows: rows of a full shard.

        Returns:
            The bank.

        Raises:
            DuplicateResource: it exists.
            InvalidInput, OutOfSpace, Unreachable: as `Bank.create`.

        Accuracy:
            Exact.
        """
        self._names = (-_GLANCE_SECONDS, ())
        made = Bank.create(self.place.child(spec.id), spec, stamp=stamp, shard_rows=shard_rows)
        return Bank(made.place, made.manifest, self._cache)

    def ensure(self, spec: BankSpec, *, stamp: Mapping[str, str], shard_rows: int = SHARD_ROWS) -> Bank:
        """The bank of a recipe, created when missing; raises as `open` and `create`."""
        try:
            return self.create(spec, stamp=stamp, shard_rows=shard_rows)
        except DuplicateResource:
            return self.open(spec.id)

    def delete(self, bank_id: str) -> None:
        """Removes a bank, damaged or not.

        Arguments:
            bank_id: 16 hexadecimal digits.

        Returns:
            Nothing; once its manifest is removed the bank is gone.

        Raises:
            UnknownResource: no such bank; field `bank_id`.
            Refused: a writer is at work on it; reason BUSY.
            Unreachable: the store does not answer.

        Accuracy:
            Not applicable.
        """
        place, _ = self._existing(bank_id)
        with Lease(place, f"bank {bank_id}"):
            place.child(MANIFESTS).remove_all()
            self._seen.pop(bank_id, None)
            self._names = (-_GLANCE_SECONDS, ())
            place.remove_all()
        if self._cache is not None:
            self._cache.forget(bank_id)

    def _existing(self, bank_id: str) -> tuple[Place, int]:
        """The place of a bank that is there, readable or not, and the number of its manifest in force."""
        place = self.place.child(bank_id)
        number = manifest_number(place) if _ID.fullmatch(bank_id) else 0
        if not number and not (_ID.fullmatch(bank_id) and place.names()):
            known = ", ".join(self._listed()) or "none"
            raise UnknownResource(f"no bank {bank_id!r}: there are {known}", field="bank_id")
        return place, number

    def _listed(self, *, fresh: bool = True) -> tuple[str, ...]:
        asked, names = self._names
        if fresh or time.monotonic() - asked >= _GLANCE_SECONDS:
            names = tuple(name for name in self.place.folders() if _ID.fullmatch(name))
            self._names = (time.monotonic(), names)
            self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        return names
