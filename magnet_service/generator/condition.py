"""Conditions as people write them: a label, an index or a vector, and what a card says about those it takes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magnet_service.errors import InvalidInput

__all__ = ["KINDS", "Condition", "ConditionCard"]

KINDS = ("one_hot", "index", "vector")
_LARGEST = 1_000_000
_NAMED = 12


@dataclass(frozen=True)
class Condition:
    """What a conditional generator is asked for; exactly one of the three is given.

    Attributes:
        label: name of a class, as the generator's card lists it.
        index: of a class, counted from 0.
        vector: numbers, rounded to float32.

    Raises:
        InvalidInput: none or several are given, a negative index, a number that is not finite (field `condition`).
    """

    label: str | None = None
    index: int | None = None
    vector: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuses what names no condition."""
        if sum(item is not None for item in (self.label, self.index, self.vector)) != 1:
            raise InvalidInput("condition: write one of label, index and vector.", field="condition")
        if self.index is not None and self.index < 0:
            raise InvalidInput(f"condition {self.index}: write an index of 0 or more.", field="condition")
        if self.vector is not None:
            rounded = tuple(float(np.float32(number)) for number in self.vector)
            if not rounded or not all(math.isfinite(number) for number in rounded):
                raise InvalidInput("condition: write finite numbers, one at least.", field="condition")
            object.__setattr__(self, "vector", rounded)

    @property
    def text(self) -> str:
        """Canonical text, as banks carry it: the index, or the vector's numbers with commas and a comma at the end."""
        if self.vector is not None:
            return "".join(str(np.float32(number)) + "," for number in self.vector)
        return str(self.index) if self.index is not None else str(self.label)

    @staticmethod
    def from_text(text: str) -> Condition:
        """The resolved condition of a canonical text.

        Arguments:
            text: as `text` gives it for an index or a vector.

        Returns:
            The condition.

        Raises:
            InvalidInput: neither an index nor numbers with a comma at the end (field `condition`).

        Accuracy: exact; numbers are rounded to float32, which theirs already are.

        Example:
            >>> Condition.from_text("0.5,-1.0,")
            Condition(label=None, index=None, vector=(0.5, -1.0))
        """
        if text.isascii() and text.isdecimal():
            return Condition(index=int(text))
        try:
            numbers = tuple(float(part) for part in text.removesuffix(",").split(",")) if text.endswith(",") else None
        except ValueError:
            numbers = None
        if numbers is None:
            raise _invalid(f"{text[:80]!r}: write an index, or numbers with commas and a comma at the end")
        return Condition(vector=numbers)


@dataclass(frozen=True)
class ConditionCard:
    """The conditions that a generator takes; checked on construction.

    Attributes:
        kind: one_hot, index or vector.
        width: number of classes for one_hot and index, of numbers for vector.
        labels: names of the classes, in order; empty where they have none.

    Raises:
        InvalidInput: a field is out of bounds; `field` names it as generator.toml does.
    """

    kind: str
    width: int
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every field."""
        size = "condition.width" if self.kind == "vector" else "condition.classes"
        _require(self.kind in KINDS, "condition.kind", f"write one of {', '.join(KINDS)}, not {self.kind!r}")
        number = isinstance(self.width, int) and not isinstance(self.width, bool)
        _require(number and 1 <= self.width <= _LARGEST, size, f"write an integer from 1 to {_LARGEST:,}")
        field = "condition.labels"
        _require(self.kind != "vector" or not self.labels, field, "conditions that are vectors have no classes to name")
        fits = len(self.labels) in (0, self.width)
        _require(fits, field, f"write one label a class, {self.width} of them, not {len(self.labels)}")
        empty = [index for index, label in enumerate(self.labels) if not label.strip()]
        _require(not empty, field, f"label {empty[0] if empty else 0} is empty; name every class")
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        _require(not twice, field, f"{', '.join(map(repr, twice))} stands there twice; name every class differently")

    @property
    def classes(self) -> int:
        """Number of classes; 0 where conditions are vectors."""
        return 0 if self.kind == "vector" else self.width

    def resolve(self, condition: Condition) -> Condition:
        """A condition as this generator computes it: an index for a class, else a vector.

        Arguments:
            condition: as asked.

        Returns:
            The same condition by index, or the vector as it is.

        Raises:
            InvalidInput: an unknown label (the nearest are named), an index beyond the classes, a vector of another
                width, or a class where a vector is taken and the other way round (field `condition`).

        Accuracy: exact.
        """
        if self.kind == "vector":
            if condition.vector is None:
                raise _invalid(f"this generator takes a vector of {self.width} numbers, no class: write those")
            if len(condition.vector) != self.width:
                raise _invalid(f"a vector of {len(condition.vector)} numbers: this generator takes {self.width}")
            return condition
        if condition.vector is not None:
            raise _invalid(
                f"a vector of {len(condition.vector)} numbers: this generator takes one of {self.width} classes; write "
                f"a label or an index"
            )
        if condition.label is not None:
            return Condition(index=self._index_of(condition.label))
        index = condition.index or 0
        if index >= self.width:
            raise _invalid(f"index {index}: this generator has {self.width} classes, write 0 to {self.width - 1}")
        return Condition(index=index)

    def all(self) -> tuple[Condition, ...]:
        """Every class by index; none where conditions are vectors."""
        return tuple(Condition(index=index) for index in range(self.classes))

    def label_of(self, condition: Condition) -> str:
        """The label of a resolved condition; its text where it has none."""
        index = condition.index
        return self.labels[index] if index is not None and index < len(self.labels) else condition.text

    def value_of(self, condition: Condition) -> int | Sequence[float]:
        """What `Generator.conditioned` takes for a resolved condition."""
        return condition.vector if condition.vector is not None else int(condition.index or 0)

    def _index_of(self, label: str) -> int:
        if label in self.labels:
            return self.labels.index(label)
        if not self.labels:
            raise _invalid(f"label {label[:80]!r}: the classes of this generator have no labels; write an index")
        folded = [known for known in self.labels if known.casefold() == label.casefold()]
        near = folded or difflib.get_close_matches(label, self.labels, n=3, cutoff=0.5)
        listed = ", ".join(map(repr, self.labels[:_NAMED])) + (", ..." if len(self.labels) > _NAMED else "")
        meant = f"; perhaps {' or '.join(map(repr, near))}" if near else ""
        raise _invalid(f"label {label[:80]!r} is unknown{meant}; there are {listed}")


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(f"condition: {what}.", field="condition")


def _require(holds: bool, field: str, advice: str) -> None:
    if not holds:
        raise InvalidInput(f"{field}: {advice}.", field=field)
