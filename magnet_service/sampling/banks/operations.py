"""Builds as records beside their banks, so that whoever reads the store can tell how far each is, or ask it to end."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import field as member
from typing import Any, final

from magnet_service.errors import DamagedData, UnknownResource
from magnet_service.sampling.banks.holder import Holder
from magnet_service.sampling.banks.place import Place

__all__ = ["OPERATIONS", "OperationRecord", "OperationRecords", "RecordedError", "new_operation_name"]

OPERATIONS = "operations"
_NAME = re.compile(r"operations/([0-9a-f]{16})-([0-9a-f]{16})")
_CANCEL = ".cancel"
# A builder writes its record anew well before this many seconds have passed.
_SILENT_SECONDS = 60.0
_KEPT_A_BANK = 20


@dataclass(frozen=True)
class RecordedError:
    """Why a build ended early: an error of this program, by its class.

    Attributes:
        kind: name of its class in `magnet_service.errors`; empty for one that nobody expected.
        message, reason, field, metadata: as it had them.
    """

    kind: str
    message: str
    reason: str
    field: str | None = None
    metadata: Mapping[str, str] = member(default_factory=dict)


@dataclass(frozen=True)
class OperationRecord:
    """A build as it stood when its builder last wrote of it.

    Attributes:
        name: `operations/BANK-NUMBER`.
        bank_id: the bank in work.
        reference: its generator, `name@version`.
        condition: of the bank, its label where it has one.
        rows_done: rows computed.
        rows_total: rows wanted.
        rows_per_second: pace over the last seconds; 0 before the first rows.
        started: when it began, seconds since 1970.
        written: when this was written.
        holder: the process that builds.
        done: whether it has ended.
        error: why, where it ended badly.
    """

    name: str
    bank_id: str
    reference: str
    condition: str
    rows_done: int
    rows_total: int
    rows_per_second: float
    started: float
    written: float
    holder: Holder
    done: bool = False
    error: RecordedError | None = None

    @property
    def abandoned(self) -> bool:
        """Whether its builder is gone without having told that it ended."""
        return not self.done and (self.holder.ended or time.time() > self.written + _SILENT_SECONDS)

    @property
    def seconds_left(self) -> float | None:
        """Time to go at its pace; None while there is none."""
        pace = self.rows_per_second
        return (self.rows_total - self.rows_done) / pace if pace > 0 else None


def new_operation_name(bank_id: str) -> str:
    """A name that no other operation has."""
    return f"operations/{bank_id}-{secrets.token_hex(8)}"


@final
class OperationRecords:
    """The records of all builds in a store. Thread-safe: it keeps nothing.

    Arguments:
        store: the store's place.
    """

    def __init__(self, store: Place) -> None:
        self._store = store

    def put(self, record: OperationRecord) -> None:
        """Writes a record, with the present time; raises as `Place.put`."""
        content = asdict(replace(record, written=time.time()))
        place, number = self._place(record.name)
        place.put(f"{number}.json", json.dumps(content, sort_keys=True).encode())

    def get(self, name: str) -> OperationRecord:
        """Reads a record.

        Arguments:
            name: of an operation.

        Returns:
            The record.

        Raises:
            UnknownResource: no operation of that name; field `name`.
            DamagedData: it is no record.
            Unreachable: the store does not answer.

        Accuracy:
            As old as the builder's last word, a second or two while rows come.
        """
        place, number = self._place(name)
        try:
            data = place.read(f"{number}.json")
        except FileNotFoundError:
            raise _unknown(name) from None
        return _record(name, data)

    def all(self) -> list[OperationRecord]:
        """All records, the newest first; what is no record is left out."""
        return _newest_first(record for bank_id in self._store.folders() for record in self._of(bank_id))

    def ask_to_end(self, name: str) -> None:
        """Asks the builder to end, wherever it runs; raises as `get`."""
        if not self.get(name).done:
            place, number = self._place(name)
            place.create(number + _CANCEL, b"")

    def asked_to_end(self, name: str) -> bool:
        """Whether somebody has asked the builder to end."""
        place, number = self._place(name)
        return number + _CANCEL in place.names()

    def remove(self, name: str) -> None:
        """Forgets a record; a build that runs goes on. Raises as `get`."""
        self.get(name)
        place, number = self._place(name)
        for ending in (_CANCEL, ".json"):
            place.remove(number + ending)

    def prune(self, bank_id: str) -> None:
        """Forgets all but the newest records of a bank's ended builds."""
        ended = _newest_first(record for record in self._of(bank_id) if record.done or record.abandoned)
        for record in ended[_KEPT_A_BANK:]:
            self.remove(record.name)

    def _of(self, bank_id: str) -> Iterator[OperationRecord]:
        place = self._store.child(bank_id).child(OPERATIONS)
        for name in (name for name in place.names() if name.endswith(".json")):
            with contextlib.suppress(FileNotFoundError, DamagedData):
                yield _record(f"{OPERATIONS}/{bank_id}-{name.removesuffix('.json')}", place.read(name))

    def _place(self, name: str) -> tuple[Place, str]:
        match = _NAME.fullmatch(name)
        if match is None:
            raise _unknown(name)
        return self._store.child(match.group(1)).child(OPERATIONS), match.group(2)


def _newest_first(records: Iterable[OperationRecord]) -> list[OperationRecord]:
    return sorted(records, key=lambda record: (record.started, record.name), reverse=True)


def _record(name: str, data: bytes) -> OperationRecord:
    try:
        content: dict[str, Any] = json.loads(data)
        error = content.pop("error")
        record = OperationRecord(
            **{**content, "holder": Holder(**content["holder"]), "error": RecordedError(**error) if error else None}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(f"{name} is no record of an operation: {error!r}") from error
    if record.name != name:
        raise DamagedData(f"the record of {name} says that it is of {record.name}")
    return record


def _unknown(name: str) -> UnknownResource:
    return UnknownResource(
        f"There is no operation {name[:80]!r}; of each bank the last {_KEPT_A_BANK} that ended are kept.",
        field="name",
        metadata={"name": name[:80]},
    )
