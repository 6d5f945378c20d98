"""Draws over all classes of a conditional generator, in equal shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from magnet_service.errors import InvalidInput
from magnet_service.generator import Precision
from magnet_service.geometry import Engine
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.conditions import class_card, named
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.pages import Plan
from magnet_service.registry.precision import KnownErrors
from magnet_service.sampling import Resolved, SampleRequest, bound, resolve_classes

__all__ = ["plan_classes"]


def plan_classes(
    held: HeldGenerator,
    request: SampleRequest,
    shelf: BankShelf,
    errors: KnownErrors,
    engine_for: Callable[[Precision], Engine],
) -> Plan:
    """Settles a draw that names no condition.

    Arguments:
        held: the generator, its condition open.
        request: the draw.
        shelf: the banks.
        errors: what BFLOAT16 is worth for each class, where no bank says so.
        engine_for: how the server computes in a precision.

    Returns:
        The plan.

    Raises:
        InvalidInput: conditions are vectors, or as `banks_of_classes` and `resolve_classes`.
        Refused, UnknownResource, DamagedData: as these.

    Accuracy: as `resolve_classes`.
    """
    card = class_card(held)
    if request.method.screens and request.needs_bank:
        raise InvalidInput(
            f"method {request.method} draws of one condition: name it, or use method RESAMPLE for all classes",
            field="method",
        )
    engine = engine_for(request.precision)
    banks = shelf.choose_all(held, request) if request.needs_bank else ()
    each = [named(held, condition) for condition in card.all()] if _differ(held, request) else []
    priors = [bound(item.prior, item.generator, engine) for item in each] or [held.prior]
    labels = [card.label_of(condition) for condition in card.all()]
    digest = held.generator.digest
    draw = resolve_classes(request, priors, generator_digest=digest, labels=labels, banks=banks)
    if draw.directs and request.precision is Precision.BFLOAT16:
        settled = [errors.echo(named(held, condition), engine, draw.resolved) for condition in card.all()]
        draw = replace(draw, resolved=_least(settled))
    return Plan(held, draw, engine_for(draw.resolved.precision_used))


def _differ(held: HeldGenerator, request: SampleRequest) -> bool:
    """Whether the classes draw from laws of their own: where the latent is an inner value that the class enters."""
    return held.generator.mapping is not None and not request.needs_bank


def _least(settled: Sequence[Resolved]) -> Resolved:
    """The least exact of the classes' arithmetics."""
    replaced = [item for item in settled if item.precision_used is not item.precision]
    if replaced:
        return replaced[0]
    return max(settled, key=lambda item: item.volume_error or 0.0)
