"""Sizes that count rows: a multiple of the number of rows plus a constant, exact in every step or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["BATCH", "RowCount", "Size", "is_batch"]

_LARGEST = 1 << 62


@dataclass(frozen=True, eq=False)
class RowCount:
    """The size `factor * rows + shift`, for any number of rows of at least one.

    Arithmetic that has no such form, and comparisons whose answer depends on the number of rows, raise ValueError.

    Attributes:
        factor: never 0: then it would be a plain integer.
        shift: the constant.
    """

    factor: int
    shift: int

    def __add__(self, other: object) -> Size:
        factor, shift = parts(other)
        return size_of(self.factor + factor, self.shift + shift)

    def __sub__(self, other: object) -> Size:
        factor, shift = parts(other)
        return size_of(self.factor - factor, self.shift - shift)

    def __rsub__(self, other: object) -> Size:
        factor, shift = parts(other)
        return size_of(factor - self.factor, shift - self.shift)

    def __mul__(self, other: object) -> Size:
        factor, shift = parts(other)
        if factor:
            raise ValueError("a size is the square of the number of rows")
        return size_of(self.factor * shift, self.shift * shift)

    def __neg__(self) -> Size:
        return size_of(-self.factor, -self.shift)

    def __floordiv__(self, other: object) -> Size:
        factor, shift = parts(other)
        if factor and self.factor % factor == 0 and self.factor // factor * shift == self.shift:
            return self.factor // factor
        if factor or shift <= 0 or self.factor % shift or self.shift % shift:
            raise ValueError("a size is a part of the number of rows")
        return size_of(self.factor // shift, self.shift // shift)

    def __mod__(self, other: object) -> Size:
        factor, shift = parts(other)
        if factor or shift <= 0 or self.factor % shift:
            raise ValueError("a size is what is left of the number of rows in a division")
        return self.shift % shift

    def __eq__(self, other: object) -> bool:
        return difference_sign(self, other) == 0

    def __lt__(self, other: object) -> bool:
        return difference_sign(self, other) < 0

    def __gt__(self, other: object) -> bool:
        return difference_sign(self, other) > 0

    def __le__(self, other: object) -> bool:
        return difference_sign(self, other) <= 0

    def __ge__(self, other: object) -> bool:
        return difference_sign(self, other) >= 0

    __radd__ = __add__
    __rmul__ = __mul__
    __hash__ = None  # type: ignore[assignment]  # two of them may not be comparable


Size: TypeAlias = int | RowCount

BATCH = RowCount(1, 0)


def parts(value: object) -> tuple[int, int]:
    """Factor and shift of a size; ValueError where it is none."""
    if isinstance(value, RowCount):
        return value.factor, value.shift
    if isinstance(value, int):
        return 0, value
    raise ValueError(f"the number of rows meets {value!r}, which is no integer")


def size_of(factor: int, shift: int) -> Size:
    """The size of that factor and shift: a plain integer where the factor is 0; ValueError where it is huge."""
    if max(abs(factor), abs(shift)) > _LARGEST:
        raise ValueError("a size takes more than 62 bits")
    return RowCount(factor, shift) if factor else shift


def difference_sign(left: RowCount, right: object) -> int:
    """Sign of left - right where it is the same for every number of rows; ValueError otherwise."""
    difference = left - right
    if isinstance(difference, int):
        return (difference > 0) - (difference < 0)
    least = difference.factor + difference.shift
    if (difference.factor > 0) != (least > 0) or least == 0:
        raise ValueError("a comparison of sizes depends on the number of rows")
    return 1 if least > 0 else -1


def is_batch(size: object) -> bool:
    """Whether a size is the number of rows itself."""
    return isinstance(size, RowCount) and (size.factor, size.shift) == (1, 0)
