"""Conditions of a generator in memory: one of them held fixed, and the banks of all classes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator.condition import Condition, ConditionCard
from magnet_service.registry.generators import HeldGenerator
from magnet_service.sampling import BankChoice, BankRows, SampleRequest

__all__ = ["bank_flag", "banks_of_classes", "class_card", "named"]

_LISTED = 8

Choose = Callable[[HeldGenerator, SampleRequest], tuple[BankChoice, BankRows]]


def named(held: HeldGenerator, condition: Condition | None) -> HeldGenerator:
    """A generator with its condition held fixed.

    Arguments:
        held: the generator.
        condition: as asked.

    Returns:
        The generator of that condition, which it carries by index; an unconditional one as it is.

    Raises:
        InvalidInput: a condition is missing, or not one of this generator's (field `condition`).

    Accuracy: exact.
    """
    card = held.card.conditions
    if card is None:
        if condition is not None:
            raise InvalidInput(f"{held.name} takes no condition: leave it out.", field="condition")
        return held
    if condition is None:
        raise InvalidInput(f"{held.name} takes a condition here: write {_asked(card)}.", field="condition")
    chosen = card.resolve(condition)
    return replace(held, generator=held.generator.conditioned(card.value_of(chosen)), condition=chosen)


def class_card(held: HeldGenerator) -> ConditionCard:
    """The card of a generator of classes, for equal shares of all; InvalidInput where conditions are vectors."""
    card = held.card.conditions
    if card is None or not card.classes:
        width = 0 if card is None else card.width
        raise InvalidInput(
            f"{held.name} takes vectors of {width} numbers as conditions, and has no classes to draw from in turn: "
            f"name a condition.",
            field="condition",
        )
    return card


def banks_of_classes(
    held: HeldGenerator, request: SampleRequest, choose: Choose, command: Callable[[str], str | None]
) -> tuple[tuple[BankChoice, BankRows], ...]:
    """The bank of every class, for a request that names none.

    Arguments:
        held: the generator, its condition open.
        request: one that reads volumes.
        choose: the bank of one class.
        command: what builds banks, given the flag that says whose.

    Returns:
        For every class its bank and the rows used.

    Raises:
        InvalidInput: a bank that belongs to one class is named, or not every class has one in `class_banks`.
        Refused: classes without a bank (NO_BANK): the message names them, and the command that builds their banks.
        As `choose`.

    Accuracy: exact.
    """
    card = class_card(held)
    if request.bank_id is not None:
        raise InvalidInput(
            "bank_id is of the bank of one class: name a condition beside it, or write class_banks.", field="bank_id"
        )
    given = {bank.index: bank for bank in request.class_banks}
    if given and (sorted(given) != list(range(card.classes)) or len(request.class_banks) != card.classes):
        raise InvalidInput(
            f"class_banks: write one bank for each of the {card.classes} classes, or leave them out.",
            field="class_banks",
        )
    found: list[tuple[BankChoice, BankRows]] = []
    missing: list[Condition] = []
    refusal: Refused | None = None
    for condition in card.all():
        bank = given.get(condition.index or 0)
        one = replace(
            request,
            condition=condition,
            class_banks=(),
            bank_id=None if bank is None else bank.bank_id,
            bank_revision=request.bank_revision if bank is None else bank.revision,
        )
        try:
            found.append(choose(replace(held, condition=condition), one))
        except Refused as error:
            if error.reason != "NO_BANK":
                raise
            missing.append(condition)
            refusal = error
    if refusal is not None:
        raise _missing(card, missing, refusal, command)
    return tuple(found)


def bank_flag(card: ConditionCard | None, condition: Condition | None) -> str:
    """The flag of `magnet bank build` for a condition; empty where there is none."""
    if card is None or condition is None:
        return ""
    return f"--condition={shlex.quote(card.label_of(condition))}"


def _missing(
    card: ConditionCard, missing: list[Condition], refusal: Refused, command: Callable[[str], str | None]
) -> Refused:
    labels = [card.label_of(condition) for condition in missing]
    listed = ", ".join(labels[:_LISTED]) + (f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else "")
    flag = bank_flag(card, missing[0]) if len(missing) == 1 else "--all-conditions"
    built = command(flag)
    law = refusal.metadata.get("law", "this law")
    how = "it cannot be built: leave the truncation out" if built is None else built
    metadata = {**refusal.metadata, "missing": ",".join(str(item.index) for item in missing[:_LISTED])}
    return Refused(
        f"equal shares of all {card.classes} classes need a bank of {law} for each, and {listed} "
        f"{'has' if len(missing) == 1 else 'have'} none: {how}",
        field="bank_id",
        reason="NO_BANK",
        metadata={**metadata, **({} if built is None else {"command": built})},
    )


def _asked(card: ConditionCard) -> str:
    if not card.classes:
        return f"a vector of {card.width} numbers"
    known = ", ".join(map(repr, card.labels[:_LISTED])) + (", ..." if len(card.labels) > _LISTED else "")
    return f"a class from 0 to {card.classes - 1}" + (f" or its label ({known})" if card.labels else "")
