"""Conditions on the wire."""

from __future__ import annotations

import numpy as np

from magnet.v1 import sampling_pb2, types_pb2
from magnet_client.codec.scalars import bank_id, integer
from magnet_client.errors import InvalidInput
from magnet_client.resolved import ClassBank
from magnet_client.words import ConditionLike

__all__ = ["class_banks_to_wire", "condition_to_wire", "condition_word", "plain_condition"]

_LONGEST = 200


def condition_to_wire(condition: ConditionLike | None) -> types_pb2.Condition | None:
    """Check a condition and pack it.

    Arguments:
        condition: a label, an index, or a vector of numbers; None for none.

    Returns:
        The message, or None.

    Raises:
        InvalidInput: with field `condition`.

    Accuracy: vectors are rounded to float32.
    """
    if condition is None:
        return None
    if isinstance(condition, str):
        if not 0 < len(condition) <= _LONGEST:
            raise _invalid(f"a label has 1 to {_LONGEST} characters; not {len(condition)}")
        return types_pb2.Condition(label=condition)
    if isinstance(condition, int | np.integer):
        return types_pb2.Condition(index=integer(condition, "condition", 0, 2**31 - 1))
    try:
        numbers = np.asarray(condition, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise _invalid(f"write a label, an index or a vector of numbers; not {condition!r}") from error
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise _invalid(f"a vector is finite and of one dimension; not of shape {list(numbers.shape)}")
    return types_pb2.Condition(vector=types_pb2.Condition.Vector(values=numbers.tolist()))


def condition_word(message: types_pb2.Condition) -> str | int | tuple[float, ...] | None:
    """Return a condition as arguments write it; None where none is set."""
    match message.WhichOneof("kind"):
        case "label":
            return message.label
        case "index":
            return message.index
        case "vector":
            return tuple(message.vector.values)
    return None


def plain_condition(condition: ConditionLike | None) -> str | int | tuple[float, ...] | None:
    """Return a condition as a `Resolved` keeps it; InvalidInput for what can never be right."""
    message = condition_to_wire(condition)
    return None if message is None else condition_word(message)


def class_banks_to_wire(banks: tuple[ClassBank, ...]) -> list[sampling_pb2.ClassBank]:
    """Pack the banks of a draw over all classes; InvalidInput for what can never be right."""
    return [
        sampling_pb2.ClassBank(
            index=integer(bank.index, "class_banks", 0, 2**31 - 1),
            bank_id=bank_id(bank.bank),
            revision=integer(bank.revision, "class_banks", 1),
        )
        for bank in banks
    ]


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(f"condition: {message}", field="condition", reason="INVALID_INPUT")
