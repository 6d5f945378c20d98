"""A bank without its generator: draws of its rows and what they support, everything but outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from magnet_service.errors import InvalidInput, Refused
from magnet_service.generator import Precision
from magnet_service.geometry import Engine
from magnet_service.registry.banks import BankShelf
from magnet_service.registry.pages import Plan
from magnet_service.registry.polarity import DescribeRequest, Description, described
from magnet_service.sampling import BankChoice, BankRows, Base, Preset, SampleRequest, choose_bank, resolve

__all__ = ["describe_bank", "plan_of_bank"]


def plan_of_bank(shelf: BankShelf, request: SampleRequest, engine_for: Callable[[Precision], Engine]) -> Plan:
    """Settles a draw that names a bank and no generator.

    The bank's own law stands for the prior. At rho = 0 too the rows are the bank's, each as likely as any where its law
    is the base: whether a law can be drawn afresh may depend on a generator, and only the bank's rows have volumes.

    Arguments:
        shelf: the banks.
        request: the draw; its condition may be left out.
        engine_for: how the server computes in a precision.

    Returns:
        The plan, without a generator: its pages have no outputs.

    Raises:
        InvalidInput: no bank is named (field `generator`), or as `resolve`.
        UnknownResource: no such bank.
        Refused: the bank is of another manifold, precision or condition, or does not cover the base (FOREIGN_BANK); as
            `resolve`.
        DamagedData: a shard is damaged.

    Accuracy: as `resolve`.
    """
    if request.method.screens:
        raise Refused(
            f"method {request.method} runs the generator, and this draw names a bank alone: name the generator too.",
            field="method",
            reason="NO_GENERATOR",
        )
    choice, rows, request = _chosen(shelf, request)
    if request.preset is Preset.AS_TRAINED:
        request = replace(request, preset=None, rho=0.0, base=Base.PRIOR)
    spec = choice.spec
    digest = spec.generator_digest
    draw = resolve(request, spec.base_law, generator_digest=digest, choice=choice, rows=rows, from_bank=True)
    return Plan(None, draw, engine_for(draw.resolved.precision_used))


def describe_bank(shelf: BankShelf, request: DescribeRequest) -> Description:
    """Says what a bank supports whose generator is not named; raises as `plan_of_bank` and `described`."""
    draw = request.draw(request.condition)
    choice, rows, draw = _chosen(shelf, draw)
    return described(choice, rows, draw.base_law(choice.spec.base_law), request)


def _chosen(shelf: BankShelf, request: SampleRequest) -> tuple[BankChoice, BankRows, SampleRequest]:
    """The bank named, its rows, and the request with the bank's own condition."""
    if request.bank_id is None:
        raise InvalidInput(
            "generator is empty: write `name` or `name@version`, or the bank_id of a bank whose rows are enough.",
            field="generator",
        )
    bank = shelf.open(request.bank_id)
    spec = bank.spec
    request = replace(request, condition=request.condition or spec.condition_held)
    choice = choose_bank(
        [spec], request, spec.base_law, generator_digest=spec.generator_digest, reference=spec.generator_name
    )
    return replace(choice, accuracy=bank.manifest.accuracy), bank.rows(request.bank_revision), request
