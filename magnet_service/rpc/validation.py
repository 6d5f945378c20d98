"""Requests checked against the rules that stand beside their fields in the protos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from magnet_service.errors import InvalidInput

__all__ = ["InvalidRequest", "check", "decoded"]

_PACKAGE = "magnet.v1."

# What to write instead, by the field's name, where the rule alone does not say it.
_HINTS = {
    "bank_id": "the 16 hexadecimal digits that ListBanks answers",
    "generator": "`name` or `name@version`, at most 80 characters",
    "name": "a name as BuildBank answers it, `operations/...`",
    "condition": "nothing: no generator here is conditional",
    "count": "a whole number of rows, 1 or more",
}


class InvalidRequest(InvalidInput):
    """A request that breaks rules of its proto.

    Arguments:
        violations: pairs of a snake_case field path, as `truncation.psi` or `rhos[1]`, and what to write; not empty.
    """

    def __init__(self, violations: tuple[tuple[str, str], ...]) -> None:
        super().__init__(" ".join(text for _, text in violations), field=violations[0][0], reason="INVALID_REQUEST")
        self.violations = violations


def decoded(data: bytes, read: Callable[[bytes], Message]) -> Message:
    """Reads a request and checks it.

    Arguments:
        data: as it came.
        read: reads the method's request out of it.

    Returns:
        The message.

    Raises:
        InvalidInput: the bytes are no such message; reason MALFORMED.
        InvalidRequest: as `check`.

    Accuracy: exact.
    """
    try:
        request = read(data)
    except DecodeError as error:
        raise InvalidInput(
            f"The {len(data):,} bytes sent are not the message that this method takes: {error}.", reason="MALFORMED"
        ) from error
    check(request)
    return request


def check(request: Message) -> None:
    """Checks a message of this protocol; others pass.

    Arguments:
        request: a decoded request.

    Raises:
        InvalidRequest: it breaks one or more rules; one entry a violation, in the order of the fields.

    Accuracy: exact.
    """
    if not request.DESCRIPTOR.full_name.startswith(_PACKAGE):
        return
    found = protovalidate.collect_violations(request)
    if found:
        raise InvalidRequest(tuple(_described(request.DESCRIPTOR, violation) for violation in found))


def _described(message: Any, violation: protovalidate.Violation) -> tuple[str, str]:
    elements = violation.proto.field.elements if violation.proto.field is not None else []
    path = ".".join(_element(element) for element in elements)
    names = [element.field_name for element in elements]
    return path, f"{path}: {_advice(message, names, violation)}."


def _element(element: protovalidate.FieldPathElementPb) -> str:
    return f"{element.field_name}[{element.subscript.value}]" if element.subscript is not None else element.field_name


def _advice(message: Any, names: Iterable[str], violation: protovalidate.Violation) -> str:
    last = ""
    owner: Descriptor | None = message  # two classes by the protobuf runtime in use, one interface
    for last in names:
        field = owner.fields_by_name.get(last) if owner is not None else None
        if field is None:  # a oneof of which nothing is set
            options = owner.oneofs_by_name[last].fields if owner is not None else []
            return "write exactly one of " + ", ".join(option.name for option in options)
        if field.enum_type is not None:
            return "write one of " + ", ".join(value.name for value in field.enum_type.values if value.number)
        owner = field.message_type
    if violation.proto.rule_id.endswith(".finite"):
        return f"{violation.field_value} is not finite; write a finite number"
    if last in _HINTS:
        return f"got {violation.field_value!r}; write {_HINTS[last]}"
    return f"{violation.proto.message or 'is required'}"
