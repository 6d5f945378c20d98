"""Where banks lie: a local folder with one folder a bank."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from magnet_service.errors import DuplicateResource, InvalidInput, MagnetError, Refused, UnknownResource
from magnet_service.sampling.banks.bank import NEW, SHARD_ROWS, Bank
from magnet_service.sampling.banks.build import LOCK
from magnet_service.sampling.banks.files import locked
from magnet_service.sampling.banks.spec import BankSpec

__all__ = ["Store"]

_ID = re.compile(r"[0-9a-f]{16}")
_DELETED = ".deleted-"


class Store:
    """Banks by id under one folder, created when the first bank is.

    Arguments:
        place: a path or a `file://` URL.

    Raises:
        InvalidInput: a URL of another kind; field `store`.
    """

    def __init__(self, place: str | Path) -> None:
        self.root = _local(place)

    def banks(self) -> tuple[Bank, ...]:
        """All banks that can be opened, by id; those that cannot are told by `unreadable`."""
        return tuple(found for found in self._all().values() if isinstance(found, Bank))

    def unreadable(self) -> dict[str, MagnetError]:
        """Why each of the other banks cannot be opened, by id."""
        return {name: found for name, found in self._all().items() if isinstance(found, MagnetError)}

    def open(self, bank_id: str) -> Bank:
        """The bank of an id.

        Arguments:
            bank_id: 16 hexadecimal digits.

        Returns:
            The bank as it stands.

        Raises:
            UnknownResource: no such bank; the message lists those there are. Field `bank_id`.
            Refused: the folder holds another bank (FOREIGN_BANK) or a later format (NEWER_FORMAT).
            DamagedData: its manifest is not one.

        Accuracy:
            Exact.
        """
        folder = self.root / bank_id
        if not _ID.fullmatch(bank_id) or not folder.is_dir():
            known = ", ".join(self._names()) or "none"
            raise UnknownResource(f"no bank {bank_id!r}: there are {known}", field="bank_id")
        bank = Bank.open(folder)
        if bank.id != bank_id:
            raise Refused(f"folder {bank_id} holds bank {bank.id}: it was renamed or copied", reason="FOREIGN_BANK")
        return bank

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
            InvalidInput, OutOfSpace: as `Bank.create`.
            Refused: another writer at work on the store; reason BUSY.

        Accuracy:
            Exact.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / f".{LOCK}", "the store"):
            self._sweep()
            return Bank.create(self.root / spec.id, spec, stamp=stamp, shard_rows=shard_rows)

    def ensure(self, spec: BankSpec, *, stamp: Mapping[str, str], shard_rows: int = SHARD_ROWS) -> Bank:
        """The bank of a recipe, created when missing; raises as `open` and `create`."""
        if not (self.root / spec.id).is_dir():
            try:
                return self.create(spec, stamp=stamp, shard_rows=shard_rows)
            except DuplicateResource:
                pass
        return self.open(spec.id)

    def delete(self, bank_id: str) -> None:
        """Removes a bank, damaged or not.

        Arguments:
            bank_id: 16 hexadecimal digits.

        Returns:
            Nothing; from the first rename on the bank is gone.

        Raises:
            UnknownResource: no such bank; field `bank_id`.
            Refused: a builder or another writer is at work on it; reason BUSY.

        Accuracy:
            Not applicable.
        """
        folder = self.root / bank_id
        if not _ID.fullmatch(bank_id) or not folder.is_dir():
            known = ", ".join(self._names()) or "none"
            raise UnknownResource(f"no bank {bank_id!r}: there are {known}", field="bank_id")
        with locked(self.root / f".{LOCK}", "the store"), locked(folder / LOCK, f"bank {bank_id}"):
            self._sweep()
            folder.rename(self.root / f"{_DELETED}{bank_id}")
            self._sweep()

    def _names(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if _ID.fullmatch(path.name) and path.is_dir())

    def _all(self) -> dict[str, Bank | MagnetError]:
        found: dict[str, Bank | MagnetError] = {}
        for name in self._names():
            try:
                found[name] = self.open(name)
            except MagnetError as error:
                found[name] = error
        return found

    def _sweep(self) -> None:
        # What killed writers left; the caller holds the store's lock.
        for prefix in (NEW, _DELETED):
            for leftover in self.root.glob(prefix + "*"):
                shutil.rmtree(leftover, ignore_errors=True)


def _local(place: str | Path) -> Path:
    if isinstance(place, Path):
        return place
    parts = urlsplit(place)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    if "://" in place:
        raise InvalidInput(f"the store is {place!r}: write a path or a file:// URL", field="store")
    return Path(place)
