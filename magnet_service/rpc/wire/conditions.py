"""Conditions read from the wire and written to it."""

from __future__ import annotations

from collections.abc import Iterable

from magnet.v1 import sampling_pb2, types_pb2
from magnet_service.generator.condition import Condition
from magnet_service.sampling import ClassBank

__all__ = ["class_banks_from", "class_banks_to", "condition_from", "condition_of_text", "condition_to"]


def condition_from(message: types_pb2.Condition) -> Condition | None:
    """Reads a condition; None where none is named. InvalidInput for numbers that are not finite (field `condition`)."""
    match message.WhichOneof("kind"):
        case "label":
            return Condition(label=message.label)
        case "index":
            return Condition(index=message.index)
        case "vector":
            return Condition(vector=tuple(message.vector.values))
    return None


def condition_to(condition: Condition | None) -> types_pb2.Condition | None:
    """Writes a condition."""
    if condition is None:
        return None
    if condition.vector is not None:
        return types_pb2.Condition(vector=types_pb2.Condition.Vector(values=condition.vector))
    if condition.index is not None:
        return types_pb2.Condition(index=condition.index)
    return types_pb2.Condition(label=condition.label or "")


def class_banks_from(messages: Iterable[sampling_pb2.ClassBank]) -> tuple[ClassBank, ...]:
    """Reads the banks of a draw over all classes, in the order of the classes."""
    banks = (ClassBank(message.index, message.bank_id, message.revision) for message in messages)
    return tuple(sorted(banks, key=lambda bank: bank.index))


def class_banks_to(banks: Iterable[ClassBank]) -> list[sampling_pb2.ClassBank]:
    """Writes the banks of a draw over all classes."""
    return [sampling_pb2.ClassBank(index=bank.index, bank_id=bank.bank_id, revision=bank.revision) for bank in banks]


def condition_of_text(text: str, labels: tuple[str, ...]) -> str:
    """The label of a condition that a bank carries as text; empty where it has none."""
    return labels[int(text)] if text.isdigit() and int(text) < len(labels) else ""
