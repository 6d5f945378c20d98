"""A JSON value together with where it stands, so that a wrong type is reported by place and never as a `KeyError`."""

from __future__ import annotations

import json
from dataclasses import dataclass

from magnet_service.errors import DamagedData

__all__ = ["Field", "parse_json"]

_WORDED_FLOATS = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}


@dataclass(frozen=True)
class Field:
    """A JSON value and its place, as `models/model.json: graph_module.graph.nodes[3]`.

    Every reading method raises `DamagedData` that names the place when the value is of another type.
    """

    value: object
    place: str

    def damaged(self, expected: str) -> DamagedData:
        """Return the error to raise for this value when `expected` was to stand here."""
        return DamagedData(
            f"{self.place} should be {expected}, but is {_shown(self.value)}: the file is damaged; export it again.",
            metadata={"place": self.place},
        )

    def get(self, key: str) -> Field:
        """Return the entry `key` of an object."""
        entries = self._object()
        if key not in entries:
            raise self.damaged(f"an object with the key {key!r}")
        return Field(entries[key], f"{self.place}.{key}")

    def find(self, key: str) -> Field | None:
        """Return the entry `key` of an object, or None where it is absent or null."""
        entries = self._object()
        return Field(entries[key], f"{self.place}.{key}") if entries.get(key) is not None else None

    def entries(self) -> dict[str, Field]:
        """Return all entries of an object by key."""
        return {key: Field(value, f"{self.place}.{key}") for key, value in self._object().items()}

    def items(self) -> list[Field]:
        """Return all items of a list."""
        if not isinstance(self.value, list):
            raise self.damaged("a list")
        return [Field(value, f"{self.place}[{index}]") for index, value in enumerate(self.value)]

    def tagged(self) -> tuple[str, Field]:
        """Return the one key of an object that holds exactly one, and its value: how the schema writes a union."""
        entries = self._object()
        if len(entries) != 1:
            raise self.damaged("an object with exactly one key")
        [(tag, value)] = entries.items()
        return tag, Field(value, f"{self.place}.{tag}")

    def text(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            raise self.damaged("a string")
        return self.value

    def boolean(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            raise self.damaged("true or false")
        return self.value

    def integer(self) -> int:
        """Return an integer of at most 64 bits."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not -(2**63) <= self.value < 2**63:
            raise self.damaged("an integer of at most 64 bits")
        return self.value

    def number(self) -> float:
        """Return a number; the schema writes those that JSON lacks as "Infinity", "-Infinity" and "NaN"."""
        if isinstance(self.value, str) and self.value in _WORDED_FLOATS:
            return _WORDED_FLOATS[self.value]
        if isinstance(self.value, float):
            return self.value
        return float(self.integer())

    def _object(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.damaged("an object")
        return self.value


def parse_json(data: bytes, place: str) -> Field:
    """Parse UTF-8 JSON; nothing is evaluated and a key that stands twice is refused.

    Arguments:
        data: the bytes of one member of an archive.
        place: its name, for messages.

    Returns:
        The whole document.

    Raises:
        DamagedData: not UTF-8, not JSON, nested too deeply, or a key that stands twice in one object.

    Accuracy: exact; floats are read to the nearest double.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise DamagedData(f"{place} has a key that stands twice in one object; export the file again.")
        return entries

    try:
        return Field(json.loads(data.decode("utf-8"), object_pairs_hook=unique), place)
    except (ValueError, RecursionError) as error:
        raise DamagedData(f"{place} is not readable JSON ({error}); export the file again.") from error


def _shown(value: object) -> str:
    text = type(value).__name__ if isinstance(value, list | dict) else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
